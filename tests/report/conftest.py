"""What the tests of the report share: small runs, and what was measured of them."""

from dataclasses import replace

import pytest

from metarl.config.algorithms import MamlConfig, PrompConfig
from metarl.config.commands import ReportOptions
from metarl.config.memory import Rl2Config
from metarl.config.run import PolicyConfig
from metarl.training.start import train

BUDGET = {"tasks": 4, "episodes": 2, "steps": 2}


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Two seeds of MAML and one of ProMP on navigation2d."""
    place = tmp_path_factory.mktemp("reported")
    small = {"family": "navigation2d", "variant": "finn17", "iterations": 2, "meta_batch_size": 2, "episodes": 2,
             "validation_tasks": 1, "checkpoint_every": 1, "policy": PolicyConfig(hidden_sizes=(4,))}  # fmt: skip
    maml = MamlConfig(**small)
    for seed in (1, 2):
        train("maml", replace(maml, seed=seed), place / f"seed-{seed}")
    train("promp", PrompConfig(**small), place / "promp")
    return place / "seed-1", place / "seed-2", place / "promp"


@pytest.fixture(scope="session")
def memory_run(tmp_path_factory):
    """A run of RL2 on the bandit, which has no out-of-distribution split and many parameters."""
    place = tmp_path_factory.mktemp("memory") / "run"
    config = Rl2Config(family="bernoulli-bandit", iterations=1, meta_batch_size=2, episodes=2, validation_tasks=0)
    config = replace(config, policy=replace(config.policy, memory_size=4), ppo=replace(config.ppo, minibatches=1))
    train("rl2", config, place)
    return place


@pytest.fixture
def cheap(monkeypatch):
    """Learning rates are chosen by little data."""
    for name in ("VALIDATION_TASKS", "VALIDATION_EPISODES", "MOST_RATES"):
        monkeypatch.setattr(f"metarl.evaluation.comparison.{name}", 2)


@pytest.fixture(scope="session")
def options(runs):
    return ReportOptions(runs, **BUDGET)


@pytest.fixture(scope="session")
def measured(options):
    """What `measure` finds of the runs, once for all tests."""
    from metarl.report.measure import measure

    with pytest.MonkeyPatch.context() as patch:
        for name in ("VALIDATION_TASKS", "VALIDATION_EPISODES", "MOST_RATES"):
            patch.setattr(f"metarl.evaluation.comparison.{name}", 2)
        return measure(options)
