"""Options and problem kinds of the few-shot benchmarks. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from metarl.config.algorithms import MamlOptions, PretrainOptions, ReptileOptions
from metarl.config.registry import Algorithm, ProblemKind
from metarl.config.run import NetworkConfig, RunConfig, context_misfits
from metarl.config.toml import from_mapping, read_toml
from metarl.core.errors import RunError
from metarl.runs.directory import kind_name

PRESETS = Path(__file__).parent / "presets"
COMMAND = "python -m benchmarks.fewshot"


@dataclass(frozen=True)
class FewShotConfig(RunConfig):
    """Options of every few-shot training."""

    iterations: int = 10_000
    checkpoint_every: int = 1000
    validation_tasks: int = 100
    shots: int = 10
    """Support examples of each task, or of each class where there are classes."""
    train_shots: int | None = None
    """Support examples in training, if different."""
    queries: int = 10
    """Query examples in training, of each class where there are classes."""
    test_queries: int = 15
    """Query examples in evaluations."""
    minibatch: int | None = None
    """Support examples of each adaptation step, without repetition until all were seen; all of them by default."""

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Options out of range, each with the values that were expected."""
        for name in ("shots", "train_shots", "queries", "test_queries", "minibatch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                yield name, "a whole number of at least 1"


@dataclass(frozen=True)
class SinusoidConfig(FewShotConfig):
    """Options of sinusoid regression."""

    variant: Literal["finn17", "reptile"] = "finn17"
    """Published variant: finn17 (also CAVIA's), or reptile: other phases, on a grid of 50 points."""
    meta_batch_size: int = 25
    test_queries: int = 100
    network: NetworkConfig = field(default_factory=lambda: NetworkConfig((40, 40), "relu"))

    def task_name(self) -> tuple[str, str | None]:
        """Data set and variant of the tasks."""
        return "sinusoid", f"{self.variant} {self.shots}-shot"

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Options out of range, each with the values that were expected."""
        yield from super().conflicts()
        yield from context_misfits(self.inner, self.network, "network")
        if self.variant == "reptile":
            for name in ("shots", "train_shots", "queries", "test_queries"):
                if (getattr(self, name) or 1) > 50:
                    yield name, "at most 50, the points of the grid"


@dataclass(frozen=True)
class ImagesConfig(FewShotConfig):
    """Options of few-shot image classification."""

    ways: int = 5
    """Classes of each task."""
    train_ways: int | None = None
    """Classes of each task in training, if different."""
    shots: int = 1
    queries: int = 1
    filters: int = 64
    """Filters of each layer of the Conv-4."""
    halving: Literal["stride", "max-pool"] = "stride"
    """How each layer halves the image."""
    average: bool = True
    """Average the last layer over an image's pixels, rather than flatten it."""
    transductive: bool = True
    """In evaluations, predict all query examples as one batch, or each in a batch with the support examples."""
    data: str | None = None
    """Folder of the images; for omniglot the environment variable METARL_OMNIGLOT by default."""
    split_seed: int = 1
    """Chooses the classes of each split, for data without splits."""

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Options out of range, each with the values that were expected."""
        yield from super().conflicts()
        for name, least in (("ways", 2), ("train_ways", 2), ("filters", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                yield name, f"a whole number of at least {least}"
        if self.train_ways not in (None, self.ways) and not isinstance(self, PretrainOptions):
            yield "train_ways", "the same as --ways: the network's head has an output for each"
        if self.inner.adapt == "context":
            yield "inner.adapt", "all, head or a pattern: the Conv-4 has no context parameters"


@dataclass(frozen=True)
class OmniglotConfig(ImagesConfig):
    """Options of Omniglot."""

    split: Literal["characters", "alphabets"] = "characters"
    """1,200 random characters for training (Vinyals et al. 2016), or the background alphabets (Lake et al. 2015)."""

    def task_name(self) -> tuple[str, str | None]:
        """Data set and variant of the tasks."""
        return "omniglot", f"{self.split} {self.ways}-way {self.shots}-shot"


@dataclass(frozen=True)
class FolderConfig(ImagesConfig):
    """Options of a folder of class folders."""

    size: int = 84
    """Height and width that images are scaled to."""
    colour: bool = True
    """Keep three channels."""
    filters: int = 32
    halving: Literal["stride", "max-pool"] = "max-pool"
    average: bool = False

    def task_name(self) -> tuple[str, str | None]:
        """Data set and variant of the tasks."""
        return f"image-folder {self.data}", f"{self.ways}-way {self.shots}-shot"


@dataclass(frozen=True)
class PrototypeOptions(PretrainOptions):
    """Prototypical networks: joint training of an embedding."""


METHODS: dict[str, tuple[type, str, str]] = {
    "maml": (MamlOptions, "maml", "MAML; with --inner.first-order, --inner.adapt head (ANIL), --inner.learned-lr"),
    "reptile": (ReptileOptions, "reptile", "towards the adapted parameters (Nichol et al. 2018)"),
    "pretrain": (PretrainOptions, "pretrain", "joint training; on images a classifier of all training classes"),
    "protonet": (PrototypeOptions, "pretrain", "prototypical networks (Snell et al. 2017), without gradients at test"),
}


def _kind(name: str, base: type[FewShotConfig], measure: str) -> ProblemKind:
    algorithms = {}
    for method, (options, module, summary) in METHODS.items():
        if method == "protonet" and not issubclass(base, ImagesConfig):
            continue
        config = type(f"{options.__name__}{base.__name__}", (options, base), {"__doc__": f"{base.__doc__}"})
        algorithms[method] = Algorithm(dataclass(frozen=True)(config), f"metarl.algorithms.{module}", summary)
    bounds = (0.0, 1.0) if measure == "accuracy" else None
    return ProblemKind(
        name, COMMAND, algorithms, base, "benchmarks.fewshot.setups", measure, "examples", "mean", bounds
    )


KINDS = {
    kind.name: kind
    for kind in (
        _kind("sinusoid", SinusoidConfig, "negative_mse"),
        _kind("omniglot", OmniglotConfig, "accuracy"),
        _kind("image-folder", FolderConfig, "accuracy"),
    )
}


def kind_of(run: Path) -> ProblemKind:
    """The problem kind that a run was trained on; raises RunError where it is none of the benchmarks."""
    name = kind_name(run)
    if name not in KINDS:
        raise RunError(f"{run}: trained on {name}; expected one of {', '.join(KINDS)}")
    return KINDS[name]


def default_config(dataset: str, method: str) -> Any:
    """The preset of a method on a data set, or the method's defaults where there is none."""
    config = KINDS[dataset].find(method).config()
    path = PRESETS / f"{dataset}-{method}.toml"
    return from_mapping(config, read_toml(path), str(path)) if path.exists() else config


def quick(config: Any) -> Any:
    """The same configuration at a size that takes a minute."""
    changes: dict[str, Any] = {"iterations": 200, "checkpoint_every": 100, "validation_tasks": 20}
    if isinstance(config, ImagesConfig):
        changes |= {"filters": 16, "meta_batch_size": min(config.meta_batch_size, 8)}
    return replace(config, **changes)
