"""What the pictures show: adaptation curves on two families, and paths on 2-D navigation before and after each step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

import metarl
from benchmarks.results.finished_run import finished_run
from metarl.adaptation.collect import adapt
from metarl.adaptation.parameters import as_trained
from metarl.api import default_config
from metarl.config.run import TrainConfig
from metarl.core.prng import Key
from metarl.families.family import TaskFamily
from metarl.families.tasks import Tasks, task_at
from metarl.rl.policies import Policy
from metarl.rl.setup import FamilySetup
from metarl.runs.checkpoint import load_selected
from metarl.runs.directory import read_config
from metarl.training.progress import TrainingDisplay

STEPS = 3
"""Adaptation steps."""
FAMILIES = {"navigation2d": ("maml-trpo", "pretrain"), "coupled-direction": ("maml", "pretrain")}
"""Families, and what is trained on each: a method that learns to adapt, and joint training."""
LABELS = ("MAML", "joint training", "untrained")
"""Policies of a family's curves, in their order."""


@dataclass(frozen=True)
class Budget:
    """How much is trained and measured."""

    seed: int
    """Seed of training, tasks and episodes."""
    iterations: int
    """Meta-iterations; joint training has twice as many, which take equally many environment steps."""
    meta_batch_size: int
    """Tasks of each iteration."""
    tasks: int
    """Held-out tasks."""
    episodes: int
    """Episodes of each task and adaptation step."""


@dataclass(frozen=True)
class Measured:
    """Results to draw. Positions and goals are in units of the plane, in which a step is at most 0.1 a coordinate."""

    curves: dict[str, dict[str, dict[str, Any]]]
    """Results of `metarl.evaluate` by family and label."""
    goals: Float[ndarray, "goals 2"]
    """Held-out goals of 2-D navigation."""
    paths: Float[ndarray, "steps goals times 2"]
    """Positions of an episode with the mode of MAML's policy, before adaptation and after each step; after its end,
    the last one."""


def measure(runs: Path, budget: Budget) -> Measured:
    """Train what is not trained yet, and measure it on held-out tasks."""
    curves, paths = {}, None
    for name, algorithms in FAMILIES.items():
        family = metarl.load_family(name)
        tasks = family.sample_tasks(budget.tasks, "meta-test", np.random.default_rng(budget.seed))
        meta, joint = [trained(runs / name / algorithm, algorithm, name, budget) for algorithm in algorithms]
        shared: dict[str, Any] = {
            "split": [task_at(tasks, i) for i in range(budget.tasks)], "episodes": budget.episodes, "steps": STEPS,
            "seed": budget.seed,
        }  # fmt: skip
        results = (
            metarl.evaluate(meta, **shared),
            metarl.evaluate(joint, **shared),
            metarl.evaluate(meta, initialisation="random", **shared),
        )
        curves[name] = dict(zip(LABELS, results, strict=True))
        if paths is None:
            goals, paths = tasks["goal"], paths_after_steps(meta, tasks, budget)
    assert paths is not None
    return Measured(curves, goals, paths)


def trained(place: Path, algorithm: str, family: str, budget: Budget) -> Path:
    """The finished run of an algorithm with its preset on a family."""
    iterations = budget.iterations * (2 if algorithm == "pretrain" else 1)
    config = replace(
        default_config(algorithm, family), seed=budget.seed, iterations=iterations,
        meta_batch_size=budget.meta_batch_size,
    )  # fmt: skip
    with TrainingDisplay(iterations) as display:
        return finished_run(place, algorithm, config, display.report)


def paths_after_steps(run: Path, tasks: Tasks, budget: Budget) -> Float[ndarray, "steps tasks times 2"]:
    """Positions of an episode on every task, before adaptation and after each of its steps."""
    _, config = read_config(run)
    assert isinstance(config, TrainConfig)
    setup = FamilySetup(replace(config, episodes=budget.episodes, samples_per_step=None))
    assert isinstance(setup.model, Policy)
    theta = as_trained(setup.adapter(), setup.model, load_selected(run)[0]["theta"], str(run))
    key = Key.from_seed(budget.seed).at("pictures")
    states = adapt(setup.problem(training=False), theta, tasks, key, setup.adapter(), STEPS, query=False)
    return np.stack([_paths(setup.family, setup.model, state.params, tasks) for state, _ in states])


def _paths(
    family: TaskFamily, policy: Policy, params: dict[str, Tensor], tasks: Tasks
) -> Float[ndarray, "tasks times 2"]:
    """Positions of an episode on every task, each with parameters of its own and the mode of its policy."""
    env = family.make_vec(tasks, 1)
    observations, _ = env.reset(seed=0)
    positions, ended = [observations], np.zeros(len(observations), bool)
    for _ in range(family.horizon):
        with torch.no_grad():
            distribution, _ = policy.act(params, torch.as_tensor(observations)[:, None])
        observations, _, terminated, _, _ = env.step(distribution.mode()[:, 0].numpy())
        positions.append(np.where(ended[:, None], positions[-1], observations))
        ended |= terminated
    env.close()
    return np.stack(positions, axis=1)
