"""`metarl tune` as a shell sees it."""

import json

import pytest

from tests.helpers.cli import metarl as command_line

TINY = "--iterations 2 --meta-batch-size 2 --episodes 2 --validation-tasks 2 --policy.hidden-sizes 4 --seeds 5 6"


def test_the_command_writes_a_preset_that_trains(tmp_path):
    names = {"tmp": tmp_path, "tiny": TINY}
    line = (
        "tune maml --family navigation2d --study-dir {tmp}/study {tiny} --trials 2 --json {tmp}/t.json "
        "--search adam.lr=log:1e-4:1e-2 inner.lr=0.5,0.2"
    )
    code, out, err = command_line(line, **names)
    assert (code, err) == (0, "")
    assert out.startswith("trial 0: --adam.lr 0.003, --inner.lr 0.5: ")
    assert f"saved {tmp_path}/study/preset.toml" in out
    table = json.loads((tmp_path / "t.json").read_text())
    assert (table["trials"], table["variant"]) == (2, "finn17")
    code, _, err = command_line(
        "train maml --config {tmp}/study/preset.toml --run-dir {tmp}/run --iterations 1", **names
    )
    assert (code, err) == (0, "")
    # The same command has nothing more to do; another one is about another study.
    assert command_line(line, **names)[1].count("trial 0:") == 0
    code, _, err = command_line(line + " --inner.steps 2", **names)
    assert (code, err) == (2, f"metarl: error: {tmp_path}/study: not resumed: its inner.steps is 1 there and 2 here; "
                              "choose another --study-dir\n")  # fmt: skip


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tune maml", "--study-dir is missing; expected the directory of the study"),
        ("tune mamel --study-dir x", "unknown algorithm 'mamel'"),
        ("tune maml --study-dir x --search adam.lr=1:2 --adam.lr 3", "--adam.lr = 3.0; expected none: it is searched"),
        ("tune maml --study-dir x --space none.toml", "none.toml: cannot be read"),
        ("tune maml --study-dir x --trails 3", "unknown option --trails; did you mean '--trials'?"),
    ],
)
def test_wrong_commands(line, message):
    code, out, err = command_line(line)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_help_is_short():
    code, out, _ = command_line("tune promp --help")
    assert code == 0
    assert len(out.splitlines()) <= 45
    assert "--study-dir" in out
    assert "usage: metarl tune ALGORITHM" in command_line("tune")[1]
    assert "--sampler" in command_line("tune promp --help-all")[1]
