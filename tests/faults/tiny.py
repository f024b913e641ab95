"""Trainings whose iteration takes milliseconds, with everything that a large one has."""

from __future__ import annotations

from pathlib import Path

SIZE = ["--meta-batch-size", "2", "--episodes", "2", "--policy.hidden-sizes", "4", "--validation-tasks", "2"]
BANDIT = ["--family", "bernoulli-bandit"]
NAVIGATION = ["--family", "navigation2d", "--variant", "finn17"]


def training(
    run: Path, *, algorithm: str = "maml", family: list[str] = BANDIT, iterations: int = 30, every: int = 3
) -> list[str]:
    """The command line of a tiny training: Adam's moments are part of its state, and each checkpoint is scored."""
    counts = ["--iterations", str(iterations), "--checkpoint-every", str(every)]
    return ["train", algorithm, *family, *SIZE, *counts, "--run-dir", str(run)]
