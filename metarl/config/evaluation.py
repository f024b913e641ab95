"""Options of an evaluation. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ReferenceOptions:
    """References of the family beside the learner."""

    references: bool = False
    """Measure the family's references as well, and the learner's regret to them."""
    reference_trials: int = 20
    """Trials of each task that a simulated reference averages over."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Options of an evaluation on held-out tasks, for any kind of task."""

    split: str = "meta-test"
    """meta-train, meta-validation, meta-test, out-of-distribution, or a JSON file of tasks."""
    tasks: int = 40
    """Tasks to adapt to."""
    steps: int = 3
    """Adaptation steps."""
    inner_lr: float | None = None
    """Inner learning rate, of all steps unless a later one is given; as trained by default."""
    later_inner_lr: float | None = None
    """Inner learning rate after the first step."""
    seed: int = 1
    """Chooses the tasks and governs the episodes."""
    checkpoint: str = "last"
    """last, best (on meta-validation tasks) or an iteration."""
    initialisation: str = "trained"
    """trained, or random: untrained parameters, drawn by the run's seed."""


@dataclass(frozen=True, kw_only=True)
class FamilyEvaluation(ReferenceOptions, Evaluation):
    """Options of an evaluation on a task family."""

    family: str | None = None
    """Another family with the same spaces: a registered name, module:attribute, or path/to/module.py:attribute."""
    variant: str | None = None
    """Another variant of the family."""
    episodes: int = 40
    """Episodes of each task before and after every step."""
    samples_per_step: int | None = None
    """Transitions of each task in each step, collected in whole episodes; replaces --episodes."""


@dataclass(frozen=True, kw_only=True)
class Worth:
    """Options of the measurement of what adaptation can gain on a family."""

    variant: str | None = None
    """Variant of the family; its default if none is given."""
    split: str = "meta-test"
    """Split of the tasks that are measured."""
    iterations: int = 60
    """Training iterations of each method."""
    minutes: float | None = None
    """End training after these minutes, or after --iterations; all methods end at the same iteration."""
    tasks: int = 20
    """Tasks to measure on, and tasks of each policy's iteration."""
    episodes: int = 10
    """Episodes of each task in each iteration, and in the measurement."""
    lr: float = 0.01
    """Learning rate of Adam, for all methods."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Training seeds."""
    seed: int = 1
    """Chooses the tasks and governs the episodes."""
