"""What a training works on, behind one contract: reinforcement learning here, supervised tasks in benchmarks."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces

from metarl.builder import Model, build_family, build_policy, build_problem, describe_spaces
from metarl.config import RunConfig, TrainConfig
from metarl.domains import Domain
from metarl.policies import Policy
from metarl.problem import Problem, ReinforcementLearning
from metarl.randomness import Key
from metarl.sb3_config import Sb3Config
from metarl.tasks import Splits, Tasks
from metarl.types import Params


class HeldProblem(Problem, Protocol):
    """A problem that holds resources until it is closed."""

    def close(self) -> None: ...


class Workload(Protocol):
    """The tasks of a configuration, the problem that they pose, and the model that is to learn them."""

    name: str
    variant: str | None
    model: Model
    splits: Splits
    task_space: spaces.Dict

    def sample_tasks(self, n: int, split: str, rng: np.random.Generator) -> Tasks: ...

    def problem(self, *, training: bool) -> Any:
        """The `HeldProblem` that a meta-training sees, or the one that adaptation is measured on.

        Where another library learns, it `AdaptsItself` instead, and goes with outer updates of its own.
        """
        ...

    def at_test(self, theta: Params, key: Key) -> Params:
        """The initialisation that held-out tasks adapt from."""
        ...

    def facts(self) -> dict[str, Any]:
        """What a checkpoint's manifest says of the tasks."""
        ...

    def budget(self, steps: int) -> dict[str, Any]:
        """What a result says of the data that `steps` steps of adaptation are granted."""
        ...

    def protocol(self) -> Mapping[str, Any]:
        """What a reader must know to compare results."""
        ...

    def close(self) -> None: ...


def open_workload(domain: Domain, config: RunConfig) -> Workload:
    """The workload of a configuration of that domain."""
    return importlib.import_module(domain.workload).workload(config)


class FamilyWorkload:
    """Reinforcement learning on a task family."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.family = build_family(config)
        self.name, self.variant = self.family.name, self.family.variant
        self.model = self.build_model()
        self.splits, self.task_space = self.family.splits, self.family.task_space
        self.sample_tasks = self.family.sample_tasks
        self.close = self.family.close

    def build_model(self) -> Model:
        return build_policy(self.config, self.family.observation_space, self.family.action_space)

    def problem(self, *, training: bool) -> ReinforcementLearning:
        assert isinstance(self.model, Policy)
        return build_problem(self.config, self.family, self.model)

    def at_test(self, theta: Params, key: Key) -> Params:
        return theta

    def facts(self) -> dict[str, Any]:
        described = describe_spaces(self.family.observation_space, self.family.action_space)
        return {"spaces": described, "horizon": self.family.horizon}

    def budget(self, steps: int) -> dict[str, Any]:
        config = self.config
        granted = config.samples_per_step or config.episodes * self.family.horizon
        return {
            "budget": f"{config.samples_per_step} samples"
            if config.samples_per_step
            else f"{config.episodes} episodes",
            "episodes_per_step": config.episodes,
            "samples_per_step": config.samples_per_step,
            "environment_steps": [step * granted for step in range(steps + 1)],
        }

    def protocol(self) -> Mapping[str, Any]:
        return {
            **self.family.protocol,
            "horizon": self.family.horizon,
            "gamma": self.config.gamma,
            "gae_lambda": self.config.gae_lambda,
            "actions_sampled": True,
        }


def workload(config: TrainConfig) -> FamilyWorkload:
    if isinstance(config, Sb3Config):
        from metarl.sb3.workload import Sb3Workload

        return Sb3Workload(config)
    return FamilyWorkload(config)
