"""Reinforcement learning as a `Problem`: policies, rollouts, advantages and losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metarl.core.imports import lazy_door

if TYPE_CHECKING:
    from metarl.rl.data import Episodes as Episodes
    from metarl.rl.data import PolicyBatch as PolicyBatch
    from metarl.rl.data import concatenate_rounds as concatenate_rounds
    from metarl.rl.data import mean_returns as mean_returns
    from metarl.rl.data import success_rates as success_rates
    from metarl.rl.data import zero_masked as zero_masked
    from metarl.rl.memory import MemoryPolicy as MemoryPolicy
    from metarl.rl.networks import ACTIVATION_MODULES as ACTIVATION_MODULES
    from metarl.rl.networks import ContextNetwork as ContextNetwork
    from metarl.rl.networks import Network as Network
    from metarl.rl.networks import StackedMLP as StackedMLP
    from metarl.rl.normalisation import MEAN as MEAN
    from metarl.rl.normalisation import folded as folded
    from metarl.rl.normalisation import updated as updated
    from metarl.rl.policies import Policy as Policy
    from metarl.rl.policies import make_policy as make_policy
    from metarl.rl.policies import module_of as module_of
    from metarl.rl.problem import ReinforcementLearning as ReinforcementLearning
    from metarl.rl.rollouts import collect as collect
    from metarl.rl.rollouts import rollout as rollout
    from metarl.rl.setup import FamilySetup as FamilySetup
    from metarl.rl.setup import build_family as build_family
    from metarl.rl.setup import build_policy as build_policy
    from metarl.rl.setup import build_problem as build_problem
    from metarl.rl.setup import check_spaces as check_spaces
    from metarl.rl.setup import fitted_params as fitted_params
    from metarl.rl.setup import memory_policy as memory_policy
    from metarl.rl.setup import problem_over as problem_over
    from metarl.rl.setup import spaces_from as spaces_from

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "metarl.rl.data": (
            "Episodes",
            "PolicyBatch",
            "concatenate_rounds",
            "mean_returns",
            "success_rates",
            "zero_masked",
        ),
        "metarl.rl.memory": ("MemoryPolicy",),
        "metarl.rl.networks": (
            "ACTIVATION_MODULES",
            "ContextNetwork",
            "Network",
            "StackedMLP",
        ),
        "metarl.rl.normalisation": (
            "MEAN",
            "folded",
            "updated",
        ),
        "metarl.rl.policies": (
            "Policy",
            "make_policy",
            "module_of",
        ),
        "metarl.rl.problem": ("ReinforcementLearning",),
        "metarl.rl.rollouts": (
            "collect",
            "rollout",
        ),
        "metarl.rl.setup": (
            "FamilySetup",
            "build_family",
            "build_policy",
            "build_problem",
            "check_spaces",
            "fitted_params",
            "memory_policy",
            "problem_over",
            "spaces_from",
        ),
    },
)
