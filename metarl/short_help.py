"""The short help of `metarl train ALGORITHM --help`: the options that most trainings need. Imports no torch."""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import is_dataclass
from itertools import pairwise
from typing import Any, get_type_hints

from metarl.config.run import RunConfig, fields_of, option_name, value_of

COMMON = (
    "run_dir",
    "family",
    "variant",
    "config",
    "iterations",
    "meta_batch_size",
    "episodes",
    "samples_per_step",
    "inner.lr",
    "inner.steps",
    "sb3.algorithm",
    "sb3.timesteps",
    "seed",
    "seeds",
    "or_resume",
    "initialise_from",
    "early_stop.patience",
    "log",
    "workers",
    "device",
)
"""Options in the short help, in its order, where an algorithm has them."""

COMMON_OF_TUNE = (
    "study_dir",
    "search",
    "space",
    "trials",
    "seeds",
    "sampler",
    "prune",
    "out",
    "json",
    "family",
    "variant",
    "config",
    "iterations",
    "checkpoint_every",
    "validation_tasks",
    "seed",
)
"""The same for `metarl tune`."""

WIDTH = 100
"""Columns of the text."""


def short_help(
    program: str,
    summary: str,
    origin: str,
    *options: Any,
    usage: str = "--run-dir RUN [OPTIONS]",
    common: tuple[str, ...] = COMMON,
) -> str:
    """Help text with the common options, their defaults, and where the others are.

    Args:
        program: Name of the program and command.
        summary: One line about the command.
        origin: Where the defaults come from.
        *options: Dataclasses of options, with their defaults as values.
        usage: Arguments in the first line.
        common: Options in the text, in its order.
    """
    found = {name: (part, name) for part in options for name in fields_of(type(part))}
    lines = [
        f"usage: {program} {usage}",
        "",
        summary,
        "",
        f"common options, with the defaults of {origin}:",
    ]
    unused = {name for part in options if isinstance(part, RunConfig) for name in part.unused()}
    listed = [name for name in common if name in found and name not in unused]
    for name in listed:
        part, key = found[name]
        value = value_of(part, key)
        shown = "" if value is None or value is False or value == () else f" (default: {value})"
        text = textwrap.wrap(f"{documentation(type(part), key)}{shown}", WIDTH - 26)
        option = f"  {option_name(key)}"
        lines += [f"{option:26}{text[0] if text else ''}", *(f"{'':26}{line}" for line in text[1:])]
    rest = len(found) - len(listed)
    return "\n".join([*lines, "", f"{program} --help-all lists all options, {rest} more."])


def documentation(config_type: type, key: str) -> str:
    """The docstring below an option in its dataclass; empty where there is none.

    Args:
        config_type: A dataclass.
        key: Name of the option, with dots for those of nested dataclasses.

    Example:
        >>> from metarl.config.run import TrainConfig
        >>> documentation(TrainConfig, "inner.lr")
        'Inner learning rate.'
    """
    first, _, rest = key.partition(".")
    if rest:
        nested: Any = get_type_hints(config_type)[first]
        return documentation(nested, rest) if isinstance(nested, type) and is_dataclass(nested) else ""
    for base in config_type.__mro__:
        if first not in vars(base).get("__annotations__", {}):
            continue
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0].body  # type: ignore[attr-defined]
        except (OSError, TypeError, SyntaxError):
            return ""  # a class without a file
        for line, below in pairwise(body):
            named = isinstance(line, ast.AnnAssign) and getattr(line.target, "id", None) == first
            if named and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                return " ".join(str(below.value.value).split())
    return ""
