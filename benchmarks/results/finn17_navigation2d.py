"""2-D navigation under the protocol of Finn et al. (2017), figure 4: the table of docs/results.md.

Trains `--config finn17-navigation2d` for every seed (finished runs are used again), evaluates on 40 held-out goals, and
prints the mean of the seeds with its interval, and the worst seed, beside the published rows. The table has three ways
of counting an adaptation step's 4,000 samples, because they differ by as much as the gap to the published results. The
published random initialisation is a tanh network, where all trained ones are ReLU; both have a row.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import metarl
from benchmarks.results.compare_methods import commit
from benchmarks.results.finished_run import finished_run
from metarl.adaptation.curve import adaptation_curve
from metarl.adaptation.gradient import gradient_adapter
from metarl.adaptation.parameters import as_trained
from metarl.config.algorithms import MamlTrpoConfig
from metarl.config.evaluation import Evaluation
from metarl.config.protocols import find_protocol
from metarl.config.registry import REINFORCEMENT_LEARNING
from metarl.config.toml import load_preset
from metarl.console import parse
from metarl.core.machine import keep_freed_memory
from metarl.core.numbers import write_json
from metarl.core.params import TaskParams
from metarl.core.prng import Key
from metarl.evaluation.evaluate import evaluate_as
from metarl.evaluation.statistics import pooled
from metarl.families.tasks import Tasks
from metarl.families.vec_env import make_vec_env
from metarl.rl.data import Episodes, concatenate_rounds, zero_masked
from metarl.rl.problem import ReinforcementLearning
from metarl.rl.rollouts import rollout
from metarl.rl.setup import build_family, build_policy
from metarl.runs.checkpoint import load_selected
from metarl.runs.directory import read_config, read_metrics
from metarl.training.progress import TrainingDisplay

STEPS = 4
TASKS = 40
EPISODES = 40
SAMPLES = 4000
PUBLISHED = {f"{name}, published": values for name, values in find_protocol("finn17-navigation2d").rows.items()}


@dataclass(frozen=True)
class Options:
    """Reproduce 2-D navigation of Finn et al. (2017), figure 4: train every seed, evaluate, print the table."""

    out: Path = Path("runs/finn17")
    """Runs go to OUT/<seed> and OUT/oracle; the numbers to OUT/table.json."""
    seeds: tuple[int, ...] = tuple(range(11, 21))
    """Training seeds."""
    iterations: int = 100
    """Meta-iterations of each."""
    meta_batch_size: int = 20
    """Tasks of each iteration: 20 in the paper and its file of results, 40 in the released training example."""


class FirstToFinish(ReinforcementLearning):
    """Counts samples as the published code does, which favours short episodes.

    Forty sub-environments run in parallel, each starting a new episode when one ends, until the episodes that have
    *ended* hold 4,000 transitions; unfinished episodes are dropped. A long episode that began late is therefore never
    counted, and near the goal short episodes are the good ones.
    """

    rounds = 10

    def episodes_of(self, params: TaskParams, tasks: Tasks, key: Key, memory: Any = None) -> tuple[Episodes, Any]:
        """Episodes of every task, those that are not counted masked out."""
        if self._vec_env is None:
            self._vec_env = self._vec_env_for(tasks)
        envs = self._vec_env.episodes
        parts = [
            rollout(self._vec_env, self.policy, params, key, horizon=self.horizon, first_episode=envs * i)
            for i in range(self.rounds)
        ]
        episodes = concatenate_rounds(parts)
        lengths = episodes.mask.sum(2).reshape(len(episodes.mask), self.rounds, envs)
        ended_at = lengths.cumsum(1)
        kept = torch.stack([first_to_finish(*pair) for pair in zip(lengths, ended_at, strict=True)])
        return zero_masked(episodes._replace(mask=episodes.mask & kept.flatten(1)[..., None])), memory


def first_to_finish(lengths: torch.Tensor, ended_at: torch.Tensor) -> torch.Tensor:
    """Mask (rounds, sub-environments) of the episodes that have ended when these first hold SAMPLES transitions."""
    order = torch.argsort(ended_at.flatten(), stable=True)
    counted = lengths.flatten()[order].cumsum(0)
    last = order[int((counted >= SAMPLES).nonzero()[0])]
    return ended_at <= ended_at.flatten()[last]


def published_count(run: Path, seed: int = 1) -> np.ndarray:
    """Returns (tasks, steps) of the run's adaptation curve, with samples counted as in `FirstToFinish`."""
    _, config = read_config(run)
    family = build_family(config)
    policy = build_policy(config, family.observation_space, family.action_space)
    theta = as_trained(gradient_adapter(config.inner), policy, load_selected(run)[0]["theta"], str(run))
    key = Key.from_seed(seed).at("evaluation")
    tasks = family.sample_tasks(TASKS, "meta-test", key.at("tasks", "navigation2d", "finn17", "meta-test").generator())
    problem = FirstToFinish(
        policy,
        lambda batch: make_vec_env(family, batch, EPISODES, device="cpu", dtype=torch.float32),
        horizon=family.horizon,
        episodes=EPISODES,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        surrogate=config.inner.estimator,
    )
    return adaptation_curve(problem, theta, tasks, key, gradient_adapter(config.inner), STEPS).per_task.numpy()


def trained(run: Path, config: MamlTrpoConfig) -> Path:
    """The finished run of a configuration, with a display of its progress."""
    with TrainingDisplay(config.iterations) as display:
        return finished_run(run, "maml-trpo", config, display.report)


def curve(run: Path, **options: Any) -> np.ndarray:
    """Returns (tasks, steps) at each adaptation step on the held-out goals."""
    options = {"tasks": TASKS, "episodes": EPISODES, "steps": STEPS} | options
    return np.array(metarl.evaluate(run, **options)["per_task"])


def random_curve(config: MamlTrpoConfig, activation: str) -> np.ndarray:
    """Returns (tasks, steps) from the random initialisation of the configuration's seed, with these hidden units."""
    policy = replace(config.policy, activation=activation)
    config = replace(config, policy=policy, episodes=EPISODES, samples_per_step=None)
    options = Evaluation(tasks=TASKS, steps=STEPS, initialisation="random")
    return np.array(evaluate_as(REINFORCEMENT_LEARNING, "maml-trpo", Path(), config, options)["per_task"])


def main(arguments: Sequence[str]) -> None:
    """Make the table with a command line."""
    make_table(parse(Options, list(arguments), "python -m benchmarks.results finn17-navigation2d"))


def make_table(options: Options) -> None:
    """Train, evaluate, print the table."""
    keep_freed_memory()
    started = time.perf_counter()
    preset, _ = load_preset("maml-trpo", "finn17-navigation2d")
    assert isinstance(preset, MamlTrpoConfig)
    preset = replace(preset, iterations=options.iterations, meta_batch_size=options.meta_batch_size)
    runs = [trained(options.out / str(seed), replace(preset, seed=seed)) for seed in options.seeds]
    oracle_config = replace(preset, seed=options.seeds[0], observe_task=True, inner=replace(preset.inner, steps=0))
    oracle = trained(options.out / "oracle", oracle_config)

    rows = {
        "MAML-TRPO: 40 episodes a step": [curve(run) for run in runs],
        "MAML-TRPO: 4,000 samples a step, in whole episodes": [curve(run, samples_per_step=SAMPLES) for run in runs],
        "MAML-TRPO: 4,000 samples a step, first to finish (as published)": [published_count(run) for run in runs],
        "MAML-TRPO, later steps at 0.1: 40 episodes a step": [
            curve(run, inner_lr=0.5, later_inner_lr=0.1) for run in runs
        ],
    }
    for activation, name in (("relu", "ReLU"), ("tanh", "tanh as published")):
        rows[f"random initialisation, {name}"] = [
            random_curve(replace(preset, seed=seed), activation) for seed in options.seeds
        ]
    rows[f"oracle (goal observed), seed {options.seeds[0]}"] = [curve(oracle, steps=0)]
    default = Options()
    changed = "".join(
        f" --{name.replace('_', '-')} {value}"
        for name, value in (("meta_batch_size", options.meta_batch_size), ("iterations", options.iterations))
        if value != getattr(default, name)
    )
    if options.seeds != default.seeds:
        changed += " --seeds " + " ".join(map(str, options.seeds))
    last = [read_metrics(run)[-1] for run in runs]
    result = {
        "command": f"python -m benchmarks.results finn17-navigation2d{changed}",
        "commit": commit(),
        "seeds": list(options.seeds),
        "rows": {name: pooled(np.array(curves), "mean") for name, curves in rows.items()},
        "published": PUBLISHED,
        "minutes": [record["wall_seconds"] / 60 for record in last],
        "million_steps": [record["environment_steps"] / 1e6 for record in last],
    }
    write_json(options.out / "table.json", result)
    print(markdown(result))
    spent = f"{np.mean(result['minutes']):.1f} minutes and {np.mean(result['million_steps']):.1f}M steps a seed"
    print(f"\nTraining: {spent}. Everything: {(time.perf_counter() - started) / 60:.1f} minutes.")


def markdown(result: dict[str, Any]) -> str:
    """Mean returns after each step with 95 % intervals for these tasks, and below them the worst seed at each step."""
    points = max(len(values) for values in result["published"].values()) if result["published"] else STEPS + 1
    lines = ["| method | " + " | ".join(map(str, range(points))) + " |", "|---|" + "---|" * points]

    def add(name: str, cells: Sequence[str]) -> None:
        lines.append(f"| {name} |" + "".join(f" {cell} |" for cell in cells) + " |" * (points - len(cells)))

    for name, row in result["rows"].items():
        low, high = row["ci95_low"], row["ci95_high"]
        add(name, [f"{mean:.2f} ({low[k]:.2f} to {high[k]:.2f})" for k, mean in enumerate(row["mean"])])
        if row["worst_seed"][0] is not None:
            add("worst of the seeds", [f"{value:.2f}" for value in row["worst_seed"]])
    for name, values in result["published"].items():
        add(name, [f"{value:.2f}" for value in values])
    return "\n".join(lines)
