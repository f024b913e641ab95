from metarl.evaluation.statistics import OVER_TASKS
from metarl.evaluation.tables import print_comparison


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
