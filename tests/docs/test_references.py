"""The tables of docs/references.md: published figures above the exact optimum are marked, and no others."""

import re
from pathlib import Path

import pytest

from metarl_envs.references.bayes_bandit import optimal_value

PAGE = (Path(__file__).parents[2] / "docs" / "references.md").read_text()
ROUNDING = 0.05
"""Published figures have one decimal."""


def table(head):
    """The rows of the table whose head begins so, as dictionaries by column."""
    lines = PAGE[PAGE.index(head) :].split("\n\n")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


@pytest.mark.parametrize("row", table("| n, k |"), ids=lambda row: row["n, k"])
def test_figures_above_the_exact_optimum_are_marked(row):
    pulls, arms = map(int, row["n, k"].split(", "))
    published = [name for name in row if not name.startswith("our") and name not in ("n, k", "exact optimum")]
    if pulls > 10:
        assert row["exact optimum"] == ""
        assert not any("(!)" in row[name] for name in published)
        return
    optimum = optimal_value(arms, pulls)
    assert float(row["exact optimum"]) == pytest.approx(optimum, abs=5e-4)
    for name in published:
        figure = re.match(r"[\d.]*", row[name])[0]
        above = figure != "" and float(figure) - ROUNDING > optimum
        assert ("(!)" in row[name]) == above, (name, row[name])


def test_no_published_learner_is_above_the_known_mdp():
    for row in table("| n | PSRL |"):
        bound = float(row["our `oracle`"])
        assert all(float(figure) <= bound for name, figure in row.items() if name != "n" and figure), row["n"]
