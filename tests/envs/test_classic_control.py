"""CartPole and Pendulum against gymnasium's own environments, step by step."""

import gymnasium
import numpy as np
import pytest
import torch

from metarl_envs.classic_control import CartPole, Pendulum


def float64(task):
    return {name: torch.tensor(float(value), dtype=torch.float64) for name, value in task.items()}


def tasks(family):
    for split in family.splits.names:
        drawn = family.sample_tasks(3, split, np.random.default_rng(1))
        yield from ({name: values[i] for name, values in drawn.items()} for i in range(3))


def test_cartpole_is_gymnasiums():
    family, rng, ended = CartPole(), np.random.default_rng(0), 0
    for task in tasks(family):
        env = gymnasium.make("CartPole-v1").unwrapped
        env.masspole, env.length = float(task["masspole"]), float(task["length"])
        env.force_mag = float(task["force_mag"])
        env.total_mass = env.masspole + env.masscart
        env.polemass_length = env.masspole * env.length
        env.reset(seed=0)
        state, _ = family.initial(float64(task), torch.tensor(rng.uniform(size=4)))
        assert state.abs().max() <= 0.05
        env.state = tuple(state.tolist())
        for _ in range(200):
            action = rng.integers(2)
            _, reward, terminated, *_ = env.step(action)
            state, seen, ours, over = family.step(float64(task), state, torch.tensor(action), torch.zeros(0))
            np.testing.assert_allclose(state, env.state, rtol=0, atol=1e-12)
            assert (seen == state).all()
            assert (float(ours), bool(over)) == (reward, terminated)
            if terminated:
                ended += 1
                break
    assert ended == 12


def test_pendulum_is_gymnasiums():
    family, rng = Pendulum(), np.random.default_rng(0)
    for task in tasks(family):
        env = gymnasium.make("Pendulum-v1").unwrapped
        env.g, env.m, env.l = (float(task[name]) for name in "gml")
        env.reset(seed=0)
        state, _ = family.initial(float64(task), torch.tensor(rng.uniform(size=2)))
        env.state = state.numpy().copy()
        for _ in range(200):
            action = rng.uniform(-1, 1, 1)
            observation, reward, *_ = env.step(2 * action)
            state, seen, ours, over = family.step(float64(task), state, torch.tensor(action), torch.zeros(0))
            np.testing.assert_allclose(state, env.state, rtol=0, atol=1e-9)
            np.testing.assert_allclose(seen, observation, atol=1e-6)  # gymnasium's observation is float32
            assert float(ours) == pytest.approx(reward, abs=1e-9)
            assert not bool(over)


@pytest.mark.parametrize(
    ("family", "train", "everywhere"),
    [
        (CartPole(), {"masspole": (0.05, 0.5), "length": (0.25, 1), "force_mag": (5, 15)},
         {"masspole": (0.02, 1), "length": (0.1, 2), "force_mag": (2.5, 20)}),
        (Pendulum(), {"g": (8, 12), "m": (0.7, 1.4), "l": (0.7, 1.4)},
         {"g": (5, 15), "m": (0.5, 2), "l": (0.5, 2)}),
    ],
    ids=["cartpole", "pendulum"],
)  # fmt: skip
def test_ranges_and_horizon(family, train, everywhere):
    assert family.horizon == 200
    drawn = family.sample_tasks(1000, "meta-train", np.random.default_rng(0))
    far = family.sample_tasks(1000, "out-of-distribution", np.random.default_rng(0))
    outside = np.zeros(1000, bool)
    for name, (low, high) in train.items():
        assert low <= drawn[name].min() < low + 0.02 * (high - low)
        assert high >= drawn[name].max() > high - 0.02 * (high - low)
        assert (float(family.task_space[name].low), float(family.task_space[name].high)) == pytest.approx(
            everywhere[name]
        )
        outside |= (far[name] < np.float32(low)) | (far[name] > np.float32(high))
    assert outside.all()


@pytest.mark.parametrize(
    ("family", "low", "high"), [(CartPole(), [-0.05] * 4, [0.05] * 4), (Pendulum(), [-np.pi, -1], [np.pi, 1])]
)
def test_starting_states_are_gymnasiums(family, low, high):
    noise = torch.rand(5000, family.initial_noise, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    states, _ = family.initial({}, noise)
    np.testing.assert_allclose(states.numpy().min(0), low, rtol=0.01)
    np.testing.assert_allclose(states.numpy().max(0), high, rtol=0.01)
