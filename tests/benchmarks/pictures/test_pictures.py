"""The command makes the pictures from a tiny run; the same measurements give the same bytes."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from benchmarks.pictures import film, measure
from benchmarks.pictures.__main__ import program
from benchmarks.pictures.draw import draw_curves, draw_trajectories, moved
from benchmarks.pictures.film import draw_film, frames, in_all_directions, nearest_entries, palette_of, shown
from benchmarks.pictures.measure import FAMILIES, LABELS, STEPS, Measured
from benchmarks.pictures.style import DARK, LIGHT, OF_TASKS
from metarl.api import default_config
from tests.helpers.cli import run_main

PICTURES = {f"{name}{suffix}" for name in ("adaptation", "curves", "trajectories") for suffix in ("", "-dark")}


@pytest.fixture(autouse=True)
def _few_frames(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(film, "SCALE", 1)
    monkeypatch.setattr(film, "FADING", 1)


@pytest.fixture
def measured():
    rng = np.random.default_rng(0)
    goals = rng.uniform(-0.5, 0.5, (7, 2))
    times = np.minimum(np.arange(101) / 10, 1)[:, None]
    paths = np.stack([step / STEPS * goals[:, None] * times for step in range(STEPS + 1)])
    values = [-40.0, -12.0, -6.0, -5.0]
    curve = {"iqm": values, "ci95_low": [v - 2 for v in values], "ci95_high": [v + 2 for v in values]}
    result = {"average": "iqm", "return": curve, "per_task": [values] * 7}
    return Measured({family: dict.fromkeys(LABELS, result) for family in FAMILIES}, goals, paths)


def test_the_command_makes_all_pictures(tmp_path, monkeypatch):
    def tiny(algorithm, family):
        return replace(default_config(algorithm, family), episodes=2, samples_per_step=None, validation_tasks=0)

    monkeypatch.setattr(measure, "default_config", tiny)
    line = "--out {out} --runs {runs} --iterations 1 --meta-batch-size 2 --tasks 3 --episodes 2 --frames 1"
    code, out, err = run_main(program, line, out=tmp_path / "images", runs=tmp_path / "runs")
    assert (code, err) == (0, "")
    assert {path.stem for path in (tmp_path / "images").iterdir()} == PICTURES
    assert out.count(" kB\n") == len(PICTURES)


def test_errors_are_one_line(tmp_path):
    code, _, err = run_main(program, "--iteration 3")
    assert code == 2
    assert "iterations" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_the_same_measurements_give_the_same_bytes(measured, theme, tmp_path):
    for draw, name in ((draw_curves, "curves.svg"), (draw_trajectories, "trajectories.svg")):
        first, second = (draw(measured, theme, tmp_path / f"{turn}-{name}").read_bytes() for turn in (1, 2))
        assert first == second
        assert b"<dc:date>" not in first
    films = [draw_film(measured, theme, tmp_path / f"{turn}.gif", 1).read_bytes() for turn in (1, 2)]
    assert films[0] == films[1]


def test_the_animation_repeats_and_ends_as_it_began(measured, tmp_path):
    path = draw_film(measured, LIGHT, tmp_path / "film.gif", 3)
    with Image.open(path) as opened:
        assert opened.info["loop"] == 0
        assert opened.width == 400
        assert opened.convert("RGB").getpixel((2, 2)) == (255, 255, 255)
        assert opened.n_frames > STEPS
    moments = frames(18)
    assert {moment.step for moment in moments} == set(range(STEPS + 1))
    assert moments[-1].visible == moments[-1].curve_visible == 0
    assert 2000 <= sum(moment.duration for moment in moments) <= 6000


def test_shown_goals_lie_in_different_directions(measured):
    chosen = in_all_directions(measured.goals)
    angles = np.arctan2(*measured.goals[chosen].T[::-1]) % (2 * np.pi)
    assert len(set((angles / (2 * np.pi) * len(OF_TASKS)).astype(int))) == len(chosen)
    assert 0 in chosen


def test_a_path_is_shown_until_a_time_between_two_steps():
    path = np.array([[0.0, 0.0], [1.0, 2.0], [1.0, 2.0], [3.0, 2.0]])
    np.testing.assert_allclose(shown(path, 0.5), [[0, 0], [0.5, 1]])
    np.testing.assert_allclose(shown(path, 3)[-1], [3, 2])
    np.testing.assert_array_equal(moved(path), path[[0, 1, 3]])


def test_colours_of_the_palette_keep_their_values():
    palette = np.array(palette_of(DARK))
    assert len(palette) <= 256
    image = palette[None].astype(np.uint8)
    np.testing.assert_array_equal(palette[nearest_entries(image, palette)], image)
