"""Policies that are trained in memory, in one batch."""

from dataclasses import replace

import pytest
import torch

from metarl.config.algorithms import AdamConfig, PretrainConfig
from metarl.config.run import PolicyConfig
from metarl.core.errors import Divergence
from metarl.core.prng import Key
from metarl.training.assembly import assemble
from metarl.training.brief import BriefTraining
from metarl.training.loop import Training

CONFIG = PretrainConfig(
    meta_batch_size=3, episodes=2, iterations=3, validation_tasks=0, adam=AdamConfig(schedule="constant"),
    policy=PolicyConfig(hidden_sizes=(8,), normalise_observations=True),
)  # fmt: skip


def trained(parts, seeds, iterations=3):
    roots = [Key.from_seed(seed) for seed in seeds]

    def tasks_of(policy, iteration):
        return parts.setup.sample_tasks(3, "meta-train", roots[policy].at("tasks", iteration).generator())

    thetas = [parts.for_seed(seed).initial_theta() for seed in seeds]
    with BriefTraining(parts, "test", thetas, roots, tasks_of) as training:
        for _ in range(iterations):
            training.iterate()
    return training


def test_a_policy_is_that_of_a_run_with_its_seed(tmp_path):
    with assemble("pretrain", replace(CONFIG, seed=4)) as parts:
        brief = trained(parts, [4])
        with Training(parts, tmp_path / "run", new=True) as training:
            training.run(3, None)
        for name, value in training.state["theta"].items():
            torch.testing.assert_close(brief.thetas[0][name], value, rtol=1e-4, atol=1e-5)
    assert [len(row) for row in brief.returns] == [1, 1, 1]


def test_policies_of_a_batch_are_those_of_each_alone():
    with assemble("pretrain", CONFIG) as parts:
        together, alone = trained(parts, [1, 7]), trained(parts, [7])
    for name, value in alone.thetas[0].items():
        torch.testing.assert_close(together.thetas[1][name], value, rtol=1e-4, atol=1e-5)
    assert together.returns[2][1] == pytest.approx(alone.returns[2][0], rel=1e-4)


def test_divergence_names_the_training_and_the_iteration():
    with (
        assemble("pretrain", replace(CONFIG, adam=AdamConfig(lr=1e6, schedule="constant"))) as parts,
        pytest.raises(Divergence, match=r"^test: iteration 1: log_std is "),
    ):
        trained(parts, [1])
