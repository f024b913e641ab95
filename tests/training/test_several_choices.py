"""Whole runs with actions of several independent choices."""

import numpy as np
import pytest
import torch

import metarl
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.core.errors import FamilyError, RunError
from metarl.families.checks.check import check_family
from tests.helpers import levers
from tests.helpers.runs import assert_same_run
from tests.helpers.steps import tiny

SMALL = PolicyConfig(hidden_sizes=(4,))


def train(tmp_path, family, algorithm="maml-trpo", name="run", **changes):
    config = tiny(algorithm, family=f"tests.helpers.levers:{family}", variant=None, policy=SMALL, **changes)
    return metarl.train(algorithm, config=config, run_dir=tmp_path / name)


@pytest.mark.parametrize("family", ["LEVERS", "SWITCHES", "PAIRS"])
def test_a_policy_of_several_choices_adapts(tmp_path, family):
    run = train(tmp_path, family, iterations=4, meta_batch_size=4, episodes=10, inner=InnerConfig(lr=1.0))
    curve = metarl.evaluate(run, tasks=4, episodes=10, steps=2)["return"]["mean"]
    assert curve[-1] > curve[0] + 0.5
    agent = metarl.load(run)
    declared = getattr(levers, family)
    env = declared.make({"wanted": np.int64(1)})
    adapted = agent.adapt(env, episodes=10, steps=3)
    observation, _ = env.reset(seed=0)
    assert env.action_space.contains(adapted.act(observation))
    for step in range(3):
        observation, reward, *_ = env.step(adapted.act(observation, deterministic=False))
        adapted.record(reward, truncated=step == 2)
    assert len(adapted.update().returns) == 4
    adapted.export(tmp_path / "policy.pt2")
    found = torch.export.load(tmp_path / "policy.pt2").module()(observation=torch.zeros(1, 1))["action"]
    expected = np.concatenate([np.atleast_1d(part) for part in adapted.act(np.zeros(1, np.float32))])
    assert found[0].tolist() == expected.tolist()


@pytest.mark.parametrize("algorithm", [pytest.param("promp", marks=pytest.mark.slow), "reptile"])
def test_workers_step_tuples_as_this_process_does(tmp_path, algorithm):
    here = train(tmp_path, "PAIRS", algorithm, "here", iterations=1)
    there = train(tmp_path, "PAIRS", algorithm, "there", iterations=1, workers=2)
    assert_same_run(here, there)


def test_logged_episodes_are_checked_choice_by_choice(tmp_path):
    agent = metarl.load(train(tmp_path, "LEVERS", iterations=1))
    agent.record_episode(np.zeros((2, 1)), [[1, 0], [3, 1]], [0.0, 1.0])
    assert agent.recorded == [1.0]
    with pytest.raises(FamilyError, match="actions: expected whole numbers of MultiDiscrete"):
        agent.record_episode(np.zeros((1, 1)), [[0, 0]], [0.0])


def test_families_of_several_choices_pass_the_checks():
    for family in (levers.LEVERS, levers.SWITCHES, levers.PAIRS):
        assert [finding for finding in check_family(family) if finding.verdict == "fail"] == []


def test_other_action_spaces_are_named(tmp_path):
    run = train(tmp_path, "LEVERS", iterations=1)
    with pytest.raises(RunError, match="actions are one of 3 x 2 choices; those of family 'switches': one of 2 x 2"):
        metarl.evaluate(run, family=levers.SWITCHES, tasks=1)
    with pytest.raises(FamilyError, match="trained on MultiDiscrete"):
        metarl.load(run).adapt(levers.Switches())
