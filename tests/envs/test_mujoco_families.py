"""MuJoCo families against their published definitions; the batch is tested in tests/test_mujoco_lanes.py."""

import numpy as np
import pytest

from metarl.families.tasks import number_of_tasks, task_at
from tests.helpers.families import load_or_skip

pytest.importorskip("mujoco", reason="needs MuJoCo; pip install 'metarl-toolkit[mujoco]'")

import mujoco

from metarl.core.errors import FamilyError


def stepped(name, variant, task, actions=12):
    """Each of some steps of one environment: what it returned, raw data before and after, and the control."""
    family = load_or_skip(name, variant)
    env = family.make(task)
    env.reset(seed=2)
    rng, physics = np.random.default_rng(5), env.env.physics
    for _ in range(actions):
        before = physics.data.qpos.copy(), physics.data.sensordata.copy()
        action = rng.uniform(-1.5, 1.5, env.action_space.shape) * family.action_bound
        observation, reward, terminated, *_ = env.step(action)
        low, high = physics.model.actuator_ctrlrange.T
        share = np.clip(action / family.action_bound, -1, 1)
        np.testing.assert_allclose(physics.data.ctrl, (low + high) / 2 + share * (high - low) / 2, atol=1e-12)
        yield observation, reward, terminated, *before, physics.data, physics.model
        if terminated:
            break


def forces(data):
    """Squared clipped contact forces and squared forces, read from the sensors one body at a time."""
    rows = []
    for f, t, point in data.sensordata[3:].reshape(-1, 3, 3):
        rows.append(np.concatenate([t + np.cross(point - data.sensordata[:3], f), f]))
    return np.square(np.clip(rows, -1, 1)).sum(), np.square(rows).sum()


@pytest.mark.parametrize(
    ("name", "variant", "horizon", "bound", "size", "fastest"),
    [
        ("cheetah-vel", "finn17", 200, 1, 20, 2),
        ("cheetah-vel", "pytorch-maml-rl", 100, 10, 20, 2),
        ("cheetah-vel", "promp", 100, 10, 17, 3),
        ("cheetah-vel", "pearl", 200, 1, 20, 3),
        ("cheetah-vel", "varibad", 200, 1, 20, 3),
        ("cheetah-dir", "finn17", 200, 1, 20, None),
        ("cheetah-dir", "promp", 100, 10, 17, None),
        ("cheetah-dir", "pearl", 200, 1, 20, None),
    ],
)
def test_half_cheetah(name, variant, horizon, bound, size, fastest):
    family = load_or_skip(name, variant)
    assert (family.horizon, family.action_space.shape, family.observation_space.shape) == (horizon, (6,), (size,))
    assert set(family.action_space.high) == {bound}
    drawn = family.sample_tasks(600, "meta-train", np.random.default_rng(0))
    if fastest is None:
        assert family.splits.kind == "shared"
        assert set(drawn["direction"]) == {-1, 1}
        task = {"direction": np.float32(-1)}
    else:
        assert 0 <= drawn["velocity"].min() < 0.05 * fastest
        assert fastest >= drawn["velocity"].max() > 0.95 * fastest
        far = family.sample_tasks(200, "out-of-distribution", np.random.default_rng(0))["velocity"]
        assert fastest < far.min() <= far.max() <= family.task_space["velocity"].high
        task = {"velocity": np.float32(1.25)}
    for observation, reward, terminated, before, _, data, model in stepped(name, variant, task):
        velocity = (data.qpos[0] - before[0]) / 0.05
        wanted = -abs(velocity - 1.25) if fastest else -velocity
        assert reward == pytest.approx(wanted - 0.05 * np.square(data.ctrl).sum(), abs=1e-9)
        assert not terminated
        np.testing.assert_array_equal(observation[:17], np.concatenate([data.qpos[1:], data.qvel]))
        if size == 20:
            mujoco.mj_kinematics(model, data)
            whole = model.body_mass @ data.xipos / model.body_mass.sum()
            place = whole if variant == "finn17" else data.body("torso").xpos
            np.testing.assert_allclose(observation[17:], place, atol=1e-12)


def test_half_cheetahs_fixed_velocities_are_pearls():
    lists = load_or_skip("cheetah-vel", "pearl").splits.lists
    np.random.seed(1337)
    published = np.random.uniform(0.0, 3.0, size=(130,)).astype(np.float32)
    np.testing.assert_array_equal(lists["meta-train"]["velocity"], published[:100])
    np.testing.assert_array_equal(lists["meta-test"]["velocity"], published[100:])


@pytest.mark.parametrize(
    ("name", "variant", "horizon", "bound", "size", "cost", "survival", "heights"),
    [
        ("ant-vel", "finn17", 200, 1, 107, 0.005, 0.05, (0.2, 1)),
        ("ant-dir", "finn17", 200, 1, 107, 0.005, 0.05, (0.2, 1)),
        ("ant-dir", "promp", 100, 10, 111, 0.5, 1.0, (0, 1)),
        ("ant-dir", "pearl", 200, 1, 27, 0.5, 1.0, (0.2, 1)),
        ("ant-dir", "pearl-2", 200, 1, 27, 0.5, 1.0, (0.2, 1)),
        ("ant-goal", "finn17", 200, 1, 107, 0.005, 0.05, (0.2, 1)),
        ("ant-goal", "promp", 100, 10, 113, 0.1, 0.0, None),
        ("ant-goal", "pearl", 200, 1, 113, 0.1, 0.0, None),
    ],
)
def test_ant(name, variant, horizon, bound, size, cost, survival, heights):
    family = load_or_skip(name, variant)
    assert (family.horizon, family.action_space.shape, family.observation_space.shape) == (horizon, (8,), (size,))
    assert set(family.action_space.high) == {bound}
    task = {
        "ant-vel": {"velocity": np.float32(1.5)},
        "ant-dir": {"direction": np.array([0.6, -0.8], np.float32)},
        "ant-goal": {"goal": np.array([1.5, -0.5], np.float32)},
    }[name]
    touched = 0.0
    for observation, reward, terminated, before, _, data, _ in stepped(name, variant, task, 60):
        velocity = (data.qpos[:2] - before[:2]) / 0.05
        wanted = {
            "ant-vel": 1 - abs(velocity[0] - 1.5),
            "ant-dir": 0.6 * velocity[0] - 0.8 * velocity[1],
            "ant-goal": (4 if variant == "finn17" else 0) - abs(data.qpos[0] - 1.5) - abs(data.qpos[1] + 0.5),
        }[name]
        contact = forces(data)[0]
        touched += contact
        costs = cost * np.square(data.ctrl).sum() + 0.0005 * contact
        assert reward == pytest.approx(wanted - costs + survival, abs=1e-6)  # tasks are float32
        assert terminated == (heights is not None and not heights[0] <= data.qpos[2] <= heights[1])
        seen = data.qpos if size in (107, 113) else data.qpos[2:]
        np.testing.assert_array_equal(observation[: len(seen) + 14], np.concatenate([seen, data.qvel]))
        if size > 27:
            assert np.square(observation[len(seen) + 14 :]).sum() == pytest.approx(contact, abs=1e-9)
    assert touched > 0


def test_ants_task_ranges():
    rng = np.random.default_rng
    velocities = load_or_skip("ant-vel").sample_tasks(1000, "meta-train", rng(0))["velocity"]
    assert 2.9 < velocities.max() <= 3
    square = load_or_skip("ant-goal").sample_tasks(1000, "meta-train", rng(0))["goal"]
    assert 2.9 < np.abs(square).max() <= 3
    for variant in ("promp", "pearl"):
        family = load_or_skip("ant-goal", variant)
        radius = np.linalg.norm(family.sample_tasks(150, "meta-train", rng(0))["goal"], axis=1)
        assert radius.max() <= 3
        assert np.mean(radius**2) == pytest.approx(4.5, abs=0.7)  # uniform in the disc
        far = np.linalg.norm(family.sample_tasks(20, "out-of-distribution", rng(0))["goal"], axis=1)
        assert far.min() > 3
    lists = load_or_skip("ant-goal", "pearl").splits.lists
    assert [number_of_tasks(lists[split]) for split in ("meta-train", "meta-test")] == [150, 30]
    for variant in ("promp", "pearl"):
        found = load_or_skip("ant-dir", variant).sample_tasks(500, "meta-test", rng(0))["direction"]
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
        assert np.abs(found.mean(0)).max() < 0.12
    for variant in ("finn17", "pearl-2"):
        family = load_or_skip("ant-dir", variant)
        assert family.splits.kind == "shared"
        assert {tuple(d) for d in family.sample_tasks(9, "meta-test", rng(0))["direction"].tolist()} == {
            (-1, 0),
            (1, 0),
        }


@pytest.mark.parametrize(("variant", "bound"), [("pearl", 1), ("promp", 10)])
def test_humanoid(variant, bound):
    family = load_or_skip("humanoid-dir", variant)
    assert (family.horizon, family.action_space.shape, family.observation_space.shape) == (200, (17,), (45,))
    assert set(family.action_space.high) == {bound}
    task = {"direction": np.array([0.6, -0.8], np.float32)}
    ended = False
    for observation, reward, terminated, _, sensors, data, _ in stepped("humanoid-dir", variant, task, 200):
        moved = (data.sensordata[:2] - sensors[:2]) / 0.003
        impact = min(5e-7 * forces(data)[1], 10)
        forward = 0.25 * (0.6 * moved[0] - 0.8 * moved[1])
        assert reward == pytest.approx(forward - 0.1 * np.square(data.ctrl).sum() - impact + 5, abs=1e-5)
        ended = terminated
        assert terminated == (not 1 <= data.qpos[2] <= 2)
        np.testing.assert_array_equal(observation, np.concatenate([data.qpos[2:], data.qvel]))
    assert ended
    splits = family.splits
    if variant == "pearl":
        assert [number_of_tasks(splits.lists[s]) for s in ("meta-train", "meta-test")] == [100, 30]
        np.testing.assert_allclose(np.linalg.norm(splits.lists["meta-train"]["direction"], axis=1), 1, atol=1e-6)
    else:
        assert splits.kind == "shared"


@pytest.mark.parametrize(
    ("name", "size", "actuators", "skip"), [("walker-params", 17, 6, 4), ("hopper-params", 11, 3, 4)]
)
def test_random_parameters(name, size, actuators, skip):
    family = load_or_skip(name)
    assert (family.horizon, family.observation_space.shape, family.action_space.shape) == (200, (size,), (actuators,))
    assert (family.frame_skip, family.step_seconds) == (skip, pytest.approx(0.004 * skip))
    lists = family.splits.lists
    assert [number_of_tasks(lists[split]) for split in ("meta-train", "meta-test")] == [40, 10]
    for entry in ("body_mass", "dof_damping"):
        assert 2.9 < np.abs(lists["meta-train"][entry]).max() <= 3
    assert (np.abs(lists["out-of-distribution"]["body_mass"]).max(1) > 3).all()
    task = task_at(lists["meta-train"], 0)
    ended = False
    for observation, reward, terminated, before, _, data, _ in stepped(name, "pearl", task, 200):
        velocity = (data.qpos[0] - before[0]) / (0.004 * skip)
        assert reward == pytest.approx(velocity + 1 - 0.001 * np.square(data.ctrl).sum(), abs=1e-9)
        height, angle = data.qpos[1:3]
        alive = 0.8 < height < 2 and -1 < angle < 1 if name == "walker-params" else height > 0.7 and abs(angle) < 0.2
        assert terminated == (not alive)
        ended = terminated
        np.testing.assert_array_equal(observation, np.concatenate([data.qpos[1:], np.clip(data.qvel, -10, 10)]))
    assert ended


@pytest.mark.parametrize("name", ["walker-params", "hopper-params"])
def test_each_tasks_physics_is_made_from_the_pristine_model(name):
    family = load_or_skip(name)
    pristine = {entry: getattr(family.model, entry).copy() for entry in family.sizes}
    a, b = (task_at(family.splits.lists["meta-train"], i) for i in (0, 1))
    for task in (a, b, a):
        model = family.model_for(task)
        for entry, before in pristine.items():
            base = 1.3 if entry == "dof_damping" else 1.5
            np.testing.assert_allclose(getattr(model, entry), before * base ** task[entry].astype(float), rtol=1e-12)
            np.testing.assert_array_equal(getattr(family.model, entry), before)
        # What MuJoCo derives from masses follows them.
        assert model.body_subtreemass[0] == pytest.approx(model.body_mass.sum())
    # Zeros stay zero: the world has no mass, and the free coordinates no damping.
    assert pristine["body_mass"][0] == 0


@pytest.mark.parametrize("name", ["cheetah-vel", "ant-goal", "humanoid-dir", "hopper-params"])
def test_unknown_variants(name):
    with pytest.raises(FamilyError, match="unknown variant 'perl'"):
        load_or_skip(name, "perl")
