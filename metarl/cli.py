"""The command line `metarl`. It imports no torch before a command and its options are accepted."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from metarl.config.commands import (
    AdaptOptions,
    CheckOptions,
    CompareOptions,
    EvaluateOptions,
    ExportOptions,
    FamiliesOptions,
    FamilyResumeOptions,
    ReportOptions,
    ReproduceOptions,
    RunOptions,
    RunsOptions,
    TasksOptions,
    WorthOptions,
)
from metarl.config.protocols import find_protocol
from metarl.config.registry import ALGORITHMS, REINFORCEMENT_LEARNING, find_algorithm
from metarl.config.toml import presets
from metarl.config.validation import check_least, check_rates, json_object, json_value
from metarl.console import (
    Commands,
    check_plot,
    check_suffix,
    check_unset,
    dispatch,
    one_line,
    overview,
    parse,
    parse_training,
    run_resumed,
    run_training,
    show_comparison,
    show_evaluation,
)
from metarl.core.errors import ConfigError, FamilyError, RunError
from metarl.given_options import default_of, named_family, value_given
from metarl.tune_command import tune_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The arguments (default: those of the process).

    Returns:
        The exit code: 0, 2 for an error that the user can fix, 130 or 143 after a signal.
    """
    purpose = "Meta-train a policy over a family of environments, then adapt it to one it has never seen."
    return dispatch(arguments, "metarl", COMMANDS, overview("metarl", purpose, COMMANDS))


def _train(arguments: list[str]) -> int:
    listing = "\n".join(f"  {name:12} {a.summary}" for name, a in ALGORITHMS.items())
    if not arguments or arguments[0] in ("-h", "--help"):
        print(
            f"usage: metarl train ALGORITHM --run-dir RUN [OPTIONS]\n\nalgorithms:\n{listing}\n\n"
            f"presets for --config: {', '.join(presets())}\n"
            "metarl train ALGORITHM --help lists the common options, and --help-all lists all."
        )
        return 0
    algorithm, rest = arguments[0], arguments[1:]
    found = find_algorithm(algorithm)
    asks_help = any(argument in ("-h", "--help", "--help-all") for argument in rest)
    default, chosen = default_of(algorithm, rest, asks_help)
    if value_given(rest, "--episodes") is not None:
        default = replace(default, samples_per_step=None)  # one budget replaces the other
    if asks_help and "--help-all" not in rest:
        from metarl.short_help import short_help

        print(short_help(f"metarl train {algorithm}", found.summary, chosen, RunOptions(), default))
        return 0
    rest = ["--help" if argument == "--help-all" else argument for argument in rest]
    explanation = (
        f"{found.summary}\n\nDefaults shown are those of {chosen}; without --config the preset of "
        f"algorithm, family and variant applies where there is one: {', '.join(presets())}."
    )
    where, config = parse_training(rest, f"metarl train {algorithm}", explanation, RunOptions(), default)
    config = named_family(config)
    return run_training(REINFORCEMENT_LEARNING, algorithm, config, where)


def _resume(arguments: list[str]) -> int:
    options = parse(FamilyResumeOptions, arguments, "metarl resume")
    return run_resumed(REINFORCEMENT_LEARNING, options)


def _evaluate(arguments: list[str]) -> int:
    options = parse(EvaluateOptions, arguments, "metarl evaluate")
    check_plot(options.plot)
    from metarl.runs.directory import read_config

    read_config(options.run)
    from metarl.evaluation.evaluate import evaluate_on_family
    from metarl.training.progress import evaluation_progress

    with evaluation_progress() as progress:
        result = evaluate_on_family(options.run, options, progress)
    show_evaluation(result, options)
    return 0


def _compare(arguments: list[str]) -> int:
    options = parse(CompareOptions, arguments, "metarl compare")
    if not options.runs:
        raise ConfigError("missing: RUN [RUN ...] Run directories.")
    check_plot(options.plot)
    from metarl.evaluation.comparison import compare

    result = compare(
        options.runs,
        split=options.split,
        tasks=options.tasks,
        episodes=options.episodes,
        steps=options.steps,
        adaptation_budget=options.adaptation_budget,
        seed=options.seed,
        choose_at=options.choose_at,
        scratch=options.scratch,
        references=options,
        log=lambda line: print(line, flush=True),
    )
    show_comparison(result, options)
    return 0


def _reproduce(arguments: list[str]) -> int:
    options = parse(ReproduceOptions, arguments, "metarl reproduce")
    if options.name is None:
        from metarl.evaluation.reproduction import print_protocols

        print_protocols()
        return 0
    protocol = find_protocol(options.name)
    if options.run_dir is None:
        raise ConfigError("--run-dir is missing; expected the directory of the runs")
    if not options.seeds:
        raise ConfigError("--seeds is empty; expected at least one training seed")
    check_least(("iterations", options.iterations, 1))
    config = replace(protocol.config, iterations=options.iterations or protocol.config.iterations)
    where = RunOptions(
        run_dir=options.run_dir, or_resume=True, seeds=options.seeds, seeds_at_once=1, threads=options.threads
    )
    code = run_training(REINFORCEMENT_LEARNING, protocol.algorithm, config, where)
    if code:
        return code
    from metarl.core.numbers import write_json
    from metarl.evaluation.reproduction import measure_reproduction, print_reproduction

    runs = [options.run_dir / f"seed-{seed}" for seed in options.seeds]
    result = measure_reproduction(options.name, runs, log=lambda line: print(line, flush=True))
    print_reproduction(result)
    if options.json is not None:
        write_json(options.json, result)
    return 0


def _report(arguments: list[str]) -> int:
    options = parse(ReportOptions, arguments, "metarl report")
    check_suffix("--out", options.out, (".html",))
    if not options.runs:
        raise ConfigError("missing: RUN [RUN ...] Run directories.")
    check_least(("tasks", options.tasks, 1), ("episodes", options.episodes, 1), ("steps", options.steps, 1))
    from metarl.report.page import check_extra, write_report

    check_extra(film=options.film)
    from metarl.training.progress import evaluation_progress

    with evaluation_progress() as progress:
        written = write_report(options, progress, lambda line: print(line, flush=True))
    warned = sum(note.level == "warning" for note in written.notes)
    warnings = f", {warned} warning{'s' if warned > 1 else ''} inside" if warned else ""
    print(f"saved {written.path} ({written.bytes / 1e6:.1f} MB{warnings})")
    return 0


def _adapt(arguments: list[str]) -> int:
    options = parse(AdaptOptions, arguments, "metarl adapt")
    if options.video is not None:
        check_suffix("--video", options.video, (".gif", ".mp4"))
        from metarl.evaluation.video import choose_renderer

        choose_renderer()
    check_rates(options.inner_lr, options.later_inner_lr)
    check_least(("steps", options.steps, 0), ("episodes", options.episodes, 1))
    value = json_value("--task", options.task)
    from metarl.agent import MemoryAgent, load
    from metarl.evaluation.video import film, filming_env
    from metarl.families.registry import family_name
    from metarl.families.tasks import parse_task
    from metarl.rl.setup import build_family
    from metarl.runs.directory import read_config
    from metarl.runs.sources import naming_source

    _, config = read_config(options.run)
    there = config.family
    if options.family is not None:
        config = replace(config, family=family_name(options.family))
    agent = load(options.run, options.checkpoint)
    if isinstance(agent, MemoryAgent):
        raise RunError(f"{options.run}: adapts by memory while it acts; metarl.load makes an agent of it")
    with naming_source(options.run, there) if options.family is None else nullcontext():
        family = build_family(config)
    task = parse_task(family.task_space, value, "--task")
    env = family.make(task)
    filmed = None if options.video is None else filming_env(family, task, options.video, options.seed)
    agent = agent.adapt(
        env,
        episodes=options.episodes,
        steps=options.steps,
        inner_lr=options.inner_lr,
        later_inner_lr=options.later_inner_lr,
        seed=options.seed,
    )
    agent.task = value
    agent.save(options.out)
    final = _episode_return(agent, env, family.horizon, options.seed)
    curve = ", ".join(f"{value:.1f}" for value in agent.returns)
    print(f"return before each step: {curve or '-'}; after the last, without action noise: {final:.1f}")
    print(f"saved {options.out}")
    if options.video is not None and filmed is not None:
        film(agent.act, filmed, family.horizon, options.video, options.seed)
        print(f"saved {options.video}")
    return 0


def _episode_return(agent: Any, env: Any, horizon: int, seed: int) -> float:
    observation, _ = env.reset(seed=seed)
    total = 0.0
    for _ in range(horizon):
        observation, reward, terminated, truncated, _ = env.step(agent.act(observation))
        total += float(reward)
        if terminated or truncated:
            break
    return total


def _export(arguments: list[str]) -> int:
    options = parse(ExportOptions, arguments, "metarl export")
    check_suffix("OUT", options.out, (".zip", ".onnx", ".pt2"))
    settings = json_object("--settings", options.settings)
    if options.out.suffix != ".zip":
        check_unset(options, ("algorithm", "settings", "seed", "family"), "a model of Stable-Baselines3 (.zip)")
        from metarl.agent import load
        from metarl.deployment import check_format

        check_format(options.out)
        load(options.run, options.checkpoint).export(options.out)
        print(f"saved {options.out}")
        return 0
    from metarl.sb3 import export_model

    model = export_model(
        options.run,
        options.out,
        algorithm=options.algorithm,
        checkpoint=options.checkpoint,
        family=options.family,
        seed=options.seed,
        settings=settings,
    )
    name = type(model).__name__
    print(f"saved {options.out}; go on with stable_baselines3.{name}.load({str(options.out)!r}, env=...)")
    return 0


def _families(arguments: list[str]) -> int:
    parse(FamiliesOptions, arguments, "metarl families")
    from metarl.evaluation.tables import print_families

    print_families()
    return 0


def _runs(arguments: list[str]) -> int:
    options = parse(RunsOptions, arguments, "metarl runs")
    from metarl.evaluation.tables import print_runs
    from metarl.runs.listing import run_statuses

    print_runs(run_statuses(options.directory))
    return 0


def _tasks(arguments: list[str]) -> int:
    options = parse(TasksOptions, arguments, "metarl tasks")
    check_suffix("OUT", options.out, (".json",))
    check_least(("tasks", options.tasks, 1), ("seed", options.seed, 0))
    from metarl.families.registry import load_family
    from metarl.families.splits import held_out_generator
    from metarl.families.tasks import write_tasks

    family = load_family(options.family, options.variant)
    rng = held_out_generator(family.name, family.variant, options.split, options.seed)
    write_tasks(options.out, family.task_space, family.sample_tasks(options.tasks, options.split, rng))
    family.close()
    print(f"saved {options.out}")
    return 0


def _check(arguments: list[str]) -> int:
    options = parse(CheckOptions, arguments, "metarl check")
    from metarl.families.checks.check import check_family
    from metarl.families.registry import load_family

    family = load_family(options.family, options.variant)
    failed = 0
    for finding in check_family(family):
        print(f"{finding.verdict}  {finding.check:18} {one_line(finding.found)}", flush=True)
        if finding.verdict == "fail":
            failed += 1
            if finding.hint:
                print(f"      fix: {finding.hint}", flush=True)
    family.close()
    if failed:
        raise FamilyError(f"family '{options.family}' fails {failed} check{'s' if failed > 1 else ''}")
    return 0


def _worth(arguments: list[str]) -> int:
    options = parse(WorthOptions, arguments, "metarl worth")
    from metarl.families.registry import load_family

    load_family(options.family, options.variant).close()  # reports what is wrong with it before torch is loaded
    from metarl.core.numbers import write_json
    from metarl.evaluation.tables import print_worth
    from metarl.evaluation.worth import measure_worth

    result = measure_worth(options.family, options, log=lambda line: print(line, flush=True))
    print_worth(result)
    if options.json is not None:
        write_json(options.json, result)
    return 0


COMMANDS: Commands = {
    "train": (_train, "meta-train into a new run directory"),
    "tune": (tune_command, "search options on meta-validation tasks; the result is a preset"),
    "resume": (_resume, "go on with a run, exactly"),
    "evaluate": (_evaluate, "adaptation curve on held-out tasks"),
    "compare": (_compare, "adaptation curves of several runs, with statistics"),
    "reproduce": (_reproduce, "train and measure a published experiment, beside what was published"),
    "report": (_report, "one page about runs, to read in a browser or to print"),
    "adapt": (_adapt, "adapt to one task and keep the policy"),
    "export": (_export, "the policy for ONNX, torch.export or Stable-Baselines3"),
    "check": (_check, "check the contract of a task family"),
    "worth": (_worth, "what adaptation can gain on a family, in minutes"),
    "tasks": (_tasks, "write the tasks of an evaluation to a file"),
    "runs": (_runs, "runs in a directory: state, iterations, last return"),
    "families": (_families, "task families that are installed"),
}
