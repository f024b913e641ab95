import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from metarl.config.algorithms import MamlTrpoConfig, PretrainConfig
from metarl.config.commands import RunOptions
from metarl.config.memory import Rl2Config
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.config.sb3 import ReptileSb3Config
from metarl.config.toml import preset_or_default
from metarl.console import parse_training
from metarl.families.registry import family_variants
from metarl.given_options import default_of
from metarl.report.command import changed_options, command_of

NAVIGATION = {"family": "navigation2d", "variant": "finn17"}
BANDIT = family_variants("bernoulli-bandit")[0]
CHANGED = {
    "defaults": ("maml-trpo", preset_or_default("maml-trpo", "navigation2d", "finn17")[0]),
    "numbers, switches and lists": (
        "maml-trpo",
        MamlTrpoConfig(
            **NAVIGATION, episodes=7, observe_task=True, ordered_sums=True,
            inner=InnerConfig(lr=0.3, steps=2, later_lr=0.05, first_order=True),
            policy=PolicyConfig(hidden_sizes=(8, 4)),
        ),
    ),
    "a preset with samples": ("maml-trpo", replace(preset_or_default("maml-trpo", "ant-dir", "finn17")[0], episodes=3)),
    "joint training": ("pretrain", PretrainConfig(**NAVIGATION, samples_per_step=500)),
    "memory": ("rl2", Rl2Config(family="bernoulli-bandit", variant=BANDIT, iterations=3)),
    "another library": ("reptile-sb3", ReptileSb3Config(**NAVIGATION, meta_batch_size=2)),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGED)
def test_the_command_makes_the_same_configuration(case):
    algorithm, config = CHANGED[case]
    config = replace(config, seed=5)
    words = shlex.split(command_of(algorithm, config, [5], [Path("runs/one")]))
    assert words[:3] == ["metarl", "train", algorithm]
    default, _ = default_of(algorithm, words[3:], False)
    if "--episodes" in words:
        default = replace(default, samples_per_step=None)
    where, parsed = parse_training(words[3:], "metarl train", "", RunOptions(), default)
    assert parsed == config
    assert where.run_dir == Path("runs/one")


def test_seeds_are_trained_into_the_directories_that_they_had():
    runs = [Path("runs/x/seed-1"), Path("runs/x/seed-2")]
    config = MamlTrpoConfig(**NAVIGATION)
    alone, together = (command_of("maml-trpo", config, [1, 2], runs, alone=alone) for alone in (True, False))
    assert alone.endswith("--seeds 1 2 --seeds-at-once 1 --run-dir runs/x")
    assert together.endswith("--seeds 1 2 --run-dir runs/x")
    apart = command_of("maml-trpo", config, [1, 2], [Path("a"), Path("b")])
    assert apart.endswith("--run-dir runs/maml-trpo")


def test_only_what_differs_is_named():
    default = preset_or_default("maml-trpo", "navigation2d", "finn17")[0]
    assert changed_options("maml-trpo", replace(default, seed=9, iterations=3)) == {}
    assert changed_options("maml-trpo", replace(default, gamma=0.5)) == {"gamma": 0.5}
