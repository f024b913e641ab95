from types import SimpleNamespace

import pytest

from metarl.evaluation import tables
from metarl.evaluation.statistics import OVER_TASKS
from metarl.evaluation.tables import print_comparison, print_evaluation


def test_steps_that_do_not_fit_beside_one_another_are_rows(capsys):
    def method(label, worth):
        curve = [worth + step for step in range(13)]
        unknown = [None] * 13
        bounds = {
            "ci95_low": [value - 0.5 for value in curve], "ci95_high": [value + 0.5 for value in curve],
            "interval": OVER_TASKS, "new_tasks_interval": "none: one training seed", "new_tasks_low": unknown,
            "new_tasks_high": unknown, "seed_sd": unknown, "worst_seed": unknown,
        }  # fmt: skip
        return {
            "label": label, "runs": ["a"], "training_examples": [1_000_000], "inner_lr": 0.1,
            "adaptation_examples": [5 * step for step in range(13)], "accuracy": {"mean": curve, **bounds},
        }  # fmt: skip

    result = {
        "family": "omniglot", "variant": None, "split": "meta-test", "tasks": 3, "distinct_tasks": 3,
        "measure": "accuracy",
        "unit": "examples", "average": "mean", "steps": 12, "methods": [method("maml", 100.0), method("anil", 200.0)],
        "probability_of_improvement": {},
    }  # fmt: skip
    print_comparison(result)
    printed = capsys.readouterr().out
    assert [step for step in range(13) if f"{100 + step}.00 [{100 + step - 0.5:.2f}, " in printed] == [
        0, 1, 2, 3, 5, 10, 12,
    ]  # fmt: skip
    assert "212.00 [211.50, 212.50]" in printed
    assert (printed.count("maml"), printed.count("anil")) == (1, 1)
    assert "…" not in printed
    print_comparison({**result, "steps": 3})
    beside = capsys.readouterr().out
    assert all(f"step {step}" in beside for step in range(4))
    assert "203.00" in beside


def evaluation(**changes):
    """A result with returns of many digits, and success rates."""
    curve = {"mean": [-1234.5, -1034.25], "standard_error": [12.5, 10.25], "iqm": [-1230.0, -1030.0],
             "ci95_low": [-1300.5, -1100.25], "ci95_high": [-1160.5, -960.5], "interval": OVER_TASKS}  # fmt: skip
    success = {"mean": [0.25, 0.75], "ci95_low": [0.1234, 0.5], "ci95_high": [0.4321, 0.9], "interval": OVER_TASKS}
    return {
        "family": "lander:family", "variant": None, "split": "meta-test", "unit": "environment_steps",
        "measure": "return", "average": "iqm", "tasks": 2, "task_ids": [0, 1], "budget": "40 episodes",
        "environment_steps": [0, 8000], "return": curve, "success": success, "worse_after_adaptation": 0,
        "splits": "disjoint", "protocol": {"horizon": 200}, **changes,
    }  # fmt: skip


@pytest.mark.parametrize("columns", [80, 200])
def test_no_number_is_broken_on_a_terminal_of_80_columns(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(tables, "sys", SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: True)))
    print_evaluation(evaluation())
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= columns
    for text in ("-1300.50 to -1160.50", "0.1234 to 0.4321", "-1234.50", "0.2500", "success rate", "8000"):
        assert text in printed, text
    assert "lander:family, meta-test: 2 tasks" in printed
    one_row = any("-1300.50" in line and "0.1234 to 0.4321" in line for line in printed.splitlines())
    assert one_row == (columns == 200)
