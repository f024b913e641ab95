"""`make demo`: meta-train on 2-D navigation, then adapt to held-out goals.

Two minutes on two cores: trains MAML-TRPO, evaluates it on held-out goals beside an untrained policy, and
draws return against adaptation step and trajectories before and after one step.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

import metarl
from metarl.agent import Agent
from metarl.core.numbers import write_json
from metarl.evaluation.plots import plot_curves, save_figure
from metarl.families.tasks import task_at
from metarl.training.progress import TrainingDisplay, evaluation_progress


@dataclass(frozen=True)
class DemoOptions:
    """Options of the demonstration."""

    out: Path = Path("demo-output")
    """Folder of the run, tables and pictures; an earlier run there is replaced."""
    iterations: int = 40
    """Meta-iterations."""
    meta_batch_size: int = 40
    """Tasks in each meta-iteration."""
    tasks: int = 40
    """Held-out goals."""
    seed: int = 1
    """Random seed of training and evaluation."""


def main(options: DemoOptions) -> None:
    """Train, evaluate, print the table, draw the pictures."""
    started = time.perf_counter()
    run = options.out / "run"
    if (run / "config.toml").exists():
        shutil.rmtree(run)
    print(f"Meta-training on 2-D navigation: {options.iterations} iterations of {options.meta_batch_size} goals.")
    with TrainingDisplay(options.iterations) as display:
        metarl.train(
            "maml-trpo",
            run_dir=run,
            iterations=options.iterations,
            meta_batch_size=options.meta_batch_size,
            seed=options.seed,
            report=display.report,
        )
    print(f"Adapting to {options.tasks} goals that were never seen, 40 episodes a step.")
    results = {}
    for label, initialisation in (("meta-trained", "trained"), ("untrained", "random")):
        with evaluation_progress() as progress:
            results[label] = metarl.evaluate(
                run, tasks=options.tasks, seed=options.seed, initialisation=initialisation, progress=progress
            )
        write_json(options.out / f"{initialisation}.json", results[label])
    print_table(results)
    plot_curves(results, options.out / "adaptation.png")
    draw_trajectories(run, options.out / "trajectories.png")
    gain = results["meta-trained"]["return"]["mean"]
    print(f"One adaptation step: {gain[0]:.1f} -> {gain[1]:.1f}.")
    print(f"Pictures: {options.out}/adaptation.png, {options.out}/trajectories.png")
    print(f"Took {time.perf_counter() - started:.0f} s.")


def print_table(results: dict[str, dict[str, Any]]) -> None:
    """Print mean return and standard error over tasks after each adaptation step, a row a method."""
    first = next(iter(results.values()))
    print(f"Return after each adaptation step on {first['tasks']} held-out goals, mean +- standard error:")
    table = Table("policy")
    for step in range(len(first["environment_steps"])):
        table.add_column(f"step {step}", justify="right")
    for label, result in results.items():
        curve = result["return"]
        table.add_row(
            label,
            *(f"{m:.1f} +- {e:.1f}" for m, e in zip(curve["mean"], curve["standard_error"], strict=True)),
        )
    Console().print(table)


def episode(agent: Agent, env: Any, horizon: int, seed: int) -> np.ndarray:
    """Positions (steps, 2) of one episode with sampled actions."""
    observation, _ = env.reset(seed=seed)
    positions = [observation]
    for _ in range(horizon):
        observation, _, terminated, truncated, _ = env.step(agent.act(observation, deterministic=False, seed=seed))
        positions.append(observation)
        if terminated or truncated:
            break
    return np.stack(positions)


def draw_trajectories(run: Path, path: Path, goals: int = 4, episodes: int = 4) -> None:
    """Draw sampled episodes before and after one adaptation step, a panel a held-out goal."""
    from matplotlib.figure import Figure

    agent = metarl.load(run)
    family = metarl.load_family(agent.config.family, agent.config.variant)
    tasks = family.sample_tasks(goals, "meta-test", np.random.default_rng(0))
    figure = Figure(figsize=(3 * goals, 3.4), layout="constrained")
    for i, axes in enumerate(np.atleast_1d(figure.subplots(1, goals, sharex=True, sharey=True))):
        task = task_at(tasks, i)
        env = family.make(task)
        adapted = agent.adapt(env, episodes=20, steps=1)
        for chosen, colour, label in ((agent, "tab:grey", "before"), (adapted, "tab:blue", "after one step")):
            for number in range(episodes):
                positions = episode(chosen, env, family.horizon, number)
                axes.plot(*positions.T, color=colour, linewidth=1, alpha=0.7, label=label if number == 0 else None)
        axes.plot(0, 0, "ko", markersize=4)
        axes.plot(*task["goal"], "*", color="tab:red", markersize=14)
        axes.set_aspect("equal")
        axes.set_xlim(-1, 1)
        axes.set_ylim(-1, 1)
        axes.set_title(f"goal ({task['goal'][0]:.2f}, {task['goal'][1]:.2f})", fontsize=9)
    axes.legend(fontsize=8, loc="lower right")
    save_figure(figure, path)


if __name__ == "__main__":
    main(tyro.cli(DemoOptions))
