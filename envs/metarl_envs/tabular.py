"""Random tabular MDPs (Duan et al. 2016, section 3.2.2; with the same one-hot observation as pytorch-maml-rl)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from gymnasium import spaces

from metarl.families.analytic import AnalyticFamily
from metarl.families.splits import SPLITS, check_split
from metarl.families.tasks import Tasks
from metarl.references.reference import Reference
from metarl_envs.references.tabular import known_mdp, posterior_sampling, uniform_actions

if TYPE_CHECKING:
    from torch import Tensor

STATES = 10
ACTIONS = 5
OPTIMISTIC_SAMPLES = 10


class RandomMDPs:
    """Transitions are Dirichlet(1) and mean rewards N(1, 1); out of distribution Dirichlet(0.1) and N(1, 2^2)."""

    kind = "disjoint"
    names = SPLITS

    def sample(self, n: int, split: str, rng: np.random.Generator) -> Tasks:
        """Draw n tasks of a split; raises FamilyError if there is no such split."""
        check_split(split, self.names)
        concentration, deviation = (0.1, 2.0) if split == "out-of-distribution" else (1.0, 1.0)
        transitions, rewards = [], []
        for _ in range(n):  # task by task, so that a larger n begins with the same tasks
            transitions.append(rng.dirichlet(np.full(STATES, concentration), (STATES, ACTIONS)))
            rewards.append(rng.normal(1.0, deviation, (STATES, ACTIONS)))
        return {"transitions": np.array(transitions, np.float32), "rewards": np.array(rewards, np.float32)}


class TabularMDP(AnalyticFamily):
    """10 states, observed one-hot, and 5 actions; the start is state 0, the reward N(mean, 1), the horizon 10."""

    name = "tabular-mdp"
    horizon = 10
    step_noise = 2
    observation_space = spaces.Box(0.0, 1.0, (STATES,), np.float32)
    action_space = spaces.Discrete(ACTIONS)
    task_space = spaces.Dict(
        {
            "transitions": spaces.Box(0.0, 1.0, (STATES, ACTIONS, STATES), np.float32),
            "rewards": spaces.Box(-np.inf, np.inf, (STATES, ACTIONS), np.float32),
        }
    )
    splits = RandomMDPs()
    protocol: Mapping[str, str] = {
        "reward": "normal with unit deviation around a mean for each state and action",
        "end": "never",
    }

    def initial(self, task: Mapping[str, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
        """State 0."""
        import torch

        state = torch.zeros(noise.shape[:-1], dtype=torch.int64, device=noise.device)
        return state, self._observed(state, noise)

    def step(
        self, task: Mapping[str, Tensor], state: Tensor, action: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw the next state and the reward."""
        import torch

        cumulative = task["transitions"].cumsum(-1).flatten(-3, -2)
        means = task["rewards"].flatten(-2)
        taken = (state * ACTIONS + action.long())[..., None]
        mean = torch.take_along_dim(means, taken, -1).squeeze(-1)
        row = torch.take_along_dim(cumulative, taken[..., None], -2).squeeze(-2)
        # Without the last bound, so that rounding cannot lead to a state beyond it.
        following = (noise[..., :1] > row[..., :-1]).sum(-1)
        reward = mean + torch.special.ndtri(noise[..., 1])
        return following, self._observed(following, noise), reward, torch.zeros_like(following, dtype=torch.bool)

    def references(self) -> Mapping[str, Reference]:
        """The known MDP, PSRL and optimistic PSRL with the true prior and with that of the published rows, random."""
        found = {
            "oracle": Reference(
                "optimal policy of the known MDP", partial(known_mdp, horizon=self.horizon), exact=True, bound=True,
                knows_task=True,
            ),
            "random": Reference("uniform actions", partial(uniform_actions, horizon=self.horizon), exact=True),
        }  # fmt: skip
        for name, samples in (("psrl", 1), ("opsrl", OPTIMISTIC_SAMPLES)):
            for suffix, mean in (("", 1.0), ("-mean-0", 0.0)):
                plans = f"{samples} drawn MDPs" if samples > 1 else "a drawn MDP"
                found[name + suffix] = Reference(
                    f"plans each episode in {plans}; prior Dirichlet(1), rewards N({mean:g}, 1)",
                    partial(posterior_sampling, horizon=self.horizon, prior_mean=mean, samples=samples),
                )
        return found

    def _observed(self, state: Tensor, noise: Tensor) -> Tensor:
        import torch

        return torch.nn.functional.one_hot(state, STATES).to(noise.dtype)
