"""Stepping tasks x episodes lanes: analytic families as one batch of tensors, anything else through gymnasium.

A lane is one episode of one task at a time. Whatever is behind it, the rollout sees `reset(seeds)` and
`step(actions)` on tensors (tasks, episodes, ...), and an ended lane is reset before it is stepped again. Actions are
raw outputs of the policy: lanes clip them to the action space, and count discrete ones from its start.
"""

from __future__ import annotations

import torch

from metarl.analytic_lanes import AnalyticLanes, AnalyticVectorEnv
from metarl.families import TaskFamily
from metarl.host_lanes import HostLanes
from metarl.tasks import Tasks, number_of_tasks

Lanes = AnalyticLanes | HostLanes


def make_lanes(
    family: TaskFamily, tasks: Tasks, episodes: int, *, device: torch.device | str, dtype: torch.dtype
) -> Lanes:
    """The fastest lanes that the family offers; both kinds can be given other tasks between iterations."""
    env = family.make_vec(tasks, episodes)
    if isinstance(env, AnalyticVectorEnv):
        own = env.lanes
        return AnalyticLanes(own.family, tasks, episodes, device=device, dtype=dtype, observe_task=own.observe_task)
    return HostLanes(env, number_of_tasks(tasks), family=family, device=device, dtype=dtype)
