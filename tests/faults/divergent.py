"""An outer update that goes wrong in its third iteration, as its configuration says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from metarl.algorithms import maml
from metarl.config.algorithms import MamlConfig
from metarl.core.params import State

NAN = float("nan")


@dataclass(frozen=True)
class Divergent(MamlConfig):
    """MAML that diverges."""

    goes_wrong: Literal["nothing", "loss", "gradient", "weight", "moment", "collapse", "explosion"] = "nothing"
    """What is made not finite, or the standard deviation's way."""


def initial_state(theta: Any, config: Divergent) -> State:
    return maml.initial_state(theta, config)


def meta_step(
    state: State, problem: Any, tasks: Any, key: Any, adapter: Any, config: Divergent, progress: float
) -> Any:
    """MAML's own step; in the third iteration one of its results is replaced."""
    new, metrics = maml.meta_step(state, problem, tasks, key, adapter, config, progress)
    if int(new["optimiser"]["steps"]) < 3:
        return new, metrics
    theta, wrong = new["theta"], config.goes_wrong
    if wrong == "loss":
        metrics["outer_loss"] = NAN
    elif wrong == "gradient":
        metrics["gradient_norm"] = float("inf")
    elif wrong == "weight":
        theta["hidden.0.weight"] = theta["hidden.0.weight"].clone()
        theta["hidden.0.weight"][0, 0] = NAN
    elif wrong == "moment":
        new["optimiser"]["second.head.bias"] = torch.full_like(new["optimiser"]["second.head.bias"], float("inf"))
    elif wrong in ("collapse", "explosion"):
        theta["log_std"] = torch.full_like(theta["log_std"], -20.0 if wrong == "collapse" else 5.0)
    return new, metrics
