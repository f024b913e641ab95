"""Trials: joined without gaps, read as they were acted, alone as in a batch, and cut into chunks."""

from dataclasses import replace

import pytest
import torch

from metarl.adaptation.adapter import stack
from metarl.adaptation.collect import adapt
from metarl.adaptation.memory import MemoryAdapter
from metarl.config.memory import MemoryPolicyConfig
from metarl.core.prng import Key
from metarl.families.analytic_env import AnalyticVecEnv
from metarl.rl.memory import MemoryPolicy
from metarl.rl.trials import TrialLearning
from tests.helpers.families import Ragged, lengths

SMALL = MemoryPolicyConfig(memory_size=5, hidden_sizes=(4,), observation_embedding=3)
TASKS, KEY = lengths(1, 4, 8), Key(3)


def problem_of(config=SMALL, trials=4):
    family = Ragged()
    policy = MemoryPolicy(1, family.action_space, config)
    theta = policy.initialise(Key.from_seed(1))
    theta = {name: value + 0.2 * torch.sin(torch.arange(value.numel()) * 1.3).reshape(value.shape)
             for name, value in theta.items()}  # fmt: skip
    problem = TrialLearning(
        policy, lambda tasks: AnalyticVecEnv(family, tasks, trials, dtype=torch.float64), horizon=6, episodes=trials
    )
    return problem, theta


def episodes_of(problem, theta, tasks=TASKS, key=KEY, steps=2):
    return [collected for _, collected in adapt(problem, theta, tasks, key, MemoryAdapter(), steps)]


def test_trials_have_the_steps_of_their_episodes_in_order():
    problem, theta = problem_of()
    episodes = [collected.data for collected in episodes_of(problem, theta)]
    trials = problem.joined(episodes)
    assert len({int(n) for n in trials.mask.sum(2).flatten()}) > 3  # ragged
    for task in range(3):
        for trial in range(4):
            taken = trials.mask[task, trial]
            assert not taken[int(taken.sum()) :].any()
            parts = [[part[task, trial][one.mask[task, trial]] for part in one[:4]] for one in episodes]
            for name, found in zip(("observations", "actions", "log_probs", "rewards"), zip(*parts, strict=True),
                                   strict=True):  # fmt: skip
                torch.testing.assert_close(getattr(trials, name)[task, trial][taken], torch.cat(found))
            lasts = [len(part[0]) for part in parts]
            ends = trials.ends[task, trial].nonzero().flatten().tolist()
            assert ends == [sum(lasts[: n + 1]) - 1 for n in range(3)]


@pytest.mark.parametrize("memory", ["gru", "lstm"])
def test_trials_are_read_as_they_were_acted(memory):
    """Log-probabilities of one call over ragged trials are those of acting: memory passes the ends of episodes."""
    problem, theta = problem_of(replace(SMALL, memory=memory))
    trials = problem.joined([collected.data for collected in episodes_of(problem, theta)])
    read = problem.read(theta, trials)
    torch.testing.assert_close(read.log_probs[trials.mask], trials.log_probs[trials.mask], rtol=1e-10, atol=1e-10)


def test_memory_is_carried_through_inner_ends_and_dropped_at_the_end_of_a_trial():
    problem, theta = problem_of()
    first, second, _ = episodes_of(problem, theta)
    assert float(first.memory["state"].abs().sum()) > 0
    again = episodes_of(problem, theta)[0]
    torch.testing.assert_close(again.data.log_probs, first.data.log_probs)  # a new trial starts empty
    params = stack(theta, 3)
    fresh = problem.collect(params, TASKS, Key(3).at_step(1))
    carried = problem.collect(params, TASKS, Key(3).at_step(1), first.memory)
    torch.testing.assert_close(carried.data.log_probs, second.data.log_probs)
    assert not torch.allclose(carried.data.actions[:, :, 0], fresh.data.actions[:, :, 0])


class Counter:
    """Acts by the number of ends of episodes that it remembers."""

    noise, noise_components = "normal", 1

    def check(self, params):
        pass

    def act(self, params, observations, memory=None):
        from metarl.rl.distributions import Gaussian

        memory = observations.new_zeros(*observations.shape[:2], 1) if memory is None else memory
        return Gaussian(memory, torch.full_like(memory, -20.0)), memory

    def remember(self, memory, action, reward, end):
        return memory + end.to(memory.dtype)[..., None]


def test_every_inner_end_is_remembered_once():
    """Also where an episode ends at the horizon, and where other trials of the batch go on for longer."""
    problem, _ = problem_of()
    problem.policy = Counter()
    found = episodes_of(problem, {"x": torch.zeros(1)})
    for number, collected in enumerate(found):
        actions = collected.data.actions[collected.data.mask]
        torch.testing.assert_close(actions, torch.full_like(actions, number), atol=1e-6, rtol=0)
    assert any(bool((one.data.mask.sum(2) == 6).any()) for one in found)


def test_a_trial_alone_is_the_same_as_in_a_batch():
    problem, theta = problem_of()
    together = problem.joined([collected.data for collected in episodes_of(problem, theta)])
    alone, _ = problem_of(trials=2)
    apart = alone.joined([one.data for one in episodes_of(alone, theta, lengths(4), Key(3).from_task(1))])
    steps = apart.mask.shape[2]
    for name in ("observations", "actions", "log_probs", "rewards", "ends"):
        torch.testing.assert_close(
            getattr(together, name)[1, :2, :steps], getattr(apart, name)[0], rtol=1e-12, atol=1e-12
        )
    assert together.mask[1, :2].sum() == apart.mask.sum()


@pytest.mark.parametrize("memory", ["gru", "lstm"])
@pytest.mark.parametrize("steps", [1, 4, 50])
def test_chunks_have_the_values_of_whole_trials_and_cut_gradients(memory, steps):
    problem, theta = problem_of(replace(SMALL, memory=memory))
    trials = problem.joined([collected.data for collected in episodes_of(problem, theta)])
    chunks = problem.chunks(theta, trials, steps)
    whole, cut = problem.read(theta, trials), problem.read(theta, trials, chunks)
    for one, other in zip(whole, cut, strict=True):
        torch.testing.assert_close(one[trials.mask], other[trials.mask], rtol=1e-10, atol=1e-10)
    some = torch.tensor([2, 0])
    part = problem.read(theta, trials.only(some), chunks.only(some))
    torch.testing.assert_close(part.values, cut.values[:, some])

    def reaches(at_chunks):
        """Steps on whose observation the last value of the longest trial depends."""
        row = int(trials.mask.sum(2).flatten().argmax())
        task, trial = divmod(row, 4)
        seen = trials._replace(observations=trials.observations.clone().requires_grad_())
        last = int(trials.mask[task, trial].sum()) - 1
        value = problem.read(theta, seen, at_chunks).values[task, trial, last]
        (slope,) = torch.autograd.grad(value, seen.observations)
        return last, slope[task, trial].abs().sum(-1).nonzero().flatten().tolist()

    last, seen = reaches(chunks)
    assert seen == list(range(last - last % steps, last + 1))
    assert reaches(None)[1] == list(range(last + 1))


def test_performance_and_used_steps_are_those_of_one_trial():
    problem, theta = problem_of()
    used = [state.used for state, _ in adapt(problem, theta, TASKS, Key(3), MemoryAdapter(), 2)]
    found = episodes_of(problem, theta)
    lengths_of = [one.data.mask.sum((1, 2)) / 4 for one in found]
    assert used[0] == 0
    torch.testing.assert_close(used[2], lengths_of[0] + lengths_of[1])
    torch.testing.assert_close(found[1].performance, found[1].data.rewards.sum(2).mean(1))
