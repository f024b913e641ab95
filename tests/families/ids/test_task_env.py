"""Environments by id: the task is given or drawn, sticky and reported, and episodes are the family's."""

import importlib.util

import gymnasium
import numpy as np
import pytest

import metarl
from metarl.core.errors import FamilyError
from metarl.families.ids import family_id
from metarl.families.ids.installed import registered
from metarl.families.tasks import task_at, task_to_json
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


@pytest.mark.parametrize("name", [name for name, entry in registered().items() if "metarl_envs" in entry.module])
def test_every_family_steps_as_by_its_own_make(name):
    needs(name)
    family = metarl.load_family(name)
    task = task_at(family.sample_tasks(1, "meta-train", np.random.default_rng(3)), 0)
    ours = gymnasium.make(
        family_id(registered()[name].attr), disable_env_checker=True, **task_to_json(family.task_space, task)
    )
    theirs = family.make(task)
    for left, right in zip(episode(ours, 5, 10), episode(theirs, 5, 10), strict=True):
        np.testing.assert_array_equal(left, right)
    for env in (ours, theirs):
        env.close()


def test_an_episode_ends_at_the_horizon():
    for env_id, horizon in (("metarl/Pendulum-v0", 200), ("metarl/CheetahDirection-v0", 200)):
        needs({"metarl/CheetahDirection-v0": "cheetah-dir"}.get(env_id, "pendulum"))
        env = gymnasium.make(env_id)
        env.reset(seed=1)
        ends = [env.step(env.action_space.sample())[3] for _ in range(horizon)]
        assert ends == [False] * (horizon - 1) + [True]


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
    ({"gaol": [0, 0]}, r"family 'navigation2d': unknown argument 'gaol' \(valid: goal, variant\); did you mean 'goal'"),
    ({"varient": "wide"}, r"unknown argument 'varient' \(valid: goal, variant\); did you mean 'variant'"),
    ({"goal": [9, 0]}, r"family 'navigation2d', task: goal = \[9, 0\] is outside"),
    ({"goal": 0.3}, r"family 'navigation2d', task: \{\"goal\": 0.3\} is not in"),
    ({"variant": "finn18"}, r"unknown variant 'finn18'.*'finn17'"),
    ({"variant": 3}, "^variant 3; expected the name of a variant"),
])  # fmt: skip
def test_wrong_arguments_are_named(arguments, message):
    for made in (gymnasium.make, gymnasium.make_vec):
        with pytest.raises(FamilyError, match=message) as raised:
            made("metarl/Navigation2D-v0", **arguments)
        assert "\n" not in str(raised.value)


def test_a_task_is_given_whole():
    with pytest.raises(FamilyError, match="family 'cartpole', task: entry 'force_mag' is missing; expected a value in"):
        gymnasium.make("metarl/CartPole-v0", length=0.5)
    with pytest.raises(FamilyError, match=r"^family 'tabular-mdp' has no variants; got variant wide$"):
        gymnasium.make("metarl/TabularMDP-v0", variant="wide")


def test_a_missing_package_is_named():
    """Where Meta-World is not installed; nothing else is wrong with its ids."""
    if importlib.util.find_spec("metaworld"):
        pytest.skip("metaworld is installed")
    with pytest.raises(FamilyError, match=r"Meta-World: .*pip install 'metarl-toolkit\[metaworld\]' installs it$"):
        gymnasium.make("metarl/ML10-v0")
