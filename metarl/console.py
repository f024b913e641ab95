"""Common parts of the command lines of metarl and of the few-shot benchmarks. Imports torch only on use."""

from __future__ import annotations

import contextlib
import io
import re
import signal
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from metarl.callbacks.by_name import logging_to
from metarl.config.commands import ResumeOptions
from metarl.config.registry import ProblemKind
from metarl.config.run import RunConfig, fields_of, option_name
from metarl.config.validation import validate
from metarl.core.errors import ConfigError, MetarlError, nearest
from metarl.core.launch import pin_threads, place_of_launch

Options = TypeVar("Options")

Commands = Mapping[str, tuple[Callable[[list[str]], int], str]]
"""Function and short description of each command."""


def dispatch(arguments: Sequence[str] | None, program: str, commands: Commands, help_text: str) -> int:
    """Run one of a program's commands; errors that the user can fix become one line on standard error.

    Args:
        arguments: The arguments (default: those of the process).
        program: Name of the program.
        commands: The commands.
        help_text: Text for `--help`.

    Returns:
        The exit code.
    """
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
        # torch's CPU allocator raises plain RuntimeErrors.
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
    """SIGTERM. Not a SystemExit, which command-line parsers raise and catch themselves."""


def _stop_on_terminate() -> None:
    """Make SIGTERM raise an exception, as Ctrl-C does, so that a command ends cleanly before and after training."""

    def stop(number: int, frame: Any) -> None:
        raise _Terminated

    with contextlib.suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGTERM, stop)


def overview(program: str, purpose: str, commands: Commands) -> str:
    """Help text of a program.

    Args:
        program: Name of the program.
        purpose: One sentence about it.
        commands: The commands.
    """
    listing = "\n".join(f"  {name:10} {summary}" for name, (_, summary) in commands.items())
    return (
        f"usage: {program} COMMAND ...\n\n{purpose}\n\ncommands:\n{listing}\n\n"
        f"{program} COMMAND --help lists a command's options."
    )


def parse(
    command: Callable[..., Options] | type[Options], arguments: list[str], program: str, default: Any = None
) -> Options:
    """Parse options by tyro.

    Args:
        command: The dataclass of the options.
        arguments: The arguments.
        program: Name of the program and command.
        default: Options whose values are the defaults.

    Raises:
        ConfigError: The arguments are invalid; the message is one line.
    """
    extra: dict[str, Any] = {} if default is None else {"default": default}
    captured = io.StringIO()
    try:
        with contextlib.redirect_stderr(captured):
            return tyro.cli(command, args=arguments, prog=program, **extra)  # type: ignore[call-overload, no-any-return]
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ConfigError(parse_error(captured.getvalue(), command)) from None


def _show_warning(program: str, message: Any, category: Any, filename: str, line: int, *_: Any, **__: Any) -> None:
    if _is_of_an_import(filename):
        return
    print(f"{program}{_rank()}: warning: {one_line(str(message))}", file=sys.stderr)


def _is_of_an_import(filename: str) -> bool:
    """Whether a warning is of another package while it is imported: about its own code, which the user cannot change.

    Args:
        filename: File that the warning is about.
    """
    path = Path(filename)
    foreign = {"site-packages", "dist-packages"} & set(path.parts) or filename.startswith("<frozen importlib")
    if not foreign or path.is_relative_to(Path(__file__).parent):
        return False
    frame = sys._getframe()
    while frame.f_back is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _rank() -> str:
    """Suffix of the program's name with the rank of this process; empty for rank 0."""
    rank, _ = place_of_launch()
    return f" (rank {rank})" if rank else ""


def parse_training(arguments: list[str], program: str, explanation: str, where: Any, default: Any) -> tuple[Any, Any]:
    """Parse the arguments of a training, as `parse_with_config`, with a run directory among them."""
    where, config = parse_with_config(arguments, program, explanation, where, default)
    if where.run_dir is None:
        raise ConfigError("--run-dir is missing; expected the run directory to create")
    return where, config


def parse_with_config(
    arguments: list[str], program: str, explanation: str, where: Any, default: Any
) -> tuple[Any, Any]:
    """Parse the options of a command and of a configuration.

    Args:
        arguments: The arguments.
        program: Name of the program and command.
        explanation: Text for `--help`.
        where: Options of the command, with their defaults.
        default: Default configuration.

    Returns:
        The options of the command, and the validated configuration.

    Raises:
        ConfigError: The arguments are invalid.
    """

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
    return options.where, options.what


def run_training(kind: ProblemKind, algorithm: str, config: RunConfig, where: Any) -> int:
    """Train with a progress display.

    Args:
        kind: The kind of problem.
        algorithm: Name of the outer update.
        config: Its options.
        where: Run directory and seeds.

    Returns:
        The exit code.
    """
    callbacks = logging_to(where.log)
    pin_threads(where.threads)
    if not (where.seeds or where.or_resume) and place_of_launch()[1] == 1:
        from metarl.runs.directory import check_free

        check_free(where.run_dir, kind)  # before torch is loaded, which takes seconds
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
            callbacks=callbacks,
        )
        return max([_finished(kind, run, outcome) for run, outcome in runs], default=0)
    from metarl.training.start import train

    with training_display(config.iterations, kind) as report:
        outcome = train(
            algorithm, config, where.run_dir, kind=kind, or_resume=where.or_resume,
            accept_numerics=where.accept_numerics, report=report, callbacks=callbacks(),
        )  # fmt: skip
    return 0 if place_of_launch()[0] else _finished(kind, where.run_dir, outcome)


def run_resumed(kind: ProblemKind, options: ResumeOptions) -> int:
    """Resume a run with a progress display; returns the exit code."""
    callbacks = logging_to(options.log)
    pin_threads(options.threads)
    from metarl.runs.directory import read_config

    _, config = read_config(options.run, kind)
    from metarl.training.progress import training_display
    from metarl.training.start import resume

    total = options.iterations if options.iterations is not None else config.iterations
    with training_display(total, kind) as report:
        outcome = resume(
            options.run,
            kind=kind,
            family=getattr(options, "family", None),
            iterations=options.iterations,
            extend_schedule=options.extend_schedule,
            accept_numerics=options.accept_numerics,
            report=report,
            callbacks=callbacks(),
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
    if outcome.stopped is not None:
        print(f"stopped after iteration {outcome.iteration}: {outcome.stopped}; "
              f"go on with: {kind.command} resume {run} --iterations N")  # fmt: skip
    print(f"saved {run}/checkpoints/{outcome.iteration:08d}")
    return 0


def show_evaluation(result: dict[str, Any], options: Any) -> None:
    """Print the result of an evaluation, and write it to `options.json` and `options.plot` if they are given."""
    from metarl.core.numbers import write_json
    from metarl.evaluation.tables import print_evaluation

    print_evaluation(result)
    if options.json is not None:
        write_json(options.json, result)
    if options.plot is not None:
        from metarl.evaluation.plots import plot_curves

        plot_curves({options.run.name: result}, options.plot)


def show_comparison(result: dict[str, Any], options: Any) -> None:
    """Print a comparison, and write it to `options.json` and `options.plot` if they are given."""
    from metarl.core.numbers import write_json
    from metarl.evaluation.tables import print_comparison

    print_comparison(result)
    if options.json is not None:
        write_json(options.json, result)
    if options.plot is not None:
        from metarl.evaluation.plots import plot_comparison

        plot_comparison(result, options.plot)


def check_suffix(option: str, path: Path, suffixes: tuple[str, ...]) -> None:
    """Raise ConfigError unless the file name has one of the suffixes."""
    if path.suffix not in suffixes:
        raise ConfigError(f"{option} = {path}; expected a file name that ends in {' or '.join(suffixes)}")


def check_unset(options: Any, names: Sequence[str], purpose: str) -> None:
    """Raise ConfigError if one of these options has another value than its default.

    Args:
        options: A dataclass of options.
        names: Names of its fields.
        purpose: The purpose that the options have.
    """
    for field in fields(options):
        value = getattr(options, field.name)
        if field.name in names and value != field.default:
            raise ConfigError(f"{option_name(field.name)} = {value}; expected none: it is for {purpose}")


def check_plot(path: Path | None) -> None:
    """Raise ConfigError unless the path of a plot has a valid suffix; None is valid."""
    if path is not None:
        check_suffix("--plot", path, (".png", ".svg", ".pdf"))


def parse_error(box: str, command: Any) -> str:
    """Convert tyro's boxed error message to one line, with the nearest known option for an unknown one.

    Args:
        box: tyro's message.
        command: The dataclass of the options.
    """
    # A UTF-8 box contains its title in the border; without UTF-8 the title is a separate block.
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
    """The message with all white space, including line breaks, replaced by single spaces."""
    return " ".join(message.split())
