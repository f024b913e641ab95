"""Reinforcement learning over trials, for policies with memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from metarl.adaptation.memory import Chunks, Reading, Trials
from metarl.adaptation.problem import Collected
from metarl.core.params import Params, TaskParams
from metarl.core.prng import Key
from metarl.core.ranks import all_reduce_max, sync_errors
from metarl.families.tasks import Tasks
from metarl.rl.data import Episodes, mean_discounted_returns, mean_returns, padded, success_rates, with_successes
from metarl.rl.memory import History, Judgement, MemoryPolicy
from metarl.rl.normalisation import moments
from metarl.rl.problem import ReinforcementLearning


class TrialLearning(ReinforcementLearning):
    """Reinforcement learning whose adaptation step is one episode of a trial, as a `TrialProblem`.

    `episodes` is the number of trials of each task, which run side by side.
    """

    policy: MemoryPolicy  # type: ignore[assignment]

    def collect(self, params: TaskParams, tasks: Tasks, key: Key, memory: Any = None) -> Collected:
        """Run one episode of every trial, from the memory after the episodes before it."""
        with sync_errors():
            episodes, memory = self.episodes_of(params, tasks, key, memory)
        number, steps, known = all_reduce_max(*episodes.mask.shape[1:], int(episodes.successes is not None))
        episodes = padded(episodes, number, steps)
        if known:
            episodes = with_successes(episodes)
        return Collected(
            episodes,
            mean_returns(episodes),
            episodes.mask.sum((1, 2)),
            mean_discounted_returns(episodes, self.gamma),
            success_rates(episodes),
            moments(params, episodes.observations, episodes.mask),
            memory,
        )

    def joined(self, episodes: Sequence[Episodes]) -> Trials:
        """Trials from their episodes, with the steps of all episodes in one row and no gaps."""
        mask = torch.cat([part.mask for part in episodes], 2)
        order = torch.argsort(mask.to(torch.int8), dim=2, descending=True, stable=True)
        (length,) = all_reduce_max(int(mask.sum(2).max()))
        order = order[..., :length]

        def in_order(parts: Sequence[Tensor]) -> Tensor:
            whole = torch.cat(list(parts), 2)
            index = order.reshape(*order.shape, *[1] * (whole.ndim - 3)).expand(*order.shape, *whole.shape[3:])
            return whole.gather(2, index)

        return Trials(
            in_order([part.observations for part in episodes]),
            in_order([part.actions for part in episodes]),
            in_order([part.log_probs for part in episodes]),
            in_order([part.rewards for part in episodes]),
            in_order([_last_steps(part.mask) for part in episodes]),
            mask.gather(2, order),
        )

    def chunks(self, theta: Params, trials: Trials, steps: int) -> Chunks:
        """Chunks of `steps` steps, each with the memory that theta has at its start."""
        state, found = self._empty(trials), []
        with torch.no_grad():
            for parts in zip(*(part.split(steps, 1) for part in self._history(trials)), strict=True):
                found.append(state)
                state = self.policy.judge(theta, History(*parts), state).memory
        return Chunks(steps, torch.stack(found, 1).unflatten(0, trials.mask.shape[:2]))

    def read(self, theta: Params, trials: Trials, chunks: Chunks | None = None) -> Reading:
        """Log-probabilities, entropies and values of all steps; chunks count as rows of their own."""
        history = self._history(trials)
        if chunks is None:
            judged = self.policy.judge(theta, history, self._empty(trials))
            return self._reading(judged, trials)
        number, steps = chunks.memories.shape[2], trials.mask.shape[2]

        def cut(rows: Tensor) -> Tensor:
            whole = pad(rows, (*[0, 0] * (rows.ndim - 2), 0, number * chunks.steps - steps))
            return whole.unflatten(1, (number, chunks.steps)).flatten(0, 1)

        judged = self.policy.judge(theta, history.map(cut), chunks.memories.flatten(0, 2))

        def whole(rows: Tensor) -> Tensor:
            return rows.unflatten(0, (-1, number)).flatten(1, 2)[:, :steps]

        distribution = type(judged.distribution)._make(map(whole, judged.distribution))
        return self._reading(Judgement(distribution, whole(judged.values), judged.memory), trials)

    def _empty(self, trials: Trials) -> Float[Tensor, "rows memory"]:
        return self.policy.empty(trials.observations[:, :, 0])["state"].flatten(0, 1)

    def _history(self, trials: Trials) -> History:
        """What the policy read at every step."""
        actions = self.policy.encoded(trials.actions, trials.rewards.dtype) * trials.mask[..., None]
        before = [_shifted(part.to(trials.rewards.dtype)) for part in (actions, trials.rewards, trials.ends)]
        return History._make(part.flatten(0, 1) for part in (trials.observations, *before))

    def _reading(self, judged: Judgement, trials: Trials) -> Reading:
        """Log-probabilities, entropies and values with axes of tasks and trials."""
        shape = trials.mask.shape[:2]
        parts = (
            judged.distribution.log_prob(trials.actions.flatten(0, 1)),
            judged.distribution.entropy(),
            judged.values,
        )
        return Reading._make(part.unflatten(0, shape) for part in parts)


def _last_steps(mask: Tensor) -> Tensor:
    """True at the last step of every episode."""
    return mask & ~pad(mask[..., 1:], (0, 1), value=False)


def _shifted(values: Tensor) -> Tensor:
    """Values of the step before; zero at the first step."""
    return torch.cat([torch.zeros_like(values[:, :, :1]), values[:, :, :-1]], 2)
