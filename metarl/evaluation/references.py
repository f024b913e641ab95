"""Learners beside the references of their family: returns of each episode of a trial, and regret.

A learner's trial is all episodes of its adaptation curve: each point has one or several, all of which it adapts to
before the next point. References play trials of as many episodes. The regret of a learner to a reference is the sum
over the episodes of the reference's return less the learner's, for the same tasks: the return while adapting counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from metarl.config.evaluation import ReferenceOptions
from metarl.config.validation import check_least
from metarl.core.errors import FamilyError
from metarl.core.numbers import finite_list
from metarl.core.prng import Key
from metarl.evaluation.statistics import distinct_tasks, mean, pooled, table_of
from metarl.families.family import TaskFamily
from metarl.families.registry import load_family
from metarl.families.splits import SPLITS, held_out_generator
from metarl.families.tasks import Tasks, batch_tasks, parse_task, read_tasks
from metarl.references.reference import Reference

PRIOR_SPLITS = SPLITS[:3]
"""Splits whose tasks have the distribution that references take as their prior."""
LEARNER = "learner"
"""Label of the run in the result of an evaluation, which has one."""


def family_with_references(options: ReferenceOptions, name: str, variant: str | None) -> TaskFamily | None:
    """The family, if its references are asked for; None otherwise.

    Args:
        options: Whether they are.
        name: Name of the family.
        variant: Its variant; None for its default.

    Raises:
        ConfigError: The number of trials is below one.
        FamilyError: It has no references.
    """
    if not options.references:
        return None
    check_least(("reference-trials", options.reference_trials, 1))
    family = load_family(name, variant)
    if not family.references():
        raise FamilyError(f"--references: family '{name}' has no references; its method `references` returns none")
    return family


def add_references(result: dict[str, Any], family: TaskFamily | None, trials: int) -> dict[str, Any]:
    """The result of an evaluation with the entry `references`; as it is where there is no family.

    Args:
        result: The evaluation of a run.
        family: Has the references; None: they are not asked for.
        trials: Trials of each task that a simulated reference averages over.
    """
    if family is None:
        return result
    learner = Learner(table_of([result], "per_task"), episodes_per_point(result, family.horizon))
    return {**result, "references": beside_references(family, result, {LEARNER: learner}, trials)}


class Learner(NamedTuple):
    """What is compared with references."""

    scores: Float[ndarray, "seeds tasks points"]
    """Mean return of the episodes of each point."""
    episodes_per_point: int

    def returns(self) -> Float[ndarray, "seeds tasks episodes"]:
        """Return of each episode of the trial; the episodes of a point have their mean."""
        return np.repeat(self.scores, self.episodes_per_point, -1)


def beside_references(
    family: TaskFamily, result: Mapping[str, Any], learners: Mapping[str, Learner], trials: int
) -> dict[str, Any]:
    """References, learners, regret, and which bounds a learner is above, for JSON.

    Args:
        family: Has the references.
        result: The evaluation of a run: which tasks were measured.
        learners: Learners whose trials have equally many episodes.
        trials: Trials of each task that a simulated reference averages over.

    Raises:
        ValueError: The trials of the learners have different lengths.
    """
    returns = {label: learner.returns() for label, learner in learners.items()}
    (episodes,) = {values.shape[-1] for values in returns.values()}
    found, measured = family.references(), _measured(family, result, episodes, trials)
    ids = result.get("task_ids")
    prior = result["split"] in PRIOR_SPLITS
    rows = [_row(name, found[name], values, ids, prior) for name, values in measured.items()]
    return {
        "episodes": episodes,
        "trials": trials,
        "rows": rows,
        "left_out": {name: found[name].most_episodes for name in found if name not in measured},
        "best": _best(rows),
        "learners": {
            label: {
                "episodes_per_point": learners[label].episodes_per_point,
                **_learner(values, measured, rows, ids),
            }
            for label, values in returns.items()
        },
    }


def by_length(
    family: TaskFamily, result: Mapping[str, Any], learners: Mapping[str, Learner], trials: int
) -> list[dict[str, Any]]:
    """An entry of `beside_references` for each length of a trial, from the shortest: an optimum depends on it."""
    lengths = sorted({learner.returns().shape[-1] for learner in learners.values()})
    return [
        beside_references(
            family,
            result,
            {label: learner for label, learner in learners.items() if learner.returns().shape[-1] == length},
            trials,
        )
        for length in lengths
    ]


def regret(
    learner: Float[ndarray, "seeds tasks episodes"],
    reference: Float[ndarray, "tasks episodes"],
    ids: list[int] | None,
) -> dict[str, Any]:
    """Sum over episodes of the reference's return less the learner's: mean over tasks and seeds, with intervals.

    The difference is taken task by task, so what makes a task easy for both drops out. The interval is over training
    seeds for these tasks, or over tasks where there is one seed; `new_tasks_low` and `new_tasks_high` are over both.

    Args:
        learner: Return of each point of the curve.
        reference: Return of each episode of a trial.
        ids: Equal numbers for equal tasks; None: all differ.
    """
    summary = pooled((reference[None] - learner).sum(-1, keepdims=True), "mean", ids)
    names = ("mean", "ci95_low", "ci95_high", "new_tasks_low", "new_tasks_high")
    return {
        **{name: summary[name][0] for name in names},
        "interval": summary["interval"],
        "new_tasks_interval": summary["new_tasks_interval"],
    }


def _measured(family: TaskFamily, result: Mapping[str, Any], episodes: int, trials: int) -> dict[str, ndarray]:
    """Returns (tasks, episodes) of all references that can be computed for trials of that length."""
    tasks, seed = measured_tasks(family, result), result["seed"]
    place = Key.from_seed(seed).at("evaluation", "references")
    return {
        name: reference.measure(tasks, episodes, trials, place.at(name).generator())
        for name, reference in family.references().items()
        if reference.most_episodes is None or episodes <= reference.most_episodes
    }


def measured_tasks(family: TaskFamily, result: Mapping[str, Any]) -> Tasks:
    """The tasks that an evaluation or a comparison measured.

    Args:
        family: The family.
        result: The result, which says how the tasks were chosen.
    """
    split, seed = result["split"], result["seed"]
    if "given_tasks" in result:
        return batch_tasks([parse_task(family.task_space, task) for task in result["given_tasks"]])
    if split.endswith(".json"):
        return read_tasks(Path(split), family.task_space)
    rng = held_out_generator(family.name, family.variant, split, seed)
    return family.sample_tasks(result["tasks"], split, rng)


def episodes_per_point(result: Mapping[str, Any], horizon: int) -> int:
    """Episodes' worth of steps that a learner is granted before it adapts to them.

    Args:
        result: Its evaluation.
        horizon: Steps of an episode.
    """
    granted = result["environment_steps"]
    return -(-granted[1] // horizon) if len(granted) > 1 else 1


def _row(
    name: str, reference: Reference, returns: Float[ndarray, "tasks episodes"], ids: Any, prior: bool
) -> dict[str, Any]:
    """A row. On other tasks than those of the prior, a bound that is not told the task is none."""
    return {
        "name": name,
        "summary": reference.summary,
        "exact": reference.exact,
        "bound": reference.bound and (prior or reference.knows_task),
        "knows_task": reference.knows_task,
        **_curve(returns[None], ids),
    }


def _curve(returns: Float[ndarray, "seeds tasks episodes"], ids: Any) -> dict[str, Any]:
    """The mean return of each episode over distinct tasks and seeds, and its sum over the trial."""
    curve = mean(distinct_tasks(returns, ids), 1).mean(0)
    return {"mean": finite_list(curve), "trial": finite_list([curve.sum()])[0]}


def _best(rows: list[dict[str, Any]]) -> str:
    """The exact optimum if there is one, otherwise the highest reference among those that are not told the task."""
    blind = [row for row in rows if not row["knows_task"]] or rows
    optima = [row for row in blind if row["exact"] and row["bound"]]
    return min(optima, key=_trial)["name"] if optima else max(blind, key=_trial)["name"]


def _trial(row: Mapping[str, Any]) -> float:
    return float(row["trial"])


def _learner(
    values: Float[ndarray, "seeds tasks episodes"], measured: Mapping[str, ndarray], rows: Any, ids: Any
) -> dict[str, Any]:
    curve = _curve(values, ids)
    trial = curve["trial"]
    return {
        **curve,
        "regret": {name: regret(values, returns, ids) for name, returns in measured.items()},
        "above": [
            row["name"] for row in rows if row["exact"] and row["bound"] and trial is not None and trial > row["trial"]
        ],
    }
