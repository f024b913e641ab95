"""Films of adapted policies as GIFs inside the page."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from metarl.config.memory import Rl2Config
from metarl.core.errors import FamilyError
from metarl.deployment.acting import as_action, as_rows
from metarl.evaluation.video import choose_renderer, film, filming_env
from metarl.families.tasks import task_at
from metarl.report.episodes import Shown
from metarl.report.measure import Measured
from metarl.rl.policies import Policy
from metarl.rl.setup import build_policy
from metarl.runs.directory import read_config


@dataclass(frozen=True)
class Film:
    """One film."""

    title: str
    alternative: str
    source: str
    """A `data:` address with a GIF."""


def films_of(measured: Measured, label: str, shown: Sequence[Shown], seed: int) -> list[Film]:
    """A film of the adapted policy, without action noise, on each of the tasks that are shown.

    Args:
        measured: What was measured.
        label: The method.
        shown: The tasks, with the parameters after adaptation.
        seed: Seed of the environments.

    Returns:
        The films; none for policies with memory, which adapt while they act.

    Raises:
        ConfigError: The writer of GIFs is not installed.
        FamilyError: The environments cannot be rendered.
    """
    method = measured.method(label)
    _, config = read_config(method.runs[0])
    family = measured.family
    if isinstance(config, Rl2Config):
        return []
    policy = build_policy(config, family.observation_space, family.action_space)
    choose_renderer()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for one in shown:
            if one.params is None:
                continue
            path = Path(folder) / f"{one.role}.gif"
            try:
                env = filming_env(family, task_at(measured.tasks, one.task), path, seed)
            except FamilyError as error:
                raise FamilyError(str(error).replace("--video", "--film")) from error
            film(_acting(policy, one.params, family), env, family.horizon, path, seed)
            source = f"data:image/gif;base64,{base64.b64encode(path.read_bytes()).decode()}"
            title = f"{label}, {one.role} task"
            found.append(Film(title, f"Film of one episode after adaptation: {title}.", source))
    return found


def _acting(policy: Policy, params: Any, family: Any) -> Callable[[Any], Any]:
    """The most probable action for an observation."""
    dtype = next(iter(params.values())).dtype
    space = family.observation_space

    def act(observation: Any) -> Any:
        flat = spaces.flatten(space, observation) if not isinstance(observation, np.ndarray) else observation
        with torch.no_grad():
            distribution, _ = policy.act(params, as_rows(flat, space, dtype), None)
        return as_action(distribution.mode(), family.action_space)

    return act
