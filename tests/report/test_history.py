import json
import shutil

import numpy as np
import pytest

from metarl.core.errors import RunError
from metarl.report.history import mean_over_seeds, read_history, thinned
from metarl.runs.directory import read_metrics
from metarl.runs.manifest import list_checkpoints


@pytest.fixture
def copy(runs, tmp_path):
    return shutil.copytree(runs[0], tmp_path / "copy")


def test_a_history_is_what_the_files_say(runs):
    history, records = read_history(runs[0]), read_metrics(runs[0])
    assert history.state == "finished"
    assert history.after.tolist() == [record["return"][-1] for record in records]
    assert history.before.tolist() == [record["return"][0] for record in records]
    assert history.phases["collect"] == pytest.approx(sum(record["seconds"]["collect"] for record in records))
    assert [used for used, _ in history.validation] == [record["environment_steps"] for record in records]
    assert (history.unscored, history.unreadable, history.rejected) == (0, [], 0)


def test_damage_is_told_and_passed_over(copy):
    newest = list(list_checkpoints(copy).values())[-1]
    (newest / "manifest.json").write_text("{")
    with open(copy / "metrics.jsonl", "a") as file:
        file.write('{"iteration": 3, "environment_st')
    history = read_history(copy)
    assert len(history.unreadable) == 1
    assert "damaged" in history.unreadable[0]
    assert history.manifest["iteration"] == 1
    assert len(history.used) == 2


def test_values_that_were_not_finite_are_unknown(copy):
    records = read_metrics(copy)
    records[0]["return"] = [None, None]
    records[1]["line_search"] = {"accepted": False}
    (copy / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    history = read_history(copy)
    assert np.isnan(history.after[0])
    assert history.rejected == 1


def test_a_run_without_metrics_is_refused(copy):
    (copy / "metrics.jsonl").write_text("\n")
    with pytest.raises(RunError, match="no complete record"):
        read_history(copy)
    (copy / "metrics.jsonl").unlink()
    with pytest.raises(RunError, match=r"has no metrics\.jsonl"):
        read_history(copy)


def test_long_curves_are_averaged_in_blocks():
    assert len(thinned(np.arange(1000.0))) == 200
    assert thinned(np.arange(1000.0))[0] == 2.0
    assert mean_over_seeds([np.arange(5.0), np.arange(3.0) + 2]).tolist() == [1, 2, 3]
