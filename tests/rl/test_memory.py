"""The policy with memory: what it reads, what it carries, and that one call over time is the step-by-step policy."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from metarl.adaptation.adapter import stack
from metarl.config.memory import MemoryPolicyConfig
from metarl.core.errors import Divergence, FamilyError
from metarl.core.prng import Key
from metarl.rl.memory import History, MemoryPolicy

TWO = spaces.Box(-1, 1, (2,), np.float32)
SMALL = MemoryPolicyConfig(
    memory_size=5, hidden_sizes=(4,), observation_embedding=3, action_embedding=2, reward_embedding=2
)
VARIANTS = {
    "gru": SMALL,
    "lstm": replace(SMALL, memory="lstm"),
    "raw inputs": replace(SMALL, observation_embedding=0, action_embedding=0, reward_embedding=0),
    "hypernetwork": replace(SMALL, hypernetwork=True, latent_size=3),
    "normalised": replace(SMALL, normalise_observations=True),
}


def policy_of(config, action_space=TWO, seed=1):
    policy = MemoryPolicy(3, action_space, config)
    theta = policy.initialise(Key.from_seed(seed))
    generator = torch.Generator().manual_seed(seed)
    for name, value in theta.items():  # no entry at a special value, such as zero
        if not name.startswith("observation_statistics"):
            theta[name] = value + 0.3 * torch.randn(value.shape, generator=generator, dtype=torch.float64)
    return policy, theta


def history(actions, rows=4, steps=6):
    generator = torch.Generator().manual_seed(7)
    observations = torch.randn(rows, steps, 3, generator=generator, dtype=torch.float64)
    rewards = torch.randn(rows, steps, generator=generator, dtype=torch.float64)
    if isinstance(actions, spaces.Discrete):
        taken = torch.randint(int(actions.n), (rows, steps), generator=generator)
    else:
        taken = torch.randn(rows, steps, 2, generator=generator, dtype=torch.float64)
    ends = torch.rand(rows, steps, generator=generator) < 0.3
    return observations, taken, rewards, ends


def acted(policy, theta, observations, taken, rewards, ends):
    """Distributions of all steps, by acting step by step as one task with a trial for each row."""
    memory, parts = None, []
    for t in range(observations.shape[1]):
        distribution, memory = policy.act(stack(theta, 1), observations[None, :, t], memory)
        memory = policy.remember(memory, taken[None, :, t], rewards[None, :, t], ends[None, :, t])
        parts.append(distribution)
    return type(parts[0])._make(torch.stack(field, 2)[0] for field in zip(*parts, strict=True)), memory


def before(values):
    return torch.cat([torch.zeros_like(values[:, :1]), values[:, :-1]], 1)


@pytest.mark.parametrize("action_space", [TWO, spaces.Discrete(3)], ids=["continuous", "discrete"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_one_call_over_time_is_acting_step_by_step(variant, action_space):
    policy, theta = policy_of(VARIANTS[variant], action_space)
    observations, taken, rewards, ends = history(action_space)
    step_by_step, memory = acted(policy, theta, observations, taken, rewards, ends)
    read = [before(policy.encoded(taken, torch.float64)), before(rewards), before(ends.double())]
    start = policy.empty(observations[None, :, 0])["state"][0]
    judged = policy.judge(theta, History(observations, *read), start)
    for one, other in zip(judged.distribution, step_by_step, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(judged.memory, memory["state"][0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_against_finite_differences(variant):
    """Of a loss of the distribution's parameters and the values, with respect to every parameter."""
    policy, theta = policy_of(VARIANTS[variant])
    observations, taken, rewards, ends = history(TWO, rows=2, steps=4)
    read = [before(taken), before(rewards), before(ends.double())]
    start = policy.empty(observations[None, :, 0])["state"][0] + 0.1
    generator = torch.Generator().manual_seed(3)
    weights = torch.randn(2, 4, 5, generator=generator, dtype=torch.float64)

    def loss(at):
        judged = policy.judge(at, History(observations, *read), start)
        seen = torch.cat([*judged.distribution, judged.values[..., None]], -1)
        return (torch.sin(seen) * weights).sum()

    learned = [name for name in theta if not name.startswith("observation_statistics")]
    leaves = theta | {name: theta[name].clone().requires_grad_() for name in learned}
    slopes = torch.autograd.grad(loss(leaves), [leaves[name] for name in learned])
    direction = [torch.randn(slope.shape, generator=generator, dtype=torch.float64) for slope in slopes]
    for name, slope, along in zip(learned, slopes, direction, strict=True):
        up, down = (loss(theta | {name: theta[name] + e * along}) for e in (1e-6, -1e-6))
        assert float((slope * along).sum()) == pytest.approx(float((up - down) / 2e-6), rel=1e-5, abs=1e-7), name


@pytest.mark.parametrize("part", ["observation", "action", "reward", "end"])
def test_the_memory_reads_every_part(part):
    policy, theta = policy_of(SMALL)
    observations, taken, rewards, ends = history(TWO)
    changed = {"observation": observations.clone(), "action": taken.clone(), "reward": rewards.clone(), "end": ends}
    changed["end"] = ends.clone()
    changed[part][:, 0] = 1 - changed[part][:, 0].double() if part == "end" else changed[part][:, 0] + 1
    first, _ = acted(policy, theta, observations, taken, rewards, ends)
    second, _ = acted(policy, theta, *changed.values())
    assert not torch.allclose(first.mean[:, -1], second.mean[:, -1], atol=1e-6)


def test_a_hypernetwork_starts_as_a_policy_without_memory():
    """Its matrix is zero, and its bias has the weights of an ordinary perceptron."""
    policy = MemoryPolicy(3, TWO, replace(SMALL, hypernetwork=True))
    theta = policy.initialise(Key.from_seed(1))
    observations, taken, rewards, ends = history(TWO)
    first, _ = acted(policy, theta, observations, taken, rewards, ends)
    second, _ = acted(policy, theta, observations, taken, rewards + 5, ~ends)
    torch.testing.assert_close(first.mean, second.mean)
    assert float(first.mean.std()) > 0


def test_the_recurrent_matrix_is_orthogonal():
    theta = MemoryPolicy(3, TWO, SMALL).initialise(Key.from_seed(1))
    for square in theta["recurrent.memory"].split(5):
        torch.testing.assert_close(square @ square.T, torch.eye(5, dtype=torch.float64))


def test_bounds_and_spaces():
    policy, theta = policy_of(SMALL)
    params = stack(theta | {"log_std": torch.full((2,), 5.0)}, 2)
    with pytest.raises(Divergence, match="log_std is 5 at task 0, above its bound of 4"):
        policy.check(params)
    with pytest.raises(FamilyError, match="MultiBinary"):
        MemoryPolicy(3, spaces.MultiBinary(2), SMALL)
