"""What metarl's command line and the few-shot benchmarks' have in common. Imports no torch before it has to."""

from __future__ import annotations

import contextlib
import io
import re
import signal
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from metarl.config.commands import ResumeOptions
from metarl.config.registry import ProblemKind
from metarl.config.run import RunConfig, fields_of, option_name
from metarl.config.validation import validate
from metarl.core.errors import ConfigError, MetarlError, nearest
from metarl.core.launch import place_of_launch

Options = TypeVar("Options")

Commands = Mapping[str, tuple[Callable[[list[str]], int], str]]
"""Each command's function of its arguments, and what it does in a few words."""


def dispatch(arguments: Sequence[str] | None, program: str, commands: Commands, help_text: str) -> int:
    """Run one of a program's commands; what the user can mend becomes one line on standard error."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    warnings.showwarning = partial(_show_warning, program)  # type: ignore[assignment]
    _stop_on_terminate()
    try:
        if not arguments or arguments[0] in ("-h", "--help"):
            print(help_text)
            return 0
        if arguments[0] == "--version":
            from metarl import __version__

            print(f"{program} {__version__}")
            return 0
        name, rest = arguments[0], arguments[1:]
        if name not in commands:
            raise ConfigError(f"unknown command '{name}'{nearest(name, commands)}")
        return commands[name][0](rest)
    except MetarlError as error:
        print(f"{program}{_rank()}: error: {one_line(str(error))}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        # torch's allocators raise RuntimeErrors of no type of their own.
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        print(f"{program}: error: not enough memory: {one_line(str(error))}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, _Terminated) as stop:
        print(f"{program}: stopped", file=sys.stderr)
        return 130 if isinstance(stop, KeyboardInterrupt) else 143
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"{program}: error: {one_line(f'{place}{error.strerror or error}')}", file=sys.stderr)
        return 2


class _Terminated(BaseException):
    """SIGTERM; not a SystemExit, which parsers of command lines raise and catch for reasons of their own."""


def _stop_on_terminate() -> None:
    """Before and after training SIGTERM ends a command as Ctrl-C does, with its own exit code and nothing left open."""

    def stop(number: int, frame: Any) -> None:
        raise _Terminated

    with contextlib.suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGTERM, stop)


def overview(program: str, purpose: str, commands: Commands) -> str:
    """What a program says without a command."""
    listing = "\n".join(f"  {name:10} {summary}" for name, (_, summary) in commands.items())
    return (
        f"usage: {program} COMMAND ...\n\n{purpose}\n\ncommands:\n{listing}\n\n"
        f"{program} COMMAND --help lists a command's options."
    )


def parse(
    command: Callable[..., Options] | type[Options], arguments: list[str], program: str, default: Any = None
) -> Options:
    """Options by tyro; what it has to complain about becomes one line."""
    extra: dict[str, Any] = {} if default is None else {"default": default}
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(command, args=arguments, prog=program, **extra)  # type: ignore[call-overload, no-any-return]
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ConfigError(parse_error(said.getvalue(), command)) from None


def _show_warning(program: str, message: Any, category: Any, filename: str, line: int, *_: Any, **__: Any) -> None:
    print(f"{program}{_rank()}: warning: {one_line(str(message))}", file=sys.stderr)


def _rank() -> str:
    """Which process of torchrun's speaks, unless it is the first."""
    rank, _ = place_of_launch()
    return f" (rank {rank})" if rank else ""


def parse_training(arguments: list[str], program: str, explanation: str, where: Any, default: Any) -> tuple[Any, Any]:
    """Where a training goes and its configuration, both as the command line changes them."""

    @dataclass(frozen=True)
    class Command:
        where: Annotated[Any, tyro.conf.arg(name="")]
        what: Annotated[Any, tyro.conf.arg(name="")]

    Command.__annotations__ = {
        "where": Annotated[type(where), tyro.conf.arg(name="")],
        "what": Annotated[type(default), tyro.conf.arg(name="")],
    }
    Command.__doc__ = explanation
    options = parse(Command, arguments, program, default=Command(where, default))
    validate(options.what)
    if options.where.run_dir is None:
        raise ConfigError("--run-dir is missing; expected the run directory to create")
    return options.where, options.what


def run_training(kind: ProblemKind, algorithm: str, config: RunConfig, where: Any) -> int:
    """Train into a run directory, with progress; the exit code."""
    if not (where.seeds or where.or_resume) and place_of_launch()[1] == 1:
        from metarl.runs.directory import check_free

        check_free(where.run_dir, kind)  # before torch is loaded, which takes longer than all the rest
    from metarl.training.progress import training_display

    if where.seeds:
        from metarl.training.seeds import train_seeds

        runs = train_seeds(
            algorithm,
            config,
            where.seeds,
            where.run_dir,
            kind=kind,
            or_resume=where.or_resume,
            accept_numerics=where.accept_numerics,
            at_once=where.seeds_at_once,
            log=_note,
            display=partial(training_display, config.iterations, kind),
        )
        return max([_finished(kind, run, outcome) for run, outcome in runs], default=0)
    from metarl.training.start import train

    with training_display(config.iterations, kind) as report:
        outcome = train(
            algorithm, config, where.run_dir, kind=kind, or_resume=where.or_resume,
            accept_numerics=where.accept_numerics, report=report,
        )  # fmt: skip
    return 0 if place_of_launch()[0] else _finished(kind, where.run_dir, outcome)


def run_resumed(kind: ProblemKind, options: ResumeOptions) -> int:
    """Go on with a run, with progress; the exit code."""
    from metarl.runs.directory import read_config

    _, config = read_config(options.run, kind)
    from metarl.training.progress import training_display
    from metarl.training.start import resume

    total = options.iterations if options.iterations is not None else config.iterations
    with training_display(total, kind) as report:
        outcome = resume(
            options.run,
            kind=kind,
            iterations=options.iterations,
            extend_schedule=options.extend_schedule,
            accept_numerics=options.accept_numerics,
            report=report,
        )
    return 0 if place_of_launch()[0] else _finished(kind, options.run, outcome)


def _note(line: str) -> None:
    print(f"metarl{_rank()}: {line}")


def _finished(kind: ProblemKind, run: Path, outcome: Any) -> int:
    if outcome.error is not None:
        print(f"metarl{_rank()}: error: {run}: {one_line(str(outcome.error))}", file=sys.stderr)
        return 2
    if outcome.signal is not None:
        print(f"metarl: stopped by signal {outcome.signal} after iteration {outcome.iteration}, saved; "
              f"go on with: {kind.command} resume {run}", file=sys.stderr)  # fmt: skip
        return 128 + outcome.signal
    print(f"saved {run}/checkpoints/{outcome.iteration:08d}")
    return 0


def show_evaluation(result: dict[str, Any], options: Any) -> None:
    """Print a result, and write what `options.json` and `options.plot` ask for."""
    from metarl.core.numbers import write_json
    from metarl.evaluation.tables import print_evaluation

    print_evaluation(result)
    if options.json is not None:
        write_json(options.json, result)
    if options.plot is not None:
        from metarl.evaluation.plots import plot_curves

        plot_curves({options.run.name: result}, options.plot)


def show_comparison(result: dict[str, Any], options: Any) -> None:
    """Print a comparison, and write what `options.json` and `options.plot` ask for."""
    from metarl.core.numbers import write_json
    from metarl.evaluation.tables import print_comparison

    print_comparison(result)
    if options.json is not None:
        write_json(options.json, result)
    if options.plot is not None:
        from metarl.evaluation.plots import plot_comparison

        plot_comparison(result, options.plot)


def check_suffix(option: str, path: Path, suffixes: tuple[str, ...]) -> None:
    """Raise ConfigError for a file of a kind that cannot be written."""
    if path.suffix not in suffixes:
        raise ConfigError(f"{option} = {path}; expected a file name that ends in {' or '.join(suffixes)}")


def check_plot(path: Path | None) -> None:
    """The same for a picture that may not have been asked for."""
    if path is not None:
        check_suffix("--plot", path, (".png", ".svg", ".pdf"))


def parse_error(box: str, command: Any) -> str:
    """One line from tyro's box: what is wrong, and for an unknown option the nearest that exists."""
    # A UTF-8 box has its title in the border; without UTF-8 the title is a block of its own.
    lines = box.splitlines()
    start = 0 if lines and lines[0].startswith("╭") else 1
    blocks = [""]
    for line in (line.strip("│╰╯ ") for line in lines[1 - start :]):
        if set(line) <= {"─", "-"} and line:
            blocks.append("")
        else:
            blocks[-1] += f" {line}"
    message = one_line(blocks[min(start, len(blocks) - 1)]) or "the command line cannot be parsed"
    unknown = re.match(r"Unrecognized options: (--?[^\s,]+)", message)
    if unknown:
        known = [option_name(name) for name in _all_options(command)]
        return f"unknown option {unknown[1]}{nearest(unknown[1].partition('=')[0], known)}"
    value = re.match(r"Error parsing (\S+): (.*)", message)
    if value:
        literal = re.search(r"'([^']*)'$", value[2])
        for sign, expected in (
            ("int()", "a whole number"),
            ("float", "a number"),
            ("valid parse", "whole numbers"),
        ):
            if sign in value[2]:
                return f"{value[1]}{f' = {literal[1]}' if literal else ''}; expected {expected}"
        return f"{value[1]}: {value[2]}"
    missing = re.match(r"Missing from metarl \S+: (.*)", message)
    if missing:
        return f"missing: {missing[1]}"
    return message


def _all_options(command: Any) -> list[str]:
    names: list[str] = []
    for name in fields_of(command):
        names.append(name.removeprefix("where.").removeprefix("what."))
    return names


def one_line(message: str) -> str:
    return " ".join(message.split())
