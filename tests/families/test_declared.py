import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from metarl.core.errors import FamilyError
from metarl.families.checks.check import check_family
from metarl.families.declared import declare_family
from metarl.families.registry import load_family
from tests.helpers.families import Corridor, pendulum


def test_declared_family_sets_attributes_and_keeps_them_over_resets():
    family = pendulum()
    env = family.make({"g": np.float32(7), "m": np.float32(1.5)})
    assert family.horizon == 200
    for _ in range(2):
        env.reset(seed=1)
        assert (env.unwrapped.g, env.unwrapped.m) == (7.0, 1.5)
    family.set_task(env, {"g": np.float32(9), "m": np.float32(0.5)})
    assert (env.unwrapped.g, env.unwrapped.m) == (9.0, 0.5)
    assert env.action_space == spaces.Box(-1, 1, (1,))


def test_task_a_then_b_then_a_again_is_a():
    family = pendulum()
    a, b = ({"g": np.float32(g), "m": np.float32(m)} for g, m in ((6, 1), (14, 2)))

    def run(env):
        _observation, _ = env.reset(seed=3)
        return [env.step(np.array([0.5], np.float32))[0] for _ in range(30)]

    env = family.make(a)
    first = run(env)
    family.set_task(env, b)
    second = run(env)
    family.set_task(env, a)
    np.testing.assert_array_equal(run(env), first)
    assert not np.allclose(first, second)


def test_declared_family_rebuilds_for_constructor_arguments_and_flattens():
    family = declare_family(Corridor, spaces.Dict({"size": spaces.Discrete(5, start=1)}), horizon=3)
    assert family.observation_space.shape == (5,)
    env = family.make({"size": np.int64(2)})
    env.reset()
    assert env.step(0)[1] == 2
    family.set_task(env, {"size": np.int64(4)})
    observation, _ = env.reset()
    assert observation.tolist() == [0, 1, 0, 0, 0]
    assert [env.step(0)[3] for _ in range(3)] == [False, False, True]
    assert env.step(0)[1] == 4


class Weighed(gymnasium.Env):
    """Stores two arguments, and derives the reward from one of them, when it is built."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)
    built = 0

    def __init__(self, mass=1.0, push=1.0):
        Weighed.built += 1
        self.mass, self.push = mass, push
        self.inverse = 1 / mass

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), self.push * self.inverse, False, False, {}


def test_an_argument_that_more_is_derived_from_is_given_to_the_constructor():
    """It is an attribute as well, but setting that alone would leave the derived quantity behind."""
    space = spaces.Dict({"mass": spaces.Box(1.0, 8.0, ()), "push": spaces.Box(0.0, 9.0, ())})
    family = declare_family(Weighed, space, horizon=3)
    assert family.rebuilt_for == {"mass"}
    env = family.make({"mass": np.float32(2), "push": np.float32(3)})
    env.reset()
    assert env.step(0)[1] == 1.5
    family.set_task(env, {"mass": np.float32(4), "push": np.float32(6)})
    env.reset()
    assert env.step(0)[1] == 1.5
    assert next(check_family(family)).found == "parameters mass (by the constructor), push; horizon 3"


def test_an_argument_that_is_only_stored_is_set_without_building_anew():
    family = declare_family(Weighed, spaces.Dict({"push": spaces.Box(0.0, 9.0, ())}), horizon=3)
    env = family.make({"push": np.float32(3)})
    before = Weighed.built
    family.set_task(env, {"push": np.float32(6)})
    env.reset()
    assert (env.step(0)[1], Weighed.built) == (6.0, before)
    assert pendulum().rebuilt_for == frozenset()


def test_declared_family_with_a_function_that_sets_the_task():
    def physics(env, task):
        env.masspole = float(task["masspole"])
        env.total_mass = env.masspole + env.masscart
        env.polemass_length = env.masspole * env.length

    family = declare_family("CartPole-v1", spaces.Dict({"masspole": spaces.Box(0.05, 0.5, ())}), set_task=physics)
    env = family.make({"masspole": np.float32(0.5)})
    assert env.unwrapped.total_mass == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: declare_family("Pendulum-v1", spaces.Dict({"gg": spaces.Box(1, 2, ())})).observation_space,
            "'gg' is neither",
        ),
        (
            lambda: declare_family("Pendulum-v77", spaces.Dict({"g": spaces.Box(1, 2, ())})).observation_space,
            "Pendulum-v77",
        ),
        (
            lambda: declare_family(Corridor, spaces.Dict({"size": spaces.Discrete(2)})).horizon,
            "horizon = None",
        ),
        (lambda: declare_family("Pendulum-v1", spaces.Box(0, 1)), "task_space"),
        (lambda: declare_family("Pendulum-v1", spaces.Dict({"g": spaces.Box(0, np.inf, ())})), "no bounds"),
        (lambda: load_family("navigation2D"), "did you mean 'navigation2d'"),
        (lambda: load_family("navigation2d", "fin17"), "did you mean 'finn17'"),
        (lambda: load_family("tests.helpers.families:nothing"), "no 'nothing'"),
        (lambda: load_family("no_such_module:family"), "no_such_module"),
        (lambda: load_family("tests.helpers.families:Corridor"), "expected a TaskFamily"),
        (lambda: load_family("tests.helpers.families:PENDULUM", "heavy"), "has no variants"),
    ],
)
def test_what_is_wrong_is_said(make, message):
    with pytest.raises(FamilyError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_an_environment_that_cannot_be_built_is_said():
    def broken(k=0):
        raise OSError("no such robot")

    family = declare_family(broken, spaces.Dict({"k": spaces.Discrete(2)}), horizon=3)
    with pytest.raises(FamilyError, match="OSError: no such robot"):
        _ = family.observation_space


def test_a_reward_of_numpy_becomes_a_number():
    """Stable-Baselines3 accepts no other; an array, which is no reward, stays what it is."""

    class Pays(gymnasium.Env):
        observation_space, action_space = spaces.Box(-1, 1, (1,)), spaces.Discrete(2)

        def __init__(self, pay=1.0, kind=np.float32):
            self.pay, self.kind = pay, kind

        def reset(self, seed=None, options=None):
            super().reset(seed=seed)
            return np.zeros(1, np.float32), {}

        def step(self, action):
            return np.zeros(1, np.float32), self.kind(self.pay), False, False, {}

    def reward(kind):
        family = declare_family(
            lambda pay: Pays(pay, kind), spaces.Dict({"pay": spaces.Box(0.0, 1.0, ())}), horizon=2, name="pays"
        )
        env = family.make({"pay": np.float32(0.5)})
        env.reset(seed=1)
        return env.step(0)[1]

    assert [type(reward(kind)) for kind in (np.float32, np.float64, float)] == [float] * 3
    assert reward(np.float32) == 0.5
    assert type(reward(lambda value: np.array([value]))) is np.ndarray


def test_an_argument_without_a_default_is_given():
    """Also where the constructor only stores it, so that it is an attribute, and where set_task sets it."""

    class Slope(gymnasium.Env):
        observation_space, action_space = spaces.Box(-1, 1, (1,)), spaces.Discrete(2)

        def __init__(self, angle):
            self.angle = angle

    space = spaces.Dict({"angle": spaces.Box(0.0, 1.0, ())})
    tilts = []

    def tilted(env, task):
        tilts.append(env.angle)
        env.angle = float(task["angle"])

    for set_task in (None, tilted):
        family = declare_family(Slope, space, horizon=3, set_task=set_task)
        env = family.make({"angle": np.float32(0.5)})
        assert env.unwrapped.angle == 0.5
        inner = env.unwrapped
        family.set_task(env, {"angle": np.float32(0.25)})
        assert env.unwrapped is inner
        assert inner.angle == 0.25
    assert tilts[-1] == 0.5
