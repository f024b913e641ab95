"""The supervised meta-gradient against higher and torchopt, and the table of their speeds."""

import json

import pytest

from benchmarks.speed import fewshot
from benchmarks.speed.fewshot import Case, disagreement


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("setup", ["sinusoid", "omniglot"])
@pytest.mark.parametrize("name", ["higher", "torchopt"])
def test_meta_gradients_agree(setup, first_order, name):
    assert disagreement(Case(setup, 3, 6, first_order), name) < 1e-9


def test_first_order_is_another_gradient(monkeypatch):
    """So that agreement means something."""
    case = Case("omniglot", 2, 6, False)
    first = fewshot.by_higher(Case("omniglot", 2, 6, True), fewshot.torch.float64)
    monkeypatch.setitem(fewshot.IMPLEMENTATIONS, "higher", lambda *_: first)
    assert disagreement(case, "higher") > 1e-3


def test_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fewshot, "in_own_process", lambda function, *arguments: function(*arguments))
    path = tmp_path / "speed.json"
    fewshot.main(["--iterations", "1", "--sinusoid-tasks", "2", "--omniglot-tasks", "2", "--filters", "4",
          "--json", str(path)])  # fmt: skip
    printed = capsys.readouterr().out
    assert "x higher  x torchopt" in printed
    cases = json.loads(path.read_text())["cases"]
    assert [(c["workload"], c["first_order"]) for c in cases] == [
        ("sinusoid", False), ("sinusoid", True), ("omniglot", False), ("omniglot", True),
    ]  # fmt: skip
    for case in cases:
        assert case["library"]["operations"] > 0
        assert case["disagreement_higher"] < 1e-5
        assert f"{case['higher']['seconds'] / case['library']['seconds']:>10.1f}" in printed
