import numpy as np
import pytest

from metarl.report.episodes import shown_episodes
from metarl.report.tasks import TaskScores, episodes_figure, parameters, tasks_figures


def result(rows, ids=None):
    rows = [[None if value is None else float(value) for value in row] for row in rows]
    return {"per_task": rows, "task_ids": list(range(len(rows))) if ids is None else ids}


def checked(figure):
    graph_objects = pytest.importorskip("plotly.graph_objects", reason="plotly is not installed (extra report)")
    for plot in figure.plots:
        graph_objects.Figure({"data": plot.traces, "layout": plot.layout})
    return figure


def test_scores_are_averaged_over_seeds_and_harm_is_counted():
    tasks = {"wind": np.array([0.1, 0.2, 0.3])}
    scores = TaskScores([result([[1, 2], [5, 4], [0, None]]), result([[1, 4], [5, 4], [0, 1]])], tasks)
    assert scores.before.tolist() == [1, 5, 0]
    assert scores.gain[:2].tolist() == [2, -1]
    assert np.isnan(scores.gain[2])
    assert scores.harmed == 2  # the one that diverged counts


def test_a_task_that_occurs_twice_counts_once():
    scores = TaskScores([result([[1, 2], [3, 4], [3, 4]], [0, 1, 0])], {"way": np.array([1, -1, 1])})
    assert scores.parameters["way"].tolist() == [1, -1]
    assert scores.after.tolist() == [3, 4]


def test_one_parameter_has_strokes_and_two_have_maps():
    results = [result([[1, 2], [2, 1], [3, 5]])]
    one = {"a": TaskScores(results, {"wind": np.array([0.1, 0.2, 0.3])})}
    scatter, over = map(checked, tasks_figures(one, "return"))
    assert "adaptation helps on 2 of 3 tasks" in scatter.caption
    assert [plot.title for plot in over.plots] == ["Over wind"]
    strokes = over.plots[0].traces[0]
    assert strokes["y"] == [1, 2, None, 2, 1, None, 3, 5, None]
    two = {"a": TaskScores(results, {"goal": np.array([[0, 1], [1, 0], [2, 2.0]])})}
    _, maps = map(checked, tasks_figures(two, "return"))
    assert [plot.title for plot in maps.plots] == ["Return before", "Return after", "Gain"]
    assert maps.plots[2].traces[0]["marker"]["symbol"] == ["circle", "triangle-down", "circle"]


def test_many_parameters_have_the_scatter_alone():
    tasks = {"p": np.random.default_rng(0).random((3, 9))}
    figures = tasks_figures({"a": TaskScores([result([[1, 2], [2, 1], [3, 5]])], tasks)}, "return")
    assert [figure.name for figure in figures] == ["tasks"]
    assert len(parameters(tasks)) == 9


def test_nothing_but_divergence_can_be_drawn():
    scores = TaskScores([result([[None, None]])], {"wind": np.array([0.1])})
    (figure,) = tasks_figures({"a": scores}, "return")
    assert "1 diverged" in checked(figure).caption


def test_paths_lead_to_the_goal_where_observations_are_positions(measured, options):
    shown = shown_episodes(measured, "maml", options.episodes, options.seed)
    figure = checked(episodes_figure(0, "maml", shown, measured.tasks))
    assert [plot.title.split(":")[0] for plot in figure.plots] == ["Best task", "Median task", "Worst task"]
    star = figure.plots[0].traces[-1]
    assert [star["x"][0], star["y"][0]] == pytest.approx(measured.tasks["goal"][shown[0].task], rel=1e-3)
    assert figure.plots[0].layout["yaxis"]["scaleanchor"] == "x"
