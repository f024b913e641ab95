"""Meta-World's families: what is really served, and that its tasks are sticky and repeatable."""

import numpy as np
import pytest
import torch

pytest.importorskip("metaworld", reason="the metaworld extra is not installed")

from metarl.config.algorithms import MamlTrpoConfig
from metarl.config.run import PolicyConfig
from metarl.core.errors import FamilyError
from metarl.families.registry import family_variants, load_family
from metarl.families.splits import SPLITS
from metarl.families.tasks import number_of_tasks, task_at
from metarl.families.vec_env import make_vec_env
from metarl.runs.directory import read_metrics
from metarl.training.start import train

ENVIRONMENT = "reach-v3"
"""Its resets are the cheapest."""


def served(family, env, split, n):
    """Where goals and objects really are after a reset, for n tasks of a split."""
    tasks = family.sample_tasks(n, split, np.random.default_rng(0))
    found = set()
    for i in range(n):
        family.set_task(env, task_at(tasks, i))
        env.reset(seed=i)
        found.add((*env.unwrapped._target_pos.tolist(), *env.unwrapped.obj_init_pos.tolist()))
    return found


@pytest.mark.slow
def test_training_and_test_goals_that_are_served_are_disjoint():
    """A released version of the package served test goals under the name of training goals."""
    import metaworld

    family = load_family(f"metaworld-ml1:{ENVIRONMENT}")
    env = family.make(task_at(family.sample_tasks(1, "meta-train", np.random.default_rng(0)), 0))
    found = {split: served(family, env, split, 50) for split in SPLITS[:3]}
    assert [len(goals) for goals in found.values()] == [50, 50, 50]
    assert not found["meta-train"] & found["meta-test"]
    assert not found["meta-validation"] & (found["meta-train"] | found["meta-test"])

    published = metaworld.ML1(ENVIRONMENT, seed=1)
    placed = set()
    for task in published.train_tasks:
        env.unwrapped.set_task(task)
        env.reset()
        placed.add((*env.unwrapped._target_pos.tolist(), *env.unwrapped.obj_init_pos.tolist()))
    assert placed == found["meta-train"]
    env.close()


def test_a_task_is_sticky_and_its_goal_hidden():
    family = load_family(f"metaworld-ml1:{ENVIRONMENT}")
    tasks = family.sample_tasks(2, "meta-train", np.random.default_rng(0))
    env = family.make(task_at(tasks, 0))
    actions = np.random.default_rng(1).uniform(-1, 1, (20, 4)).astype(np.float32)

    def trajectory(seed):
        np.random.seed(seed)  # the package falls back to the global generator
        observation, _ = env.reset(seed=seed)
        steps = [env.step(action)[:2] for action in actions]
        return np.array([observation, *[o for o, _ in steps]]), np.array([r for _, r in steps])

    first, rewards = trajectory(0)
    again, same_rewards = trajectory(1)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(rewards, same_rewards)
    assert np.all(first[:, -3:] == 0)
    family.set_task(env, task_at(tasks, 1))
    _, others = trajectory(0)
    assert not np.allclose(rewards, others)
    family.set_task(env, task_at(tasks, 0))
    np.testing.assert_array_equal(trajectory(0)[1], rewards)
    env.close()


def test_ml10_trains_and_tests_on_other_environments():
    family = load_family("metaworld-ml10")
    train, test = (family.sample_tasks(500, split, np.random.default_rng(0)) for split in ("meta-train", "meta-test"))
    assert len(set(train["environment"].tolist())) == 10
    assert set(train["environment"].tolist()).isdisjoint(test["environment"].tolist())
    assert set(test["environment"].tolist()) == set(range(10, 15))
    assert family.splits.kind == "disjoint"
    assert number_of_tasks(load_family("metaworld-ml45").splits.lists["meta-train"]) == 45 * 50


def test_another_environment_is_built_when_its_task_comes():
    family = load_family("metaworld-ml10")
    reach, drawer = (family.environments.index(name) for name in ("reach-v3", "drawer-close-v3"))
    env = family.make({"environment": reach, "goal": 0})
    first, _ = env.reset(seed=0)
    family.set_task(env, {"environment": drawer, "goal": 3})
    other, _ = env.reset(seed=0)
    assert type(env.unwrapped).__name__ == "SawyerDrawerCloseEnvV3"
    family.set_task(env, {"environment": reach, "goal": 0})
    back, _ = env.reset(seed=0)
    np.testing.assert_array_equal(first, back)
    assert not np.allclose(first, other)
    env.close()


def test_success_is_reported_beside_return(tmp_path):
    config = MamlTrpoConfig(
        family=f"metaworld-ml1:{ENVIRONMENT}", iterations=1, meta_batch_size=2, episodes=1, validation_tasks=0,
        policy=PolicyConfig(hidden_sizes=(4,)),
    )  # fmt: skip
    train("maml-trpo", config, tmp_path / "run")
    before, after = read_metrics(tmp_path / "run")[0]["success"]
    assert before in (0, 0.5, 1)
    assert after in (0, 0.5, 1)


def test_pushing_towards_the_goal_succeeds_at_some_step_of_the_episode():
    """Success by the package's own scripted policy, which knows the goal, and none without moving."""
    from metaworld.policies import ENV_POLICY_MAP

    family = load_family(f"metaworld-ml1:{ENVIRONMENT}")
    task = task_at(family.sample_tasks(1, "meta-train", np.random.default_rng(0)), 0)
    tasks = {name: np.asarray(value)[None] for name, value in task.items()}
    expert = ENV_POLICY_MAP[ENVIRONMENT]()
    envs = make_vec_env(family, tasks, 1, device="cpu", dtype=torch.float64)
    for moves, reached in ((True, True), (False, False)):
        observation = envs.reset(torch.ones(1, 1, dtype=torch.int64) << 33)
        flags = []
        for _ in range(100):
            seen = observation[0, 0].numpy().copy()
            seen[-3:] = envs.env.envs[0].unwrapped._target_pos
            action = expert.get_action(seen) if moves else np.zeros(4)
            observation, _, _ = envs.step(torch.as_tensor(action)[None, None])
            flags.append(bool(envs.succeeded))
        assert any(flags) == reached
    envs.close()


def test_a_variant_may_follow_the_name():
    assert load_family("metaworld-ml1").variant == "push-v3"
    assert load_family("metaworld-ml1:reach-v3").environments == ["reach-v3"]
    assert family_variants("metaworld-ml1:reach-v3") == ("reach-v3",)
    assert load_family("navigation2d:wide").variant == "wide"
    with pytest.raises(FamilyError, match="unknown variant 'reach-v4'; did you mean 'reach-v3'"):
        load_family("metaworld-ml1:reach-v4")
    with pytest.raises(FamilyError, match="'metaworld-ml1:reach-v3' names its variant; got --variant push-v3"):
        load_family("metaworld-ml1:reach-v3", "push-v3")
