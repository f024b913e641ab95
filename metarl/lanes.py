"""Stepping tasks x episodes lanes: analytic families as one batch of tensors, anything else through gymnasium.

A lane is one episode of one task at a time. Whatever is behind it, the rollout sees `reset(seeds)` and
`step(actions)` on tensors (tasks, episodes, ...), and an ended lane is reset before it is stepped again. Actions are
raw outputs of the policy: lanes clip them to the action space, and count discrete ones from its start.
"""

from __future__ import annotations

import torch
from gymnasium.vector import VectorEnv

from metarl.analytic_lanes import AnalyticLanes, AnalyticVectorEnv
from metarl.families import ObserveTask, TaskFamily
from metarl.host_lanes import HostLanes
from metarl.sync_lanes import ObserveTaskVectorEnv
from metarl.tasks import Tasks, number_of_tasks
from metarl.worker_lanes import WorkerVectorEnv

Lanes = AnalyticLanes | HostLanes


def make_lanes(
    family: TaskFamily,
    tasks: Tasks,
    episodes: int,
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    workers: int = 0,
    timeout: float = 60.0,
) -> Lanes:
    """The fastest lanes that the family offers; both kinds can be given other tasks between iterations.

    Ordinary environments are stepped in this process, or in `workers` others, each answering within `timeout` seconds.
    """
    env = _vector_env(family, tasks, episodes, workers, timeout)
    if isinstance(env, AnalyticVectorEnv):
        own = env.lanes
        return AnalyticLanes(own.family, tasks, episodes, device=device, dtype=dtype, observe_task=own.observe_task)
    return HostLanes(env, number_of_tasks(tasks), family=family, device=device, dtype=dtype)


def _vector_env(family: TaskFamily, tasks: Tasks, episodes: int, workers: int, timeout: float) -> VectorEnv:
    if workers and isinstance(family, ObserveTask):
        inner = _vector_env(family.family, tasks, episodes, workers, timeout)
        if not isinstance(inner, AnalyticVectorEnv):
            return ObserveTaskVectorEnv(family, inner, tasks)
    elif workers and type(family).make_vec is TaskFamily.make_vec:
        return WorkerVectorEnv(family, tasks, episodes, workers=workers, timeout=timeout)
    return family.make_vec(tasks, episodes)
