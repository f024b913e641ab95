"""Outer updates, inner rules and adapters from outside the package; test_docs.py runs docs/extending.md itself."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from metarl.adaptation.adapter import adapt_step, initial_state
from metarl.adaptation.collect import adapt
from metarl.adaptation.gradient import gradient_adapter
from metarl.adaptation.problem import Collected
from metarl.config.algorithms import ReptileConfig
from metarl.config.registry import find_algorithm
from metarl.config.run import InnerConfig
from metarl.config.validation import validate
from metarl.core.errors import ConfigError, RunError
from metarl.core.prng import Key
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
    assert [len(text.strip().splitlines()) <= 45 for text in BLOCKS] == [True] * 4


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
    with pytest.raises(RunError, match=r"algorithm 'sign_reptile:SignReptile': no module 'sign_reptile' in "):
        read_config(written / "whole")


def test_an_inner_rule_of_ones_own(written):
    config = small(ReptileConfig, inner=InnerConfig(lr=0.01, steps=2, optimiser="sign_descent:SignDescent"))
    adapter = gradient_adapter(config.inner)
    state = adapt_step(
        lambda p, d: ((p["x"] - d) ** 2).sum(1), initial_state({"x": torch.zeros(2)}, 1), torch.tensor([3, -1]), adapter
    )
    torch.testing.assert_close(state.params["x"], torch.tensor([[0.01, -0.01]]))
    train("reptile", config, written / "run")


class Bowl:
    """Tasks whose performance is -(x - task)^2."""

    def collect(self, params, tasks, key, memory=None):
        performance = -((params["x"] - torch.as_tensor(tasks["centre"])) ** 2).sum(1)
        ones = torch.ones(len(performance), dtype=torch.int64)
        return Collected(None, performance, ones, performance)

    def inner_loss(self, params, data):
        raise NotImplementedError

    outer_loss = inner_loss


def test_an_adapter_of_ones_own(written):
    from hill_climbing import HillClimbing

    def run(tasks, key):
        return list(adapt(Bowl(), {"x": torch.zeros(2)}, tasks, key, HillClimbing(0.3), 40))

    centres, key = np.array([[1.0, -1.0], [0.5, 2.0]]), Key.from_seed(1)
    pairs = run({"centre": centres}, key)
    best, highest, _ = pairs[-1][0].memory
    assert highest.tolist() == torch.stack([c.performance for _, c in pairs[:-1]]).amax(0).tolist()
    assert (highest > -0.1).all()
    torch.testing.assert_close(-((best["x"] - torch.as_tensor(centres)) ** 2).sum(1), highest.double())
    assert pairs[-1][0].used.tolist() == [40, 40]
    # A task is adapted to alone as it is in a batch.
    alone = run({"centre": centres[1:]}, key.from_task(1))
    assert torch.equal(alone[-1][0].params["x"][0], pairs[-1][0].params["x"][1])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("class Update: pass", "expected a dataclass that extends"),
        ("from metarl.config import TrainConfig\nclass Update(TrainConfig): pass", "has no function 'initial_state'"),
        (
            "from metarl.config import TrainConfig\ndef initial_state(t, c): ...\nclass Update(TrainConfig): pass",
            "has no function 'meta_step'",
        ),
        ("class Updates: pass", "has no 'Update'.*did you mean 'Updates'"),
        ("1 / 0", "importing broken_update raised ZeroDivisionError"),
    ],
)
def test_what_is_no_outer_update_is_refused(written, source, message):
    (written / "broken_update.py").write_text(source)
    with pytest.raises(ConfigError, match=rf"algorithm 'broken_update:Update': .*{message}"):
        find_algorithm("broken_update:Update")


def test_what_is_no_inner_rule_is_refused():
    with pytest.raises(ConfigError, match=r"--inner.optimiser = addam.*did you mean 'adam'"):
        validate(ReptileConfig(inner=InnerConfig(steps=1, optimiser="addam")))
    with pytest.raises(ConfigError, match=r"expected a class that extends metarl\.adaptation\.GradientDescent"):
        gradient_adapter(InnerConfig(steps=1, optimiser="collections:OrderedDict"))
    with pytest.raises(ConfigError, match="did you mean 'reptile'"):
        find_algorithm("reptil")
