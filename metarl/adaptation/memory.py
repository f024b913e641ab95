"""Adaptation by memory: the adapter, the data of whole trials, and the contract of problems with trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from jaxtyping import Bool, Float
from torch import Tensor

from metarl.adaptation.adapter import AdaptState, stack
from metarl.adaptation.problem import Collected, Problem
from metarl.core.params import Params, TaskParams
from metarl.core.prng import Key
from metarl.families.tasks import Tasks, number_of_tasks


class Trials(NamedTuple):
    """Trials of all tasks, each one row of transitions without gaps; entries with a False `mask` are padding.

    A trial is several episodes of one task, through whose ends memory is carried.
    """

    observations: Float[Tensor, "tasks trials steps observation"]
    actions: Tensor
    """(tasks, trials, steps, action) for continuous actions, (tasks, trials, steps) for discrete ones."""
    log_probs: Float[Tensor, "tasks trials steps"]
    """Log-probabilities of the actions when they were taken."""
    rewards: Float[Tensor, "tasks trials steps"]
    ends: Bool[Tensor, "tasks trials steps"]
    """Last steps of episodes."""
    mask: Bool[Tensor, "tasks trials steps"]

    def only(self, trials: Tensor) -> Trials:
        """The trials of these numbers, of every task."""
        return Trials._make(part[:, trials] for part in self)


class Chunks(NamedTuple):
    """Where gradients are cut: the trials' steps in chunks, each of which starts from a memory that is known."""

    steps: int
    """Steps of a chunk; the last may have fewer."""
    memories: Float[Tensor, "tasks trials chunks memory"]
    """Memory at the start of every chunk."""

    def only(self, trials: Tensor) -> Chunks:
        """The chunks of the trials of these numbers, of every task."""
        return self._replace(memories=self.memories[:, trials])


class Reading(NamedTuple):
    """What a policy with memory makes of trials, at every step."""

    log_probs: Float[Tensor, "tasks trials steps"]
    entropy: Float[Tensor, "tasks trials steps"]
    values: Float[Tensor, "tasks trials steps"]
    """Estimates of the discounted sum of rewards to the trial's end."""


class TrialProblem(Problem, Protocol):
    """A problem whose policy adapts by memory, and whose data are episodes of trials."""

    def joined(self, episodes: Sequence[Any]) -> Trials:
        """The trials whose k-th episodes are the k-th data."""
        ...

    def chunks(self, theta: Params, trials: Trials, steps: int) -> Chunks:
        """Chunks of `steps` steps, with the memories of the policy with parameters theta."""
        ...

    def read(self, theta: Params, trials: Trials, chunks: Chunks | None = None) -> Reading:
        """What a policy makes of trials; a differentiable function of theta within each chunk.

        Args:
            theta: The parameters.
            trials: The trials.
            chunks: Where gradients are cut; nowhere by default.
        """
        ...


@dataclass(frozen=True)
class MemoryAdapter:
    """Adapter that changes no parameter: a policy's memory is carried from episode to episode of a trial.

    One adaptation step is one episode. `used` counts the environment steps of one trial.
    """

    kind: str = "gru"
    """Kind of the memory, for `facts`."""

    def add_state(self, theta: Params) -> Params:
        """theta unchanged: memory starts empty for every task."""
        return theta

    def initial(self, theta: Params, tasks: Tasks, key: Key) -> AdaptState:
        """State with theta for every task, and no memory."""
        return AdaptState(stack(theta, number_of_tasks(tasks)), memory=None)

    def policy(self, state: AdaptState) -> tuple[TaskParams, Any]:
        """theta, and the memory after the episodes so far."""
        return state.params, state.memory

    def observe(self, problem: Problem, state: AdaptState, collected: Collected) -> AdaptState:
        """Keep the memory after an episode."""
        used = state.used + collected.transitions / self._trials(collected)
        return state._replace(step=state.step + 1, memory=collected.memory, used=used)

    def _trials(self, collected: Collected) -> int:
        """Trials of each task, of which each has taken its share of the environment steps."""
        return int(collected.data.mask.shape[1])

    def carried(self, theta: Params, state: AdaptState) -> Params:
        """No entries: memory does not outlive a trial."""
        return {}

    def close(self, state: AdaptState) -> None:
        """No-op: a state holds no resources."""

    def facts(self) -> dict[str, Any]:
        """What adapts, and no learning rate."""
        return {"adapts_by": f"memory ({self.kind})", "inner_lr": None, "later_inner_lr": None}
