"""Bernoulli bandits: one pull per episode; the probabilities of the arms are the task (Duan et al. 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from gymnasium import spaces

from metarl.families.analytic import AnalyticFamily
from metarl.families.family import known_variant
from metarl.families.splits import UniformSplits
from metarl.references.reference import Reference
from metarl_envs.references.bandits import best_arm, thompson, ucb1, uniform_arm
from metarl_envs.references.bayes_bandit import MOST_PULLS, optimal_returns
from metarl_envs.references.gittins import LONGEST_TABLE, gittins

if TYPE_CHECKING:
    from torch import Tensor


class _Variant(NamedTuple):
    arms: int
    pulls: tuple[int, ...] = (10, 100, 500)


VARIANTS = {f"duan16-{arms}": _Variant(arms) for arms in (5, 10, 50)}


class BernoulliBandit(AnalyticFamily):
    """An action selects an arm; the reward is 1 with the arm's probability, else 0. Horizon 1; the observation is 0.

    The published budgets are 10, 100 and 500 pulls, which are `episodes` here. The training range covers all possible
    probabilities, so there is no out-of-distribution split.

    Args:
        variant: A key of `VARIANTS`.
    """

    name = "bernoulli-bandit"
    variants: ClassVar[Mapping[str, str]] = {
        name: f"{v.arms} arms, probabilities uniform in [0, 1] (Duan et al. 2016, pytorch-maml-rl)"
        for name, v in VARIANTS.items()
    }
    horizon = 1
    step_noise = 1
    observation_space = spaces.Box(0.0, 1.0, (1,), np.float32)

    def __init__(self, variant: str = "duan16-5") -> None:
        self.variant = known_variant(self.name, variant, VARIANTS)
        chosen = VARIANTS[variant]
        self.action_space = spaces.Discrete(chosen.arms)
        self.task_space = spaces.Dict({"probabilities": spaces.Box(0.0, 1.0, (chosen.arms,), np.float32)})
        self.splits = UniformSplits(self.task_space)
        self.protocol = {
            "horizon": "1",
            "reward": "Bernoulli of the arm's probability",
            "probabilities": "uniform in [0, 1], independent",
            "end": "after one pull",
            "pulls": f"{', '.join(map(str, chosen.pulls))} as published; episodes here",
        }

    def initial(self, task: Mapping[str, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
        """A state and an observation of zero."""
        nothing = noise.new_zeros((*noise.shape[:-1], 1))
        return nothing, nothing

    def step(
        self, task: Mapping[str, Tensor], state: Tensor, action: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One pull, which terminates the episode."""
        probabilities = task["probabilities"].expand(*action.shape, -1)
        chosen = probabilities.gather(-1, action[..., None].long()).squeeze(-1)
        reward = (noise[..., 0] < chosen).to(noise.dtype)
        return state, state, reward, reward >= 0

    def references(self) -> Mapping[str, Reference]:
        """The best arm, the exact optimum of few pulls, the Gittins index, Thompson sampling, UCB1, random arms."""
        return {
            "oracle": Reference("pulls the best arm", best_arm, exact=True, bound=True, knows_task=True),
            "bayes-optimal": Reference(
                "dynamic programming over counts, uniform prior", optimal_returns, exact=True, bound=True,
                most_episodes=MOST_PULLS,
            ),
            "gittins": Reference(
                "finite-horizon Gittins index, uniform prior", gittins, most_episodes=LONGEST_TABLE
            ),
            "thompson": Reference("Thompson sampling, uniform prior", thompson),
            "ucb1": Reference("UCB1 with c = 0.2, one success and one failure of each arm assumed", ucb1),
            "random": Reference("uniform arms", uniform_arm, exact=True),
        }  # fmt: skip
