"""Evaluation and comparison of runs: adaptation curves, statistics, tables, plots and videos."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metarl.core.imports import lazy_door

if TYPE_CHECKING:
    from metarl.evaluation.comparison import VALIDATION_EPISODES as VALIDATION_EPISODES
    from metarl.evaluation.comparison import VALIDATION_TASKS as VALIDATION_TASKS
    from metarl.evaluation.comparison import Method as Method
    from metarl.evaluation.comparison import choose_rate as choose_rate
    from metarl.evaluation.comparison import compare as compare
    from metarl.evaluation.comparison import methods_of as methods_of
    from metarl.evaluation.comparison import with_chosen_rate as with_chosen_rate
    from metarl.evaluation.evaluate import Progress as Progress
    from metarl.evaluation.evaluate import evaluate_as as evaluate_as
    from metarl.evaluation.evaluate import evaluate_on_family as evaluate_on_family
    from metarl.evaluation.evaluate import evaluate_run as evaluate_run
    from metarl.evaluation.evaluate import measure_curve as measure_curve
    from metarl.evaluation.plots import new_figure as new_figure
    from metarl.evaluation.plots import plot_comparison as plot_comparison
    from metarl.evaluation.plots import plot_curves as plot_curves
    from metarl.evaluation.plots import save_figure as save_figure
    from metarl.evaluation.references import add_references as add_references
    from metarl.evaluation.references import beside_references as beside_references
    from metarl.evaluation.references import family_with_references as family_with_references
    from metarl.evaluation.references import measured_tasks as measured_tasks
    from metarl.evaluation.references import regret as regret
    from metarl.evaluation.reproduction import measure_reproduction as measure_reproduction
    from metarl.evaluation.reproduction import print_protocols as print_protocols
    from metarl.evaluation.reproduction import print_reproduction as print_reproduction
    from metarl.evaluation.statistics import AVERAGES as AVERAGES
    from metarl.evaluation.statistics import OVER_SEEDS as OVER_SEEDS
    from metarl.evaluation.statistics import distinct_tasks as distinct_tasks
    from metarl.evaluation.statistics import pooled as pooled
    from metarl.evaluation.statistics import table_of as table_of
    from metarl.evaluation.tables import print_comparison as print_comparison
    from metarl.evaluation.tables import print_evaluation as print_evaluation
    from metarl.evaluation.tables import print_families as print_families
    from metarl.evaluation.tables import print_runs as print_runs
    from metarl.evaluation.tables import print_worth as print_worth
    from metarl.evaluation.video import choose_renderer as choose_renderer
    from metarl.evaluation.video import film as film
    from metarl.evaluation.video import filming_env as filming_env
    from metarl.evaluation.worth import measure_worth as measure_worth

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "metarl.evaluation.comparison": (
            "Method",
            "VALIDATION_EPISODES",
            "VALIDATION_TASKS",
            "choose_rate",
            "compare",
            "methods_of",
            "with_chosen_rate",
        ),
        "metarl.evaluation.evaluate": (
            "Progress",
            "evaluate_as",
            "evaluate_on_family",
            "evaluate_run",
            "measure_curve",
        ),
        "metarl.evaluation.plots": (
            "new_figure",
            "plot_comparison",
            "plot_curves",
            "save_figure",
        ),
        "metarl.evaluation.references": (
            "add_references",
            "beside_references",
            "family_with_references",
            "measured_tasks",
            "regret",
        ),
        "metarl.evaluation.reproduction": (
            "measure_reproduction",
            "print_protocols",
            "print_reproduction",
        ),
        "metarl.evaluation.statistics": ("AVERAGES", "OVER_SEEDS", "distinct_tasks", "pooled", "table_of"),
        "metarl.evaluation.tables": (
            "print_comparison",
            "print_evaluation",
            "print_families",
            "print_runs",
            "print_worth",
        ),
        "metarl.evaluation.video": (
            "choose_renderer",
            "film",
            "filming_env",
        ),
        "metarl.evaluation.worth": ("measure_worth",),
    },
)
