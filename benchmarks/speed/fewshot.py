"""Seconds of a supervised meta-gradient: all tasks in one call, against loops over tasks by `higher` and `torchopt`.

`python -m benchmarks.speed fewshot` measures each implementation in a process of its own, after asserting in float64
that all give the same meta-gradient. Run it on an otherwise idle machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.fewshot.conv4 import EPSILON, Conv4
from benchmarks.fewshot.supervised import (
    Examples,
    Supervised,
    accuracy,
    cross_entropy,
    negative_squared_error,
    squared_error,
)
from benchmarks.speed.harness import (
    WARM_UP,
    BenchmarkOptions,
    in_own_process,
    in_turns,
    machine,
    machine_line,
    peak_memory,
    run_benchmark,
)
from metarl.adaptation.adapter import replay
from metarl.adaptation.gradient import GradientDescent
from metarl.algorithms.meta_gradient import value_and_grad
from metarl.core.collectives import mean_over_tasks
from metarl.core.machine import keep_freed_memory
from metarl.core.params import Params
from metarl.core.prng import Key
from metarl.rl.networks import StackedMLP

AGREEMENT = 1e-5
"""Largest relative difference of two implementations' meta-gradients."""


@dataclass(frozen=True)
class Options(BenchmarkOptions):
    """Measure one supervised meta-gradient, of the library and of loops over tasks by higher and torchopt."""

    iterations: int = 10
    """Measured meta-gradients of each implementation, after two to warm up."""
    sinusoid_tasks: int = 25
    """Tasks of the sinusoid setup: 10 shots, 40-40 ReLU, one inner step."""
    omniglot_tasks: int = 32
    """Tasks of the Omniglot setup: 5-way 1-shot, Conv-4, one inner step."""
    filters: int = 64
    """Filters of the Conv-4."""
    device: str = "cpu"
    """Device of all implementations: cpu or cuda."""


@dataclass(frozen=True)
class Case:
    """One setup at one order of derivatives."""

    setup: Literal["sinusoid", "omniglot"]
    tasks: int
    filters: int
    first_order: bool
    device: str = "cpu"

    @property
    def rate(self) -> float:
        """The inner learning rate."""
        return 0.1 if self.setup == "sinusoid" else 0.4

    def network(self) -> Any:
        """The library's network, with parameters stacked over tasks."""
        if self.setup == "sinusoid":
            return StackedMLP(1, 1, (40, 40), "relu")
        return Conv4(1, 5, size=28, filters=self.filters)

    def module(self) -> nn.Module:
        """The same network of torch's own layers, with parameters in the same order."""
        if self.setup == "sinusoid":
            return nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1))
        blocks: list[nn.Module] = []
        for inputs in (1, *[self.filters] * 3):
            convolution = nn.Conv2d(inputs, self.filters, 3, stride=2, padding=1, bias=False)
            norm = nn.BatchNorm2d(self.filters, eps=EPSILON, track_running_stats=False)
            blocks += [convolution, norm, nn.ReLU()]
        return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(self.filters, 5))

    def examples(self, dtype: torch.dtype) -> Examples:
        """Random inputs of the setup's shapes: their values do not change the time."""
        generator = torch.Generator().manual_seed(0)

        def drawn(*shape: int) -> Tensor:
            numbers = torch.rand(self.tasks, *shape, generator=generator, dtype=torch.float64)
            return numbers.to(self.device, dtype)

        if self.setup == "sinusoid":
            return Examples(drawn(10, 1), drawn(10, 1), drawn(10, 1), drawn(10, 1))
        labels = torch.arange(5, device=self.device).expand(self.tasks, -1)
        return Examples(drawn(5, 1, 28, 28), labels, drawn(5, 1, 28, 28), labels)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean loss of one task."""
        return F.mse_loss(outputs, targets) if self.setup == "sinusoid" else F.cross_entropy(outputs, targets)

    def theta(self, dtype: torch.dtype) -> Params:
        """Initial parameters, the same for every implementation."""
        drawn = self.network().initialise(Key.from_seed(1))
        return {name: value.to(self.device, dtype) for name, value in drawn.items()}

    def finished(self) -> None:
        """Wait until an accelerator has finished its work."""
        if self.device == "cuda":
            torch.cuda.synchronize()


MetaGradient = Callable[[], list[Tensor]]
"""Computes a meta-gradient, parameter by parameter."""


def by_library(case: Case, dtype: torch.dtype) -> MetaGradient:
    """The library's meta-gradient: all tasks in one call."""
    theta, data = case.theta(dtype), case.examples(dtype)
    measures = (squared_error, negative_squared_error) if case.setup == "sinusoid" else (cross_entropy, accuracy)
    problem = Supervised(case.network(), lambda tasks: data, *measures)
    adapter = GradientDescent(case.rate, first_order=case.first_order)

    def objective(at: Params) -> Tensor:
        return mean_over_tasks(problem.outer_loss(replay(problem.inner_loss, at, [data], adapter, case.tasks), data))

    return lambda: list(value_and_grad(objective, theta)[1].values())


def _loaded(case: Case, dtype: torch.dtype) -> nn.Module:
    module = case.module().to(case.device, dtype)
    for parameter, value in zip(module.parameters(), case.theta(dtype).values(), strict=True):
        parameter.data.copy_(value)
    return module


def by_higher(case: Case, dtype: torch.dtype) -> MetaGradient:
    """The meta-gradient by `higher`, one task after another."""
    import higher

    module, data = _loaded(case, dtype), case.examples(dtype)
    optimiser = torch.optim.SGD(module.parameters(), lr=case.rate)
    constant = (lambda gradients: [g.detach() for g in gradients]) if case.first_order else None

    def run() -> list[Tensor]:
        module.zero_grad()
        for x, y, query, judged in zip(*data, strict=True):
            with higher.innerloop_ctx(module, optimiser, copy_initial_weights=False) as (adapted, inner):
                inner.step(case.loss(adapted(x), y), grad_callback=constant)
                (case.loss(adapted(query), judged) / case.tasks).backward()
        return [parameter.grad.clone() for parameter in module.parameters()]  # type: ignore[union-attr]

    return run


def by_torchopt(case: Case, dtype: torch.dtype) -> MetaGradient:
    """The meta-gradient by `torchopt`, one task after another."""
    import torchopt

    module, data = _loaded(case, dtype), case.examples(dtype)
    optimiser = torchopt.sgd(case.rate)

    def run() -> list[Tensor]:
        module.zero_grad()
        for x, y, query, judged in zip(*data, strict=True):
            start = dict(module.named_parameters())
            loss = case.loss(torch.func.functional_call(module, start, (x,)), y)
            slopes = torch.autograd.grad(loss, list(start.values()), create_graph=not case.first_order)
            gradient = dict(zip(start, slopes, strict=True))
            updates, _ = optimiser.update(gradient, optimiser.init(start), params=start, inplace=False)
            adapted = torchopt.apply_updates(start, updates, inplace=False)
            (case.loss(torch.func.functional_call(module, adapted, (query,)), judged) / case.tasks).backward()
        return [parameter.grad.clone() for parameter in module.parameters()]  # type: ignore[union-attr]

    return run


IMPLEMENTATIONS = {"library": by_library, "higher": by_higher, "torchopt": by_torchopt}


def disagreement(case: Case, name: str) -> float:
    """Largest difference of an implementation's meta-gradient from the library's, relative to its norm, in float64."""
    ours, theirs = (torch.cat([g.reshape(-1) for g in IMPLEMENTATIONS[n](case, torch.float64)()])
                    for n in ("library", name))  # fmt: skip
    return float((ours - theirs).norm() / theirs.norm())


def cost(case: Case, name: str, iterations: int) -> dict[str, Any]:
    """Median seconds of a meta-gradient in float32, its matrix operations, and peak memory: the process's or CUDA's."""
    keep_freed_memory()
    run = IMPLEMENTATIONS[name](case, torch.float32)

    def seconds() -> float:
        start = time.perf_counter()
        run()
        case.finished()
        return time.perf_counter() - start

    (found,) = in_turns({name: seconds}, iterations, WARM_UP).values()
    memory = torch.cuda.max_memory_allocated() if case.device == "cuda" else peak_memory()
    with FlopCounterMode(display=False) as counter:
        run()
    return {
        "seconds": statistics.median(found),
        "peak_memory_bytes": memory,
        "operations": counter.get_total_flops(),
    }


def matrix_rate(device: str, repetitions: int = 5) -> float:
    """Floating-point operations a second of this machine's matrix multiplication in float32."""
    size = 8192 if device == "cuda" else 1024
    a, b = torch.rand(size, size, device=device), torch.rand(size, size, device=device)
    best = float("inf")
    for _ in range(repetitions):
        start = time.perf_counter()
        float((a @ b)[0, 0])  # which waits for an accelerator
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def measure(options: Options) -> dict[str, Any]:
    """Assert that the implementations agree, and measure them in every case."""
    facts = machine() | {"device": options.device, "matrix_operations_per_second": matrix_rate(options.device)}
    tasks = {"sinusoid": options.sinusoid_tasks, "omniglot": options.omniglot_tasks}
    cases = [
        Case(setup, n, options.filters, first_order, options.device)
        for setup, n in tasks.items()
        for first_order in (False, True)
    ]
    rows = []
    for case in cases:
        row: dict[str, Any] = {"workload": case.setup, "tasks": case.tasks, "first_order": case.first_order}
        for name in IMPLEMENTATIONS:
            if name != "library":
                row[f"disagreement_{name}"] = found = in_own_process(disagreement, case, name)
                assert found < AGREEMENT, f"{case}: {name}'s meta-gradient differs by {found:.1e}"
            row[name] = in_own_process(cost, case, name, options.iterations)
        row["of_matrix_rate"] = (
            row["library"]["operations"] / row["library"]["seconds"] / facts["matrix_operations_per_second"]
        )
        rows.append(row)
    return {"machine": facts, "filters": options.filters, "cases": rows}


def report(result: dict[str, Any]) -> str:
    """The numbers as text."""
    facts = result["machine"]
    lines = [
        f"{machine_line(facts)}; matrix products: {facts['matrix_operations_per_second'] / 1e9:.0f} GFLOP/s",
        "",
        f"{'milliseconds a meta-gradient':<34}"
        + "".join(f"{name:>10}" for name in IMPLEMENTATIONS)
        + f"{'x higher':>10}{'x torchopt':>12}{'of rate':>9}",
    ]
    for row in result["cases"]:
        order = "first order" if row["first_order"] else "second order"
        ours = row["library"]["seconds"]
        lines.append(
            f"{row['workload']}, {row['tasks']} tasks, {order}".ljust(34)
            + "".join(f"{1000 * row[name]['seconds']:>10.1f}" for name in IMPLEMENTATIONS)
            + f"{row['higher']['seconds'] / ours:>10.1f}{row['torchopt']['seconds'] / ours:>12.1f}"
            + f"{100 * row['of_matrix_rate']:>8.0f}%"
        )
        lines.append(
            "  peak memory, MB".ljust(34)
            + "".join(f"{row[name]['peak_memory_bytes'] / 1e6:>10.0f}" for name in IMPLEMENTATIONS)
        )
    return "\n".join(lines)


main = partial(run_benchmark, "fewshot", Options, measure, report)
