import numpy as np
import pytest

import metarl
import metarl.core.errors
from metarl.core.errors import ConfigError, FamilyError
from metarl.families.tasks import task_at
from metarl.sb3 import export_model
from tests.helpers.families import load_or_skip
from tests.helpers.runs import policy_run

pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed (extra sb3)")

from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor


@pytest.mark.parametrize("name", ["navigation2d", "cheetah-dir"])
def test_returns_agree_on_a_family_member(tmp_path, name):
    """The same actions on all that is seen on the way; without action noise the same return; with it the same mean."""
    family = load_or_skip(name)
    source = policy_run(tmp_path / "run", family=name, hidden_sizes=(16,))
    task = task_at(family.sample_tasks(1, "meta-test", np.random.default_rng(0)), 0)
    export_model(source, tmp_path / "m.zip")
    model, agent = PPO.load(tmp_path / "m.zip", env=family.make(task)), metarl.load(source)
    env = family.make(task)
    observation, _ = env.reset(seed=5)
    total, ended = 0.0, False
    while not ended:
        action = agent.act(observation)
        assert np.allclose(model.predict(observation, deterministic=True)[0], action, atol=1e-6)
        observation, reward, terminated, truncated, _ = env.step(action)
        total, ended = total + float(reward), terminated or truncated
    if name == "navigation2d":  # a cheetah's return is another after a difference of 1e-7 in one action
        theirs, _ = evaluate_policy(model, Monitor(family.make(task)), n_eval_episodes=1)
        assert theirs == pytest.approx(total, rel=1e-4)
    results = [
        metarl.evaluate(model, family=name, tasks=20, episodes=5),
        metarl.evaluate(source, tasks=20, episodes=5, steps=0),
    ]
    means = [result["return"]["mean"][0] for result in results]
    errors = [result["return"]["standard_error"][0] for result in results]
    assert abs(means[0] - means[1]) < 4 * np.hypot(*errors)
    assert results[0]["environment_steps"] == [0]
    assert results[0]["protocol"]["acts"] == "PPO of Stable-Baselines3"


def test_evaluating_a_model(run):
    model = export_model(run)
    with pytest.raises(ConfigError, match="family is missing"):
        metarl.evaluate(model)
    with pytest.raises(ConfigError, match="steps = 2; expected 0"):
        metarl.evaluate(model, family="navigation2d", steps=2)
    with pytest.raises(FamilyError, match="observations have shape"):
        metarl.evaluate(model, family="pendulum")
    once, again = (metarl.evaluate(model, family="navigation2d", tasks=3, episodes=4) for _ in range(2))
    assert once == again
    assert once["tasks"] == 3
    assert once["transitions"] == [0.0]
