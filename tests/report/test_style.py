import itertools

import pytest

from metarl.report.style import COLOURS, axes, band, line, rounded, style_of


def lightness(colour):
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_methods_differ_in_more_than_colour():
    styles = [style_of(number) for number in range(14)]
    assert len({(style.colour, style.marker) for style in styles}) == 14
    for one, other in itertools.pairwise(styles[:7]):
        assert one.marker != other.marker
        assert one.colour != other.colour


@pytest.mark.parametrize("colour", COLOURS)
def test_lines_are_seen_on_white(colour):
    """Contrast of at least 1.8 to 1 with the page for every line; the first two, 4 to 1."""
    contrast = 1.05 / (lightness(colour) + 0.05)
    assert contrast > (3.8 if colour in COLOURS[:2] else 1.8)


def test_a_band_needs_both_ends():
    style = style_of(0)
    assert band([0, 1], [1.0, None], [2.0, 3.0], style) == []
    (area,) = band([0, 1], [1.0, 2.0], [2.0, 3.0], style)
    assert (area["x"], area["y"]) == ([0, 1, 1, 0], [2, 3, 2, 1])


def test_traces_are_valid_for_plotly():
    graph_objects = pytest.importorskip("plotly.graph_objects", reason="plotly is not installed (extra report)")
    style = style_of(3)
    traces = [*band([0, 1], [1.0, 2.0], [2.0, 3.0], style), line([0, 1], [1.5, float("nan")], style, "m", hover="%{y}")]
    graph_objects.Figure({"data": traces, "layout": axes("x", "y", xaxis={"dtick": 1})})
    assert rounded([float("inf"), 2]) == [None, 2.0]
