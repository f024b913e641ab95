"""What a rate that does not suit leaves behind: sound baselines, and files that are JSON."""

import json
from dataclasses import replace

from benchmarks.fewshot.configs import KINDS, default_config
from metarl.training.assembly import assemble
from metarl.training.start import opened
from tests.helpers.fewshot import fewshot


def test_training_from_scratch_does_not_diverge_at_a_rate_for_trained_parameters(tmp_path):
    """At CAVIA's rate of one, or at 0.1, an untrained network is worse after a step than before."""
    run, result = tmp_path / "run", tmp_path / "r.json"
    code, _, err = fewshot(f"train sinusoid maml --inner.lr 0.1 --iterations 1 --validation-tasks 0 --run-dir {run}")
    assert (code, err) == (0, "")
    line = f"evaluate {run} --initialisation random --tasks 200 --steps 1 --json {result}"

    def measured(extra=""):
        code, out, err = fewshot(line + extra)
        assert (code, err) == (0, "")
        found = json.loads(result.read_text())
        return found["negative_mse"]["mean"], found["protocol"]["inner_lr"], "on meta-validation tasks" in out

    (before, after), rate, tuned = measured()
    assert tuned
    assert rate < 0.1
    assert after > before
    (_, given), rate, tuned = measured(" --inner-lr 0.1")
    assert (rate, tuned) == (0.1, False)
    assert given < before


def test_metrics_of_a_task_that_diverges_are_json(tmp_path):
    """A task's error may be infinite in float32 while its parameters are finite still."""

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    config = replace(default_config("sinusoid", "reptile"), iterations=1, validation_tasks=0)
    measured = {"negative_mse": [-1.5, float("-inf"), None], "difference_norm": float("nan"), "seconds": {"adapt": 0.5}}
    with (
        assemble("reptile", config, KINDS["sinusoid"]) as parts,
        opened(parts, tmp_path / "run", or_resume=False) as training,
        training.recording(1),
    ):
        assert training.record(measured)["negative_mse"][1] == float("-inf")
    line = (tmp_path / "run" / "metrics.jsonl").read_text()
    record = json.loads(line, parse_constant=refuse)
    assert record["negative_mse"] == [-1.5, None, None]
    assert (record["difference_norm"], record["seconds"], record["examples"]) == (None, {"adapt": 0.5}, 0)
