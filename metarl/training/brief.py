"""Brief trainings in memory: several policies of one configuration in one batch, without run directory or checkpoints.

Each policy has tasks of its own. A joint training gives a policy new tasks in every iteration, and a training from
scratch gives it the same task in all of them, so both have the same optimiser and the same amount of data.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from metarl.algorithms.metrics import tree_map
from metarl.core.errors import Divergence
from metarl.core.machine import choose_threads, torch_threads
from metarl.core.params import Params, State
from metarl.core.prng import Key
from metarl.core.seed_axis import stacked, state_of, use_seed_axis
from metarl.families.tasks import Tasks, join_tasks
from metarl.rl.normalisation import updated
from metarl.training.assembly import Assembly
from metarl.training.soundness import check_sound

TasksOf = Callable[[int, int], Tasks]
"""The tasks of a policy, by its index, in an iteration, from 1; equally many for every policy."""


class BriefTraining:
    """Policies that are trained in one batch, each on its own tasks. A context manager that closes the environments.

    A policy agrees with one that is trained alone up to rounding.

    Args:
        parts: The parts of the configuration, whose outer update has a seed axis and no schedule; the caller closes
            them.
        name: Name of the training in error messages.
        thetas: The initialisation of each policy.
        keys: Position of the random numbers of each policy.
        tasks_of: The tasks of a policy in an iteration.
    """

    def __init__(
        self, parts: Assembly, name: str, thetas: Sequence[Params], keys: Sequence[Key], tasks_of: TasksOf
    ) -> None:
        self.parts, self.name = parts, name
        self.module: Any = importlib.import_module(parts.found.module)
        self.states: list[State] = [self.module.initial_state(theta, parts.config) for theta in thetas]
        self.returns: list[list[float]] = []
        """Mean return of each policy in each iteration."""
        self._keys, self._tasks_of = list(keys), tasks_of
        self._problem = parts.setup.problem(training=True)
        self._threads = choose_threads(len(thetas) * parts.setup.largest_tensor())

    @property
    def thetas(self) -> list[Params]:
        """The parameters of each policy."""
        return [state["theta"] for state in self.states]

    def iterate(self) -> None:
        """One iteration of all policies.

        Raises:
            Divergence: Parameters or data of a policy are not finite.
            EnvironmentFault: An environment failed.
        """
        number = len(self.returns) + 1
        tasks = join_tasks([self._tasks_of(policy, number) for policy in range(len(self.states))])
        first, *others = (key.at("iteration", number) for key in self._keys)
        try:
            with torch_threads(self._threads), use_seed_axis(len(self.states)):
                state, metrics = self.module.meta_step(
                    stacked(self.states), self._problem, tasks, replace(first, co_seeds=tuple(others)),
                    self.parts.adapter, self.parts.config, 0.0,
                )  # fmt: skip
            found = [self._accepted(state_of(state, i), _of_policy(metrics, i), number) for i in range(len(self._keys))]
        except Divergence as error:
            raise Divergence(f"{self.name}: {error}", error.task) from None
        self.states = [state for state, _ in found]
        self.returns.append([measured for _, measured in found])

    def _accepted(self, state: State, metrics: dict[str, Any], number: int) -> tuple[State, float]:
        """The state with new statistics of observations, checked, and the mean return."""
        state["theta"] = updated(state["theta"], metrics.pop("observed", None))
        check_sound(state, metrics, self.parts.config, number)
        return state, float(metrics["return"][0])

    def __enter__(self) -> BriefTraining:
        return self

    def __exit__(self, *_: object) -> None:
        self._problem.close()


def _of_policy(metrics: dict[str, Any], policy: int) -> dict[str, Any]:
    return tree_map(metrics, lambda values: values[policy].tolist())  # type: ignore[no-any-return]
