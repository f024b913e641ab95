"""Environments by id: the task is given or drawn, sticky and reported, and episodes are the family's."""

import gymnasium
import numpy as np
import pytest

import metarl
from metarl.core.errors import FamilyError
from tests.helpers.families import needs


def episode(env, seed, steps):
    """Observations and rewards of an episode whose actions the seed determines."""
    env.action_space.seed(seed)
    found = [env.reset(seed=seed)[0]]
    for _ in range(steps):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        found += [observation, reward]
        if terminated or truncated:
            break
    return found


@pytest.mark.parametrize(("env_id", "name", "variant", "task"), [
    ("metarl/Navigation2D-v0", "navigation2d", "wide", {"goal": [0.3, -0.2]}),
    ("metarl/CheetahVelocity-v0", "cheetah-vel", "promp", {"velocity": 1.2}),
    ("metarl/BernoulliBandit-v0", "bernoulli-bandit", None, {"probabilities": [0.1, 0.2, 0.3, 0.4, 0.5]}),
])  # fmt: skip
def test_episodes_are_those_of_the_family(env_id, name, variant, task):
    needs(name)
    family = metarl.load_family(name, variant)
    value = {key: np.array(entry, family.task_space[key].dtype) for key, entry in task.items()}
    ours = gymnasium.make(env_id, **({"variant": variant} if variant else {}), **task)
    for left, right in zip(episode(ours, 5, 30), episode(family.make(value), 5, 30), strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_task_is_drawn_once_from_the_training_split():
    env, other = (gymnasium.make("metarl/Navigation2D-v0", variant="wide") for _ in range(2))
    task = env.reset(seed=7)[1]["task"]
    assert env.unwrapped.observation_space.contains(env.reset(seed=8)[0])
    for info in (env.reset(seed=8)[1], env.reset()[1], env.step(env.action_space.sample())[-1]):
        np.testing.assert_array_equal(info["task"]["goal"], task["goal"])
    family = metarl.load_family("navigation2d", "wide")
    expected = family.sample_tasks(1, "meta-train", np.random.default_rng(7))["goal"][0]
    np.testing.assert_array_equal(task["goal"], expected)
    np.testing.assert_array_equal(other.reset(seed=7)[1]["task"]["goal"], expected)
    assert (gymnasium.make("metarl/Navigation2D-v0", variant="wide").reset(seed=9)[1]["task"]["goal"] != expected).any()


def test_what_is_handed_out_is_a_copy():
    env = gymnasium.make("metarl/Navigation2D-v0", goal=np.float32([0.3, -0.2]))
    env.reset(seed=1)[1]["task"]["goal"][:] = 0
    assert env.reset(seed=1)[1]["task"]["goal"][0] == np.float32(0.3)


def test_it_renders():
    env = gymnasium.make("metarl/Navigation2D-v0", goal=[0.3, -0.2], render_mode="rgb_array")
    env.reset(seed=1)
    assert env.render().shape[-1] == 3


@pytest.mark.parametrize(("arguments", "message"), [
    ({"gaol": [0, 0]}, r"family 'navigation2d', task: unknown entry 'gaol'.*did you mean 'goal'"),
    ({"goal": [9, 0]}, r"family 'navigation2d', task: goal = \[9, 0\] is outside"),
    ({"variant": "finn18"}, r"unknown variant 'finn18'.*'finn17'"),
])  # fmt: skip
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(FamilyError, match=message):
        gymnasium.make("metarl/Navigation2D-v0", **arguments)
