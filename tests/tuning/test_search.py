"""Searches: what they draw, what they survive, and what they refuse."""

import json
import os
import signal
import sys
from dataclasses import replace

import pytest

from metarl.core.errors import ConfigError, Divergence, EnvironmentFault, RunError
from metarl.families.splits import UniformSplits
from metarl.tuning import run_search
from metarl.tuning.space import parse_space
from tests.helpers.tuning import scored


def timeless(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_a_search_draws_no_test_task_and_goes_on_exactly_after_its_process_died(about, tmp_path, monkeypatch):
    splits = set()
    sample = UniformSplits.sample

    def noting(self, n, split, rng):
        splits.add(split)
        return sample(self, n, split, rng)

    monkeypatch.setattr(UniformSplits, "sample", noting)
    through = run_search(about, tmp_path / "through", trials=3).result
    assert splits == {"meta-train", "meta-validation"}

    from metarl.tuning import trial

    class Died(BaseException):
        pass

    run = trial.scores_by_checkpoint

    def dying(folder, *args, **options):
        for scores in run(folder, *args, **options):
            yield scores
            if folder.name == "0001" and scores.iteration == 2:
                raise Died

    monkeypatch.setattr(trial, "scores_by_checkpoint", dying)
    with pytest.raises(Died):
        run_search(about, tmp_path / "again", trials=3)
    monkeypatch.setattr(trial, "scores_by_checkpoint", run)
    lines: list[str] = []
    again = run_search(about, tmp_path / "again", trials=3, log=lines.append).result
    assert timeless(again["rows"]) == timeless(through["rows"])
    assert [line.partition(":")[0] for line in lines] == ["trial 1", "trial 2"]
    # The first trial is the configuration as it was given.
    first = next(row for row in again["rows"] if row["trial"] == 0)
    assert first["options"] == {"adam.lr": 0.003, "inner.lr": 0.1}
    assert first["score"] == pytest.approx(sum(first["scores"]) / 2)
    assert json.loads((tmp_path / "again" / "table.json").read_text())["best"] == again["best"]


def test_ctrl_c_ends_a_search_cleanly_and_the_same_command_goes_on(about, tmp_path, monkeypatch):
    monkeypatch.setattr("metarl.tuning.trial.scores_by_checkpoint", scored(lambda config, _: -config.adam.lr))
    found = run_search(about, tmp_path / "study", trials=3, log=lambda line: os.kill(os.getpid(), signal.SIGINT))
    assert (found.signal, found.result["trials"]) == (signal.SIGINT, 1)
    assert (tmp_path / "study" / "preset.toml").exists()
    found = run_search(about, tmp_path / "study", trials=3)
    assert (found.signal, found.result["complete"]) == (None, 3)
    assert run_search(about, tmp_path / "study", trials=2).result["trials"] == 3


def test_a_trial_that_stands_below_the_median_ends_early(about, tmp_path, monkeypatch):
    """The first five are trained to the end; the sixth is the worst at once."""
    asked: list[tuple[float, int]] = []

    def worse_and_worse(config, iteration):
        rates = [rate for rate, _ in asked]
        asked.append((config.adam.lr, iteration))
        return -len(set(rates) | {config.adam.lr})

    monkeypatch.setattr("metarl.tuning.trial.scores_by_checkpoint", scored(worse_and_worse))
    result = run_search(replace(about, sampler="random"), tmp_path / "study", trials=6).result
    (last,) = (row for row in result["rows"] if row["state"] == "pruned")
    assert (last["trial"], last["iteration"], last["score"]) == (5, 2, None)
    assert (result["complete"], result["pruned"], result["best"]["trial"]) == (5, 1, 0)
    assert (result["best"]["score"], result["best"]["worst_seed"]) == (-0.5, -1.0)
    assert result["environment_steps"] == 5 * 500 + 200
    unpruned = run_search(replace(about, sampler="random", prune=False), tmp_path / "all", trials=6).result
    assert unpruned["complete"] == 6


def test_trials_that_fail_are_recorded_and_the_study_goes_on(about, tmp_path, monkeypatch):
    errors = iter(
        [Divergence("seed 5, iteration 3: theta"), EnvironmentFault("no motor"), ValueError("of one's own"), None]
    )

    def failing(config, iteration):
        error = next(errors, None) if iteration == 2 else None
        if error is not None:
            raise error
        return 1.0

    monkeypatch.setattr("metarl.tuning.trial.scores_by_checkpoint", scored(failing))
    result = run_search(about, tmp_path / "study", trials=5).result
    rows = sorted(result["rows"], key=lambda row: row["trial"])
    assert [(row["state"], row["error"]) for row in rows] == [
        ("diverged", "seed 5, iteration 3: theta"),
        ("failed", "no motor"),
        ("failed", "ValueError: of one's own"),
        ("complete", None),
        ("complete", None),
    ]
    assert [result[state] for state in ("complete", "diverged", "failed")] == [2, 1, 2]


def test_a_study_without_a_single_score_says_why(about, base, tmp_path):
    diverging = replace(about, space=parse_space(["inner.lr=1e4:1e5"], base), seeds=(5,))
    with pytest.raises(RunError) as caught:
        run_search(diverging, tmp_path / "study", trials=2)
    text = str(caught.value)
    assert "study: no trial of 2 has a score; trial 0: seed 5, iteration 1: log_std is" in text
    assert "\n" not in text


def test_a_directory_that_cannot_be_used_stops_the_study_and_not_the_trial(about, tmp_path, monkeypatch):
    def full(config, iteration):
        raise RunError("disk full")

    monkeypatch.setattr("metarl.tuning.trial.scores_by_checkpoint", scored(full))
    for _ in range(4):
        with pytest.raises(RunError, match="disk full"):
            run_search(about, tmp_path / "study", trials=2)
    monkeypatch.setattr("metarl.tuning.trial.scores_by_checkpoint", scored(lambda config, _: 1.0))
    assert run_search(about, tmp_path / "study", trials=2).result["complete"] == 2


@pytest.mark.slow
def test_processes_share_a_study(about, tmp_path):
    result = run_search(about, tmp_path / "two", trials=4, workers=2, threads=1).result
    assert (result["trials"], result["complete"]) == (4, 4)
    alone = run_search(about, tmp_path / "one", trials=1).result
    first = next(row for row in result["rows"] if row["trial"] == 0)
    assert timeless([first]) == timeless(alone["rows"])


@pytest.mark.slow
def test_an_error_of_a_process_is_that_of_the_search(about, tmp_path):
    (tmp_path / "study").mkdir()
    broken = replace(about, config=replace(about.config, initialise_from=str(tmp_path / "none")))
    with pytest.raises(RunError, match="none"):
        run_search(broken, tmp_path / "study", trials=2, workers=2)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"space": {}}, {}, "--search is missing"),
        ({"seeds": ()}, {}, "--seeds = ; expected at least one"),
        ({"seeds": (1, 1)}, {}, "--seeds = 1 1; expected at least one, and each once"),
        ({"seeds": (-1,)}, {}, "--seed = -1; expected a number that is not negative"),
        (
            {"sampler": "grid"},
            {},
            r"--search adam\.lr = log:0\.0001:0\.1; expected a list of values for --sampler grid",
        ),
        ({}, {"trials": 0}, "--trials = 0; expected a whole number of at least 1"),
        ({}, {"workers": 0}, "--workers = 0; expected"),
    ],
)
def test_what_no_trial_could_do_is_refused_at_once(about, tmp_path, changes, options, message):
    with pytest.raises(ConfigError, match=message):
        run_search(replace(about, **changes), tmp_path / "study", **options)
    assert not (tmp_path / "study").exists()


def test_tasks_that_score_are_needed(about, tmp_path):
    without = replace(about, config=replace(about.config, validation_tasks=0))
    with pytest.raises(ConfigError, match="--validation-tasks = 0; expected a whole number of at least 1"):
        run_search(without, tmp_path / "study")
    nameless = replace(about, config=replace(about.config, family="<mine>"))
    with pytest.raises(ConfigError, match="--workers = 2; expected 1: the family has no name"):
        run_search(nameless, tmp_path / "study", workers=2)


def test_a_missing_package_is_one_line(about, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"tune: optuna is not installed; pip install 'metarl-toolkit\[tune\]'"):
        run_search(about, tmp_path / "study")
