"""Checks of a task family's spaces, tasks and splits.

Each function takes an `UnderTest`, returns one line about its finding, and raises `CheckFailed` with a hint, or
`CheckSkipped`.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from gymnasium import spaces

from metarl.core.errors import FamilyError
from metarl.families.analytic import AnalyticFamily
from metarl.families.checks.under_test import DRAWN, CheckFailed, UnderTest, same
from metarl.families.tasks import number_of_tasks, parse_task, task_at, task_to_json
from metarl.networks.actions import SUPPORTED, is_supported
from metarl.networks.spaces import is_flat, is_image


def declaration(under_test: UnderTest) -> str:
    """Task space, horizon, name and observation space are valid."""
    family = under_test.family
    if not isinstance(family.task_space, spaces.Dict) or not family.task_space.spaces:
        raise CheckFailed(
            f"task_space = {family.task_space!r}", "make it a gymnasium.spaces.Dict, an entry a parameter"
        )
    if not isinstance(family.horizon, int) or family.horizon < 1:
        raise CheckFailed(
            f"horizon = {family.horizon!r}", "give the time limit as a whole number of steps of at least 1"
        )
    if not isinstance(family.name, str) or not family.name:
        raise CheckFailed(f"name = {family.name!r}", "give the family a name")
    observed = family.observation_space
    # Analytic families step all environments as one batch of vectors.
    if not (is_flat(observed) or (is_image(observed) and not isinstance(family, AnalyticFamily))):
        raise CheckFailed(
            f"observation_space = {observed}",
            "make it a flat Box, or an image of uint8; gymnasium.wrappers.FlattenObservation",
        )
    actions = family.action_space
    if not is_supported(actions):
        raise CheckFailed(f"action_space = {actions}", f"make it {SUPPORTED}, in a wrapper")
    anew: Any = getattr(family, "rebuilt_for", ())
    names = (f"{name} (by the constructor)" if name in anew else name for name in family.task_space.spaces)
    return f"parameters {', '.join(names)}; horizon {family.horizon}"


def tasks(under_test: UnderTest) -> str:
    """Every split draws the requested number of tasks, in the task space, from the given generator alone."""
    family = under_test.family
    for split in family.splits.names:
        drawn, again = under_test.draw(split), under_test.draw(split)
        if number_of_tasks(drawn) != DRAWN:
            raise CheckFailed(
                f"{split}: {number_of_tasks(drawn)} tasks for {DRAWN} wanted", "return as many as asked for"
            )
        if not same(drawn, again):
            raise CheckFailed(
                f"{split}: the same generator drew other tasks", "draw from the generator given and no other"
            )
        for i in range(DRAWN):
            task = task_at(drawn, i)
            for name, entry in family.task_space.spaces.items():
                if name not in task or not entry.contains(_typed(entry, task[name])):
                    raise CheckFailed(
                        f"{split}: {name} = {task.get(name)} is not in {entry}", "widen task_space, or draw within it"
                    )
    return f"within the task space in {', '.join(family.splits.names)}"


def splits(under_test: UnderTest) -> str:
    """Disjoint splits have no task in common."""
    kind, names = under_test.family.splits.kind, under_test.family.splits.names
    if kind not in ("disjoint", "shared"):
        raise CheckFailed(f"splits.kind = {kind!r}", "set it to disjoint or shared")
    seen: dict[str, str] = {}
    for split in names if kind == "disjoint" else ():
        drawn = under_test.draw(split)
        for i in range(number_of_tasks(drawn)):
            text = repr({name: np.asarray(value).tolist() for name, value in task_at(drawn, i).items()})
            if seen.setdefault(text, split) != split:
                raise CheckFailed(
                    f"task {text} is in {seen[text]} and in {split}", "separate them, or declare kind = 'shared'"
                )
    return f"{kind}: {', '.join(names)}"


def json_round_trip(under_test: UnderTest) -> str:
    """A task survives a conversion to JSON and back."""
    space, task = under_test.family.task_space, under_test.task(0)
    try:
        text = json.dumps(task_to_json(space, task))
        back = parse_task(space, json.loads(text))
    except (TypeError, ValueError, AttributeError, FamilyError) as error:
        raise CheckFailed(f"{error}", "use Box and Discrete entries, whose values JSON can hold") from error
    if not same(task, back):
        raise CheckFailed(f"{task} came back as {back}", "draw tasks with the dtype and shape of their space")
    return text if len(text) <= 60 else f"{text[:57]}..."


def _typed(entry: spaces.Space, value: Any) -> Any:
    return value if isinstance(entry, spaces.Discrete) else np.asarray(value)
