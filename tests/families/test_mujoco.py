"""MuJoCo in batches: every lane is gymnasium's own environment with the warm start disabled."""

import gymnasium
import numpy as np
import pytest

from metarl.core.errors import FamilyError
from metarl.families.observe_task import ObserveTask
from metarl.families.tasks import task_at
from tests.helpers.families import load_or_skip

pytest.importorskip("mujoco", reason="needs MuJoCo; pip install 'metarl-toolkit[mujoco]'")

import mujoco

from metarl.families.mujoco import MujocoVectorEnv, motion_after_reset
from metarl_envs.half_cheetah import CheetahVelocity

FAMILIES = (
    "cheetah-vel",
    "cheetah-dir",
    "ant-vel",
    "ant-dir",
    "ant-goal",
    "humanoid-dir",
    "walker-params",
    "hopper-params",
)
VARIANTS = [(name, variant) for name in FAMILIES for variant in load_or_skip(name).variants]


def drawn(family, n=3, seed=0):
    split = "out-of-distribution" if "out-of-distribution" in family.splits.names else "meta-train"
    return family.sample_tasks(n, split, np.random.default_rng(seed))


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_lanes_are_the_single_environment_over_full_episodes(name, variant):
    family = load_or_skip(name, variant)
    tasks, episodes = drawn(family), 2
    vector = family.make_vec(tasks, episodes)
    assert isinstance(vector, MujocoVectorEnv)
    rng, seeds = np.random.default_rng(1), list(range(6))
    singles = [family.make(task_at(tasks, env_index // episodes)) for env_index in range(6)]
    observations, _ = vector.reset(seed=seeds)
    for env_index, env in enumerate(singles):
        np.testing.assert_array_equal(env.reset(seed=seeds[env_index])[0], observations[env_index])
    total = 0
    for _ in range(family.horizon):
        # A random walk of actions, beyond the bounds at times, moves further than independent ones.
        actions = family.action_bound * rng.normal(0, 0.7, (6, *family.action_space.shape))
        batch = vector.step(actions)
        for env_index, env in enumerate(singles):
            single = env.step(actions[env_index])
            np.testing.assert_allclose(batch[0][env_index], single[0], rtol=0, atol=1e-9)
            assert abs(batch[1][env_index] - single[1]) <= 1e-9
            assert (batch[2][env_index], batch[3][env_index]) == single[2:4]
        total += 1
        ended = batch[2] | batch[3]
        if ended.any():
            again = [100 * total + env_index for env_index in range(6)]
            observations, _ = vector.reset(seed=again, options={"reset_mask": ended})
            for env_index in np.flatnonzero(ended):
                np.testing.assert_array_equal(
                    singles[env_index].reset(seed=again[env_index])[0], observations[env_index]
                )
    assert total == family.horizon
    vector.close()


def test_any_number_of_threads_and_other_tasks_give_the_same():
    family = CheetahVelocity()
    tasks = drawn(family)
    one, four = MujocoVectorEnv(family, tasks, 5, threads=1), MujocoVectorEnv(family, drawn(family, 3, 7), 5, threads=4)
    four.set_tasks(tasks)
    one.reset(seed=3)
    four.reset(seed=3)
    rng = np.random.default_rng(0)
    for _ in range(50):
        actions = rng.uniform(-1, 1, (15, 6))
        for a, b in zip(one.step(actions)[:4], four.step(actions)[:4], strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(FamilyError, match="expected 3 tasks; got 2"):
        one.set_tasks(drawn(family, 2))


def test_it_is_gymnasiums_environment_but_for_the_warm_start():
    family, cold = CheetahVelocity("promp"), mujoco.mjtDisableBit.mjDSBL_WARMSTART
    task = task_at(drawn(family), 0)
    env, stock, warm = family.make(task), *(gymnasium.make("HalfCheetah-v5").unwrapped for _ in range(2))
    stock.model.opt.disableflags |= cold
    warm.reset(seed=4)
    np.testing.assert_array_equal(env.reset(seed=4)[0], stock.reset(seed=4)[0])
    rng = np.random.default_rng(0)
    for _ in range(100):
        action = rng.uniform(-12, 12, 6)
        control = family.control(action[None])[0]
        np.testing.assert_allclose(control, np.clip(action / 10, -1, 1), atol=1e-15)
        observation, reward, *_ = env.step(action)
        theirs, _, _, _, info = stock.step(control)
        np.testing.assert_array_equal(observation, theirs)
        # gymnasium charges twice the 0.05 of meta-learning's Half-Cheetah.
        assert reward == pytest.approx(-abs(info["x_velocity"] - task["velocity"]) + info["reward_ctrl"] / 2, abs=1e-9)
        with_warm_start, *_ = warm.step(control)
    assert np.abs(with_warm_start - theirs).max() > 0


def test_contact_forces_and_centre_of_mass_are_mujocos():
    for name in ("ant-vel", "humanoid-dir"):
        family = load_or_skip(name)
        env = family.make(task_at(drawn(family), 0))
        env.reset(seed=0)
        holder, rng, touched = env.env, np.random.default_rng(0), 0
        for _ in range(100):
            env.step(rng.uniform(-1, 1, env.action_space.shape))
            data, model = holder.physics.data, holder.physics.model
            # Sensors are read before the last substep; read again at the state that it led to.
            mujoco.mj_forward(model, data)
            mujoco.mj_rnePostConstraint(model, data)
            motion = motion_after_reset(data)
            np.testing.assert_allclose(motion.contact_forces[0], data.cfrc_ext[1:], atol=1e-8)
            weights = model.body_mass / model.body_mass.sum()
            np.testing.assert_allclose(motion.center_of_mass[0], weights @ data.xipos, atol=1e-9)
            touched += int(np.abs(data.cfrc_ext).max() > 0)
        assert touched > 20


def test_the_oracle_is_stepped_in_batches_too():
    family = CheetahVelocity()
    tasks = drawn(family, 2)
    vector = ObserveTask(family).make_vec(tasks, 2)
    observations, _ = vector.reset(seed=1)
    assert observations.shape == (4, 21)
    np.testing.assert_allclose(observations[:, -1], np.repeat(tasks["velocity"], 2))
    vector.set_tasks({"velocity": np.array([0.25, 0.75], np.float32)})
    observations, *_ = vector.step(np.zeros((4, 6)))
    assert observations[:, -1].tolist() == [0.25, 0.25, 0.75, 0.75]
    assert isinstance(vector.unwrapped, MujocoVectorEnv)


@pytest.mark.parametrize("missing", ["mujoco", "imageio"])
def test_without_mujoco_one_line_names_the_extra(monkeypatch, missing):
    monkeypatch.setattr("metarl.families.mujoco.find_spec", lambda name: None if name == missing else object())
    with pytest.raises(
        FamilyError, match=r"^family 'cheetah-vel': needs MuJoCo; pip install 'metarl-toolkit\[mujoco\]'$"
    ):
        CheetahVelocity()
