from dataclasses import replace

import pytest
import torch

from metarl.adaptation.gradient import GradientDescent
from metarl.config.run import InnerConfig
from metarl.core.errors import ConfigError, FamilyError
from metarl.core.ranks import use_ranks
from metarl.training.assembly import assemble
from metarl.training.start import train
from tests.helpers import rank_cases
from tests.helpers.processes import Numbered


def test_fewer_tasks_than_processes_are_refused(tmp_path):
    config = replace(rank_cases.CASES["maml"][1], meta_batch_size=1)
    with use_ranks(Numbered(0, 2)), pytest.raises(ConfigError, match="--meta-batch-size = 1; expected at least 2"):
        train("maml", config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("algorithm", "changes", "rates", "error", "message"),
    [
        ("mamel", {}, {}, ConfigError, "unknown algorithm 'mamel'.*did you mean 'maml'"),
        ("maml", {"meta_batch_size": 0}, {}, ConfigError, "--meta-batch-size = 0; expected a whole"),
        ("maml", {"gamma": 1.5}, {}, ConfigError, r"--gamma = 1\.5; expected a number from 0 to 1"),
        ("maml", {"device": "cuda:99"}, {}, ConfigError, "--device = cuda:99; expected a device of this machine: "),
        ("maml", {"family": "navigation"}, {}, FamilyError, "unknown family 'navigation'.*did you mean 'navigation2d'"),
        ("maml", {"variant": "fin17"}, {}, FamilyError, "unknown variant 'fin17'.*did you mean 'finn17'"),
        (
            "maml", {"inner": InnerConfig(learned_lr="per-layer")}, {"inner_lr": 0.5}, ConfigError,
            r"--inner-lr = 0\.5; the rates of this run were learned",
        ),
        (
            "maml", {"inner": InnerConfig(optimiser="collections:Counter")}, {}, ConfigError,
            "expected a class that extends metarl.adaptation.GradientDescent",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_put_together_is_said_in_one_line(algorithm, changes, rates, error, message):
    config = replace(rank_cases.CASES["maml"][1], **changes)
    with pytest.raises(error, match=message) as caught:
        assemble(algorithm, config, **rates)
    assert "\n" not in str(caught.value)


def test_the_parts_are_those_of_the_configuration_and_are_closed(monkeypatch):
    config = rank_cases.CASES["meta-sgd"][1]
    closed = []
    monkeypatch.setattr("metarl.families.family.TaskFamily.close", lambda self: closed.append(self.name))
    with assemble("maml", config) as parts:
        assert (parts.algorithm, parts.found.module, parts.dtype) == ("maml", "metarl.algorithms.maml", torch.float64)
        assert parts.adapter == GradientDescent(0.3, learned_lr="per-layer")
        theta, other = parts.initial_theta(), parts.for_seed(2).initial_theta()
        assert {name for name in theta if name.startswith("inner_lr.")} == {
            f"inner_lr.{name}" for name in theta if not name.startswith("inner_lr.")
        }
        assert not torch.equal(theta["head.weight"], other["head.weight"])
        assert list(parts.as_trained(dict(reversed(theta.items())), "there")) == list(theta)
        assert closed == []
    assert closed == ["navigation2d"]


def test_rates_at_test_time_are_the_adapters():
    with assemble("maml", rank_cases.CASES["maml"][1], inner_lr=0.5, later_inner_lr=0.25) as parts:
        assert (parts.adapter.lr, parts.adapter.later_lr) == (0.5, 0.25)
