"""Files of a policy for other runtimes: ONNX, and torch.export's format."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from metarl import __version__
from metarl.config.run import TrainConfig
from metarl.core.errors import ConfigError, RunError, in_words
from metarl.core.numbers import finite
from metarl.deployment.modules import PolicyModule

ONNX, TORCH = ".onnx", ".pt2"

SUFFIXES = (ONNX, TORCH)
"""Suffixes of the formats that `export_policy` writes."""

FORMAT = 1

NAME = "metarl"
"""Key of the facts in the metadata of a file."""

OPSET = 18
"""Version of ONNX's operators: the oldest that torch writes without conversion, so that older runtimes read it."""

CLOSE = 1e-5
"""Largest difference between the file's outputs and the policy's, relative to numbers above one."""

Facts = dict[str, Any]
"""JSON about a policy."""


def export_policy(
    module: PolicyModule, path: Path | str, observation_space: spaces.Space, config: TrainConfig, facts: Facts
) -> None:
    """Write a policy for another runtime, after comparing the file's outputs with the policy's on random inputs.

    The batch is dynamic. The suffix chooses the format: `.onnx` is one file with the weights inside, which needs the
    extra `export`; `.pt2` is a program of torch.export, which needs torch alone.

    Args:
        module: The policy with its parameters.
        path: The file; an existing one is overwritten.
        observation_space: Space of the observations.
        config: The configuration of the run, which names family and variant.
        facts: Further entries of the metadata.

    Raises:
        ConfigError: The suffix is another, or a package is missing.
        RunError: The file cannot be written, or its outputs differ from the policy's.
    """
    place = Path(path)
    check_format(place)
    # A dictionary is exported as the flat vector that gymnasium.spaces.flatten makes of it.
    flat = (int(spaces.flatdim(observation_space)),)
    shape = observation_space.shape if isinstance(observation_space, spaces.Box) else flat
    generator = torch.Generator().manual_seed(1)
    inputs = module.example(shape, 3, generator)
    with torch.no_grad():
        outputs = module(**inputs)
    about = {
        "format": FORMAT, "metarl": __version__, "torch": torch.__version__,
        "family": config.family, "variant": config.variant, "dtype": config.dtype,
        "inputs": _described(inputs), "outputs": _described(outputs), "initial": module.initial(shape), **facts,
    }  # fmt: skip
    text = json.dumps(finite(about))
    with _quiet():
        # A size of one or zero would become a constant of the graph.
        batch = {name: {0: torch.export.Dim("batch")} for name in inputs}
        try:
            program = torch.export.export(module, (), kwargs=inputs, dynamic_shapes=batch)
        except Exception as error:
            first = in_words(error).strip().splitlines()[0]
            raise RunError(f"{place}: torch.export cannot trace the policy: {first}") from error
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # names of source files on this machine
        data, run = (_as_onnx if place.suffix == ONNX else _as_torch)(program, inputs, outputs, text)
    for rows in (1, 16):
        _compare(module, run, module.example(shape, rows, generator), place)
    try:
        place.write_bytes(data)
    except OSError as error:
        raise RunError(f"{place}: cannot be written: {error.strerror}") from None


def check_format(path: Path) -> None:
    """Check the suffix of an export, and that the packages of its format are there.

    Args:
        path: The file to write.

    Raises:
        ConfigError: The suffix is another, or a package is missing.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError(
            f"{path}: expected a file name that ends in .onnx or .pt2, or in .zip for Stable-Baselines3 "
            "(metarl.sb3.export_model)"
        )
    if path.suffix == ONNX:
        try:
            import onnx  # noqa: F401
            import onnxruntime  # noqa: F401
            import onnxscript  # noqa: F401
        except ImportError as error:
            raise ConfigError(f"{path}: {error.name} is not installed; pip install 'metarl-toolkit[export]'") from None


Run = Callable[[dict[str, Tensor]], dict[str, Tensor]]
"""The exported policy: outputs by name from inputs by name."""


def _as_onnx(program: Any, inputs: dict[str, Tensor], outputs: dict[str, Tensor], facts: str) -> tuple[bytes, Run]:
    import onnxruntime

    written = torch.onnx.export(
        program, input_names=list(inputs), output_names=list(outputs), opset_version=OPSET, dynamo=True, verbose=False
    )
    assert written is not None
    model = written.model_proto
    model.producer_name, model.producer_version = NAME, __version__
    # Names of source files on the machine that exported have no place in the file.
    for part in (model.graph, *model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info):
        del part.metadata_props[:]
    del model.metadata_props[:]
    model.metadata_props.add(key=NAME, value=facts)
    for side in (model.graph.input, model.graph.output):
        for value in side:
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])

    def run(given: dict[str, Tensor]) -> dict[str, Tensor]:
        found = session.run(list(outputs), {name: value.numpy() for name, value in given.items()})
        return dict(zip(outputs, map(torch.as_tensor, found), strict=True))

    return data, run


def _as_torch(program: Any, inputs: dict[str, Tensor], outputs: dict[str, Tensor], facts: str) -> tuple[bytes, Run]:
    program.example_inputs = None  # the only part that would be pickled
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={f"{NAME}.json": facts})
    data = file.getvalue()
    again = torch.export.load(io.BytesIO(data)).module()
    return data, lambda given: again(**given)


def _described(tensors: dict[str, Tensor]) -> Facts:
    """Type and shape of every tensor; the first axis is the batch."""
    return {
        name: {"dtype": str(value.dtype).removeprefix("torch."), "shape": ["batch", *value.shape[1:]]}
        for name, value in tensors.items()
    }


def _compare(module: PolicyModule, run: Run, inputs: dict[str, Tensor], place: Path) -> None:
    """Raise RunError if the outputs of a file differ; of two actions that are equally likely either is the mode."""
    with torch.no_grad():
        expected, found = module(**inputs), run(inputs)
    for name, value in expected.items():
        close = np.allclose(found[name].numpy(), value.numpy(), rtol=CLOSE, atol=CLOSE)
        if value.is_floating_point() and not close:
            worst = float((found[name] - value).abs().max())
            raise RunError(f"{place}: not written, since its '{name}' differs from the policy's by {worst:.2g}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the notes of torch's exporters on packages that no policy needs."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    loggers.append(logging.getLogger("torch.onnx._internal.exporter._registration"))
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)
