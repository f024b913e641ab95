"""The setups of the few-shot benchmarks, for metarl's training, evaluation and comparison."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from benchmarks.fewshot import image_folder, images, omniglot, sinusoids
from benchmarks.fewshot.configs import (
    FewShotConfig,
    FolderConfig,
    ImagesConfig,
    OmniglotConfig,
    PrototypeOptions,
    SinusoidConfig,
)
from benchmarks.fewshot.conv4 import Conv4
from benchmarks.fewshot.supervised import (
    Examples,
    Pooled,
    Prototypes,
    Supervised,
    accuracy,
    cross_entropy,
    negative_squared_error,
    relabelled,
    squared_error,
)
from metarl.adaptation.gradient import GradientDescent, gradient_adapter
from metarl.adaptation.setup import Model
from metarl.config.algorithms import PretrainOptions
from metarl.core.machine import DTYPES
from metarl.core.params import Params
from metarl.core.prng import Key
from metarl.families.splits import Splits, UniformSplits
from metarl.families.tasks import Tasks
from metarl.rl.networks import ContextNetwork, Network, StackedMLP

PIXELS_AT_ONCE = 1_000_000
"""Pixels of all images in one call of the network in evaluations; a pixel takes about a kilobyte of memory."""


class FewShot(ABC):
    """Base class of the few-shot setups."""

    model: Model
    splits: Splits
    task_space: spaces.Dict
    adapts_to_measured = False
    """Query examples are measured, and support examples adapted to."""

    def __init__(self, config: FewShotConfig) -> None:
        self.config = config
        self.name, self.variant = config.task_name()
        self.dtype, self.device = DTYPES[config.dtype], torch.device(config.device)

    def sample_tasks(self, n: int, split: str, rng: np.random.Generator) -> Tasks:
        """Draw n tasks of a split."""
        return self.splits.sample(n, split, rng)

    @abstractmethod
    def draw(self, tasks: Tasks, *, shots: int, queries: int) -> Examples:
        """Examples of every task, on the CPU."""

    def draw_with(self, *, training: bool) -> Callable[[Tasks], Examples]:
        """The function that draws a task's examples, in the number of training or of evaluations."""
        config = self.config
        shots = (config.train_shots or config.shots) if training else config.shots
        queries = config.queries if training else config.test_queries

        def drawn(tasks: Tasks) -> Examples:
            return Examples(*(part.to(self.device) for part in self.draw(tasks, shots=shots, queries=queries)))

        return drawn

    def adapter(self, lr: float | None = None, later_lr: float | None = None) -> GradientDescent:
        """The adapter of the configuration, at other learning rates where they are given."""
        return gradient_adapter(self.config.inner, lr, later_lr)

    @abstractmethod
    def largest_tensor(self) -> int:
        """Elements of the largest tensor of a training iteration."""

    def _training_examples(self) -> int:
        """Support and query examples of an iteration, of one class where there are classes."""
        config = self.config
        return config.meta_batch_size * ((config.train_shots or config.shots) + config.queries)

    @abstractmethod
    def problem(self, *, training: bool) -> Supervised:
        """The problem of training, or that of evaluations."""

    def at_test(self, theta: Params, key: Key) -> Params:
        """The parameters that adaptation to held-out tasks starts with."""
        return theta

    def facts(self) -> dict[str, Any]:
        """Further entries of the run's manifest: none."""
        return {}

    @property
    def support(self) -> int:
        """Support examples of a task in evaluations."""
        return self.config.shots

    def budget(self, steps: int) -> dict[str, Any]:
        """Examples that each adaptation step uses, for the result of an evaluation."""
        seen = min(self.config.minibatch or self.support, self.support)
        return {
            "budget": f"{seen} of {self.support} support examples",
            "shots": self.config.shots,
            "queries": self.config.test_queries,
            "examples": [step * seen for step in range(steps + 1)],
        }

    @abstractmethod
    def protocol(self) -> Mapping[str, Any]:
        """The protocol of the tasks, for the result of an evaluation."""

    def close(self) -> None:  # noqa: B027 (nothing to override)
        """Release nothing: no resources are held."""


class Sinusoids(FewShot):
    """Regression of sine curves by a multi-layer perceptron, with context parameters for CAVIA."""

    def __init__(self, config: SinusoidConfig) -> None:
        super().__init__(config)
        self.config: SinusoidConfig = config
        self.task_space = sinusoids.task_space(config.variant)
        self.splits = UniformSplits(self.task_space)
        net, size = config.network, config.network.context
        layers = StackedMLP(1 + size, 1, net.hidden_sizes, net.activation)
        self.model: Network = ContextNetwork(layers, size) if size else layers

    def draw(self, tasks: Tasks, *, shots: int, queries: int) -> Examples:
        """Examples of every task, on the CPU."""
        return sinusoids.draw(tasks, shots=shots, queries=queries, variant=self.config.variant, dtype=self.dtype)

    def problem(self, *, training: bool) -> Supervised:
        """The problem of training, or that of evaluations."""
        draw = self.draw_with(training=training)
        return Supervised(self.model, draw, squared_error, negative_squared_error, minibatch=self.config.minibatch)

    def largest_tensor(self) -> int:
        """Elements of the widest layer's output for all examples."""
        return self._training_examples() * max(self.config.network.hidden_sizes, default=1)

    def true_curve(self, tasks: Tasks, x: Tensor) -> Tensor:
        """Targets of every task at x (tasks, points, 1)."""
        return sinusoids.curve(tasks, x, self.config.variant)

    def protocol(self) -> Mapping[str, Any]:
        """The protocol of the tasks, for the result of an evaluation."""
        return {"task": sinusoids.PROTOCOLS[self.config.variant]}


class Images(FewShot):
    """Classification of images by a Conv-4."""

    def __init__(self, config: ImagesConfig, found: images.ImageSet, classes: dict[str, np.ndarray]) -> None:
        super().__init__(config)
        self.config: ImagesConfig = config
        self.images = found
        self.pools = isinstance(config, PretrainOptions)
        self.embeds = isinstance(config, PrototypeOptions)
        images.check_shots(found, config.train_shots or config.shots, config.queries)
        images.check_shots(found, config.shots, config.test_queries, "--test-queries")
        self.task_space = images.task_space(found, config.ways)
        self.splits = images.ClassSplits(classes, config.ways, config.train_ways or config.ways)
        self.training_classes = classes["meta-train"]
        outputs = len(self.training_classes) if self.pools else config.ways
        self.model = Conv4(
            found.images.shape[1],
            None if self.embeds else outputs,
            size=found.images.shape[-1],
            filters=config.filters,
            halving=config.halving,
            average=config.average,
        )

    def draw(self, tasks: Tasks, *, shots: int, queries: int) -> Examples:
        """Examples of every task, on the CPU."""
        return images.draw(tasks, self.images, shots=shots, queries=queries, dtype=self.dtype)

    def problem(self, *, training: bool) -> Supervised:
        """The problem of training, or that of evaluations."""
        draw = self.draw_with(training=training)
        transductive = self.config.transductive or training
        if self.embeds:
            return Prototypes(
                self.model,
                draw,
                cross_entropy,
                accuracy,
                transductive=transductive,
                tasks_at_once=self._tasks_at_once(),
            )
        if self.pools and training:
            among_all = relabelled(draw, lambda tasks: np.searchsorted(self.training_classes, tasks["classes"]))
            return Pooled(self.model, among_all, cross_entropy, accuracy)
        config = self.config
        return Supervised(
            self.model,
            draw,
            cross_entropy,
            accuracy,
            minibatch=config.minibatch,
            transductive=transductive,
            tasks_at_once=self._tasks_at_once(),
        )

    def largest_tensor(self) -> int:
        """Elements of the first layer's output, at half the images' size, for all examples."""
        config, size = self.config, self.images.images.shape[-1] // 2
        return self._training_examples() * (config.train_ways or config.ways) * size**2 * config.filters

    def _tasks_at_once(self) -> int:
        """Number of tasks that an evaluation adapts to at a time, limited by memory of about a gigabyte."""
        queries = self.config.ways * self.config.test_queries
        seen = self.support + queries if self.config.transductive else queries * (self.support + 1)
        return max(1, PIXELS_AT_ONCE // (seen * self.images.images.shape[-1] ** 2))

    def at_test(self, theta: Params, key: Key) -> Params:
        """The parameters that adaptation starts with: a classifier of all training classes gets a new head.

        Joint training takes no adaptation step, so the inner optimiser's state is as untrained as the head.
        """
        if not self.pools or self.embeds:
            return theta
        head = self.model.head(self.config.ways, key)
        fresh = {name: value.to(self.device, self.dtype) for name, value in head.items()}
        return self.adapter().add_state(theta | fresh)

    @property
    def support(self) -> int:
        """Support examples of a task in evaluations."""
        return self.config.ways * self.config.shots

    def protocol(self) -> Mapping[str, Any]:
        """The protocol of the tasks, for the result of an evaluation."""
        together = "in one batch with the support examples" if self.embeds else "in one batch"
        return {
            "classes": {name: len(numbers) for name, numbers in self.splits.classes.items()},
            "batch_normalisation": "statistics of the batch at hand",
            "query": f"{together} (transductive)" if self.config.transductive else "each beside the support examples",
        }


def setup(config: FewShotConfig) -> FewShot:
    """The setup of a configuration; raises ConfigError where the data are missing or too few."""
    if isinstance(config, SinusoidConfig):
        return Sinusoids(config)
    if isinstance(config, OmniglotConfig):
        found = omniglot.load(config.data or os.environ.get("METARL_OMNIGLOT"))
        return Images(config, found, omniglot.splits(found, config.split, config.split_seed))
    assert isinstance(config, FolderConfig)
    found = image_folder.load(config.data, size=config.size, colour=config.colour)
    return Images(config, found, image_folder.splits(found, config.split_seed))
