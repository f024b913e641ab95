"""Published experiments beside runs: what is measured, and what the table and the command say."""

import json

import pytest
from rich.console import Console

import metarl
from metarl.cli import main
from metarl.config.protocols import Protocol, find_protocol, protocol_files
from metarl.evaluation import reproduction as module
from metarl.evaluation.reproduction import measure_reproduction, print_protocols, print_reproduction, steps_of

SMALL = {"tasks": 3, "samples_per_step": 100, "steps": 1}


@pytest.fixture
def few_tasks(monkeypatch):
    """The experiment with little to measure."""
    from dataclasses import replace

    def found(name):
        protocol = find_protocol(name)
        return replace(protocol, evaluation=replace(protocol.evaluation, **SMALL))

    monkeypatch.setattr(module, "find_protocol", found)


def test_the_command_trains_measures_and_uses_runs_again(tmp_path, capsys, few_tasks):
    line = ["reproduce", "finn17-navigation2d", "--run-dir", str(tmp_path / "runs"), "--seeds", "3", "4",
            "--iterations", "1", "--json", str(tmp_path / "result.json")]  # fmt: skip
    assert main(line) == 0
    said = capsys.readouterr().out
    assert "MAML, published" in said
    assert "shortened: 1 of 100 iterations" in said
    assert "differs: The published row is one run." in said.replace("\n", " ")
    result = json.loads((tmp_path / "result.json").read_text())
    for seed, mean in zip((3, 4), result["per_seed"], strict=True):
        options = {**SMALL, "seed": 1}
        measured = metarl.evaluate(tmp_path / "runs" / f"seed-{seed}", **options)
        assert mean == pytest.approx(measured["return"]["mean"])
    assert result["metarl"]["mean"][1] == pytest.approx(sum(curve[1] for curve in result["per_seed"]) / 2)
    assert result["metarl"]["worst_seed"][1] == pytest.approx(min(curve[1] for curve in result["per_seed"]))
    assert (result["seeds"], result["iterations"]) == ([3, 4], [1, 1])
    before = (tmp_path / "runs" / "seed-3" / "metrics.jsonl").read_bytes()
    assert main(line) == 0
    assert (tmp_path / "runs" / "seed-3" / "metrics.jsonl").read_bytes() == before


def test_a_trial_counts_every_episode(monkeypatch, tmp_path):
    """Two tasks with returns 1, 2, 3 and 3, 4, 5: trials of 6 and 12."""
    monkeypatch.setattr(
        module, "evaluate_on_family", lambda run, options: {"per_task": [[1, 2, 3], [3, 4, 5]], "task_ids": [0, 1]}
    )
    record = {"iteration": 2000, "environment_steps": 5, "wall_seconds": 1.0}
    monkeypatch.setattr(module, "read_metrics", lambda run: [record])
    monkeypatch.setattr(module, "read_config", lambda run: ("rl2", find_protocol("duan16-n10-k5").config))
    result = measure_reproduction("duan16-n10-k5", [tmp_path])
    assert result["metarl"]["mean"] == [9.0]
    console = Console(record=True, width=160)
    print_reproduction(result, console)
    assert "a trial" in console.export_text()


def test_all_are_listed(capsys):
    print_protocols()
    said = capsys.readouterr().out
    assert all(name[:15] in said for name in protocol_files())


def test_environment_steps_of_a_seed():
    """100 iterations x 40 tasks x 20 episodes x 200 steps, before and after adaptation."""
    assert steps_of(find_protocol("finn17-cheetah-dir")) == 32_000_000
    assert steps_of(find_protocol("finn17-navigation2d")) == 8_000_000
    assert steps_of(find_protocol("duan16-mdp-n10")) == 25_000_000
    assert isinstance(find_protocol("duan16-mdp-n10"), Protocol)


def test_what_is_missing_is_named(capsys):
    assert main(["reproduce", "finn17-cheetah-dri", "--run-dir", "x"]) == 2
    assert "did you mean 'finn17-cheetah-dir'" in capsys.readouterr().err
    assert main(["reproduce", "finn17-cheetah-dir"]) == 2
    assert capsys.readouterr().err == "metarl: error: --run-dir is missing; expected the directory of the runs\n"
