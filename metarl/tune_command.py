"""The command `metarl tune`. Imports no torch before its options are accepted."""

from __future__ import annotations

import sys
from dataclasses import replace

from metarl.config.commands import TuneOptions
from metarl.config.registry import ALGORITHMS, find_algorithm
from metarl.config.run import fields_of, option_name
from metarl.console import parse_with_config
from metarl.core.errors import ConfigError
from metarl.given_options import default_of, named_family, value_given


def tune_command(arguments: list[str]) -> int:
    """Run `metarl tune`.

    Args:
        arguments: The arguments after the command.

    Returns:
        The exit code.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        listing = "\n".join(f"  {name:12} {a.summary}" for name, a in ALGORITHMS.items())
        print(
            f"usage: metarl tune ALGORITHM --family F --study-dir DIR [OPTIONS]\n\nalgorithms:\n{listing}\n\n"
            "metarl tune ALGORITHM --help lists the common options, and --help-all lists all."
        )
        return 0
    algorithm, rest = arguments[0], arguments[1:]
    find_algorithm(algorithm)
    asks_help = any(argument in ("-h", "--help", "--help-all") for argument in rest)
    default, chosen = default_of(algorithm, rest, asks_help)
    summary = (
        "Search options on meta-validation tasks. --workers N: processes that work on trials.\n"
        "Options of metarl train hold for all trials, and leave the shipped space."
    )
    if asks_help and "--help-all" not in rest:
        from metarl.short_help import COMMON_OF_TUNE, short_help

        usage = "--study-dir DIR [OPTIONS]"
        parts = (TuneOptions(), default)
        print(short_help(f"metarl tune {algorithm}", summary, chosen, *parts, usage=usage, common=COMMON_OF_TUNE))
        return 0
    given = {name for name in fields_of(type(default)) if value_given(rest, option_name(name)) is not None}
    if "episodes" in given:
        default = replace(default, samples_per_step=None)
    rest = ["--help" if argument == "--help-all" else argument for argument in rest]
    explanation = f"{summary}\n\nDefaults shown are those of {chosen}."
    options, config = parse_with_config(rest, f"metarl tune {algorithm}", explanation, TuneOptions(), default)
    if options.study_dir is None:
        raise ConfigError("--study-dir is missing; expected the directory of the study")
    from metarl.tuning import Search, print_results, run_search, space_to_search

    workers, config = max(config.workers, 1), replace(named_family(config), workers=0)
    space = space_to_search(algorithm, config, options.search, options.space, given)
    found = run_search(
        Search(algorithm, config, space, options.seeds, options.sampler, options.prune), options.study_dir,
        trials=options.trials, workers=workers, threads=options.threads, preset=options.out, table=options.json,
        log=lambda line: print(line, flush=True),
    )  # fmt: skip
    print_results(found.result)
    if found.signal is not None:
        done = f"{found.result['trials']} trials begun; go on with the same command"
        print(f"metarl: stopped by signal {found.signal}: {done}", file=sys.stderr)
        return 128 + found.signal
    if found.result["best"] is not None:
        print(f"saved {options.out or options.study_dir / 'preset.toml'}")
    return 0
