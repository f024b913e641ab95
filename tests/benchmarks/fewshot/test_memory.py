from benchmarks.fewshot.cli import evaluate
from tests.helpers.fewshot import IMAGES, TINY, fewshot


def test_a_new_head_begins_without(archives, tmp_path):
    line = f"train omniglot pretrain {TINY} {IMAGES} --train-ways 4 --inner.optimiser adam --run-dir {tmp_path}/run"
    code, _, err = fewshot(line, data=archives)
    assert (code, err) == (0, "")
    result = evaluate(tmp_path / "run", tasks=4, steps=2, split="meta-test", inner_lr=0.01)
    assert len(result["accuracy"]["mean"]) == 3
