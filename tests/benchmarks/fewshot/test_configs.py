"""Options, presets and problem kinds of the few-shot benchmarks."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.fewshot.configs import KINDS, PRESETS, default_config, kind_of, quick
from metarl.config.validation import validate
from metarl.core.errors import RunError
from metarl.training.start import train

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("path", sorted(PRESETS.glob("*.toml")), ids=lambda p: p.stem)
def test_presets_are_valid(path):
    dataset = next(name for name in KINDS if path.stem.startswith(name))
    config = default_config(dataset, path.stem.removeprefix(f"{dataset}-"))
    validate(config)
    assert config.iterations >= 10_000


def test_a_quick_size_is_valid():
    for name, kind in KINDS.items():
        for method in kind.algorithms:
            small = quick(default_config(name, method))
            validate(small)
            assert small.iterations == 200


def test_the_kind_of_a_run(tmp_path, tiny_config):
    train("maml-trpo", tiny_config, tmp_path / "rl")
    with pytest.raises(RunError, match="trained on reinforcement-learning; expected one of sinusoid, omniglot"):
        kind_of(tmp_path / "rl")


def test_options_load_no_torch():
    code = "import sys, benchmarks.fewshot.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0
