"""One step of every published variant, by the arithmetic of the paper or code that it names.

The families on MuJoCo are in test_published_mujoco.py, Meta-World's in test_meta_world.py.
"""

import math
from contextlib import suppress

import numpy as np
import pytest
import torch

from metarl.core.errors import FamilyError
from metarl.families.analytic import AnalyticFamily
from metarl.families.ids.installed import registered
from metarl.families.registry import load_family

OWN = {"point-direction", "coupled-direction", "rover-direction", "t-maze", "cartpole", "pendulum"}
"""Families that nobody published: tested against gymnasium or their own definition."""

NAVIGATION = [
    # cbfinn/maml_rl, rllab/envs/normalized_env.py: action a becomes lb + (a + 1) (ub - lb) / 2, then clipped. With
    # bounds of 0.1, 0.5 becomes -0.1 + 1.5 * 0.1 = 0.05, and -3 becomes -0.1 - 2 * 0.1 = -0.3, clipped to -0.1.
    ("finn17", (0.5, -3.0), (0.05, -0.1)),
    ("finn17", (1.0, 0.0), (0.1, 0.0)),
    # tristandeleu/pytorch-maml-rl, maml_rl/envs/navigation.py: clipped to +-0.1, never scaled.
    ("raw-action", (0.05, -3.0), (0.05, -0.1)),
    ("raw-action", (1.0, 0.0), (0.1, 0.0)),
    # jonasrothfuss/ProMP, point_envs/point_env_2d_v2.py: the same clip.
    ("wide", (0.05, -3.0), (0.05, -0.1)),
]
CORNER = [
    # jonasrothfuss/ProMP, point_envs/point_env_2d_corner.py: np.clip(action, -0.2, 0.2).
    ("raw-action", (0.5, 0.05), (0.2, 0.05)),
    ("raw-action", (1.0, -1.0), (0.2, -0.2)),
    # The same in envs/normalized_env.py, as run_scripts/pro-mp_run_point_mass.py trains: action a becomes
    # lb + (a + 10) (ub - lb) / 20, then clipped. With bounds of 0.2, 30 becomes -0.2 + 40 * 0.02 = 0.6, clipped to 0.2;
    # 2.5 becomes -0.2 + 12.5 * 0.02 = 0.05; one standard deviation, 1, becomes -0.2 + 11 * 0.02 = 0.02.
    ("promp", (30.0, 2.5), (0.2, 0.05)),
    ("promp", (1.0, -1.0), (0.02, -0.02)),
]


def after(family, task, state, action, noise=()):
    """State, observation, reward and end of one step in float64; lanes clip actions to their space before it."""
    space = family.action_space
    clipped = action if hasattr(space, "n") else np.clip(action, space.low.astype(float), space.high.astype(float))
    values = {name: torch.as_tensor(np.asarray(value)) for name, value in task.items()}
    drawn = torch.tensor(noise, dtype=torch.float64)
    return family.step(values, torch.as_tensor(state), torch.as_tensor(clipped), drawn)


def test_every_analytic_variant_is_here():
    found = {}
    for name in set(registered()) - OWN:
        with suppress(FamilyError):  # an extra is not installed
            family = load_family(name)
            if isinstance(family, AnalyticFamily):
                found[name] = set(family.variants)
    assert found == {
        "navigation2d": {variant for variant, *_ in NAVIGATION},
        "point-corner": {variant for variant, *_ in CORNER},
        "point-robot": {"pearl"},
        "sparse-point-robot": {"pearl", "varibad"},
        "grid-navigation": {"varibad"},
        "bernoulli-bandit": {"duan16-5", "duan16-10", "duan16-50"},
        "tabular-mdp": set(),
    }


@pytest.mark.parametrize(("variant", "action", "moved"), NAVIGATION)
def test_navigation(variant, action, moved):
    """Reward -|position - goal| after the step; finn17 and raw-action end near the goal, wide near the origin."""
    family = load_family("navigation2d", variant)
    state = np.array([0.2, 0.3])
    place = state + moved
    # 1.2 and 0.5 from the goal: -sqrt(1.44 + 0.25) = -1.3.
    goal = place - [1.2, -0.5]
    position, seen, reward, ended = after(family, {"goal": goal}, state, np.array(action))
    np.testing.assert_allclose(position, place, atol=1e-7)  # bounds are float32
    np.testing.assert_array_equal(seen, position)
    assert float(reward) == pytest.approx(-1.3, abs=1e-6)
    assert not ended
    assert family.horizon == 100
    near = np.array([0.009, -0.009])
    near_goal, origin = place + near, near - moved
    assert bool(after(family, {"goal": near_goal}, state, np.array(action))[3]) == (variant != "wide")
    assert bool(after(family, {"goal": goal}, origin, np.array(action))[3]) == (variant == "wide")
    for one_away in ([0.011, 0.0], [0.0, -0.011]):  # both coordinates must be within 0.01
        assert not after(family, {"goal": place + one_away}, state, np.array(action))[3]


@pytest.mark.parametrize(("variant", "action", "moved"), CORNER)
def test_point_corner(variant, action, moved):
    """Progress to the goal where it is the nearest corner, 0 within L1 0.5 of the origin, never done."""
    family = load_family("point-corner", variant)
    state = np.array([0.3, 0.3])
    position, seen, reward, ended = after(family, {"corner": 3}, state, np.array(action))
    np.testing.assert_allclose(position, state + moved, atol=1e-7)
    np.testing.assert_array_equal(seen, position)
    # From (0.3, 0.3) the corner (2, 2) is sqrt(1.7^2 + 1.7^2) = 2.404163 away; the next place is (0.5, 0.35),
    # (0.5, 0.1) or (0.32, 0.28), all more than 0.5 from the origin in L1 and nearest to (2, 2).
    left = {0.05: math.sqrt(1.5**2 + 1.65**2), -0.2: math.sqrt(1.5**2 + 1.9**2), -0.02: math.sqrt(1.68**2 + 1.72**2)}
    assert float(reward) == pytest.approx(2.404163 - left[moved[1]], abs=1e-6)
    assert float(after(family, {"corner": 2}, state, np.array(action))[2]) == 0
    # From (0.1, 0.1) the next places are (0.3, 0.15), (0.3, -0.1) and (0.12, 0.08): within 0.5, silent.
    assert float(after(family, {"corner": 3}, np.array([0.1, 0.1]), np.array(action))[2]) == 0
    assert not ended
    assert family.horizon == 100


def test_most_first_episodes_of_the_published_corner_stay_silent():
    """100 steps of deviation 0.02 lead out of |x|_1 < 0.5 in four episodes of ten, clipped unit noise in all."""
    shares = {}
    for variant in ("raw-action", "promp"):
        family = load_family("point-corner", variant)
        vector = family.make_vec({"corner": np.zeros(1, np.int64)}, 1000)
        places, _ = vector.reset(seed=0)
        left, rng = np.zeros(1000, bool), np.random.default_rng(0)
        for _ in range(100):
            places, *_ = vector.step(rng.normal(size=(1000, 2)).astype(np.float32))
            left |= np.abs(places).sum(1) > 0.5
        shares[variant] = left.mean()
    assert shares["raw-action"] > 0.99
    assert 0.3 < shares["promp"] < 0.5


@pytest.mark.parametrize(
    ("name", "variant", "horizon"),
    [("point-robot", "pearl", 20), ("sparse-point-robot", "pearl", 20), ("sparse-point-robot", "varibad", 100)],
)
def test_point_robots(name, variant, horizon):
    """katerakelly/oyster, rlkit/envs/point_robot.py and wrappers.py; lmzintgraf/varibad, navigation/point_robot.py.

    [-1, 1] is mapped to steps of +-0.1. Dense reward -distance; sparse 1 - distance within 0.2 of the goal, else 0.
    """
    family = load_family(name, variant)
    assert family.horizon == horizon
    # (0, 0.95) moves by (0.05, -0.05), for actions of 0.5 and -0.5, to (0.05, 0.9), which is sqrt(0.1^2 + 0.1^2) from
    # the first goal and sqrt(0.3^2 + 0.4^2) from the second.
    for goal, dense, sparse in (((0.15, 1.0), -0.141421, 0.858579), ((0.35, 0.5), -0.5, 0.0)):
        state, action = np.array([0.0, 0.95]), np.array([0.5, -0.5])
        position, seen, reward, ended = after(family, {"goal": np.array(goal)}, state, action)
        np.testing.assert_allclose(position, [0.05, 0.9], atol=1e-12)
        np.testing.assert_array_equal(seen, position)
        assert float(reward) == pytest.approx(dense if name == "point-robot" else sparse, abs=1e-6)
        assert not ended
    moved = after(family, {"goal": np.zeros(2)}, np.zeros(2), np.array([7.0, -3.0]))[0]
    np.testing.assert_allclose(moved, [0.1, -0.1], atol=1e-12)


def test_grid_navigation():
    """lmzintgraf/varibad, environments/navigation/gridworld.py: 1 up, 2 right, 3 down, 4 left; +1 or -0.1; 15 steps."""
    family = load_family("grid-navigation", "varibad")
    assert family.horizon == 15
    for action, cell in ((0, [2, 3]), (1, [2, 4]), (2, [3, 3]), (3, [2, 2]), (4, [1, 3])):
        for goal, expected in ((cell, 1.0), ([4, 0], -0.1)):
            found = after(family, {"goal": np.array(goal)}, np.array([2.0, 3.0]), action)
            assert found[1].tolist() == cell
            assert float(found[2]) == pytest.approx(expected)
            assert not found[3]
    assert after(family, {"goal": np.array([4, 4])}, np.array([2.0, 4.0]), 1)[1].tolist() == [2, 4]


@pytest.mark.parametrize("arms", [5, 10, 50])
def test_bandits(arms):
    """Duan et al. 2016, section 3.2.1; pytorch-maml-rl, maml_rl/envs/bandit.py: one pull, reward binomial(1, p)."""
    family = load_family("bernoulli-bandit", f"duan16-{arms}")
    assert (family.horizon, family.action_space.n) == (1, arms)
    p = np.full(arms, 0.9)
    p[3] = 0.2
    for noise, reward in ((0.19, 1.0), (0.21, 0.0)):
        _, seen, found, ended = after(family, {"probabilities": p}, np.zeros(1), 3, (noise,))
        assert (seen.tolist(), float(found), bool(ended)) == ([0.0], reward, True)


def test_tabular_mdp():
    """Duan et al. 2016, section 3.2.2; pytorch-maml-rl, maml_rl/envs/mdp.py: one-hot, N(mean, 1), state 0, 10 steps."""
    family = load_family("tabular-mdp")
    assert (family.horizon, family.action_space.n, family.observation_space.shape) == (10, 5, (10,))
    start, seen = family.initial({}, torch.zeros(0))
    assert int(start) == 0
    assert seen.tolist() == [1] + 9 * [0]
    transitions, rewards = np.zeros((10, 5, 10)), np.zeros((10, 5))
    transitions[4, 2, [1, 7]] = 0.25, 0.75
    rewards[4, 2] = 1.5
    # The normal distribution is 0.5 at its mean and 0.841345 one deviation above.
    for noise, following, reward in (((0.2, 0.5), 1, 1.5), ((0.3, 0.8413447460685429), 7, 2.5)):
        task = {"transitions": transitions, "rewards": rewards}
        state, seen, found, ended = after(family, task, np.array(4), 2, noise)
        assert int(state) == following
        assert seen.tolist() == [float(i == following) for i in range(10)]
        assert float(found) == pytest.approx(reward, abs=1e-9)
        assert not ended
