import sys

import pytest

from metarl.core.errors import ConfigError, RunError
from metarl.evaluation import plots
from metarl.evaluation.plots import plot_comparison, plot_curves


def curve(*values):
    return {
        "mean": list(values), "iqm": list(values), "ci95_low": [v and v - 1 for v in values],
        "ci95_high": [v and v + 1 for v in values], "interval": "over training seeds, for these tasks",
    }  # fmt: skip


RESULT = {
    "measure": "return", "average": "iqm", "family": "f", "variant": None, "split": "meta-test", "budget": "4 episodes",
    "return": curve(1.0, 2.0, 4.0),
}  # fmt: skip
COMPARED = RESULT | {
    "unit": "environment_steps", "steps": 1,
    "methods": [
        {
            "label": f"m{i}", "runs": ["a", "b"], "training_environment_steps": [1000, 3000],
            "adaptation_environment_steps": [0, 50], "return": curve(i, i + 1.0),
        }
        for i in range(12)
    ],
}  # fmt: skip


@pytest.fixture
def figures(monkeypatch):
    """The figures that are written, to be looked at."""
    written = []
    save = plots.save_figure
    monkeypatch.setattr(plots, "save_figure", lambda figure, path: written.append(figure) or save(figure, path))
    return written


def test_a_curve_and_its_interval_are_what_the_result_says(tmp_path, figures):
    plot_curves({"one": RESULT, "two": RESULT | {"return": curve(0.0, None, 3.0)}}, tmp_path / "a" / "c.png")
    assert (tmp_path / "a" / "c.png").stat().st_size > 5000
    assert figures[0].axes[0].get_title() == "f, meta-test, 4 episodes a step"
    (axes,) = figures[0].axes
    assert axes.lines[0].get_ydata().tolist() == [1, 2, 4]
    assert str(axes.lines[1].get_ydata()[1]) == "nan"
    # A point that is missing leaves no interval to draw.
    assert len(axes.collections) == 1
    assert {float(y) for y in axes.collections[0].get_paths()[0].vertices[:, 1]} == {0, 1, 3, 2, 5}
    assert axes.get_ylabel() == "return (interquartile mean over tasks)"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one", "two"]


def test_a_comparison_counts_the_data_of_training(tmp_path, figures):
    plot_comparison(COMPARED, tmp_path / "c.svg")
    after, by_data = figures[0].axes
    assert after.lines[3].get_xdata().tolist() == [0, 50]
    assert by_data.lines[3].get_xdata().tolist() == [2000, 2050]
    assert by_data.lines[3].get_ydata().tolist() == [3, 4]
    # Ten colours, then the same ones dashed.
    assert [line.get_linestyle() for line in after.lines[8:]] == ["-", "-", "--", "--"]


def test_both_readings_are_against_data_of_the_new_task(tmp_path, figures):
    """A learner with an episode of 10 steps a point beside one with 1,000: the axis is logarithmic."""
    during = {"while_adapting": curve(None, 5.0), "adaptation_environment_steps": [0, 10]}
    methods = [COMPARED["methods"][0] | during, COMPARED["methods"][1] | {"adaptation_environment_steps": [0, 1000]}]
    plot_comparison(COMPARED | {"methods": methods}, tmp_path / "c.svg")
    after, while_adapting, _ = figures[0].axes
    assert [line.get_xdata().tolist() for line in after.lines] == [[0, 10], [0, 1000]]
    (line,) = while_adapting.lines
    assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == ([10], [5])
    assert line.get_color() == after.lines[0].get_color()
    assert after.get_xscale() == "symlog"


def test_what_cannot_be_drawn_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"c\.png: cannot be written"):
        plot_curves({"one": RESULT}, tmp_path / "file" / "c.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigError, match=r"matplotlib is not installed; pip install 'metarl-toolkit\[plot\]'"):
        plot_curves({"one": RESULT}, tmp_path / "c.png")
