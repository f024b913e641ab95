"""Several seeds of one configuration by one command."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

from metarl.config import RunConfig
from metarl.domains import REINFORCEMENT_LEARNING, Domain
from metarl.errors import ConfigError
from metarl.launch import place_of_launch
from metarl.ranks import ALONE, among
from metarl.run_directory import check_free
from metarl.seed_batch import run_together
from metarl.training import Outcome, Reporter, is_there, opened
from metarl.validation import validate


def train_seeds(
    algorithm: str,
    config: RunConfig,
    seeds: Sequence[int],
    run_dir: Path,
    domain: Domain = REINFORCEMENT_LEARNING,
    or_resume: bool = False,
    at_once: int | None = None,
    notice: Callable[[str], None] = lambda line: None,
    display: Callable[[], AbstractContextManager[Reporter | None]] = nullcontext,
) -> Iterator[tuple[Path, Outcome]]:
    """Train a run for each seed into `run_dir/seed-N`, and yield each as it ends.

    `at_once` seeds are trained as one batch (default: all), where the algorithm allows it; each is then the
    run that its seed alone makes but for rounding, and otherwise bitwise. `notice` is told which way it is, and
    what `display` opens is told of the iterations. The processes of torchrun share the seeds out, and each trains its
    own. A seed that diverges, or whose environment fails, has that as its outcome, and the others go on; after a signal
    none is begun.
    Raises ConfigError for a seed given twice, and what else `metarl.training.train` raises.
    """
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"--seeds = {' '.join(map(str, seeds))}; expected each seed once")
    if at_once is not None and at_once < 1:
        raise ConfigError(f"--seeds-at-once = {at_once}; expected at least 1")
    validate(config)
    index, size = place_of_launch()
    own = seeds[index::size]
    together, why = _at_once(algorithm, config, domain, at_once or max(len(own), 1))
    if len(own) > 1:
        notice(f"{len(own)} seeds, {f'{together} at once' if together > 1 else 'one after another'}: {why}")
    for start in range(0, len(own), together):
        runs = {run_dir / f"seed-{seed}": replace(config, seed=seed) for seed in own[start : start + together]}
        with among(ALONE):
            outcomes = _train(algorithm, runs, domain, or_resume, notice, display)
        yield from outcomes.items()
        if any(outcome.signal is not None for outcome in outcomes.values()):
            return


def _at_once(algorithm: str, config: RunConfig, domain: Domain, wanted: int) -> tuple[int, str]:
    """How many seeds are trained at once, at most `wanted`, and why."""
    if wanted == 1:
        return 1, "as --seeds-at-once says"
    module = importlib.import_module(domain.find(algorithm).module)
    if not getattr(module, "SEEDS_AXIS", False):
        return 1, f"{algorithm} has no axis for them"
    if config.ordered_sums:
        return 1, "with --ordered-sums every task is computed alone"
    if getattr(config, "workers", 0):
        return 1, "workers step the environments of one run"
    return wanted, "they are one batch"


def _train(
    algorithm: str,
    runs: dict[Path, RunConfig],
    domain: Domain,
    or_resume: bool,
    notice: Callable[[str], None],
    display: Callable[[], AbstractContextManager[Reporter | None]],
) -> dict[Path, Outcome]:
    """Train these runs at once, or those at once that stand at the same iteration."""
    for run in runs:
        if not is_there(run, or_resume):
            check_free(run, domain)
    found: dict[Path, Outcome] = {}
    with ExitStack() as held:
        waiting = {
            run: held.enter_context(opened(algorithm, config, run, domain, or_resume)) for run, config in runs.items()
        }
        while waiting:
            iteration = min(training.iteration for training in waiting.values())
            group = {run: training for run, training in waiting.items() if training.iteration == iteration}
            if len(group) < len(runs):
                names = ", ".join(run.name for run in group)
                notice(f"{names}: from iteration {iteration}, apart from the seeds that stand at another")
            with display() as report:
                found |= zip(group, run_together(list(group.values()), report), strict=True)
            waiting = {run: training for run, training in waiting.items() if run not in group}
            if any(outcome.signal is not None for outcome in found.values()):
                break
    return {run: found[run] for run in runs if run in found}
