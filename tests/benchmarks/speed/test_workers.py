"""The benchmark of ordinary environments compares processor times."""

import re

import pytest

from benchmarks.speed import workers


def test_it_prints_a_ratio_for_each_environment(capsys):
    workers.main(["--tasks", "2", "--episodes", "2", "--steps", "3", "--repetitions", "1"])
    lines = capsys.readouterr().out.splitlines()
    pattern = r"(\S+): 4 sub-environments cost (\d+\.\d+) times gymnasium's vector environment"
    found = [re.fullmatch(pattern, line) for line in lines]
    assert [match[1] for match in found] == list(workers.VARIED)
    assert all(float(match[2]) > 0 for match in found)


@pytest.mark.parametrize("discrete", [False, True])
def test_actions_are_the_policy_s(discrete):
    actions = workers.random_actions(workers.Options(tasks=2, episodes=3, steps=50), discrete)
    assert len(actions) == 50
    assert {tuple(action.shape) for action in actions} == {(2, 3) if discrete else (2, 3, 1)}
    values = {float(value) for action in actions for value in action.flatten()}
    assert values == {0.0, 1.0, 2.0} if discrete else -1 <= min(values) < -0.9 < 0.9 < max(values) <= 1
