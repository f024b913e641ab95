import inspect
import sys

import pytest

from benchmarks.fewshot.setups import Images, Sinusoids
from metarl.adaptation.setup import Setup, open_setup
from metarl.config.algorithms import MamlConfig
from metarl.config.registry import ALGORITHMS, REINFORCEMENT_LEARNING
from metarl.rl.setup import FamilySetup
from metarl.sb3.model_setup import ModelSetup
from metarl.sb3.setup import Sb3Setup
from tests.helpers.contracts import methods_of


def test_a_setup_is_opened_by_the_name_of_its_module(tmp_path, monkeypatch):
    (tmp_path / "setup_of_a_test.py").write_text("def setup(config):\n    return ('opened', config)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        assert open_setup("setup_of_a_test", MamlConfig()) == ("opened", MamlConfig())
    finally:
        sys.modules.pop("setup_of_a_test", None)


def test_the_modules_that_are_named_have_the_function():
    config = MamlConfig(variant="finn17")
    modules = {algorithm.setup or REINFORCEMENT_LEARNING.setup for algorithm in ALGORITHMS.values()}
    assert modules == {"metarl.rl.setup", "metarl.sb3.setup"}
    opened = open_setup("metarl.rl.setup", config)
    assert (opened.name, opened.variant) == ("navigation2d", "finn17")
    assert isinstance(opened, FamilySetup)
    opened.close()


@pytest.mark.parametrize("kind", [FamilySetup, Sb3Setup, ModelSetup, Sinusoids, Images])
def test_every_setup_keeps_the_contract(kind):
    for name, method in methods_of(Setup).items():
        if kind in (FamilySetup, Sb3Setup, ModelSetup) and name in ("sample_tasks", "close"):
            continue  # taken over from the family, when one is set up
        expected = list(inspect.signature(method).parameters)
        found = list(inspect.signature(getattr(kind, name)).parameters)
        assert found[: len(expected)] == expected, f"{kind.__name__}.{name}"
