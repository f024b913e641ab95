"""Runs that were begun by a metarl whose mathematics or defaults were others."""

from dataclasses import replace

import pytest

from metarl.core.errors import RunError
from metarl.runs.manifest import NUMERICS, read_manifest
from metarl.training.start import resume, train
from tests.helpers.checkpoints import rewrite
from tests.helpers.cli import metarl


@pytest.fixture
def older(tmp_path, tiny_config):
    """A run of two iterations whose checkpoint states another version."""
    train("maml-trpo", replace(tiny_config, iterations=2), tmp_path / "run")
    assert read_manifest(tmp_path / "run" / "checkpoints" / "00000002")["numerics"] == NUMERICS
    rewrite(tmp_path / "run" / "checkpoints" / "00000002", numerics=99)
    return tmp_path / "run"


def test_they_are_not_resumed_unawares(older, tiny_config):
    before = {path: path.read_bytes() for path in older.rglob("*") if path.is_file() and path.name != ".lock"}
    code, out, err = metarl("resume {run} --iterations 3", run=older)
    assert (code, out) == (2, "")
    assert err == (
        f"metarl: error: {older}: numerics version 99; this metarl computes by version {NUMERICS} and would make "
        "another run of it; add --accept-numerics to go on all the same\n"
    )
    with pytest.raises(RunError, match="numerics version 99"):
        train("maml-trpo", replace(tiny_config, iterations=2), older, or_resume=True)
    after = {path: path.read_bytes() for path in older.rglob("*") if path.is_file() and path.name != ".lock"}
    assert after == before


def test_they_go_on_where_that_is_accepted(older):
    code, out, err = metarl("resume {run} --iterations 3 --accept-numerics", run=older)
    assert (code, err) == (0, "")
    assert "00000003" in out
    assert read_manifest(older / "checkpoints" / "00000003")["numerics"] == NUMERICS
    assert resume(older, iterations=4).iteration == 4, "what goes on has the present version"


def test_or_resume_accepts_them_as_well(older, tiny_config):
    config = replace(tiny_config, iterations=2)
    assert train("maml-trpo", config, older, or_resume=True, accept_numerics=True).iteration == 2


def test_checkpoints_that_state_none_are_of_the_first_version(older):
    rewrite(older / "checkpoints" / "00000002", numerics=1)
    if NUMERICS == 1:
        assert resume(older, iterations=3).iteration == 3
    else:
        with pytest.raises(RunError, match="numerics version 1;"):
            resume(older, iterations=3)
