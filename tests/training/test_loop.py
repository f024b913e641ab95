import json
from dataclasses import replace

import pytest
import torch

from metarl.config.run import InnerConfig
from metarl.core.errors import EnvironmentFault
from metarl.runs.checkpoint import load_checkpoint
from metarl.runs.directory import read_config, read_metrics
from metarl.runs.manifest import list_checkpoints, read_manifest
from metarl.training.assembly import assemble
from metarl.training.loop import Training
from metarl.training.start import resume, train
from tests.helpers.runs import assert_same_run


def test_checkpoints_are_kept_as_configured(tmp_path, tiny_config):
    from dataclasses import replace

    train("maml-trpo", replace(tiny_config, keep_checkpoints=1, checkpoint_every=1), tmp_path / "few")
    train("maml-trpo", replace(tiny_config, checkpoint_every=1), tmp_path / "all")
    kept = {path.name for path in (tmp_path / "few" / "checkpoints").iterdir()}
    scores = {}
    for folder in (tmp_path / "all" / "checkpoints").iterdir():
        scores[folder.name] = json.loads((folder / "manifest.json").read_text())["meta_validation"]["score"]
    assert len(scores) == 4
    assert kept == {"00000004", max(scores, key=scores.get)}


def test_a_run_holds_what_scripts_rely_on(tmp_path, tiny_config):
    run = tmp_path / "run"
    outcome = train("maml-trpo", tiny_config, run)
    assert (outcome.iteration, outcome.signal) == (4, None)
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["00000002", "00000004"]
    records = read_metrics(run)
    assert [r["iteration"] for r in records] == [1, 2, 3, 4]
    for record in records:
        assert {
            "environment_steps",
            "wall_seconds",
            "return",
            "kl",
            "line_search",
            "seconds",
        } <= record.keys()
        assert len(record["return"]) == 2
        assert record["kl"] <= tiny_config.trust_region.max_kl
    assert records[-1]["environment_steps"] <= 4 * 2 * 3 * 3 * 100
    assert records[-1]["environment_steps"] == read_manifest(run / "checkpoints" / "00000004")["environment_steps"]
    assert any(p.name.startswith("events.out") for p in (run / "tensorboard").iterdir())
    assert read_config(run) == ("maml-trpo", tiny_config)
    assert len(read_manifest(run / "checkpoints" / "00000004")["meta_validation"]["return"]) == 2


@pytest.mark.parametrize(
    "inner",
    [
        InnerConfig(lr=0.3, steps=2),
        InnerConfig(lr=0.3, steps=3, first_order=True, later_lr=0.1),
        InnerConfig(steps=0),
    ],
)
def test_any_number_of_inner_steps(tmp_path, tiny_config, inner):
    train("maml-trpo", replace(tiny_config, inner=inner, iterations=1), tmp_path / "run")
    assert len(read_metrics(tmp_path / "run")[0]["return"]) == inner.steps + 1


@pytest.mark.parametrize("change", [{}, {"samples_per_step": 250}, {"observe_task": True}, {"dtype": "float64"}])
def test_the_same_run_twice_is_bitwise_the_same(tmp_path, tiny_config, change):
    config = replace(tiny_config, **change)
    train("maml-trpo", config, tmp_path / "a")
    train("maml-trpo", config, tmp_path / "b")
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_another_seed_is_another_run(tmp_path, tiny_config):
    train("maml-trpo", tiny_config, tmp_path / "a")
    train("maml-trpo", replace(tiny_config, seed=2), tmp_path / "b")
    assert read_metrics(tmp_path / "a")[0]["return"] != read_metrics(tmp_path / "b")[0]["return"]


def test_what_a_run_does_does_not_depend_on_how_it_is_watched(tmp_path, tiny_config):
    train("maml-trpo", tiny_config, tmp_path / "a")
    train(
        "maml-trpo",
        replace(tiny_config, checkpoint_every=1, validation_tasks=0),
        tmp_path / "b",
        report=lambda record: None,
    )
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_a_crash_after_the_checkpoint_is_undone_on_resume(tmp_path, tiny_config):
    """Lines that were written after the last checkpoint, a torn one too, are written anew."""
    train("maml-trpo", tiny_config, tmp_path / "whole")
    train("maml-trpo", replace(tiny_config, iterations=2), tmp_path / "crashed")
    with open(tmp_path / "crashed" / "metrics.jsonl", "a") as file:
        file.write(json.dumps({"iteration": 3, "return": [0, 0]}) + '\n{"iteration": 4, "ret')
    resume(tmp_path / "crashed", iterations=4)
    assert_same_run(tmp_path / "whole", tmp_path / "crashed")


def test_resuming_past_a_damaged_checkpoint(tmp_path, tiny_config):
    train("maml-trpo", tiny_config, tmp_path / "whole")
    train("maml-trpo", tiny_config, tmp_path / "damaged")
    (tmp_path / "damaged" / "checkpoints" / "00000004" / "theta.safetensors").write_bytes(b"nonsense")
    with pytest.warns(UserWarning, match="using 00000002 instead"):
        resume(tmp_path / "damaged")
    assert_same_run(tmp_path / "whole", tmp_path / "damaged")


def test_any_gymnasium_family_trains_and_resumes_exactly(tmp_path, tiny_config):
    config = replace(
        tiny_config, family="tests.helpers.families:SHORT_PENDULUM", variant=None, meta_batch_size=2, episodes=2
    )
    train("maml-trpo", config, tmp_path / "whole")
    train("maml-trpo", replace(config, iterations=1), tmp_path / "parts")
    resume(tmp_path / "parts", iterations=4)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_adaptation_is_learned(tmp_path, tiny_config):
    """Twenty small iterations make one adaptation step worth much more than it was."""
    config = replace(
        tiny_config,
        iterations=20,
        meta_batch_size=10,
        episodes=10,
        inner=InnerConfig(lr=0.5),
        validation_tasks=0,
    )
    train("maml-trpo", config, tmp_path / "run")
    gains = [r["return"][1] - r["return"][0] for r in read_metrics(tmp_path / "run")]
    assert sum(gains[-5:]) / 5 > 10
    state, _ = load_checkpoint(max(list_checkpoints(tmp_path / "run").values()))
    assert all(bool(torch.isfinite(v).all()) for v in state["theta"].values())


@pytest.mark.parametrize("algorithm", ["maml-trpo", "maml", "reptile"])
def test_a_run_of_no_iterations_is_saved(tmp_path, tiny_config, algorithm):
    from metarl.config.registry import ALGORITHMS

    config = ALGORITHMS[algorithm].config(variant="finn17", iterations=0, validation_tasks=1, episodes=2)
    assert train(algorithm, config, tmp_path / "run").iteration == 0
    assert list(list_checkpoints(tmp_path / "run")) == [0]


def test_a_fault_on_a_validation_task_costs_the_score_only(tmp_path, tiny_config, monkeypatch):
    def broken(*_, **__):
        raise EnvironmentFault("reward is not finite at task 1, episode 0, step 2")

    monkeypatch.setattr("metarl.training.validation.adaptation_curve", broken)
    with pytest.warns(UserWarning, match="iteration 2: the checkpoint has no score: reward is not finite"):
        train("maml-trpo", tiny_config, tmp_path / "run")
    assert read_manifest(tmp_path / "run" / "checkpoints" / "00000004")["meta_validation"] is None


def test_other_numbers_of_threads_are_warned_of(tmp_path, tiny_config, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    train("maml-trpo", replace(tiny_config, iterations=1), tmp_path / "run")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with pytest.warns(UserWarning, match="trained with 1 threads, goes on with 2"):
        resume(tmp_path / "run", iterations=2)


def test_the_number_of_threads_is_chosen_once_and_reused(tmp_path, tiny_config, monkeypatch):
    """Also where the machine is busy when the run goes on, and by an evaluation."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    seen, before = [], torch.get_num_threads()
    step = Training.iterate
    monkeypatch.setattr(Training, "iterate", lambda self: seen.append(torch.get_num_threads()) or step(self))
    monkeypatch.setattr("metarl.training.loop.choose_threads", lambda elements, processes: 2)
    train("maml-trpo", replace(tiny_config, iterations=1), tmp_path / "run")
    monkeypatch.setattr("metarl.training.loop.choose_threads", lambda elements, processes: 1)
    resume(tmp_path / "run", iterations=2)
    assert seen == [2, 2]
    assert read_manifest(tmp_path / "run" / "checkpoints" / "00000002")["threads"] == 2
    assert torch.get_num_threads() == before


def test_the_number_of_threads_depends_on_tasks_episodes_and_width(tmp_path, tiny_config, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    asked = []
    monkeypatch.setattr("metarl.training.loop.choose_threads", lambda *a, **k: asked.append((a, k)) or 1)
    with assemble("maml-trpo", tiny_config) as parts:
        horizon, widest = parts.setup.family.horizon, max(tiny_config.policy.hidden_sizes)
        for seeds in (1, 3):
            with Training(parts, tmp_path / str(seeds), new=True, seeds=seeds):
                pass
    alone = tiny_config.meta_batch_size * tiny_config.episodes * horizon * widest
    assert asked == [((alone,), {"processes": 1}), ((3 * alone,), {"processes": 1})]
