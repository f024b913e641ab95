"""Which examples a task shows is part of the task: a number that seeds counter-based draws."""

from __future__ import annotations

import torch
from torch import Tensor

from metarl.core.prng import Key, fold
from metarl.families.tasks import Tasks


def seeds_of(tasks: Tasks) -> Tensor:
    """A seed for the draws of each task, int64 (tasks,), a function of the task's own `draw` alone."""
    root = Key(0).at("few-shot draw").env_seeds(1, 1)[0, 0]
    return fold(root, torch.as_tensor(tasks["draw"]).long())
