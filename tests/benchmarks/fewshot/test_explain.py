"""The picture that explains pre-training, MAML and Reptile is computed: its points and arrows in closed form."""

import pytest
import torch

from benchmarks.fewshot.cli import main
from benchmarks.fewshot.explain import (
    IN_A_PLANE,
    ON_A_LINE,
    RATE,
    REPTILE_STEPS,
    directions,
    initialisations,
    losses_along,
    path,
)


@pytest.mark.parametrize("problem", [ON_A_LINE, IN_A_PLANE], ids=["line", "plane"])
def test_initialisations_are_the_minima_of_their_objectives(problem):
    """Weights of the tasks' minima: H, (I - aH) H (I - aH) and I - (I - aH)^K."""
    h, identity = problem.hessians, torch.eye(problem.minima.shape[1], dtype=torch.float64)
    left = identity - RATE * h
    weights = {
        "pre-training": h,
        "MAML": left @ h @ left,
        "Reptile": identity - torch.linalg.matrix_power(left, REPTILE_STEPS),
    }
    for name, theta in initialisations(problem).items():
        w = weights[name]
        expected = torch.linalg.solve(w.sum(0), torch.einsum("tij,tj->i", w, problem.minima))
        torch.testing.assert_close(theta["x"], expected, atol=2e-3, rtol=0)


def test_the_pretrained_point_is_better_before_adaptation_and_worse_after_it():
    means = {name: losses_along(ON_A_LINE, path(ON_A_LINE, theta, 1)).mean(1)
             for name, theta in initialisations(ON_A_LINE).items()}  # fmt: skip
    for name in ("MAML", "Reptile"):
        assert means["pre-training"][0] < means[name][0]
        assert means["pre-training"][1] > means[name][1]


def test_directions_are_what_the_lecture_says():
    x = torch.tensor([-0.5, 1.2], dtype=torch.float64)
    h, c = IN_A_PLANE.hessians, IN_A_PLANE.minima
    first = torch.einsum("tij,tj->ti", h, x - c)
    last = torch.einsum("tij,tj->ti", h, x - RATE * first - c)
    through = torch.einsum("tij,tj->ti", torch.eye(2) - RATE * h, last)
    expected = [first, last, through, first + last]
    for found, gradient in zip(directions(IN_A_PLANE, {"x": x}).values(), expected, strict=True):
        torch.testing.assert_close(found, gradient.mean(0))


def test_the_pictures_are_written(tmp_path, capsys):
    tiny = ["--iterations", "2", "--validation-tasks", "0"]
    assert main(["train", "sinusoid", "maml", *tiny, "--run-dir", str(tmp_path / "run")]) == 0
    assert main(["explain", "--plot", str(tmp_path / "e.png"), "--sinusoids", str(tmp_path / "run")]) == 0
    for name in ("e.png", "e-sinusoids.png"):
        assert (tmp_path / name).stat().st_size > 10_000
    assert "before and after one step" in capsys.readouterr().out
