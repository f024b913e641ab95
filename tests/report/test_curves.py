import pytest

from metarl.report.curves import (
    adaptation_figure,
    curve_traces,
    duration,
    extrapolation_figure,
    learning_figure,
    time_figure,
)
from metarl.report.history import read_history
from metarl.report.style import style_of


@pytest.fixture(scope="module")
def histories(runs):
    return {"maml": [read_history(run) for run in runs[:2]], "promp": [read_history(runs[2])]}


def checked(figure):
    """The figure, if plotly takes all its plots."""
    graph_objects = pytest.importorskip("plotly.graph_objects", reason="plotly is not installed (extra report)")
    for plot in figure.plots:
        graph_objects.Figure({"data": plot.traces, "layout": plot.layout})
    return figure


def test_learning_curves_have_a_mean_and_each_seed(histories):
    figure = checked(learning_figure(histories))
    training, validation = figure.plots
    named = [trace["name"] for trace in training.traces if trace.get("showlegend", True)]
    assert named == ["maml", "maml, before adaptation", "promp", "promp, before adaptation"]
    assert sum(trace.get("opacity") == 0.35 for trace in training.traces) == 2
    assert len(validation.traces) == 3
    assert [row[0] for row in figure.table.rows] == ["maml", "maml", "promp"]
    assert "thin: each seed" in figure.caption


def test_adaptation_is_drawn_as_compared(measured):
    figure = checked(adaptation_figure(measured.inside))
    steps, used = figure.plots
    drawn = {trace["name"]: trace for trace in steps.traces if trace["mode"] == "lines+markers"}
    first = measured.inside["methods"][0]
    assert drawn["maml"]["y"] == pytest.approx(first["return"]["iqm"], rel=1e-4)
    assert [t["x"] for t in used.traces if t.get("name") == "maml"][-1] == first["adaptation_environment_steps"]
    worst = [t for t in steps.traces if t.get("line", {}).get("dash") == "dot"]
    assert worst[0]["y"] == pytest.approx(first["return"]["worst_seed"], rel=1e-4)
    assert len(worst) == 1  # the other method has one seed
    assert "worst seed" in figure.caption
    assert len(figure.table.rows) == 6


def test_success_has_a_plot_of_its_own(measured):
    entries = [
        {**entry, "success": {**entry["return"], "mean": [0.0, 0.5, 1.0]}} for entry in measured.inside["methods"]
    ]
    figure = checked(adaptation_figure({**measured.inside, "methods": entries}))
    assert [plot.title for plot in figure.plots][-1] == "Success rate"
    assert figure.table.columns[-1] == "success"


def test_a_curve_without_intervals_has_no_band():
    curve = {"mean": [1.0, 2.0], "ci95_low": [None, None], "ci95_high": [None, None], "worst_seed": [None, None]}
    assert len(curve_traces([0, 1], curve, "mean", style_of(0), "a", "step")) == 1


def test_extrapolation_stands_on_one_scale(measured):
    figure = checked(extrapolation_figure(measured.inside, measured.outside))
    assert [plot.title for plot in figure.plots] == ["maml", "promp"]
    assert figure.plots[0].layout["yaxis"]["range"] == figure.plots[1].layout["yaxis"]["range"]
    assert {row[1] for row in figure.table.rows} == {"in", "out"}


def test_times_are_those_of_an_iteration(histories):
    figure = checked(time_figure(histories))
    collect = next(trace for trace in figure.plots[0].traces if trace["name"] == "collect")
    (run,) = histories["promp"]
    assert collect["x"][1] == pytest.approx(run.phases["collect"] / 2, rel=1e-3)
    assert duration(59.6) == "60 s"
