"""Adapters that are no gradient steps: memory that grows from step to step, and memory that grows within episodes."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from gymnasium import spaces

from metarl.adaptation.adapter import AdaptState, stack
from metarl.adaptation.collect import adapt
from metarl.adaptation.curve import adaptation_curve
from metarl.adaptation.problem import Collected
from metarl.core.errors import ConfigError
from metarl.core.prng import Key, noise_seeds, normal
from metarl.families.analytic_env import AnalyticVecEnv
from metarl.families.tasks import number_of_tasks
from metarl.rl.distributions import Categorical
from metarl.rl.problem import ReinforcementLearning
from tests.helpers.families import Countdown, lengths

PULLS = 10


class Kept:
    """What adapters have in common that learn nothing and hold nothing."""

    def add_state(self, theta):
        return theta

    def carried(self, theta, state):
        return {}

    def close(self, state):
        """Nothing is held."""

    def facts(self):
        return {}


class Bandit:
    """Pulls the arm that is on top of the memory; rewards scatter around the arms' worth by 0.3."""

    def collect(self, params, tasks, key, memory=None):
        worth = torch.as_tensor(tasks["worth"])
        arm = memory.choice()
        noise = normal(noise_seeds(key.env_seeds(len(worth), 1), 1, PULLS))[0, :, 0]
        rewards = worth.gather(1, arm[:, None]) + 0.3 * noise
        pulled = torch.full((len(worth),), PULLS)
        return Collected((arm, rewards.mean(1)), rewards.mean(1), pulled, rewards.mean(1))

    def inner_loss(self, params, data):
        raise AssertionError("no gradient is asked for")

    outer_loss = inner_loss


@dataclass(frozen=True)
class Means:
    """The mean reward of each arm so far, and how often it was pulled."""

    mean: torch.Tensor
    count: torch.Tensor

    def choice(self):
        """An arm that was never pulled, or the best."""
        return torch.where(self.count == 0, torch.inf, self.mean).argmax(1)


class RunningMean(Kept):
    """Adapts by a running mean of the rewards of every arm."""

    def __init__(self, arms):
        self.arms = arms

    def initial(self, theta, tasks, key):
        zeros = torch.zeros(number_of_tasks(tasks), self.arms, dtype=torch.float64)
        return AdaptState({}, memory=Means(zeros, zeros))

    def policy(self, state):
        return state.params, state.memory

    def observe(self, problem, state, collected):
        (arm, reward), memory = collected.data, state.memory
        pulled = torch.nn.functional.one_hot(arm, self.arms)
        count = memory.count + pulled
        mean = memory.mean + pulled * (reward[:, None] - memory.mean) / count.clamp(min=1)
        return AdaptState({}, state.step + 1, Means(mean, count), state.used + collected.transitions)


def worths(tasks, arms=5):
    """Each task has another order of the same arms, whose best is worth 0.9."""
    rng = np.random.default_rng(0)
    return {"worth": np.stack([rng.permutation([0.1, 0.2, 0.3, 0.5, 0.9][:arms]) for _ in range(tasks)])}


def test_a_running_mean_finds_the_best_arm_of_a_bandit():
    """Each arm is tried once; from then on the best one is pulled, whose reward is 0.9 but for the noise."""
    curve = adaptation_curve(Bandit(), {}, worths(60), Key(1), RunningMean(5), 30)
    assert curve.transitions == [PULLS * step for step in range(31)]
    means = curve.per_task.mean(0)
    assert float(means[:5].mean()) == pytest.approx(0.4, abs=0.02)
    assert float(means[30]) == pytest.approx(0.9, abs=0.05)
    assert float(curve.per_task[:, 20:].mean()) == pytest.approx(0.9, abs=0.01)


def test_the_memory_is_the_mean_of_the_rewards_that_were_seen():
    tasks, seen = worths(3), [{} for _ in range(3)]
    for state, collected in adapt(Bandit(), {}, tasks, Key(1), RunningMean(5), 12):
        for task, rewards in enumerate(seen):
            for arm, values in rewards.items():
                assert float(state.memory.mean[task, arm]) == pytest.approx(np.mean(values))
            assert state.memory.count[task].sum() == state.step
        arms, rewards = collected.data
        for task in range(3):
            seen[task].setdefault(int(arms[task]), []).append(float(rewards[task]))
    assert state.used.tolist() == [PULLS * 12] * 3
    assert all(len(rewards) == 5 for rewards in seen)


def test_a_task_adapts_among_others_as_it_does_alone():
    tasks = worths(4)
    together = adaptation_curve(Bandit(), {}, tasks, Key(1), RunningMean(5), 6).per_task
    alone = adaptation_curve(Bandit(), {}, {"worth": tasks["worth"][:1]}, Key(1), RunningMean(5), 6).per_task
    assert torch.equal(together[:1], alone)


class Ticking(Countdown):
    """Ends after `length` steps; takes any number up to 49 as an action."""

    action_space = spaces.Discrete(50)


class Counter:
    """A policy that remembers how many steps it has acted in each sub-environment, and acts by that number."""

    noise, noise_components = "uniform", 1

    def check(self, params):
        """Nothing can diverge."""

    def act(self, params, observations, memory=None):
        if memory is None:
            steps = torch.zeros(observations.shape[:-1], dtype=torch.int64)
            memory = {"steps": steps, "sums": (observations[..., 0].clone() * 0,)}
        logits = 1e4 * torch.nn.functional.one_hot(memory["steps"], 50).to(observations.dtype)
        after = {"steps": memory["steps"] + 1, "sums": (memory["sums"][0] + observations[..., 0],)}
        return Categorical(logits), after


class Remembering(Kept):
    """Hands the policy's memory from one step of adaptation to the next, and nothing else."""

    def initial(self, theta, tasks, key):
        return AdaptState(stack(theta, number_of_tasks(tasks)), memory=None)

    def policy(self, state):
        return state.params, state.memory

    def observe(self, problem, state, collected):
        return AdaptState(state.params, state.step + 1, collected.memory, state.used + collected.transitions)


class Watched(ReinforcementLearning):
    """Keeps the episodes that it collects."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.kept = []

    def episodes_of(self, *arguments):
        found = super().episodes_of(*arguments)
        self.kept.append(found[0])
        return found


def ticking(*ends, **options):
    """The problem of tasks whose episodes end after so many steps, two at a time, with the policy that counts."""
    family, tasks = Ticking(), lengths(*ends)
    envs = AnalyticVecEnv(family, tasks, 2)
    return Watched(Counter(), lambda _: envs, horizon=6, episodes=2, **options), tasks


def test_a_policys_memory_grows_within_episodes_and_goes_on_after_their_ends():
    """Tasks end after 1, 3 and 6 steps (the horizon). The third step of the second task in the second round is 5."""
    problem, tasks = ticking(1, 3, 9)
    pairs = list(adapt(problem, {"x": torch.zeros(1)}, tasks, Key(2), Remembering(), 2))
    memories = [collected.memory for _, collected in pairs]
    assert all(collected.transitions.tolist() == [2, 6, 12] for _, collected in pairs)
    assert pairs[-1][0].used.tolist() == [4, 12, 24]
    mask = torch.tensor([[1, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]], dtype=torch.bool)
    for number, (episodes, memory) in enumerate(zip(problem.kept, memories, strict=True)):
        assert torch.equal(episodes.mask, mask[:, None].expand(3, 2, 6))
        starts = torch.tensor([1, 3, 6]) * number
        expected = (starts[:, None] + torch.arange(6)) * mask
        assert torch.equal(episodes.actions, expected[:, None].expand(3, 2, 6))
        assert memory["steps"].tolist() == [[n, n] for n in (1 + number, 3 + 3 * number, 6 + 6 * number)]
        # What it saw: the times 0, 0 + 1 + 2 and 0 + ... + 5 of each round.
        assert memory["sums"][0].tolist() == [[(number + 1) * value] * 2 for value in (0, 3, 15)]


def test_a_memory_that_is_given_is_the_start_of_the_episodes():
    problem, tasks = ticking(2, 9)
    begun = {"steps": torch.tensor([[10, 20], [30, 40]]), "sums": (torch.full((2, 2), 0.5),)}
    collected = problem.collect({"x": torch.zeros(2, 1)}, tasks, Key(2), begun)
    assert problem.kept[0].actions[:, :, 0].tolist() == [[10, 20], [30, 40]]
    assert collected.memory["steps"].tolist() == [[12, 22], [36, 46]]
    assert collected.memory["sums"][0].tolist() == [[1.5, 1.5], [15.5, 15.5]]
    assert begun["steps"].tolist() == [[10, 20], [30, 40]]


def test_a_curve_begins_every_task_without_memory():
    problem, tasks = ticking(1, 3, 9)
    for _ in range(2):
        curve = adaptation_curve(problem, {"x": torch.zeros(1)}, tasks, Key(2), Remembering(), 1)
        assert curve.per_task.tolist() == [[1, 1], [6, 6], [21, 21]]
        assert curve.transitions == [0, 20 / 3]
    assert [episodes.actions[1, 0, 0].item() for episodes in problem.kept] == [0, 3, 0, 3]


def test_a_budget_in_transitions_needs_a_policy_without_memory():
    problem, tasks = ticking(1, 3, transitions=7)
    with pytest.raises(ConfigError, match="samples_per_step: expected none"):
        problem.collect({"x": torch.zeros(2, 1)}, tasks, Key(2))
