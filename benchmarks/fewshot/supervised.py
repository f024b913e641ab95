"""Supervised few-shot tasks as a `Problem`, with labelled examples in place of episodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from metarl.adaptation.problem import Collected
from metarl.core.params import TaskParams
from metarl.core.prng import Key, fold, uniform
from metarl.core.seed_axis import tasks_of_a_seed
from metarl.families.tasks import Tasks

Measure = Callable[[Tensor, Tensor], Tensor]
"""A function of outputs (tasks, examples, outputs) and their targets, with one value a task."""


class Examples(NamedTuple):
    """Labelled examples of every task: `support` to adapt to, `query` to be predicted afterwards."""

    support_inputs: Float[Tensor, "tasks support *input"]
    support_targets: Tensor
    """(tasks, support, output) for regression, (tasks, support) of class indices for classification."""
    query_inputs: Float[Tensor, "tasks query *input"]
    query_targets: Tensor


def draw_seeds(tasks: Tasks) -> Int[Tensor, " tasks"]:
    """The seed of each task's examples, a function of the task's own `draw` alone."""
    root = Key(0).at("few-shot draw").env_seeds(1, 1)[0, 0]
    return fold(root, torch.as_tensor(tasks["draw"]).long())


def squared_error(outputs: Tensor, targets: Float[Tensor, "tasks examples outputs"]) -> Float[Tensor, " tasks"]:
    """Mean over examples and outputs."""
    return (outputs - targets).square().mean((1, 2))


def negative_squared_error(outputs: Tensor, targets: Tensor) -> Float[Tensor, " tasks"]:
    """Performance at regression: higher is better."""
    return -squared_error(outputs, targets)


def cross_entropy(outputs: Tensor, targets: Tensor) -> Float[Tensor, " tasks"]:
    """Mean over examples; targets (tasks, examples) are class indices."""
    return F.cross_entropy(outputs.mT, targets, reduction="none").mean(1)


def accuracy(outputs: Tensor, targets: Tensor) -> Float[Tensor, " tasks"]:
    """Share of examples whose largest output is that of their class; targets (tasks, examples) are class indices."""
    return (outputs.argmax(-1) == targets).to(outputs.dtype).mean(1)


class Supervised:
    """Tasks with a fixed set of examples: `draw(tasks)` is a function of the tasks alone.

    Every step of MAML adapts to the same support set.

    Args:
        network: Outputs for the inputs of every task, by parameters stacked over tasks.
        draw: The examples of every task.
        loss: What adaptation and the outer update minimise.
        performance: The measure that is reported, higher is better.
        minibatch: Support examples of each adaptation step: consecutive ones of a random order, with a new order once
            all have been seen, as in the code of Nichol et al. (2018). A support set of fewer is used whole.
        transductive: Predict all query examples of a task in one batch. Otherwise each has a batch of its own with the
            support examples (Nichol et al. 2018, section 6.1): batch normalisation shares statistics within a batch.
        tasks_at_once: Tasks that an evaluation adapts to at a time.
    """

    def __init__(
        self,
        network: Callable[..., Tensor],
        draw: Callable[[Tasks], Examples],
        loss: Measure,
        performance: Measure,
        *,
        minibatch: int | None = None,
        transductive: bool = True,
        tasks_at_once: int | None = None,
    ) -> None:
        self.network, self.loss, self.performance = network, loss, performance
        self.minibatch, self.transductive, self.tasks_at_once = minibatch, transductive, tasks_at_once
        self._draw = draw
        self._tasks: Tasks | None = None
        self._examples: Examples | None = None

    def collect(self, params: TaskParams, tasks: Tasks, key: Key, memory: Any = None) -> Collected:
        """The examples of every task, with the performance on the query examples."""
        if tasks is not self._tasks or self._examples is None:
            self._tasks, self._examples = tasks, self._draw(tasks)
        data = self._minibatch(self._examples, key)
        with torch.no_grad():
            outputs = self.query_outputs(params, data)
            performance = self.performance(outputs, data.query_targets)
            objective = -self.loss(outputs, data.query_targets)
        shown = data.support_targets.shape[1]
        return Collected(data, performance, torch.full_like(performance, shown, dtype=torch.int64), objective)

    def _minibatch(self, data: Examples, key: Key) -> Examples:
        tasks, examples = data.support_targets.shape[:2]
        if self.minibatch is None or self.minibatch >= examples:
            return data
        device = data.support_targets.device
        adaptation, step = key.step or (key, 0)
        first_pass, start = divmod(step * self.minibatch, examples)
        keys = (adaptation.at("minibatch", first_pass + i) for i in range(2))
        orders = [uniform(k.env_seeds(tasks, examples, device=device)).argsort(1) for k in keys]
        chosen = torch.cat(orders, 1)[:, start : start + self.minibatch]
        rows = torch.arange(tasks, device=device)[:, None], chosen
        return data._replace(support_inputs=data.support_inputs[rows], support_targets=data.support_targets[rows])

    def query_outputs(self, params: TaskParams, data: Examples) -> Tensor:
        """Outputs (tasks, queries, outputs) for the query examples."""
        if self.transductive:
            return self.network(params, data.query_inputs)
        together = beside_the_support(data)
        outputs = self.network(params, together.flatten(1, 2), together.shape[1])
        return outputs.unflatten(1, together.shape[1:3])[:, :, -1]

    def inner_loss(self, params: TaskParams, data: Examples) -> Float[Tensor, " tasks"]:
        """Loss on the support examples."""
        return self.loss(self.network(params, data.support_inputs), data.support_targets)

    def outer_loss(self, params: TaskParams, data: Examples) -> Float[Tensor, " tasks"]:
        """Loss on the query examples."""
        return self.loss(self.query_outputs(params, data), data.query_targets)

    def close(self) -> None:
        """Release nothing: no resources are held."""


def beside_the_support(data: Examples) -> Float[Tensor, "tasks queries batch *example"]:
    """A batch for each query example: the task's support examples, and the query example as the last."""
    queries = data.query_inputs.shape[1]
    support = data.support_inputs.unsqueeze(1).expand(-1, queries, *data.support_inputs.shape[1:])
    return torch.cat([support, data.query_inputs.unsqueeze(2)], 2)


class Pooled(Supervised):
    """Tasks with shared parameters: those of a seed's first task predict all of its tasks, and no task adapts.

    For joint training and for metric learning, which pass the same parameters for every task: one convolution with
    shared filters replaces a convolution for each task.
    """

    def query_outputs(self, params: TaskParams, data: Examples) -> Tensor:
        """Outputs (tasks, queries, outputs) for the query examples."""
        tasks, queries = data.query_targets.shape[:2]
        return self.pooled(params, data.query_inputs, tasks).unflatten(0, (tasks, queries))

    def pooled(self, params: TaskParams, inputs: Tensor, batches: int) -> Tensor:
        """Outputs (tasks x examples, outputs) of one set of parameters for each seed, in `batches` batches in all."""
        own = tasks_of_a_seed(len(inputs))
        first = {name: value[::own] for name, value in params.items()}
        return self.network(first, inputs.unflatten(0, (-1, own)).flatten(1, 2), tasks_of_a_seed(batches)).flatten(0, 1)

    def inner_loss(self, params: TaskParams, data: Examples) -> Float[Tensor, " tasks"]:
        """Zero: there is no adaptation."""
        return torch.zeros(len(data.query_targets), dtype=data.query_inputs.dtype, device=data.query_inputs.device)


class Prototypes(Pooled):
    """Prototypical networks (Snell et al. 2017, algorithm 1): the nearest mean embedding of a class's support examples.

    Logits are negative squared Euclidean distances. Support and query examples of a task are embedded as one batch, or
    without `transductive` each query example in a batch of its own with the support examples, whose prototypes are then
    those of the same batch. There is no adaptation.
    """

    def query_outputs(self, params: TaskParams, data: Examples) -> Tensor:
        """Logits (tasks, queries, ways) for the query examples."""
        tasks, support = data.support_targets.shape
        if self.transductive:
            together = torch.cat([data.support_inputs, data.query_inputs], 1).unsqueeze(1)
        else:
            together = beside_the_support(data)
        batches, size = together.shape[1:3]
        embedded = self.pooled(params, together.flatten(1, 2), tasks * batches).unflatten(0, (tasks, batches, size))
        belongs = F.one_hot(data.support_targets).to(embedded.dtype)
        prototypes = (belongs / belongs.sum(1, keepdim=True)).mT.unsqueeze(1) @ embedded[:, :, :support]
        distances = (embedded[:, :, support:, None] - prototypes.unsqueeze(2)).square().sum(-1)
        return -distances.flatten(1, 2)


def relabelled(draw: Callable[[Tasks], Examples], labels: Callable[[Tasks], Any]) -> Callable[[Tasks], Examples]:
    """The same examples with targets among all classes: `labels(tasks)` (tasks, ways) has the label of each way."""

    def drawn(tasks: Tasks) -> Examples:
        data = draw(tasks)
        ways = torch.as_tensor(labels(tasks), device=data.query_targets.device)
        return data._replace(
            support_targets=ways.gather(1, data.support_targets), query_targets=ways.gather(1, data.query_targets)
        )

    return drawn
