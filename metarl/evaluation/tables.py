"""Results and listings as tables on a terminal, and as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from metarl.core.errors import MetarlError
from metarl.core.numbers import number_text, words
from metarl.evaluation.plots import title_of
from metarl.evaluation.statistics import OVER_BOTH, OVER_SEEDS, OVER_TASKS
from metarl.runs.listing import RunStatus

STEPS_BESIDE = 4
"""Columns of adaptation steps that fit beside one another; more of them are rows."""


def print_evaluation(result: dict[str, Any]) -> None:
    """The adaptation curve as a table, with the protocol under which it was measured."""
    unit = result["unit"]
    tasks = _tasks(result["tasks"], len(set(result["task_ids"])))
    success = result.get("success")
    console = Console(width=None if sys.stdout.isatty() else 100)
    table = _curve_table(result, tasks, success is not None)
    needed = console.measure(table, options=console.options.update(max_width=1000)).maximum
    if success is not None and needed > console.width:
        console.print(_curve_table(result, tasks, False))
        table = _success_table(success, result[unit], unit)
    console.print(table)
    worse = f"{result['worse_after_adaptation']} of {result['tasks']} tasks"
    console.print(f"worse after adaptation: {worse}; splits: {result['splits']}")
    console.print(
        "protocol: " + "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in result["protocol"].items()),
        markup=False,
    )
    if "references" in result:
        print_references(result["references"])


def _curve_table(result: dict[str, Any], tasks: str, with_success: bool) -> Table:
    """A row a step; success rates are beside the measure, or left out."""
    unit, measure = result["unit"], result["measure"]
    curve, success = result[measure], result["success"] if with_success else None
    table = Table(
        title=f"{title_of(result)}: {tasks}, {result['budget']} a step",
        caption=Text(_kind(curve["interval"])),
    )
    averages = {"mean": words(measure), "standard_error": "standard error"}
    if result["average"] == "iqm":
        averages["iqm"] = "IQM"
    beside = ("success rate", "95 % interval") if success else ()
    for column in ("step", words(unit), *averages.values(), "95 % interval", *beside):
        table.add_column(column, justify="right", no_wrap=column == "95 % interval")
    for step, used in enumerate(result[unit]):
        table.add_row(
            str(step),
            str(used),
            *(number_text(curve[name][step]) for name in averages),
            _interval(curve, step),
            *((number_text(success["mean"][step]), _interval(success, step)) if success else ()),
        )
    return table


def _success_table(success: dict[str, Any], used: list[int], unit: str) -> Table:
    """Success rates alone, for terminals where they do not fit beside the measure."""
    table = Table(caption=Text(_kind(success["interval"])))
    for column in ("step", words(unit), "success rate", "95 % interval"):
        table.add_column(column, justify="right")
    for step, steps in enumerate(used):
        table.add_row(str(step), str(steps), number_text(success["mean"][step]), _interval(success, step))
    return table


def print_comparison(result: dict[str, Any]) -> None:
    """Averages with intervals, the rate that was chosen, and the data it was given.

    A row a method, where that fits; a row a step where methods have several seeds, with the spread over seeds.
    """
    what = f"{'IQM' if result['average'] == 'iqm' else 'mean'} of {words(result['measure'])}"
    tasks = _tasks(result["tasks"], result["distinct_tasks"])
    table = Table(
        title=f"{title_of(result)}: {what} over {tasks}, averaged over training seeds",
        caption=Text(_what_intervals_say(result)),
        caption_justify="left",
    )
    methods, unit = result["methods"], result["unit"].split("_")[-1]
    shown = _steps_shown(result["steps"])
    several = any(len(method["runs"]) > 1 for method in methods)
    beside = len(shown) <= STEPS_BESIDE and not several
    found = [f"step {step}" for step in shown] if beside else ["step", words(result["measure"])]
    if several:
        found += [*OVER_SEEDS_COLUMNS, *(["success"] if any("success" in method for method in methods) else [])]
    for column in ("method", "seeds", f"training {unit}", f"{unit} a step", "rate", *found):
        table.add_column(column, justify="left" if column == "method" else "right", no_wrap=several and column in found)
    for method in methods:
        curve, adaptation = method[result["measure"]], method[f"adaptation_{result['unit']}"]
        steps = sum(method[f"training_{result['unit']}"]) / len(method["runs"])
        granted = f"{adaptation[1]:,}" if len(adaptation) > 1 else "-"
        rate = "learned" if method["inner_lr"] is None else f"{method['inner_lr']:g}"
        given = (method["label"], str(len(method["runs"])), f"{steps / 1e6:.2f}M", granted, rate)
        success, average = method.get("success"), result["average"]
        own = [step for step in shown if step < len(adaptation)]
        if beside:
            cells = [_measured(curve, success, average, step, "\n") for step in own]
            table.add_row(*given, *cells, *[""] * (len(shown) - len(own)))
            continue
        for step in own:
            about = given if step == 0 else ("",) * len(given)
            over_seeds = _over_seeds(curve, success, average, step)
            measured = over_seeds if several else (_measured(curve, success, average, step, " "),)
            table.add_row(*about, str(step), *measured, end_section=step == own[-1])
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    if any("while_adapting" in method for method in methods):
        console.print(_against_data(result))
    budgets = {steps for method in methods for steps in method[f"training_{result['unit']}"] if steps}
    if len(budgets) > 1 and max(budgets) > 1.05 * min(budgets):
        console.print(f"training budgets differ: {min(budgets) / 1e6:.2f}M to {max(budgets) / 1e6:.2f}M {unit}")
    for label, others in result["probability_of_improvement"].items():
        for other, probability in others.items():
            text = f"P({label} beats {other} after the last step) = {probability['p']:.2f}"
            console.print(f"{text} {_probability_interval(probability)}", markup=False)
    for entry in result.get("references", ()):
        print_references(entry)


def _against_data(result: dict[str, Any]) -> Table:
    """Methods by data of the new task: what they reach with it, and what they had while they used it."""
    axis, average = result["common_axis"], result["average"]
    table = Table(
        title=f"{'IQM' if average == 'iqm' else 'mean'} by {words(result['unit'])} of a new task",
        caption=Text(
            "after: with the parameters or memory that they lead to\n"
            "while adapting: average of the episodes that were adapted to so far; -: measured beside learning"
        ),
        caption_justify="left",
    )
    for column in ("method", "used", "after", "95 % interval", "while adapting", "95 % interval"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for method in result["methods"]:
        label, during = method["label"], method.get("while_adapting")
        reached = [(b, k) for b, k in zip(axis["budgets"], axis["points"][label], strict=True) if k is not None]
        for place, (budget, k) in enumerate(reached):
            curves = (method[result["measure"]], during)
            cells = [
                c for curve in curves for c in (("-", "-") if curve is None else _with_interval(curve, average, k))
            ]
            name = escape(label) if place == 0 else ""
            table.add_row(name, f"{budget:,}", *cells, end_section=place == len(reached) - 1)
    return table


def _with_interval(curve: dict[str, Any], average: str, point: int) -> tuple[str, str]:
    value = curve[average][point]
    return "-" if value is None else number_text(value), _between(curve, "ci95", point, "[]")


def print_references(entry: dict[str, Any]) -> None:
    """References and learners by episode of a trial, each learner's regret, and what makes them incomparable."""
    episodes, best = entry["episodes"], entry["best"]
    shown = list(range(episodes)) if episodes <= STEPS_BESIDE else [0, 1, 2, episodes - 1]
    table = Table(
        title=f"mean return of each episode in a trial of {episodes}",
        caption=Text("\n".join(_what_references_say(entry))),
        caption_justify="left",
    )
    for column in ("", "return is", *(f"episode {k}" for k in shown), "trial", f"regret to {best}"):
        table.add_column(column, justify="left" if column in ("", "return is") else "right")
    for row in sorted(entry["rows"], key=lambda row: -row["trial"]):
        kind = "exact" if row["exact"] else "simulated"
        table.add_row(row["name"], f"{kind}, bound" if row["bound"] else kind, *_curve_cells(row, shown), "")
    table.add_section()
    for label, learner in entry["learners"].items():
        regret = learner["regret"][best]
        cell = f"{number_text(regret['mean'])} {_between_ends(regret, 'ci95')}"
        table.add_row(escape(label), "measured", *_curve_cells(learner, shown), cell)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _curve_cells(curve: dict[str, Any], shown: list[int]) -> list[str]:
    return [*(number_text(curve["mean"][k]) for k in shown), number_text(curve["trial"])]


def _between_ends(summary: dict[str, Any], name: str) -> str:
    return _between({end: [summary[end]] for end in (f"{name}_low", f"{name}_high")}, name, 0, "[]")


def _what_references_say(entry: dict[str, Any]) -> list[str]:
    """Sentences below the table: rows, intervals, unequal data, bounds that are exceeded, references left out."""
    lines = [f"{row['name']}: {row['summary']}" for row in entry["rows"]]
    if any(not row["exact"] for row in entry["rows"]):
        lines.append(f"simulated: average over {entry['trials']} trials of each task")
    kinds = dict.fromkeys(learner["regret"][entry["best"]]["interval"] for learner in entry["learners"].values())
    lines += [f"regret: reference less learner, summed over the trial; {_kind(kind)}" for kind in kinds]
    for label, learner in entry["learners"].items():
        if learner["episodes_per_point"] > 1:
            lines.append(f"{label} adapts after every {learner['episodes_per_point']} episodes, which share a mean")
        lines += [_above(label, name, learner["regret"][name]) for name in learner["above"]]
    lines += [f"left out: {name}, at most {most} episodes" for name, most in entry["left_out"].items()]
    return lines


def _above(label: str, bound: str, regret: dict[str, Any]) -> str:
    """A warning: a learner above an exact bound was lucky in its episodes, or was measured wrongly."""
    excess = f"{label} is above {bound}, an exact bound, by {number_text(-regret['mean'])}"
    beyond = regret["ci95_high"] is not None and regret["ci95_high"] < 0
    return f"{excess}: {'beyond the 95 % interval, so look for a fault' if beyond else 'within the 95 % interval'}"


def print_worth(result: dict[str, Any]) -> None:
    """Returns of the methods, what the oracle loses by each parameter, remarks, and the verdict."""
    variant = f":{result['variant']}" if result["variant"] else ""
    tasks = _tasks(result["tasks"], len(set(result["task_ids"])))
    total, alone = (result[f"environment_steps{of}"] for of in ("", "_of_a_task"))
    table = Table(
        title=Text(f"{result['family']}{variant}, {result['split']}, {tasks}"),
        caption=Text(
            f"each method, for each of {len(result['seeds'])} training seeds: {result['iterations']} iterations, "
            f"{total:,} environment steps\n"
            f"scratch: {alone:,} of them on each task\n{_kind(result['headroom']['interval'])}"
        ),
        caption_justify="left",
    )
    for column in ("method", "return", "95 % interval", "what it is"):
        table.add_column(column, justify="right" if column in ("return", "95 % interval") else "left")
    for method, entry in result["methods"].items():
        table.add_row(method, *_estimated(entry["return"]), Text(entry["summary"]))
    table.add_section()
    headroom = result["headroom"]
    table.add_row("headroom", *_estimated(headroom), f"{headroom['of']} less average, task by task")
    lost = Table(caption=Text("return that the trained oracle loses if it is told the values of other tasks"))
    for column in ("parameter", "return lost", "95 % interval"):
        lost.add_column(column, justify="left" if column == "parameter" else "right")
    for entry in result["parameters"]:
        lost.add_row(escape(entry["name"]), *_estimated(entry))
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    console.print(lost)
    for remark in result["remarks"]:
        console.print(f"remark: {remark}", markup=False, highlight=False, soft_wrap=True)
    console.print(result["verdict"], markup=False, highlight=False, soft_wrap=True)


def _estimated(estimate: dict[str, Any]) -> tuple[str, str]:
    return number_text(estimate["mean"]), _between_ends(
        {f"ci95_{end}": estimate[end] for end in ("low", "high")}, "ci95"
    )


def print_runs(run_statuses: Iterable[RunStatus]) -> None:
    """A row a run."""
    table = Table()
    for column in ("run", "state", "algorithm", "on", "iteration", "saved", "last return"):
        table.add_column(column, justify="right" if column in ("iteration", "saved", "last return") else "left")
    for run in run_statuses:
        reached = f"{'-' if run.iteration is None else run.iteration}/{'-' if run.total is None else run.total}"
        saved = "-" if run.saved is None else str(run.saved)
        texts = (escape(str(text)) for text in (run.run, run.state, run.algorithm, run.task_name))
        table.add_row(*texts, reached, saved, number_text(run.measured))
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def _measured(curve: dict[str, Any], success: dict[str, Any] | None, average: str, step: int, then: str) -> str:
    """An average with its interval, and the success rate where there is one; `then` separates them."""
    rate = f"{then}success {number_text(success['mean'][step])}" if success else ""
    return f"{number_text(curve[average][step])}{then}{_between(curve, 'ci95', step, '[]')}{rate}"


def _over_seeds(curve: dict[str, Any], success: dict[str, Any] | None, average: str, step: int) -> tuple[str, ...]:
    """The cells of OVER_SEEDS_COLUMNS, and the success rate where there is one."""
    intervals = (_between(curve, "ci95", step, "[]"), _between(curve, "new_tasks", step, "()"))
    numbers = (number_text(curve[name][step]) for name in ("seed_sd", "worst_seed"))
    rate = (number_text(success["mean"][step]),) if success else ()
    return (number_text(curve[average][step]), *intervals, *numbers, *rate)


OVER_SEEDS_COLUMNS = ("95 % interval", "for new tasks", "sd", "worst")


def _between(curve: dict[str, Any], name: str, step: int, brackets: str) -> str:
    """An interval in brackets; a dash where there is none."""
    low, high = (curve[f"{name}_{end}"][step] for end in ("low", "high"))
    return "-" if low is None else f"{brackets[0]}{number_text(low)}, {number_text(high)}{brackets[1]}"


QUESTIONS = {
    OVER_SEEDS: "what training with other seeds would reach on these same tasks",
    OVER_BOTH: "what training with other seeds would reach on other tasks of this distribution",
    OVER_TASKS: "what this training would reach on other tasks; how much a training seed matters is unknown",
}
"""The question that each kind of interval answers."""


def _what_intervals_say(result: dict[str, Any]) -> str:
    """A sentence a kind of interval, naming the methods where they differ in it."""
    curves = {method["label"]: method[result["measure"]] for method in result["methods"]}
    lines = []
    for name, brackets in (("interval", "[low, high]"), ("new_tasks_interval", "(low, high)")):
        kinds: dict[str, list[str]] = {}
        for label, curve in curves.items():
            kinds.setdefault(curve[name], []).append(label)
        for kind, labels in kinds.items():
            whose = f" for {', '.join(labels)}" if len(kinds) > 1 else ""
            answer = f": {QUESTIONS[kind]}" if kind in QUESTIONS else ""
            lines.append(f"{brackets}{whose}: {_kind(kind)}{answer}")
    if any(curve["seed_sd"][0] is not None for curve in curves.values()):
        lines.append("sd: standard deviation over training seeds; worst: average of the worst training seed")
    return "\n".join(lines)


def _probability_interval(probability: dict[str, Any]) -> str:
    """The interval of a probability in brackets, with what it is over."""
    ends = "" if probability["low"] is None else f"{probability['low']:.2f} to {probability['high']:.2f}, "
    return f"({ends}{_kind(probability['interval'])})"


def _kind(interval: str) -> str:
    """What a 95 % interval is over, or why there is none."""
    return (
        interval.replace("none", "no 95 % interval", 1) if interval.startswith("none") else f"95 % interval {interval}"
    )


def _tasks(tasks: int, distinct: int) -> str:
    return f"{tasks} tasks" if distinct == tasks else f"{tasks} tasks ({distinct} distinct)"


def _steps_shown(last: int) -> list[int]:
    """All steps where they are few; otherwise the first ones and ever fewer of the later ones, up to the last."""
    if last < STEPS_BESIDE:
        return list(range(last + 1))
    later = (digit * 10**power for power in range(len(str(last))) for digit in (1, 2, 5))
    return [0, *sorted({step for step in later if step < last} | {3, last})]


def _interval(curve: dict[str, Any], step: int) -> str:
    return f"{number_text(curve['ci95_low'][step])} to {number_text(curve['ci95_high'][step])}"


def print_families() -> None:
    """Every registered family with its task space, horizon and variants; one that cannot be loaded says why."""
    from metarl.families.ids.installed import registered
    from metarl.families.registry import load_family

    for name in registered():
        try:
            family = load_family(name)
            print(f"{name}: horizon {family.horizon}, splits {', '.join(family.splits.names)} ({family.splits.kind})")
            for entry, space in family.task_space.spaces.items():
                print(f"  task {entry}: {space}")
            for variant, description in family.variants.items():
                default = " (default)" if variant == family.variant else ""
                print(f"  variant {variant}{default}: {description}")
        except MetarlError as error:
            print(f"{name}: cannot be loaded: {error}")
