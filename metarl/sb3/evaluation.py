"""What a model of Stable-Baselines3 reaches on held-out tasks as it is: step 0 of an adaptation curve."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from gymnasium import spaces

from metarl.config import TrainConfig
from metarl.domains import REINFORCEMENT_LEARNING
from metarl.errors import ConfigError, FamilyError
from metarl.evaluation import BLOCK, AdaptationCurve
from metarl.inner import GradientDescent, InnerRule
from metarl.lanes import make_lanes
from metarl.randomness import Key
from metarl.rollout import mean_returns, success_rates
from metarl.sb3.measuring import ActingModel, episodes_of
from metarl.tasks import Tasks, number_of_tasks, take_tasks
from metarl.types import Params
from metarl.validation import check_least
from metarl.workload import FamilyWorkload

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm


def evaluate_model(
    model: BaseAlgorithm,
    *,
    family: str | None,
    variant: str | None,
    split: str,
    tasks: int,
    episodes: int,
    steps: int | None,
    seed: int,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """`metarl.evaluate` of a trained model: the same tasks and the same result as for a run, at step 0 alone."""
    # Deferred, since evaluation as a whole lies above.
    from metarl.api import measured

    if family is None:
        raise ConfigError("family is missing; expected the family whose tasks the model is to be measured on")
    if steps:
        raise ConfigError(f"steps = {steps}; expected 0: a model is measured as it is, and `learn` adapts it")
    check_least(("tasks", tasks, 1), ("episodes", episodes, 1), ("seed", seed, 0))
    workload = ModelWorkload(TrainConfig(family=family, variant=variant, episodes=episodes), model)
    result = measured(
        REINFORCEMENT_LEARNING, workload, {}, GradientDescent(1.0), family, split=split, tasks=tasks, steps=0,
        seed=seed, progress=progress,
    )  # fmt: skip
    return {**result, "initialisation": "given", "iteration": None, "protocol": workload.protocol()}


class ModelWorkload(FamilyWorkload):
    """A task family, and a trained model that acts on it."""

    def __init__(self, config: TrainConfig, trained: BaseAlgorithm) -> None:
        super().__init__(config)
        self.trained = trained
        theirs, ours = trained.observation_space, self.family.observation_space
        if theirs.shape != ours.shape:
            raise FamilyError(
                f"the model's observations have shape {theirs.shape}; those of '{self.name}' {ours.shape}"
            )
        if spaces.flatdim(trained.action_space) != spaces.flatdim(self.family.action_space):
            raise FamilyError(
                f"the model's action space is {trained.action_space}; that of '{self.name}' {self.family.action_space}"
            )

    def problem(self, *, training: bool) -> ModelProblem:  # type: ignore[override]
        return ModelProblem(self)

    def protocol(self) -> Mapping[str, Any]:
        return {
            **self.family.protocol,
            "horizon": self.family.horizon,
            "acts": f"{type(self.trained).__name__} of Stable-Baselines3",
            "actions_sampled": not ActingModel(self.trained).deterministic,
        }


class ModelProblem:
    """Episodes of a model that does not adapt."""

    def __init__(self, workload: ModelWorkload) -> None:
        self.workload = workload

    def adaptation_curve(
        self,
        theta: Params,
        tasks: Tasks,
        key: Key,
        rule: InnerRule,
        steps: int,
        progress: Callable[[int, int], None],
    ) -> AdaptationCurve:
        """Point 0, which is all there is."""
        family, episodes, n = self.workload.family, self.workload.config.episodes, number_of_tasks(tasks)
        scores, rates = [], []
        for number, first in enumerate(range(0, n, BLOCK)):
            part = take_tasks(tasks, slice(first, first + BLOCK))
            lanes = make_lanes(family, part, episodes, device="cpu", dtype=torch.float32)
            at = key.at(number, 0)
            found = episodes_of(self.workload.trained, lanes, at, horizon=family.horizon, episodes=episodes)
            scores.append(mean_returns(found))
            rates.append(success_rates(found))
            lanes.close()
            progress(min(first + BLOCK, n), n)
        known = [torch.zeros_like(score) if rate is None else rate for score, rate in zip(scores, rates, strict=True)]
        successes = None if all(rate is None for rate in rates) else torch.cat(known)[:, None].double()
        return AdaptationCurve(torch.cat(scores)[:, None].double(), [0.0], successes)

    def close(self) -> None:
        """Nothing is held."""
