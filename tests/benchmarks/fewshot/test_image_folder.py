"""Few-shot tasks from a folder of class folders."""

import pytest
from PIL import Image

from benchmarks.fewshot.cli import evaluate
from tests.helpers.fewshot import TINY, fewshot


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
