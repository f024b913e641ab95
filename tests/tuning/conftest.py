"""Searches whose trials take milliseconds."""

import pytest

from metarl.config.algorithms import MamlConfig
from metarl.config.run import PolicyConfig
from metarl.tuning import Search, parse_space, scores_by_checkpoint

BASE = MamlConfig(
    family="navigation2d", variant="finn17", iterations=5, meta_batch_size=2, episodes=2, checkpoint_every=2,
    validation_tasks=2, policy=PolicyConfig(hidden_sizes=(4,)),
)  # fmt: skip


@pytest.fixture
def base():
    """Checkpoints after 2, 4 and 5 iterations."""
    return BASE


@pytest.fixture(scope="session")
def whole_trial(tmp_path_factory):
    """The scores of a trial of seeds 5 and 6 that nothing interrupted, and its folder."""
    folder = tmp_path_factory.mktemp("tuning") / "whole"
    return list(scores_by_checkpoint(folder, "maml", BASE, (5, 6))), folder


@pytest.fixture
def about(base):
    """A search of a range and a list, with two seeds a trial."""
    space = parse_space(["adam.lr=log:1e-4:1e-1", "inner.lr=0.05,0.1,0.2"], base)
    return Search("maml", base, space, seeds=(5, 6))
