"""Outer updates, one module each, with functions `initial_state` and `meta_step`; and their common parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metarl.core.imports import lazy_door

if TYPE_CHECKING:
    from metarl.algorithms.adam import AdamState as AdamState
    from metarl.algorithms.adam import adam_step as adam_step
    from metarl.algorithms.meta_gradient import value_and_grad as value_and_grad
    from metarl.algorithms.metrics import Metrics as Metrics
    from metarl.algorithms.metrics import norm as norm
    from metarl.algorithms.metrics import to_metrics as to_metrics
    from metarl.algorithms.metrics import tree_map as tree_map
    from metarl.algorithms.reptile import reptile_state as reptile_state
    from metarl.algorithms.reptile import reptile_step as reptile_step
    from metarl.algorithms.trust_region import conjugate_gradient as conjugate_gradient
    from metarl.algorithms.trust_region import line_search as line_search
    from metarl.algorithms.trust_region import trust_region_step as trust_region_step
    from metarl.algorithms.trust_region import unravel as unravel

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "metarl.algorithms.adam": (
            "AdamState",
            "adam_step",
        ),
        "metarl.algorithms.meta_gradient": ("value_and_grad",),
        "metarl.algorithms.metrics": (
            "Metrics",
            "norm",
            "to_metrics",
            "tree_map",
        ),
        "metarl.algorithms.reptile": (
            "reptile_state",
            "reptile_step",
        ),
        "metarl.algorithms.trust_region": (
            "conjugate_gradient",
            "line_search",
            "trust_region_step",
            "unravel",
        ),
    },
)
