import numpy as np
import pytest

from metarl.report.episodes import chosen_tasks, shown_episodes


def test_the_episodes_are_those_that_were_measured(measured, options):
    shown = shown_episodes(measured, "promp", options.episodes, options.seed)
    per_task = measured.results["promp"][0]["per_task"]
    assert [one.role for one in shown] == ["best", "median", "worst"]
    for one in shown:
        for episodes, step in ((one.before, 0), (one.after, -1)):
            found = np.mean([episode.rewards.sum() for episode in episodes])
            assert found == pytest.approx(per_task[one.task][step], rel=1e-4)


def test_memory_is_carried_to_the_episode_that_is_shown(memory_run, options):
    from dataclasses import replace

    from metarl.report.measure import measure

    found = measure(replace(options, runs=(memory_run,), tasks=3))
    shown = shown_episodes(found, "rl2", options.episodes, options.seed)
    per_task = found.results["rl2"][0]["per_task"]
    assert len(shown) == 3
    for one in shown:
        total = np.mean([episode.rewards.sum() for episode in one.after])
        assert total == pytest.approx(per_task[one.task][-1], rel=1e-4)


def test_a_task_that_diverged_is_the_worst():
    assert chosen_tasks(np.array([1.0, np.nan, 3.0, 2.0, 0.0])) == {"best": 2, "median": 0, "worst": 1}
    assert chosen_tasks(np.array([1.0])) == {"best": 0, "median": 0, "worst": 0}
