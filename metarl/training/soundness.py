"""Divergence checks on the state that a meta_step returns."""

from __future__ import annotations

import math
from typing import Any

import torch

from metarl.config.run import RunConfig, TrainConfig
from metarl.core.errors import Divergence
from metarl.core.params import State


def check_sound(state: State, metrics: dict[str, Any], config: RunConfig, iteration: int) -> None:
    """Check the state and metrics of an iteration before the state is installed.

    Args:
        state: The new state.
        metrics: Its metrics.
        config: Bounds of the log standard deviation.
        iteration: Number of the iteration, for the message.

    Raises:
        Divergence: A value is not finite, or a log standard deviation is out of bounds.
    """
    for part, params in state.items():
        for name, value in params.items():
            if not bool(torch.isfinite(value).all()):
                raise _diverged(iteration, f"{'parameter' if part == 'theta' else part} {name} is not finite")
    for name in ("outer_loss", "gradient_norm"):
        if not math.isfinite(metrics.get(name, 0.0)):
            raise _diverged(iteration, f"{name} is not finite")
    log_std = state["theta"].get("log_std")
    if isinstance(config, TrainConfig) and log_std is not None:
        low, high = config.policy.min_log_std, config.policy.max_log_std
        if float(log_std.min()) < low:
            raise _diverged(iteration, f"log_std is {float(log_std.min()):.3g}, below its bound of {low:g}")
        if float(log_std.max()) > high:
            raise _diverged(iteration, f"log_std is {float(log_std.max()):.3g}, above its bound of {high:g}")


def _diverged(iteration: int, what: str) -> Divergence:
    advice = "checkpoints hold nothing of it; try a smaller --inner.lr, or a smaller outer step"
    return Divergence(f"iteration {iteration}: {what}; {advice}")
