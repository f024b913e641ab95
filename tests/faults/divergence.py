"""Trainings that diverge: losses, gradients, weights and optimisers not finite, policies too sure or too unsure."""

from __future__ import annotations

from pathlib import Path
from random import Random

from tests.faults.processes import metarl, newest
from tests.faults.report import Tally
from tests.faults.tiny import NAVIGATION, SIZE

NAMED = {
    "loss": "outer_loss is not finite",
    "gradient": "gradient_norm is not finite",
    "weight": "parameter hidden.0.weight is not finite",
    "moment": "optimiser second.head.bias is not finite",
    "collapse": "log_std is -20, below its bound of -13.8",
    "explosion": "log_std is 5, above its bound of 4",
}
REAL = {
    "an inner rate of 1e30": ["maml", "--inner.lr", "1e30"],
    "an outer rate of 1e30": ["maml", "--adam.lr", "1e30"],
    "Reptile with an inner rate of 1e6": ["reptile", "--inner.lr", "1e6"],
    "a trust region of 1e12": ["maml-trpo", "--trust-region.max-kl", "1e12", "--inner.lr", "50"],
}


def campaign(place: Path, quick: bool, rng: Random) -> Tally:
    """One line and exit code 2 in the iteration itself; the checkpoint before it stays as it was, and stays newest."""
    tally = Tally("divergence: stops at once, names the tensor, keeps the checkpoint")
    common = [*NAVIGATION, *SIZE, "--validation-tasks", "0", "--checkpoint-every", "1", "--iterations", "6"]
    for wrong, message in NAMED.items():
        run = place / wrong
        line = ["train", "tests.faults.divergent:Divergent", *common, "--goes-wrong", wrong]
        process = metarl([*line, "--run-dir", str(run)], run.with_suffix(".log"))
        code, said = process.wait(), process.said
        named = code == 2 and "iteration 3: " in said and message in said and "; try " in said
        tally.check(named and len(said.splitlines()) == 1, f"{wrong}: exit code {code}: {said[-300:]!r}")
        tally.check((run / "checkpoints" / "00000002").exists(), f"{wrong}: iteration 2 was not saved")
        _unharmed(tally, run, wrong)
    for name, options in REAL.items():
        run = place / name.replace(" ", "-")
        line = ["train", options[0], *common, *options[1:], "--run-dir", str(run)]
        process = metarl(line, run.with_suffix(".log"))
        code, said = process.wait(), process.said
        info = code == 2 and "iteration " in said and "try a smaller" in said and len(said.splitlines()) == 1
        tally.check(info, f"{name}: exit code {code}: {said[-300:]!r}")
        _unharmed(tally, run, name)
    return tally


def _unharmed(tally: Tally, run: Path, name: str) -> None:
    """A second attempt from the checkpoint leaves its files as they are."""
    folder = newest(run)
    if folder is None:
        tally.count("diverged before the first checkpoint")
        return
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    metarl(["resume", str(run)], run.with_suffix(".log")).wait()
    kept = newest(run) == folder and {path.name: path.read_bytes() for path in folder.iterdir()} == before
    tally.check(kept, f"{name}: the checkpoint was overwritten, or one was written after it")
