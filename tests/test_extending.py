"""Outer updates and inner rules from outside the package; docs/extending.md itself is run by test_docs.py."""

import re
import sys
from pathlib import Path

import pytest
import torch

from metarl.adaptation.gradient import gradient_adapter
from metarl.config.algorithms import ReptileConfig
from metarl.config.registry import find_algorithm
from metarl.config.run import InnerConfig
from metarl.core.errors import RunError
from metarl.runs.directory import read_config
from metarl.training.start import resume, train

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The page's modules, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    names = [re.match(r"# (\w+)\.py", text)[1] for text in BLOCKS]
    for name, text in zip(names, BLOCKS, strict=True):
        (tmp_path / f"{name}.py").write_text(text)
        sys.modules.pop(name, None)
    yield tmp_path
    for name in [*names, "broken_update"]:
        sys.modules.pop(name, None)


def test_the_examples_are_short():
    assert [len(text.strip().splitlines()) <= 40 for text in BLOCKS] == [True, True]


def small(config_type, **options):
    return config_type(
        variant="finn17", meta_batch_size=2, episodes=2, iterations=4, checkpoint_every=2, validation_tasks=1, **options
    )


def test_an_outer_update_of_ones_own_trains_and_resumes_exactly(written):
    found = find_algorithm("sign_reptile:SignReptile")
    assert found.summary.startswith("Reptile that goes by the signs")
    config = small(found.config, inner=InnerConfig(lr=0.3, steps=2), step_size=0.01)
    train("sign_reptile:SignReptile", config, written / "whole")
    train("sign_reptile:SignReptile", small(found.config, inner=config.inner, step_size=0.01), written / "same")
    assert read_config(written / "whole") == ("sign_reptile:SignReptile", config)
    resume(written / "whole", iterations=5)
    resume(written / "same", iterations=5)
    tensors = [(written / run / "checkpoints" / "00000005" / "theta.safetensors") for run in ("whole", "same")]
    assert tensors[0].read_bytes() == tensors[1].read_bytes()
    # A run whose module is gone says so.
    (written / "sign_reptile.py").unlink()
    sys.modules.pop("sign_reptile")
    with pytest.raises(RunError, match=r"algorithm 'sign_reptile:SignReptile': importing sign_reptile raised"):
        read_config(written / "whole")


def test_an_inner_rule_of_ones_own(written):
    config = small(ReptileConfig, inner=InnerConfig(lr=0.01, steps=2, optimiser="sign_descent:SignDescent"))
    adapter = gradient_adapter(config.inner)
    from metarl.adaptation.adapter import adapt_step, initial_state

    at = adapt_step(
        lambda p, d: ((p["x"] - d) ** 2).sum(1), initial_state({"x": torch.zeros(2)}, 1), torch.tensor([3, -1]), adapter
    )
    torch.testing.assert_close(at.params["x"], torch.tensor([[0.01, -0.01]]))
    train("reptile", config, written / "run")
