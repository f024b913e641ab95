"""The command line. Nothing here imports torch before a command has been accepted."""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from metarl.complaints import complaint, one_line
from metarl.config import ALGORITHMS, RunConfig, check_rates, find_algorithm, option_name, validate
from metarl.config_files import load_preset, preset_for, presets
from metarl.domains import REINFORCEMENT_LEARNING, Domain
from metarl.errors import ConfigError, FamilyError, MetarlError, nearest
from metarl.options import (
    AdaptOptions,
    CheckOptions,
    CompareOptions,
    EvaluateOptions,
    FamiliesOptions,
    ResumeOptions,
    RunOptions,
)

Options = TypeVar("Options")
Commands = Mapping[str, tuple[Callable[[list[str]], int], str]]
"""Each command's function of its arguments, and what it does in a few words."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for what the user can mend, 130 or 143 after a signal."""
    purpose = "Meta-train a policy over a family of environments, then adapt it to one it has never seen."
    return dispatch(arguments, "metarl", COMMANDS, overview("metarl", purpose, COMMANDS))


def dispatch(arguments: Sequence[str] | None, program: str, commands: Commands, help_text: str) -> int:
    """Run one of a program's commands; what the user can mend becomes one line on standard error."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    warnings.showwarning = _show_warning  # type: ignore[assignment]
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
        print(f"{program}: error: {one_line(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 141


def _train(arguments: list[str]) -> int:
    listing = "\n".join(f"  {name:12} {a.summary}" for name, a in ALGORITHMS.items())
    if not arguments or arguments[0] in ("-h", "--help"):
        print(
            f"usage: metarl train ALGORITHM --run-dir RUN [OPTIONS]\n\nalgorithms:\n{listing}\n\n"
            f"presets for --config: {', '.join(presets())}\nmetarl train ALGORITHM --help lists the options."
        )
        return 0
    algorithm, rest = arguments[0], arguments[1:]
    found = find_algorithm(algorithm)
    asks_help = any(argument in ("-h", "--help") for argument in rest)
    default, chosen = _default_config(algorithm, rest, asks_help)
    if _value_of(rest, "--episodes") is not None:
        default = replace(default, samples_per_step=None)  # one budget replaces the other
    explanation = (
        f"{found.summary}\n\nDefaults shown are those of {chosen}; without --config the preset of "
        f"algorithm, family and variant applies where there is one: {', '.join(presets())}."
    )
    where, config = parse_training(rest, f"metarl train {algorithm}", explanation, RunOptions(), default)
    if config.variant is None:
        from metarl.plugins import family_variants

        variants = family_variants(config.family)
        config = replace(config, variant=variants[0] if variants else None)

    return run_training(REINFORCEMENT_LEARNING, algorithm, config, where)


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


def run_training(domain: Domain, algorithm: str, config: RunConfig, where: Any) -> int:
    """Train into a run directory, with progress; the exit code."""
    from metarl.display import TrainingDisplay
    from metarl.training import train

    with TrainingDisplay(config.iterations, domain) as display:
        outcome = train(
            algorithm, config, where.run_dir, domain=domain, or_resume=where.or_resume, report=display.report
        )
    return _finished(domain, where.run_dir, outcome)


def _default_config(algorithm: str, arguments: list[str], asks_help: bool) -> tuple[Any, str]:
    """The configuration that options override, from --config, or the preset of --family and --variant."""
    given = {name: _value_of(arguments, option_name(name)) for name in ("config", "family", "variant")}
    if given["config"] is not None:
        config, place = load_preset(algorithm, given["config"])
        if given["family"] not in (None, config.family):
            config = replace(config, variant=None)  # another family has other variants
        return config, place
    family = given["family"] or "navigation2d"
    variant = given["variant"]
    if variant in (None, "None"):
        variant = None
        if not asks_help:
            from metarl.plugins import family_variants

            variants = family_variants(family)
            variant = variants[0] if variants else None
    name = preset_for(algorithm, family, variant)
    if name is not None:
        return load_preset(algorithm, name)[0], f"the preset {name}"
    return replace(find_algorithm(algorithm).config(), family=family, variant=variant), "the algorithm"


def _value_of(arguments: list[str], option: str) -> str | None:
    """The last value given to an option, in either form, before anything is parsed."""
    value = None
    for i, argument in enumerate(arguments):
        spelled = argument.replace("_", "-")
        if spelled == option and i + 1 < len(arguments):
            value = arguments[i + 1]
        elif spelled.startswith(option + "="):
            value = argument.partition("=")[2]
    return value


def _resume(arguments: list[str]) -> int:
    options = parse(ResumeOptions, arguments, "metarl resume")
    return run_resumed(REINFORCEMENT_LEARNING, options)


def run_resumed(domain: Domain, options: ResumeOptions) -> int:
    """Go on with a run, with progress; the exit code."""
    from metarl.run_directory import read_config

    _, config = read_config(options.run, domain)
    from metarl.display import TrainingDisplay
    from metarl.training import resume

    total = options.iterations if options.iterations is not None else config.iterations
    with TrainingDisplay(total, domain) as display:
        outcome = resume(
            options.run,
            domain=domain,
            iterations=options.iterations,
            extend_schedule=options.extend_schedule,
            report=display.report,
        )
    return _finished(domain, options.run, outcome)


def _finished(domain: Domain, run: Path, outcome: Any) -> int:
    if outcome.signal is not None:
        print(f"metarl: stopped by signal {outcome.signal} after iteration {outcome.iteration}, saved; "
              f"go on with: {domain.command} resume {run}", file=sys.stderr)  # fmt: skip
        return 128 + outcome.signal
    print(f"saved {run}/checkpoints/{outcome.iteration:08d}")
    return 0


def _evaluate(arguments: list[str]) -> int:
    options = parse(EvaluateOptions, arguments, "metarl evaluate")
    check_plot(options.plot)
    from metarl.run_directory import read_config

    read_config(options.run)
    from metarl.api import evaluate
    from metarl.display import evaluation_progress

    with evaluation_progress() as progress:
        result = evaluate(
            options.run,
            family=options.family,
            variant=options.variant,
            split=options.split,
            tasks=options.tasks,
            episodes=options.episodes,
            samples_per_step=options.samples_per_step,
            steps=options.steps,
            inner_lr=options.inner_lr,
            later_inner_lr=options.later_inner_lr,
            seed=options.seed,
            checkpoint=options.checkpoint,
            initialisation=options.initialisation,
            progress=progress,
        )
    show_evaluation(result, options)
    return 0


def show_evaluation(result: dict[str, Any], options: Any) -> None:
    """Print a result, and write what `options.json` and `options.plot` ask for."""
    from metarl.display import print_evaluation, write_json

    print_evaluation(result)
    if options.json is not None:
        write_json(options.json, result)
    if options.plot is not None:
        from metarl.plots import plot_curves

        plot_curves({options.run.name: result}, options.plot)


def _compare(arguments: list[str]) -> int:
    options = parse(CompareOptions, arguments, "metarl compare")
    if not options.runs:
        raise ConfigError("missing: RUN [RUN ...] Run directories.")
    check_plot(options.plot)
    from metarl.comparison import compare

    result = compare(
        options.runs,
        split=options.split,
        tasks=options.tasks,
        episodes=options.episodes,
        steps=options.steps,
        seed=options.seed,
        choose_at=options.choose_at,
        scratch=options.scratch,
        notice=lambda line: print(line, flush=True),
    )
    show_comparison(result, options)
    return 0


def show_comparison(result: dict[str, Any], options: Any) -> None:
    """Print a comparison, and write what `options.json` and `options.plot` ask for."""
    from metarl.display import print_comparison, write_json

    print_comparison(result)
    if options.json is not None:
        write_json(options.json, result)
    if options.plot is not None:
        from metarl.plots import plot_comparison

        plot_comparison(result, options.plot)


def _adapt(arguments: list[str]) -> int:
    options = parse(AdaptOptions, arguments, "metarl adapt")
    if options.video is not None:
        _check_suffix("--video", options.video, (".gif", ".mp4"))
    check_rates(options.inner_lr, options.later_inner_lr)
    from metarl.adapting import adapt_and_save

    adapt_and_save(options)
    return 0


def check_plot(path: Path | None) -> None:
    """Raise ConfigError for a picture of a kind that cannot be written."""
    if path is not None:
        _check_suffix("--plot", path, (".png", ".svg", ".pdf"))


def _check_suffix(option: str, path: Path, suffixes: tuple[str, ...]) -> None:
    if path.suffix not in suffixes:
        raise ConfigError(f"{option} = {path}; expected a file name that ends in {' or '.join(suffixes)}")


def _families(arguments: list[str]) -> int:
    parse(FamiliesOptions, arguments, "metarl families")
    from metarl.display import print_families

    print_families()
    return 0


def _check(arguments: list[str]) -> int:
    options = parse(CheckOptions, arguments, "metarl check")
    from metarl.checking import check_family
    from metarl.plugins import load_family

    family = load_family(options.family, options.variant)
    failed = 0
    for finding in check_family(family):
        print(f"{finding.verdict}  {finding.promise:18} {one_line(finding.found)}", flush=True)
        if finding.verdict == "fail":
            failed += 1
            if finding.mend:
                print(f"      mend: {finding.mend}", flush=True)
    family.close()
    if failed:
        raise FamilyError(f"family '{options.family}' breaks {failed} of its promises")
    return 0


COMMANDS: Commands = {
    "train": (_train, "meta-train into a new run directory"),
    "resume": (_resume, "go on with a run, exactly"),
    "evaluate": (_evaluate, "adaptation curve on held-out tasks"),
    "compare": (_compare, "adaptation curves of several runs, with statistics"),
    "adapt": (_adapt, "adapt to one task and keep the policy"),
    "check": (_check, "does a task family keep its promises"),
    "families": (_families, "task families that are installed"),
}


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
        raise ConfigError(complaint(said.getvalue(), command)) from None


def _show_warning(message: Any, category: Any, filename: str, line: int, *_: Any, **__: Any) -> None:
    print(f"metarl: warning: {one_line(str(message))}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
