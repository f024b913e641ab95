from dataclasses import replace

import numpy as np
import pytest

from metarl.core.errors import ConfigError, RunError
from metarl.evaluation.comparison import compare
from metarl.report.measure import Evaluations, check_runs, measure


def test_runs_are_grouped_and_scored_as_compare_does(measured, options, cheap):
    result = compare(options.runs, tasks=options.tasks, episodes=options.episodes, steps=options.steps)
    assert measured.inside == result
    assert [method.label for method in measured.methods] == ["maml", "promp"]
    assert [len(results) for results in measured.results.values()] == [2, 1]


def test_single_scores_are_those_behind_the_averages(measured):
    scores = np.array([result["per_task"] for result in measured.results["maml"]])
    assert scores.mean((0, 1)) == pytest.approx(measured.inside["methods"][0]["return"]["mean"])


def test_nothing_is_computed_twice(options, monkeypatch, cheap):
    asked = []
    real = Evaluations.__call__

    def counted(run, progress, **options):
        asked.append((run, *sorted(options.items())))
        return evaluate(run, progress=progress, **options)

    from metarl.report import measure as module

    evaluate = module.evaluate_run
    monkeypatch.setattr(module, "evaluate_run", counted)
    assert Evaluations.__call__ is real
    found = measure(replace(options, tasks=2, episodes=1, steps=1))
    assert found.outside is not None
    assert len(asked) == len(set(asked))
    # Three rates on meta-validation tasks, the test tasks, and those out of distribution, for each run.
    assert len(asked) == 3 * 5


def test_a_run_counts_once(runs):
    with pytest.raises(RunError, match="given twice"):
        check_runs([runs[0], runs[0].parent / "promp" / ".." / runs[0].name])
    with pytest.raises(ConfigError, match="missing: RUN"):
        check_runs([])


def test_a_family_without_that_split_is_not_measured_outside(memory_run, options):
    found = measure(replace(options, runs=(memory_run,), tasks=3, episodes=2))
    assert found.outside is None
    assert found.inside["split"] == "meta-test"
