"""Faults of spaces, tasks and splits, one family each."""

import numpy as np
import pytest
from gymnasium import spaces

from metarl.families.splits import UniformSplits, shared_splits
from tests.helpers.slides import Slides, failures


class NoHorizon(Slides):
    horizon = 0


class ImageObservations(Slides):
    observation_space = spaces.Box(0, 1, (8, 8, 3), np.float32)


class TasksOutside(Slides):
    splits = UniformSplits(spaces.Dict({"goal": spaces.Box(-9.0, 9.0, ()), "drift": spaces.Box(0.0, 0.3, ())}))


class GlobalRandomness(Slides):
    def sample_tasks(self, n, split, rng):
        return self.splits.sample(n, split, np.random.default_rng())


class OverlappingSplits(Slides):
    splits = shared_splits([{"goal": np.float32(g), "drift": np.float32(g / 10)} for g in (0, 1)])

    def __init__(self):
        self.splits.kind = "disjoint"


class DoublePrecisionTasks(Slides):
    def sample_tasks(self, n, split, rng):
        return {"goal": rng.uniform(-1, 1, n), "drift": rng.uniform(0, 0.3, n)}


@pytest.mark.parametrize(
    ("family", "check", "found", "hint"),
    [
        (NoHorizon(), "declaration", "horizon = 0", "whole number"),
        (ImageObservations(), "declaration", "observation_space = Box", "FlattenObservation"),
        (TasksOutside(), "tasks", "meta-train: goal = ", "widen task_space"),
        (GlobalRandomness(), "tasks", "the same generator drew other tasks", "from the generator given"),
        (OverlappingSplits(), "splits", "is in meta-train and in meta-validation", "declare kind = 'shared'"),
        (DoublePrecisionTasks(), "json", "came back as", "dtype"),
    ],
    ids=lambda value: getattr(value, "name", None) and (type(value).__name__ + "-" + value.env.__name__),
)  # fmt: skip
def test_each_fault_is_found_and_its_mending_said(family, check, found, hint):
    finding = failures(family)[check]
    assert found in finding.found
    assert hint in finding.hint
