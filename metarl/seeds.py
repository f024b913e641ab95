"""Several seeds of one configuration by one command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from metarl.config import RunConfig
from metarl.domains import REINFORCEMENT_LEARNING, Domain
from metarl.errors import ConfigError
from metarl.launch import place_of_launch
from metarl.ranks import ALONE, among
from metarl.training import Outcome, train


def train_seeds(
    algorithm: str,
    config: RunConfig,
    seeds: Sequence[int],
    run_dir: Path,
    domain: Domain = REINFORCEMENT_LEARNING,
    or_resume: bool = False,
) -> Iterator[tuple[Path, Outcome]]:
    """Train a run for each seed into `run_dir/seed-N`, one after another, and yield each as it ends.

    Each is bitwise the run that its seed alone makes. The processes of torchrun share the seeds out, and each trains
    its own ones alone. Raises ConfigError for a seed given twice, and what `metarl.training.train` raises.
    """
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"--seeds = {' '.join(map(str, seeds))}; expected each seed once")
    index, size = place_of_launch()
    for seed in seeds[index::size]:
        run = run_dir / f"seed-{seed}"
        with among(ALONE):
            outcome = train(algorithm, replace(config, seed=seed), run, domain=domain, or_resume=or_resume)
        yield run, outcome
