"""A training as callbacks see it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from metarl.callbacks.callback import RunView
from metarl.callbacks.dispatch import Callbacks
from metarl.config.registry import ProblemKind
from metarl.config.run import RunConfig
from metarl.core.params import State
from metarl.training.assembly import Assembly


class Viewed(Protocol):
    """The part of a training that is shown."""

    parts: Assembly
    kind: ProblemKind
    config: RunConfig
    run_dir: Path
    state: State
    callbacks: Callbacks
    iteration: int
    total: int
    last_record: dict[str, Any]
    scores: dict[int, float | None]
    validated: tuple[int, dict[str, Any] | None]


def view_of(training: Viewed) -> RunView:
    """The run at this moment; agents that are asked for later have the parameters of this moment, as copies.

    Args:
        training: The training.
    """
    number, theta = training.iteration, training.state["theta"]
    maker, config, run = training.callbacks.agent_of, training.config, training.run_dir

    def agent() -> Any:
        assert maker is not None
        copied = {name: value.detach().cpu().clone() for name, value in theta.items()}
        return maker(config, copied, {"iteration": number, **training.parts.setup.facts()}, str(run))

    has_agents = maker is not None and config.learner() in (None, "memory")
    validation = training.validated[1] if training.validated[0] == number else None
    return RunView(
        training.parts.algorithm, config, run, number, training.total, training.last_record,
        dict(sorted(training.scores.items())), validation, training.kind, make_agent=agent if has_agents else None,
    )  # fmt: skip
