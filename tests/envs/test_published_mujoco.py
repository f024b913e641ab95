"""Actions, rewards, observations and ends of every published variant on MuJoCo, by the arithmetic of the code named.

A step is made up, so that every number can be worked out by hand; what physics makes of it is no part of this.
"""

import math

import numpy as np
import pytest

from metarl.families.ids.installed import registered
from tests.helpers.families import load_or_skip

pytest.importorskip("mujoco", reason="needs MuJoCo; pip install 'metarl-toolkit[mujoco]'")

import mujoco

from metarl.families.mujoco import Motion, MujocoFamily

CHEETAH = [
    # cbfinn/maml_rl, rllab/envs/mujoco/half_cheetah_env_rand.py: -|v - v*| - 0.05 |action|^2, action in [-1, 1].
    ("cheetah-vel", "finn17", 200, 1, 20),
    # tristandeleu/pytorch-maml-rl, maml_rl/envs/mujoco/half_cheetah.py; the scale and horizon of configs/maml.
    ("cheetah-vel", "pytorch-maml-rl", 100, 10, 20),
    # jonasrothfuss/ProMP, mujoco_envs/half_cheetah_rand_vel.py, under normalized_env.py; no place is observed.
    ("cheetah-vel", "promp", 100, 10, 17),
    # katerakelly/oyster, rlkit/envs/half_cheetah_vel.py; lmzintgraf/varibad, environments/mujoco/half_cheetah_vel.py.
    ("cheetah-vel", "pearl", 200, 1, 20),
    ("cheetah-vel", "varibad", 200, 1, 20),
    # The same repositories' direction: d v - 0.05 |action|^2.
    ("cheetah-dir", "finn17", 200, 1, 20),
    ("cheetah-dir", "promp", 100, 10, 17),
    ("cheetah-dir", "pearl", 200, 1, 20),
]
DIAGONAL, FORWARD, BACKWARD = ({"direction": np.array([d])} for d in ([0.6, -0.8], [1.0, 0.0], [-1.0, 0.0]))
GOAL, SPEED = {"goal": np.array([[1.0, -1.0]])}, {"velocity": np.array([1.5])}
# The velocity is (2, -1), the place (0.1, -0.05), the squared control 1.25 and the squared clipped contact forces too,
# which cost 0.0005 * 1.25 = 0.000625.
ANT = [
    # cbfinn/maml_rl, ant_env_rand.py: 1 - |2 - 1.5| - 0.005 * 1.25 - 0.000625 + 0.05.
    ("ant-vel", "finn17", 200, 1, SPEED, 0.543125, (0.2, 1.0), "all"),
    # ant_env_rand_direc.py: 2 - 0.00625 - 0.000625 + 0.05.
    ("ant-dir", "finn17", 200, 1, FORWARD, 2.043125, (0.2, 1.0), "all"),
    # jonasrothfuss/ProMP, ant_rand_direc_2d.py: 0.6 * 2 + 0.8 * 1 - 0.5 * 1.25 - 0.000625 + 1.
    ("ant-dir", "promp", 100, 10, DIAGONAL, 2.374375, (0.0, 1.0), "no place, world"),
    # katerakelly/oyster, rlkit/envs/ant_dir.py: the same; backward -2 - 0.625 - 0.000625 + 1.
    ("ant-dir", "pearl", 200, 1, DIAGONAL, 2.374375, (0.2, 1.0), "no place, no forces"),
    ("ant-dir", "pearl-2", 200, 1, BACKWARD, -1.625625, (0.2, 1.0), "no place, no forces"),
    # cbfinn/maml_rl, ant_env_rand_goal.py: 4 - (0.9 + 0.95) - 0.00625 - 0.000625 + 0.05.
    ("ant-goal", "finn17", 200, 1, GOAL, 2.193125, (0.2, 1.0), "all"),
    # ProMP, ant_rand_goal.py, and oyster, rlkit/envs/ant_goal.py: -(0.9 + 0.95) - 0.1 * 1.25 - 0.000625, never done.
    ("ant-goal", "promp", 100, 10, GOAL, -1.975625, None, "world"),
    ("ant-goal", "pearl", 200, 1, GOAL, -1.975625, None, "world"),
]
HUMANOID = [
    # katerakelly/oyster, rlkit/envs/humanoid_dir.py, and jonasrothfuss/ProMP, mujoco_envs/humanoid_rand_direc.py.
    ("humanoid-dir", "pearl", 200, 1),
    ("humanoid-dir", "promp", 200, 10),
]
# dennisl88/rand_param_envs at the commit that oyster names: base.py gives both 4 substeps, the assets 0.004 s.
PARAMETERS = [("walker-params", "pearl", 200, 1), ("hopper-params", "pearl", 200, 1)]


def motion(family, before, position, *, velocity=None, action=(), sensors=None, sensors_before=None):
    """One lane's made-up step; what is not given is zero."""
    model = family.model
    padded = [np.pad(np.asarray(row, float), (0, model.nq - len(row))) for row in (before, position)]
    given = np.zeros(family.action_space.shape)
    given[: len(action)] = action
    control = family.control(given[None])
    read = [np.zeros(model.nsensordata) if row is None else row for row in (sensors_before, sensors)]
    speed = np.zeros(model.nv) if velocity is None else velocity
    return Motion(padded[0][None], padded[1][None], np.asarray(speed)[None], control, read[0][None], read[1][None])


def touching(family, *, body, force, center=(0.0, 0.0, 0.0)):
    """Sensors that read one contact force, which acts at the centre of mass, on one body (the torso is 0)."""
    readings = np.zeros((family.model.nbody - 1, 9))
    readings[body, :3] = force
    readings[:, 6:] = center
    return np.concatenate([center, readings.ravel()])


def check_actions(family, horizon, bound, largest):
    """rllab, ProMP, PEARL alike: action a in +-bound becomes lb + (a + bound) (ub - lb) / (2 bound), then clipped."""
    assert (family.horizon, set(family.action_space.high)) == (horizon, {bound})
    actions = np.zeros((1, *family.action_space.shape))
    actions[0, :2] = 0.5 * bound, -2 * bound
    control = family.control(actions)[0]
    np.testing.assert_allclose(control[:3], [0.5 * largest, -largest, 0], atol=1e-12)


def test_every_variant_on_mujoco_is_here():
    found = {}
    for name in registered():
        if not name.startswith("metaworld-"):
            family = load_or_skip(name)
            if isinstance(family, MujocoFamily):
                found[name] = set(family.variants)
    here: dict[str, set[str]] = {}
    for name, variant, *_ in [*CHEETAH, *ANT, *HUMANOID, *PARAMETERS]:
        here.setdefault(name, set()).add(variant)
    assert found == here


@pytest.mark.parametrize(("name", "variant", "horizon", "bound", "size"), CHEETAH)
def test_half_cheetah(name, variant, horizon, bound, size):
    family = load_or_skip(name, variant)
    check_actions(family, horizon, bound, 1.0)
    speeds = np.arange(9) / 10
    step = motion(family, [1.0], [1.1, 0.2], velocity=speeds, action=(0.5 * bound, -2 * bound))
    # The x coordinate moves by 0.1 in 0.05 s; the control is (0.5, -1, 0, 0, 0, 0), its cost 0.05 * 1.25 = 0.0625.
    if name == "cheetah-vel":
        assert family.reward({"velocity": np.array([1.25])}, step)[0] == pytest.approx(-0.75 - 0.0625)
        assert family.reward({"velocity": np.array([2.5])}, step)[0] == pytest.approx(-0.5 - 0.0625)
    else:
        assert family.reward({"direction": np.array([1.0])}, step)[0] == pytest.approx(2 - 0.0625)
        assert family.reward({"direction": np.array([-1.0])}, step)[0] == pytest.approx(-2 - 0.0625)
    assert not family.ended(step)[0]
    seen = family.observe(step)[0]
    np.testing.assert_array_equal(seen[:17], [0.2, *7 * [0], *speeds])
    if size == 20 and variant != "finn17":  # get_body_com of gym and mujoco-py: the torso's origin, 0.7 above z = 0
        np.testing.assert_allclose(seen[17:], [1.1, 0, 0.9], atol=1e-12)
    assert seen.shape == (size,)


def capsule(half_length):
    """Volume, to which masses are proportional: radius 0.046, as all of half_cheetah.xml's."""
    return math.pi * 0.046**2 * 2 * half_length + 4 / 3 * math.pi * 0.046**3


@pytest.mark.parametrize("name", ["cheetah-vel", "cheetah-dir"])
def test_finn17s_last_observations_are_the_centre_of_mass(name):
    """cbfinn/maml_rl, half_cheetah_env_rand.py: the torso's com_subtree; numbers of mujoco_models/half_cheetah.xml.

    With all joints at zero a capsule's centre is its own place plus those of the bodies that it hangs on.
    """
    centres = [
        (0.5, (0.0, 0.0)), (0.15, (0.6, 0.1)),  # torso and head
        (0.145, (-0.5 + 0.1, -0.13)), (0.15, (-0.5 + 0.16 - 0.14, -0.25 - 0.07)),
        (0.094, (-0.5 + 0.16 - 0.28 + 0.03, -0.25 - 0.14 - 0.097)),
        (0.133, (0.5 - 0.07, -0.12)), (0.106, (0.5 - 0.14 + 0.065, -0.24 - 0.09)),
        (0.07, (0.5 - 0.14 + 0.13 + 0.045, -0.24 - 0.18 - 0.07)),
    ]  # fmt: skip
    weights = np.array([capsule(half) for half, _ in centres])
    x, z = weights @ np.array([place for _, place in centres]) / weights.sum()
    family = load_or_skip(name, "finn17")
    upright, turned = motion(family, [1.1], [1.1, 0.2]), motion(family, [1.1], [1.1, 0.2, math.pi / 2])
    np.testing.assert_allclose(family.observe(upright)[0, 17:], [1.1 + x, 0, 0.9 + z], atol=1e-9)
    # A quarter turn about y, which leads from z to x, takes (x, z) to (z, -x).
    np.testing.assert_allclose(family.observe(turned)[0, 17:], [1.1 + z, 0, 0.9 - x], atol=1e-9)


def test_finn17s_centre_of_mass_is_mujocos_for_any_joints():
    family = load_or_skip("cheetah-vel", "finn17")
    data, rng = mujoco.MjData(family.model), np.random.default_rng(0)
    for _ in range(20):
        data.qpos[:] = rng.normal(size=9)
        mujoco.mj_forward(family.model, data)
        seen = family.observe(motion(family, data.qpos, data.qpos))[0, 17:]
        np.testing.assert_allclose(seen, data.subtree_com[1], atol=1e-12)


@pytest.mark.parametrize(("variant", "deviation", "fourth"), [("finn17", 0.01, 3.0), ("pearl", 0.1 / 3**0.5, 1.8)])
@pytest.mark.parametrize("batched", [False, True])
def test_half_cheetahs_start(variant, deviation, fourth, batched):
    """rllab/envs/mujoco/mujoco_env.py, reset_mujoco: positions 0.01 N(0, 1); gym: uniform in +-0.1. Both: velocities
    0.1 N(0, 1).

    The fourth moment over the squared variance is 3 for a normal distribution and 1.8 for a uniform one.
    """
    family = load_or_skip("cheetah-vel", variant)
    tasks = {"velocity": np.array([1.0], np.float32)}
    if batched:
        vector = family.make_vec(tasks, 400)
        starts, _ = vector.reset(seed=5)
        vector.close()
    else:
        env = family.make({"velocity": np.float32(1.0)})
        starts = np.array([env.reset(seed=seed)[0] for seed in range(5, 405)])
    places, speeds = starts[:, :8], starts[:, 8:17]
    assert places.std() == pytest.approx(deviation, rel=0.04)
    assert np.mean(places**4) / np.mean(places**2) ** 2 == pytest.approx(fourth, rel=0.1)
    assert speeds.std() == pytest.approx(0.1, rel=0.04)
    assert np.mean(speeds**4) / np.mean(speeds**2) ** 2 == pytest.approx(3, rel=0.1)
    assert len(np.unique(places[:, 0])) == 400


@pytest.mark.parametrize(("name", "variant", "horizon", "bound", "task", "reward", "heights", "sees"), ANT)
def test_ant(name, variant, horizon, bound, task, reward, heights, sees):
    family = load_or_skip(name, variant)
    check_actions(family, horizon, bound, 1.0)
    sensors, speeds = touching(family, body=3, force=(-2.0, 0.5, 0.0)), np.arange(14) / 10
    place = [0.1, -0.05, 0.5, 1.0, *np.arange(11) / 20]
    action = (0.5 * bound, -2 * bound)
    step = motion(family, [0.0, 0.0], place, velocity=speeds, action=action, sensors=sensors)
    assert family.reward(task, step)[0] == pytest.approx(reward, abs=1e-9)
    forces = np.zeros((13, 6))
    forces[3] = 0, 0, 0, 1, -0.5, 0  # cfrc_ext has torques first and the opposite sign of the sensors; clipped to +-1
    expected = [*(place[2:] if "no place" in sees else place), *speeds]
    expected += 6 * [0] if "world" in sees else []
    expected += [] if "no forces" in sees else [*forces.ravel()]
    np.testing.assert_allclose(family.observe(step)[0], expected, atol=1e-12)
    for height in (-0.01, 0.01, 0.19, 0.21, 0.99, 1.01):
        over = family.ended(motion(family, [], [0.0, 0.0, height]))[0]
        assert over == (heights is not None and not heights[0] <= height <= heights[1])


def test_ants_sizes_are_the_published_ones():
    """ProMP's and PEARL's ant.xml: 15 positions, 14 velocities, 14 bodies x 6 forces, the world's among them."""
    for name, variant, size in (
        ("ant-dir", "promp", 13 + 14 + 84), ("ant-dir", "pearl", 13 + 14),
        ("ant-goal", "promp", 15 + 14 + 84), ("ant-goal", "pearl", 15 + 14 + 84),
    ):  # fmt: skip
        assert load_or_skip(name, variant).observation_space.shape == (size,)


@pytest.mark.parametrize(("name", "variant", "horizon", "bound"), HUMANOID)
def test_humanoid(name, variant, horizon, bound):
    """0.25 d . (change of the centre of mass) / 0.003 - 0.1 |control|^2 - min(5e-7 |forces|^2, 10) + 5."""
    family = load_or_skip(name, variant)
    check_actions(family, horizon, bound, 0.4)
    moved = (0.0015, -0.0006, 0.0)  # over the solver's 0.003 s: (0.5, -0.2)
    for force, impact in ((1000.0, 0.5), (1e4, 10.0)):  # 5e-7 * 1e6; 5e-7 * 1e8 = 50, at most 10
        sensors = touching(family, body=2, force=(0.0, 0.0, force), center=moved)
        step = motion(family, [], [], action=(0.5 * bound, -2 * bound), sensors=sensors)
        # Control (0.2, -0.4): 0.1 * 0.2 = 0.02. Along (0.6, -0.8): 0.25 * (0.3 + 0.16) = 0.115; backward: -0.125.
        assert family.reward(DIAGONAL, step)[0] == pytest.approx(0.115 - 0.02 - impact + 5, abs=1e-9)
        assert family.reward(BACKWARD, step)[0] == pytest.approx(-0.125 - 0.02 - impact + 5, abs=1e-9)
    for height, over in ((0.99, True), (1.01, False), (1.99, False), (2.01, True)):
        assert family.ended(motion(family, [], [0.0, 0.0, height]))[0] == over


@pytest.mark.parametrize(("name", "variant", "horizon", "bound"), PARAMETERS)
def test_random_parameters(name, variant, horizon, bound):
    """walker2d_rand_params.py and hopper_rand_params.py: v + 1 - 0.001 |action|^2, 4 x 0.004 s a step."""
    family = load_or_skip(name, variant)
    check_actions(family, horizon, bound, 1.0)
    assert (family.frame_skip, family.model.opt.timestep) == (4, 0.004)
    size = family.model.nq
    speeds = np.linspace(-20, 20, size)
    step = motion(family, [0.5, 1.25], [0.516, 1.25, 0.1], velocity=speeds, action=(0.5, -2))
    # 0.016 in 0.016 s is a velocity of 1; 1 + 1 - 0.001 * 1.25.
    assert family.reward({}, step)[0] == pytest.approx(1.99875, abs=1e-9)
    expected = [1.25, 0.1, *(size - 3) * [0], *np.clip(speeds, -10, 10)]
    np.testing.assert_allclose(family.observe(step)[0], expected, atol=1e-12)
    walker = name == "walker-params"
    ends = {
        (1.25, 0.0): False, (0.81, 0.0): False, (0.79, 0.0): walker, (0.69, 0.0): True, (2.01, 0.0): walker,
        (1.25, 0.19): False, (1.25, -0.21): not walker, (1.25, 0.99): not walker, (1.25, -1.01): True,
    }  # fmt: skip
    for (height, angle), over in ends.items():
        assert family.ended(motion(family, [], [0.0, height, angle]))[0] == over
    fast = motion(family, [], [0.0, 1.25], velocity=np.full(size, 101.0))
    assert family.ended(fast)[0] == (not walker)


def test_the_walkers_right_foot_slides_as_published():
    """rand_param_envs' walker2d.xml: friction 0.9 on the right foot, 1.9 on the left; Walker2d-v5: 1.9 on both."""
    model = load_or_skip("walker-params").model
    friction = [model.geom(name).friction[0] for name in ("foot_geom", "foot_left_geom")]
    np.testing.assert_allclose(friction, [0.9, 1.9])
