from dataclasses import replace

import pytest

from metarl.report.history import read_history
from metarl.report.notes import notes_of
from metarl.report.tasks import TaskScores


@pytest.fixture(scope="module")
def histories(runs):
    return {"maml": [read_history(run) for run in runs[:2]], "promp": [read_history(runs[2])]}


def texts(measured, histories):
    scores = {label: TaskScores(results, measured.tasks) for label, results in measured.results.items()}
    return [f"{note.level}: {note.text}" for note in notes_of(measured, histories, scores)]


def test_what_went_wrong_comes_first(measured, histories):
    stopped = replace(
        histories["promp"][0], state="stopped", total=9, rejected=1, unscored=1, unreadable=["x: damaged"],
        manifest={**histories["promp"][0].manifest, "commit": "abc-dirty", "numerics": 1},
    )  # fmt: skip
    found = texts(replace(measured, warnings=["UserWarning: odd"]), {**histories, "promp": [stopped]})
    where = str(stopped.run)
    for expected in (
        f"warning: {where}: stopped after 2 of 9 iterations.",
        "warning: x: damaged; passed over.",
        f"warning: {where}: 1 checkpoint has no score on meta-validation tasks.",
        f"warning: {where}: the line search kept the old parameters in 1 iterations (50%).",
        f"warning: {where}: trained from files that differ from their commit.",
        "warning: UserWarning: odd",
        "note: promp: one training seed, so how much a seed matters is unknown.",
    ):
        assert expected in found
    levels = [text.split(":")[0] for text in found]
    assert levels == sorted(levels, reverse=True)


def test_divergence_while_adapting_is_counted(measured, histories):
    (result,) = measured.results["promp"]
    rows = [[1.0, None, None], *result["per_task"][1:]]
    results = {**measured.results, "promp": [{**result, "per_task": rows}]}
    found = texts(replace(measured, results=results), histories)
    assert "warning: promp: adaptation diverged on 1 of 4 tasks, over all seeds." in found


def test_a_sound_run_has_no_warning(measured, histories):
    clean = {
        label: [replace(run, manifest={**run.manifest, "commit": None}) for run in runs]
        for label, runs in histories.items()
    }
    found = texts(measured, clean)
    assert not [text for text in found if text.startswith("warning") and "harms" not in text]
