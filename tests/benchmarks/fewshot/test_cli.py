"""The few-shot commands are metarl's own: train, resume, evaluate, compare."""

import json

import pytest

from benchmarks.fewshot import omniglot
from benchmarks.fewshot.cli import evaluate
from metarl.core.errors import ConfigError
from metarl.runs.directory import read_metrics
from tests.helpers.cli import metarl
from tests.helpers.fewshot import IMAGES, TINY, fewshot
from tests.helpers.runs import assert_same_run

RUNS = {
    "sinusoid maml": TINY,
    "sinusoid maml --inner.adapt context --network.context 5 --inner.lr 1": TINY,
    "sinusoid reptile": TINY,
    "sinusoid pretrain": TINY,
    "omniglot maml --inner.first-order --train-ways 2": f"{TINY} {IMAGES} --train-ways 2",
    "omniglot reptile": f"{TINY} {IMAGES} --train-ways 2 --train-shots 3",
    "omniglot pretrain": f"{TINY} {IMAGES} --train-ways 4",
    "omniglot protonet": f"{TINY} {IMAGES}",
}


@pytest.mark.parametrize("what", RUNS)
def test_commands_are_metarls(what, archives, tmp_path):
    names = {"run": tmp_path / "run", "data": archives, "tmp": tmp_path}
    code, out, err = fewshot(f"train {what} {RUNS[what]} --run-dir {{run}}", **names)
    assert (code, err) == (0, "")
    assert "iteration 3/3" in out
    measure = "negative_mse" if what.startswith("sinusoid") else "accuracy"
    assert all(measure in record and record["examples"] > 0 for record in read_metrics(tmp_path / "run"))

    code, out, err = fewshot("evaluate {run} --tasks 8 --steps 2 --json {tmp}/r.json", **names)
    assert (code, err) == (0, "")
    assert measure.replace("_", " ") in out
    result = json.loads((tmp_path / "r.json").read_text())
    assert len(result[measure]["mean"]) == len(result["examples"]) == 3
    low, mean, high = (result[measure][name][1] for name in ("ci95_low", "mean", "ci95_high"))
    assert low <= mean <= high
    assert (result["splits"], result["tasks"], len(result["per_task"])) == ("disjoint", 8, 8)

    code, _, err = fewshot(f"train {what} {RUNS[what]} --iterations 2 --run-dir {{tmp}}/parts", **names)
    assert (code, err) == (0, "")
    code, _, err = fewshot("resume {tmp}/parts --iterations 3 --extend-schedule", **names)
    assert (code, err) == (0, "")
    if "reptile" not in what and "pretrain" not in what and "protonet" not in what and "omniglot" not in what:
        # Without a schedule the longer run is the same run.
        assert_same_run(tmp_path / "run", tmp_path / "parts")


def test_comparing_runs(tmp_path):
    for name, extra in (("a", ""), ("b", "--inner.first-order")):
        code, _, err = fewshot(f"train sinusoid maml {TINY} {extra} --run-dir {tmp_path}/{name}")
        assert (code, err) == (0, "")
    line = f"compare {tmp_path}/a {tmp_path}/b --scratch --tasks 6 --steps 2 --json {tmp_path}/c.json"
    code, out, err = fewshot(f"{line} --plot {tmp_path}/c.png")
    assert (code, err) == (0, "")
    assert "maml (inner.first_order True)" in out
    result = json.loads((tmp_path / "c.json").read_text())
    assert [m["label"] for m in result["methods"]][-1] == "scratch"
    for method in result["methods"]:
        assert method["negative_mse"]["ci95_low"][1] <= method["negative_mse"]["mean"][1]
    assert (tmp_path / "c.png").stat().st_size > 5000


def test_one_shot_and_five_shot_from_one_run(archives, tmp_path):
    options = IMAGES.replace("--train-ways 3 ", "")
    code, _, err = fewshot(f"train omniglot maml {TINY} {options} --run-dir {{run}}", data=archives,
                           run=tmp_path / "run")  # fmt: skip
    assert (code, err) == (0, "")
    few, more = (evaluate(tmp_path / "run", shots=k, queries=1, tasks=4, steps=1, split="meta-test") for k in (1, 4))
    assert (few["examples"], more["examples"]) == ([0, 2], [0, 8])
    apart = evaluate(tmp_path / "run", transductive=False, tasks=4, steps=1, split="meta-test")
    assert apart["protocol"]["query"].startswith("each beside")
    with pytest.raises(ConfigError, match="expected at most"):
        evaluate(tmp_path / "run", ways=60, tasks=4, steps=1, split="meta-test")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train omniglott maml", "unknown data set 'omniglott'"),
        ("train omniglot mamel", "unknown algorithm 'mamel'"),
        ("train sinusoid", "missing: METHOD (valid: maml, reptile, pretrain)"),
        ("train sinusoid protonet", "unknown algorithm 'protonet'"),
        ("train sinusoid maml", "--run-dir is missing"),
        ("train sinusoid maml --shots 0 --run-dir {tmp}/x", "--shots = 0; expected a whole number of at least 1"),
        ("train sinusoid maml --inner.estimator naive --run-dir {tmp}/x", "unknown option --inner.estimator"),
        ("train sinusoid maml --inner.adapt context --run-dir {tmp}/x", "--inner.adapt = context; expected a network"),
        ("train omniglot maml --data {tmp} --run-dir {tmp}/x", "images_background.zip is missing; expected a folder"),
        ("train omniglot maml --data {damaged} --run-dir {tmp}/x", "images_background.zip: damaged, or not the arch"),
        (
            "train omniglot maml --data {data} --ways 50 --test-queries 2 --run-dir {tmp}/x",
            "--ways = 50; expected at most",
        ),
        ("train omniglot maml --train-ways 7 --run-dir {tmp}/x", "--train-ways = 7; expected the same as --ways"),
        ("train omniglot maml --data {data} --shots 6 --run-dir {tmp}/x", "expected together at most 6"),
        ("train image-folder maml --data {tmp} --run-dir {tmp}/x", "no images; expected class folders"),
        ("evaluate {tmp}/none", "not a run directory"),
        ("fit", "unknown command 'fit'"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(archives, tmp_path, line, said):
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for name in omniglot.ARCHIVES:
        (damaged / name).write_bytes((archives / name).read_bytes()[:5000])
    code, _, err = fewshot(line, tmp=tmp_path, data=archives, damaged=damaged)
    assert code == 2
    assert err.count("\n") == 1
    assert said in err
    assert not (tmp_path / "x").exists()


def test_a_run_is_refused_where_it_does_not_belong(tmp_path, monkeypatch):
    assert fewshot(f"train sinusoid maml {TINY} --run-dir {tmp_path}/run")[0] == 0
    code, _, err = metarl(f"evaluate {tmp_path}/run")
    assert code == 2
    assert "domain = 'sinusoid'; expected 'reinforcement-learning', which 'metarl' is about" in err
    code, _, err = fewshot(f"evaluate {tmp_path}/run --ways 5")
    assert (code, err) == (2, "fewshot: error: --ways: sinusoid has no such option\n")
