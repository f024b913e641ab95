"""Sinusoid tasks and their examples."""

from functools import partial

import numpy as np
import pytest
import torch

from benchmarks.fewshot import sinusoids
from metarl.families.splits import UniformSplits


@pytest.mark.parametrize("variant", ["finn17", "reptile"])
def test_sinusoids_are_what_their_tasks_say(variant):
    splits = UniformSplits(sinusoids.task_space(variant))
    tasks = splits.sample(500, "meta-train", np.random.default_rng(0))
    amplitude, phase = tasks["amplitude"], tasks["phase"]
    top = np.pi * (1 if variant == "finn17" else 2)
    assert 0.1 <= amplitude.min() < 0.2 < 4.9 < amplitude.max() <= 5
    assert 0 <= phase.min() < 0.05 * top < 0.95 * top < phase.max() <= top
    draw = partial(sinusoids.draw, shots=10, queries=20, variant=variant, dtype=torch.float64)
    data = draw(tasks)
    sign = -1 if variant == "finn17" else 1
    for x, y in (data[:2], data[2:]):
        assert -5 <= x.min() < -4.9 < 4.9 < x.max() <= 5
        expected = amplitude[:, None, None] * np.sin(x.numpy() + sign * phase[:, None, None])
        np.testing.assert_allclose(y, expected, atol=1e-12)
    assert data.support_inputs.shape == (500, 10, 1)
    assert all(len(set(row)) == 10 for row in data.support_inputs[..., 0].tolist())
    if variant == "finn17":
        assert not np.isin(data.query_inputs, data.support_inputs).any()
    else:
        assert data.query_inputs.shape == (500, 50, 1)
    part = draw({name: values[3:5] for name, values in tasks.items()})
    assert all(torch.equal(a, b[3:5]) for a, b in zip(part, data, strict=True))
    other = draw({**tasks, "draw": tasks["draw"] + 1})
    assert not torch.equal(other.support_inputs, data.support_inputs)
