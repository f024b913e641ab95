"""Programs of several scripts: `python -m PACKAGE NAME [OPTIONS]` loads and runs the script of that name."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from metarl.console import dispatch

Scripts = Mapping[str, tuple[str, str]]
"""The module of each script in the package, or `module:function`, and a summary in one line."""


def run_program(package: str, purpose: str, scripts: Scripts, arguments: Sequence[str] | None = None) -> int:
    """Run one script of a package; NAME takes underscores for hyphens. The exit code, 2 where the user is wrong."""
    name, *options = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    commands = {known: (partial(_run, f"{package}.{target}"), summary) for known, (target, summary) in scripts.items()}
    chosen = [name if name.startswith("-") else name.replace("_", "-"), *options]
    return dispatch(chosen, package.rpartition(".")[2], commands, _listing(package, purpose, scripts))


def _run(target: str, arguments: Sequence[str]) -> int:
    module, _, function = target.partition(":")
    getattr(importlib.import_module(module), function or "main")(arguments)
    return 0


def _listing(package: str, purpose: str, scripts: Scripts) -> str:
    width = max(len(name) for name in scripts)
    lines = "\n".join(f"  {name:{width}}  {summary}" for name, (_, summary) in scripts.items())
    return (
        f"usage: python -m {package} NAME [OPTIONS]\n\n{purpose}\n\nnames:\n{lines}\n\n"
        f"python -m {package} NAME --help lists the options of one."
    )
