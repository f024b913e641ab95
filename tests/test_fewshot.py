"""The few-shot benchmarks: tasks, data, and every method through metarl's own commands."""

import io
import json
import os
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_cli import metarl, run_main
from test_training import assert_same_run

from benchmarks.fewshot import images, omniglot, sinusoids
from benchmarks.fewshot.cli import evaluate, main
from benchmarks.fewshot.configs import KINDS, PRESETS, default_config
from metarl.config.validation import validate
from metarl.core.errors import ConfigError
from metarl.families.splits import UniformSplits
from metarl.runs.directory import read_metrics

REAL = os.environ.get("METARL_OMNIGLOT")
DRAWINGS = 6
CHARACTERS = {"images_background": {"Greek": 6, "Latin": 5, "Runes": 4}, "images_evaluation": {"Tengwar": 5}}


def fewshot(line, **names):
    """`python -m benchmarks.fewshot`, as `test_cli.metarl` is `metarl`."""
    return run_main(main, line, **names)


def drawing(number):
    """A black picture on white that is another for every number: its bits, in blocks of the left half."""
    pixels = np.full((105, 105), 255, np.uint8)
    for bit in range(12):
        if number >> bit & 1:
            row, column = divmod(bit, 3)
            pixels[5 + 25 * row : 25 + 25 * row, 5 + 16 * column : 16 + 16 * column] = 0
    return Image.fromarray(pixels)


def write_archives(place):
    """Omniglot's two archives in small."""
    number = 0
    for part, alphabets in CHARACTERS.items():
        with zipfile.ZipFile(place / f"{part}.zip", "w") as archive:
            for alphabet, characters in alphabets.items():
                for character in range(characters):
                    for copy in range(DRAWINGS):
                        number += 1
                        data = io.BytesIO()
                        drawing(number).save(data, "PNG")
                        name = f"{part}/{alphabet}/character{character + 1:02}/{number:04}_{copy + 1:02}.png"
                        archive.writestr(name, data.getvalue())


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    place = tmp_path_factory.mktemp("omniglot")
    write_archives(place)
    return place


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("METARL_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.mark.parametrize("variant", ["finn17", "reptile"])
def test_sinusoids_are_what_their_tasks_say(variant):
    splits = UniformSplits(sinusoids.task_space(variant))
    tasks = splits.sample(500, "meta-train", np.random.default_rng(0))
    amplitude, phase = tasks["amplitude"], tasks["phase"]
    top = np.pi * (1 if variant == "finn17" else 2)
    assert 0.1 <= amplitude.min() < 0.2 < 4.9 < amplitude.max() <= 5
    assert 0 <= phase.min() < 0.05 * top < 0.95 * top < phase.max() <= top
    draw = partial(sinusoids.draw, shots=10, queries=20, variant=variant, dtype=torch.float64)
    data = draw(tasks)
    sign = -1 if variant == "finn17" else 1
    for x, y in (data[:2], data[2:]):
        assert -5 <= x.min() < -4.9 < 4.9 < x.max() <= 5
        expected = amplitude[:, None, None] * np.sin(x.numpy() + sign * phase[:, None, None])
        np.testing.assert_allclose(y, expected, atol=1e-12)
    assert data.support_inputs.shape == (500, 10, 1)
    assert all(len(set(row)) == 10 for row in data.support_inputs[..., 0].tolist())
    if variant == "finn17":
        assert not np.isin(data.query_inputs, data.support_inputs).any()
    else:
        assert data.query_inputs.shape == (500, 50, 1)
    part = draw({name: values[3:5] for name, values in tasks.items()})
    assert all(torch.equal(a, b[3:5]) for a, b in zip(part, data, strict=True))
    other = draw({**tasks, "draw": tasks["draw"] + 1})
    assert not torch.equal(other.support_inputs, data.support_inputs)


@pytest.mark.parametrize("kind", ["characters", "alphabets"])
def test_omniglots_splits_share_no_character(archives, kind):
    found = omniglot.load(str(archives))
    assert found.images.shape == (20 * DRAWINGS, 1, 28, 28)
    assert found.classes == 80
    splits = omniglot.splits(found, kind, 1)
    characters = {name: set((numbers // 4).tolist()) for name, numbers in splits.items()}
    for name, numbers in splits.items():
        assert sorted(numbers.tolist()) == sorted(4 * c + r for c in characters[name] for r in range(4))
        for other in splits:
            assert other == name or not characters[name] & characters[other]
    assert set.union(*characters.values()) == set(range(20))
    if kind == "alphabets":
        assert {found.names[c].split("/")[0] for c in characters["meta-test"]} == {"images_evaluation"}
        validating = {found.names[c].split("/")[1] for c in characters["meta-validation"]}
        assert len(validating) == 1
        assert not validating & {found.names[c].split("/")[1] for c in characters["meta-train"]}
    other = omniglot.splits(found, kind, 2)
    assert kind == "alphabets" or set(other["meta-train"].tolist()) != set(splits["meta-train"].tolist())


def test_image_tasks_keep_support_and_query_apart(archives):
    found = omniglot.load(str(archives))
    splits = images.ClassSplits(omniglot.splits(found, "characters", 1), 3, 4)
    tasks = splits.sample(40, "meta-test", np.random.default_rng(0))
    assert tasks["classes"].shape == (40, 3)
    assert splits.sample(2, "meta-train", np.random.default_rng(0))["classes"].shape == (2, 4)
    assert all(len(set(row)) == 3 for row in tasks["classes"].tolist())
    draw = partial(images.draw, images=found, shots=2, queries=3, dtype=torch.float32)
    data = draw(tasks)
    assert data.support_targets[0].tolist() == [0, 0, 1, 1, 2, 2]
    assert data.query_targets[0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    upright = torch.from_numpy(np.array(found.images)).float() / 255
    for task in range(40):
        shown: dict[int, set[int]] = {}
        for part, targets in (data[:2], data[2:]):
            for picture, target in zip(part[task], targets[task], strict=True):
                number = int(tasks["classes"][task, target])
                back = torch.rot90(picture, -(number % 4), (-2, -1))
                which = (upright == back).flatten(1).all(1).nonzero().flatten().tolist()
                assert len(which) == 1
                assert which[0] // DRAWINGS == number // 4
                assert which[0] not in shown.setdefault(number, set())
                shown[number].add(which[0])
    part = draw({name: values[7:9] for name, values in tasks.items()})
    assert all(torch.equal(a, b[7:9]) for a, b in zip(part, data, strict=True))


def test_classes_of_different_sizes(archives):
    """A class with few images never shows another's."""
    pixels = np.arange(9, dtype=np.uint8).reshape(9, 1, 1, 1)
    found = images.ImageSet(pixels, np.array([2, 4, 3]), ["a", "b", "c"])
    tasks = {"classes": np.tile([[0, 1, 2]], (30, 1)), "draw": np.arange(30)}
    data = images.draw(tasks, found, shots=1, queries=1, dtype=torch.float64)
    shown = (torch.cat([data.support_inputs, data.query_inputs], 1) * 255).round().long().flatten(1)
    for column, (low, high) in enumerate([(0, 2), (2, 6), (6, 9)]):
        both = shown[:, [column, column + 3]]
        assert bool(((both >= low) & (both < high)).all())
        assert bool((both[:, 0] != both[:, 1]).all())
        assert set(both.flatten().tolist()) == set(range(low, high))
    with pytest.raises(ConfigError, match="expected together at most 2, the images of a"):
        images.check_shots(found, 2, 1)


def test_archives_are_decoded_once(archives, monkeypatch):
    first = omniglot.load(str(archives))
    monkeypatch.setattr(omniglot, "_decoded", None)
    second = omniglot.load(str(archives))
    np.testing.assert_array_equal(first.images, second.images)
    assert first.names == second.names
    # Ink is bright: the first drawing has the block of bit 0 and nothing else.
    assert first.images[0, 0, 3:6, 3:4].min() > 250
    assert first.images[0, 0, :, 14:].max() == 0


@pytest.mark.skipif(REAL is None, reason="METARL_OMNIGLOT does not say where Omniglot's archives are")
def test_the_real_omniglot(monkeypatch):
    monkeypatch.delenv("METARL_CACHE")
    found = omniglot.load(REAL)
    assert found.images.shape == (32460, 1, 28, 28)
    assert set(found.sizes.tolist()) == {20}
    characters = omniglot.splits(found, "characters", 1)
    assert [len(numbers) // 4 for numbers in characters.values()] == [1100, 100, 423]
    alphabets = omniglot.splits(found, "alphabets", 1)
    assert sum(len(alphabets[name]) for name in ("meta-train", "meta-validation")) == 4 * 964
    assert len(alphabets["meta-test"]) == 4 * 659


TINY = "--iterations 3 --meta-batch-size 2 --validation-tasks 3 --checkpoint-every 2"
IMAGES = "--ways 2 --train-ways 3 --filters 4 --queries 2 --test-queries 2 --data {data}"
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


def class_folders(root, classes, images_each, suffix="png"):
    for number in range(classes):
        folder = root / f"class-{number:02}"
        folder.mkdir(parents=True)
        for copy in range(images_each):
            colour = (10 * number, 20 * copy, 200)
            Image.new("RGB", (30, 20), colour).save(folder / f"{copy}.{suffix}")


@pytest.mark.parametrize("divided", [True, False])
def test_a_folder_of_images(tmp_path, divided):
    root = tmp_path / "pictures"
    if divided:
        for part, classes in (("train", 5), ("val", 2), ("test", 3)):
            class_folders(root / part, classes, 4, "jpg")
    else:
        class_folders(root, 10, 4)
    sizes = "--size 16 --filters 4 --ways 2 --queries 2 --test-queries 2"
    code, _, err = fewshot(f"train image-folder maml {TINY} {sizes} --data {root} --run-dir {tmp_path}/run")
    assert (code, err) == (0, "")
    result = evaluate(tmp_path / "run", tasks=4, steps=1, split="meta-test")
    expected = [5, 2, 3] if divided else [6, 2, 2]
    assert list(result["protocol"]["classes"].values()) == expected
    (next((root / "test" if divided else root).iterdir()) / "broken.png").write_bytes(b"nothing")
    code, _, err = fewshot(f"evaluate {tmp_path}/run --tasks 2")
    assert code == 2
    assert "broken.png: not a readable image" in err


@pytest.mark.parametrize("path", sorted(PRESETS.glob("*.toml")), ids=lambda p: p.stem)
def test_presets_are_valid(path):
    dataset = next(name for name in KINDS if path.stem.startswith(name))
    config = default_config(dataset, path.stem.removeprefix(f"{dataset}-"))
    validate(config)
    assert config.iterations >= 10_000


SINE = "--iterations 600 --network.hidden-sizes 40 --validation-tasks 0 --adam.lr 3e-3"
LEARNING = {
    "maml": f"maml {SINE}",
    "first-order MAML": f"maml --inner.first-order {SINE}",
    "ANIL": f"maml --inner.adapt head.* {SINE}",
    "Meta-SGD": f"maml --inner.learned-lr per-parameter {SINE}",
    "CAVIA": f"maml --inner.adapt context --network.context 4 --inner.lr 1 {SINE}",
    "Reptile": "reptile --step-size 1 --iterations 600 --meta-batch-size 5 --validation-tasks 0",
}


@pytest.mark.parametrize("method", LEARNING)
def test_every_method_learns_to_adapt(method, tmp_path):
    """After training, as many steps as in training help on held-out curves, and more than from scratch."""
    code, _, err = fewshot(f"train sinusoid {LEARNING[method]} --run-dir {tmp_path}/run")
    assert (code, err) == (0, "")
    steps = 5 if method == "Reptile" else 1
    trained, scratch = (
        np.array(evaluate(tmp_path / "run", tasks=200, steps=steps, split="meta-test", initialisation=kind)["per_task"])
        for kind in ("trained", "random")
    )
    gain = trained[:, -1] - trained[:, 0]
    assert gain.mean() > 2 * gain.std() / len(gain) ** 0.5
    assert trained[:, -1].mean() > scratch[:, -1].mean()


@pytest.mark.slow
@pytest.mark.skipif(REAL is None, reason="METARL_OMNIGLOT does not say where Omniglot's archives are")
@pytest.mark.parametrize("method", ["maml", "reptile", "pretrain", "protonet"])
def test_quick_runs_learn_omniglot(method, tmp_path, monkeypatch):
    monkeypatch.delenv("METARL_CACHE")
    code, _, err = fewshot(f"train omniglot {method} --quick --run-dir {tmp_path}/run")
    assert (code, err) == (0, "")
    steps = {"protonet": 0, "reptile": 50}.get(method, 5)  # as published
    result = evaluate(tmp_path / "run", tasks=100, steps=steps, split="meta-test")["accuracy"]
    assert result["ci95_low"][-1] > 0.25  # chance is 0.2
    assert Path(tmp_path / "run" / "checkpoints").is_dir()
