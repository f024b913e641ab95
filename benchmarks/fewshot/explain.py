"""A picture of the initialisations that pre-training, MAML and Reptile find on quadratic tasks.

A task's loss is 1/2 (x - c)^T H (x - c). One task is sharp and one is flat. Pre-training ends near the minimum of the
sharp task, whose loss dominates the sum. One gradient step solves the sharp task from anywhere, so MAML moves towards
the minimum of the flat one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.fewshot.configs import kind_of
from benchmarks.fewshot.setups import Sinusoids
from metarl.adaptation.adapter import adapt_step, initial_state, replay
from metarl.adaptation.gradient import GradientDescent, gradient_adapter
from metarl.adaptation.parameters import as_trained
from metarl.adaptation.problem import Collected
from metarl.algorithms import maml, pretrain, reptile
from metarl.algorithms.meta_gradient import value_and_grad
from metarl.config.algorithms import AdamConfig, MamlConfig, PretrainConfig, ReptileConfig
from metarl.config.run import InnerConfig
from metarl.core.collectives import mean_over_tasks
from metarl.core.errors import ConfigError
from metarl.core.params import Params, TaskParams
from metarl.core.prng import Key
from metarl.evaluation.plots import new_figure, save_figure
from metarl.families.tasks import Tasks
from metarl.runs.checkpoint import load_selected
from metarl.runs.directory import read_config

RATE = 0.2
REPTILE_STEPS = 5
STEPS = (0, 1, 2, 5, 10)
ITERATIONS = 400


class Quadratics(NamedTuple):
    """Tasks with quadratic losses, as a `Problem` without data."""

    hessians: Tensor
    """(tasks, size, size)"""
    minima: Tensor
    """(tasks, size)"""

    @property
    def tasks(self) -> Tasks:
        """All tasks, by number."""
        return {"index": np.arange(len(self.minima))}

    def inner_loss(self, params: TaskParams, data: Any = None) -> Tensor:
        """Loss (tasks,) of every task at its own parameters."""
        offset = params["x"] - self.minima
        return 0.5 * torch.einsum("ti,tij,tj->t", offset, self.hessians, offset)

    outer_loss = inner_loss

    def collect(self, params: TaskParams, tasks: Tasks, key: Key, memory: Any = None) -> Collected:
        """No data; the performance is the negative loss."""
        losses = self.inner_loss(params)
        return Collected(None, -losses, torch.zeros(len(losses), dtype=torch.int64), -losses)


ON_A_LINE = Quadratics(
    torch.tensor([[[4.0]], [[0.5]]], dtype=torch.float64), torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
)
IN_A_PLANE = Quadratics(
    torch.tensor([[[4.0, 0.0], [0.0, 0.6]], [[0.8, 0.4], [0.4, 2.0]]], dtype=torch.float64),
    torch.tensor([[1.0, 1.0], [-1.0, -0.6]], dtype=torch.float64),
)


def initialisations(problem: Quadratics) -> dict[str, Params]:
    """The parameters that each of metarl's outer updates converges to."""
    adam = AdamConfig(lr=0.05, schedule="linear")
    once = InnerConfig(lr=RATE)
    chosen: dict[str, tuple[Any, Any]] = {
        "pre-training": (pretrain, PretrainConfig(inner=once, adam=adam, iterations=ITERATIONS)),
        "MAML": (maml, MamlConfig(inner=once, adam=adam, iterations=ITERATIONS)),
        "Reptile": (
            reptile,
            ReptileConfig(inner=InnerConfig(lr=RATE, steps=REPTILE_STEPS), adam=adam, iterations=ITERATIONS),
        ),
    }
    found = {}
    for name, (algorithm, config) in chosen.items():
        state = algorithm.initial_state({"x": torch.zeros(problem.minima.shape[1], dtype=torch.float64)}, config)
        for iteration in range(ITERATIONS):
            state, _ = algorithm.meta_step(
                state, problem, problem.tasks, Key(0), gradient_adapter(config.inner), config, iteration / ITERATIONS
            )
        found[name] = state["theta"]
    return found


def path(problem: Quadratics, theta: Params, steps: int) -> Tensor:
    """Parameters (steps + 1, tasks, size) of every task during adaptation."""
    at = initial_state(theta, len(problem.minima))
    places = [at.params["x"]]
    for _ in range(steps):
        at = adapt_step(problem.inner_loss, at, None, GradientDescent(RATE))
        places.append(at.params["x"])
    return torch.stack(places)


def losses_along(problem: Quadratics, places: Tensor) -> Tensor:
    """Loss (steps + 1, tasks) of every task along a path."""
    return torch.stack([problem.inner_loss({"x": at}) for at in places])


def directions(problem: Quadratics, theta: Params) -> dict[str, Tensor]:
    """The directions (size,) that the outer updates descend, after one inner step (two for Reptile's sum).

    Pre-training: the first gradient. First-order MAML: the last. MAML: the last times (I - rate H). Reptile: the sum.
    """
    n = len(problem.minima)

    def objective(steps: int, first_order: bool) -> Any:
        adapter = GradientDescent(RATE, first_order=first_order)
        return lambda at: mean_over_tasks(
            problem.outer_loss(replay(problem.inner_loss, at, [None] * steps, adapter, n), None)
        )

    moved = path(problem, theta, 2)
    return {
        "pre-training: g1": value_and_grad(objective(0, False), theta)[1]["x"],
        "first-order MAML: g2": value_and_grad(objective(1, True), theta)[1]["x"],
        "MAML: (I - a H) g2": value_and_grad(objective(1, False), theta)[1]["x"],
        "Reptile: g1 + g2": mean_over_tasks(moved[0] - moved[2]) / RATE,
    }


def explain(plot: Path, runs: Sequence[Path] = ()) -> None:
    """Draw the comparison into `plot`, and the predictions of sinusoid runs into a second file beside it."""
    pairs = {run: kind_of(run) for run in runs}
    for run, kind in pairs.items():
        if kind.name != "sinusoid":
            raise ConfigError(f"--sinusoids = {run}: trained on {kind.name}; expected a sinusoid run")
    figure = new_figure(12, 9)
    axes = figure.subplots(2, 2)
    on_a_line = initialisations(ON_A_LINE)
    _draw_curves(axes[0, 0], on_a_line)
    _draw_losses(axes[0, 1], on_a_line)
    _draw_plane(axes[1, 0], initialisations(IN_A_PLANE))
    _draw_directions(axes[1, 1])
    save_figure(figure, plot)
    print(f"saved {plot}")
    print(_loss_table(on_a_line))
    if runs:
        beside = plot.with_name(f"{plot.stem}-sinusoids{plot.suffix}")
        save_figure(_sinusoids(runs), beside)
        print(f"saved {beside}")


def _loss_table(found: dict[str, Params]) -> str:
    lines = ["mean loss on the line, before and after one step:"]
    for name, theta in found.items():
        means = losses_along(ON_A_LINE, path(ON_A_LINE, theta, 1)).mean(1).tolist()
        lines.append(f"  {name:13} at {float(theta['x'][0]):+.3f}: {means[0]:.3f} {means[1]:.3f}")
    return "\n".join(lines)


def _draw_curves(axes: Any, found: dict[str, Params]) -> None:
    """The tasks' losses over the parameter, each method's initialisation, and one step from it."""
    grid = torch.linspace(-2, 2, 201, dtype=torch.float64)
    for task, name in enumerate(("sharp task", "flat task")):
        values = [float(ON_A_LINE.inner_loss({"x": x.expand(2, 1)})[task]) for x in grid]
        axes.plot(grid, values, label=name)
    axes.set_prop_cycle(None)
    for number, (name, theta) in enumerate(found.items()):
        colour = f"C{number + 2}"
        places = path(ON_A_LINE, theta, 1)
        heights = losses_along(ON_A_LINE, places)
        axes.axvline(float(theta["x"][0]), color=colour, linestyle=":", label=name)
        for task in range(2):
            ends = [(float(places[step, task, 0]), float(heights[step, task])) for step in range(2)]
            axes.annotate("", ends[1], ends[0], arrowprops={"arrowstyle": "->", "color": colour})
            axes.plot(*ends[0], "o", color=colour)
    axes.set(ylim=(-0.1, 4.6), xlabel="parameter", ylabel="loss", title="Where each method starts; arrows: one step")
    axes.legend(fontsize=8)


def _draw_losses(axes: Any, found: dict[str, Params]) -> None:
    """Mean loss before and after adaptation: pre-training is best before it, and not after it."""
    for number, (name, theta) in enumerate(found.items()):
        means = losses_along(ON_A_LINE, path(ON_A_LINE, theta, max(STEPS))).mean(1)
        axes.plot(STEPS, [float(means[step]) for step in STEPS], marker="o", color=f"C{number + 2}", label=name)
    axes.set(xlabel="adaptation steps", ylabel="mean loss of both tasks", title="Before and after adaptation")
    axes.set_yscale("log")
    axes.legend(fontsize=8)


def _draw_plane(axes: Any, found: dict[str, Params]) -> None:
    """Two parameters: contours of both tasks, and the paths of adaptation from each initialisation."""
    grid = np.linspace(-2, 2, 81)
    across, up = np.meshgrid(grid, grid)
    points = torch.from_numpy(np.stack([across, up], -1).reshape(-1, 1, 2)).expand(-1, 2, 2)
    heights = losses_along(IN_A_PLANE, points).T.reshape(2, 81, 81)
    for task in range(2):
        axes.contour(grid, grid, heights[task], levels=[0.1, 0.4, 0.9, 1.6], colors=f"C{task}", linewidths=0.7)
    for number, (name, theta) in enumerate(found.items()):
        places = path(IN_A_PLANE, theta, 10)
        for task in range(2):
            axes.plot(*places[:, task].T, ".-", color=f"C{number + 2}", linewidth=0.8, markersize=4)
        axes.plot(*theta["x"], "o", color=f"C{number + 2}", label=name)
    axes.set(title="Two parameters: ten steps on either task", aspect="equal")
    axes.legend(fontsize=8)


def _draw_directions(axes: Any) -> None:
    """The update directions from one point, tasks averaged."""
    start = {"x": torch.tensor([-0.5, 1.2], dtype=torch.float64)}
    for number, (name, direction) in enumerate(directions(IN_A_PLANE, start).items()):
        step = -direction
        axes.annotate("", step.tolist(), (0, 0), arrowprops={"arrowstyle": "->", "color": f"C{number}", "lw": 2})
        axes.plot(*step.tolist(), color=f"C{number}", label=name)
    axes.plot(0, 0, "ko")
    axes.margins(0.2)
    axes.set(title="What each outer update follows (descent, from (-0.5, 1.2))", aspect="equal")
    axes.legend(fontsize=8)


def _sinusoids(runs: Sequence[Path]) -> Any:
    """Predictions after 0, 1 and 10 steps over the true curve of one held-out task, a panel a run."""
    figure = new_figure(5 * len(runs), 4)
    panels = figure.subplots(1, len(runs), squeeze=False)[0]
    grid = torch.linspace(-5, 5, 201)[None, :, None]
    for axes, run in zip(panels, runs, strict=True):
        kind = kind_of(run)
        algorithm, config = read_config(run, kind)
        setup = Sinusoids(config)
        theta = as_trained(setup.adapter(), setup.model, load_selected(run)[0]["theta"], str(run))
        tasks = setup.sample_tasks(1, "meta-test", Key.from_seed(1).at("explain").generator())
        problem = setup.problem(training=False)
        at, adapter = initial_state(theta, 1), setup.adapter()
        x = grid.to(setup.dtype)
        axes.plot(grid[0, :, 0], setup.true_curve(tasks, x)[0, :, 0], "k", label="true curve")
        for step in range(11):
            data = problem.collect(at.params, tasks, Key(0).at_step(step)).data
            if step in (0, 1, 10):
                axes.plot(grid[0, :, 0], setup.model(at.params, x)[0, :, 0].detach(), label=f"after {step} steps")
            if step == 0:
                axes.plot(data.support_inputs[0, :, 0], data.support_targets[0, :, 0], "k^", label="support")
            at = adapt_step(problem.inner_loss, at, data, adapter)
        axes.set(title=f"{run.name} ({algorithm})", xlabel="x", ylim=(-6, 6))
        axes.legend(fontsize=8)
    return figure
