"""Task families learned by Stable-Baselines3: the workload of `reptile-sb3` and `pretrain-sb3`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from metarl.builder import check_device
from metarl.errors import ConfigError, Divergence
from metarl.evaluation import AdaptationCurve
from metarl.families import TaskFamily
from metarl.inner import GradientDescent
from metarl.lanes import Lanes, make_lanes
from metarl.randomness import Key
from metarl.ranks import current
from metarl.rollout import mean_returns, success_rates
from metarl.sb3.learner import Learner, parameters_of, rollout_steps
from metarl.sb3.measuring import GREEDY, episodes_of, private_randomness
from metarl.sb3_config import Sb3Config
from metarl.tasks import Tasks, number_of_tasks, take_tasks
from metarl.types import Episodes, Params
from metarl.workload import FamilyWorkload

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm


class Learned(NamedTuple):
    """Where learning from theta has arrived."""

    params: Params
    returns: list[float | None]
    """Mean return of the episodes that ended during each adaptation step; None where none did."""
    transitions: int


class Sb3Problem:
    """Learning from given parameters on given tasks, by `learn` of Stable-Baselines3, and measuring what came of it."""

    def __init__(self, config: Sb3Config, family: TaskFamily, learner: Learner) -> None:
        self.config, self.family, self.learner = config, family, learner
        self._lanes: Lanes | None = None

    def learn(self, theta: Params, tasks: Tasks, key: Key, lr: float, timesteps: int, steps: int) -> Learned:
        """`steps` times `timesteps` environment steps from theta, on the tasks in turn, an episode each.

        Raises Divergence where parameters are not finite any more.
        """
        returns: list[float | None] = []
        with private_randomness(key):
            model = self.learner.starting(theta, tasks, key, lr)
            for _ in range(steps):
                returns.append(self.learner.learn(model, timesteps))
            learned = Learned(parameters_of(model), returns, model.num_timesteps)
            model.get_env().close()  # type: ignore[union-attr]
        return learned

    def measure(self, model: BaseAlgorithm, task: Tasks, key: Key) -> Episodes:
        """Fresh episodes, which nothing learns from."""
        if self._lanes is None:
            self._lanes = make_lanes(
                self.family, task, self.config.episodes, device=torch.device("cpu"), dtype=torch.float32
            )
        else:
            self._lanes.set_tasks(task)
        return episodes_of(model, self._lanes, key, horizon=self.family.horizon, episodes=self.config.episodes)

    def adaptation_curve(
        self,
        theta: Params,
        tasks: Tasks,
        key: Key,
        rule: GradientDescent,
        steps: int,
        progress: Callable[[int, int], None],
    ) -> AdaptationCurve:
        """One model a task, which goes on learning from step to step with its optimiser and buffer.

        The episodes that score each step are beside those learned from, and no part of `transitions`.
        """
        if rule.later_lr not in (None, rule.lr):
            raise ConfigError(f"--later-inner-lr = {rule.later_lr}; expected none: learning goes on at one rate")
        n = number_of_tasks(tasks)
        scores = torch.full((n, steps + 1), float("nan"), dtype=torch.float64)
        successes, known = torch.zeros_like(scores), False
        used = [0] * (steps + 1)
        for task in range(n):
            points = self._points(theta, take_tasks(tasks, slice(task, task + 1)), key.at(task), rule.lr, steps)
            try:
                for step, (episodes, transitions) in enumerate(points):
                    scores[task, step] = mean_returns(episodes)
                    if (rates := success_rates(episodes)) is not None:
                        known, successes[task, step] = True, rates
                    used[step] += transitions
                    progress(task * (steps + 1) + step + 1, n * (steps + 1))
            except Divergence:
                successes[task, scores[task].isnan()] = float("nan")  # as the rest of the task's scores
        return AdaptationCurve(scores, [total / n for total in used], successes if known else None)

    def _points(self, theta: Params, task: Tasks, key: Key, lr: float, steps: int) -> Iterator[tuple[Episodes, int]]:
        """Episodes and environment steps before and after each adaptation step to one task."""
        with private_randomness(key):
            model = self.learner.starting(theta, task, key, lr)
            for step in range(steps + 1):
                if step:
                    self.learner.learn(model, self.config.sb3.timesteps)
                yield self.measure(model, task, key.at("measure", step)), model.num_timesteps
            model.get_env().close()  # type: ignore[union-attr]

    def close(self) -> None:
        if self._lanes is not None:
            self._lanes.close()
            self._lanes = None


class Sb3Workload(FamilyWorkload):
    """A task family, and an algorithm of Stable-Baselines3 that learns it."""

    config: Sb3Config

    def __init__(self, config: Sb3Config) -> None:
        if config.samples_per_step is not None:
            raise ConfigError(
                f"--samples-per-step = {config.samples_per_step}; expected none: a step of adaptation is "
                f"{config.sb3.timesteps} environment steps of learning, as the run was trained"
            )
        if current().size > 1:
            raise ConfigError(
                f"{current().size} processes; expected one: learning by Stable-Baselines3 is not shared out"
            )
        check_device(config.device)
        super().__init__(config)
        assert isinstance(self.model, Learner)
        rollout = config.sb3.n_envs * rollout_steps(self.model.algorithm, self.model.settings)
        if config.sb3.timesteps % rollout:
            raise ConfigError(
                f"--sb3.timesteps = {config.sb3.timesteps}; expected a multiple of {rollout}, a rollout of "
                f"{config.sb3.algorithm} (n_steps in --sb3.settings times --sb3.n-envs)"
            )

    def build_model(self) -> Learner:
        return Learner(self.config, self.family)

    def problem(self, *, training: bool) -> Sb3Problem:  # type: ignore[override]
        assert isinstance(self.model, Learner)
        return Sb3Problem(self.config, self.family, self.model)

    def budget(self, steps: int) -> dict[str, Any]:
        timesteps = self.config.sb3.timesteps
        return {
            "budget": f"{timesteps} environment steps",
            "episodes_per_step": self.config.episodes,
            "samples_per_step": timesteps,
            "environment_steps": [step * timesteps for step in range(steps + 1)],
        }

    def protocol(self) -> Mapping[str, Any]:
        algorithm = self.config.sb3.algorithm
        return {
            **self.family.protocol,
            "horizon": self.family.horizon,
            "adapts_by": f"{algorithm} of Stable-Baselines3, {self.config.sb3.timesteps} environment steps a step",
            "settings": self.config.sb3.settings,
            "gamma": self.config.gamma,
            "actions_sampled": algorithm not in GREEDY,
            "episodes_measured": f"{self.config.episodes} beside those learned from",
        }
