"""Ordinary environments in worker processes, each with a SyncLaneEnv of its share of the lanes."""

from __future__ import annotations

import contextlib
import mmap
import multiprocessing
import os
import subprocess
import sys
import tempfile
from itertools import pairwise
from typing import Any

import cloudpickle
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from metarl.errors import FamilyError, WorkerFault
from metarl.families import TaskFamily
from metarl.success import joined_successes, successes_in
from metarl.sync_lanes import lane_in_words
from metarl.tasks import Tasks, number_of_tasks
from metarl.worker import PLACE

BUILDING = 120.0
"""Seconds that a worker has to start and to build its environments, if its timeout is not longer."""
GRACE = 2.0
"""Seconds that a worker has to close its environments."""


class _Worker:
    """A process started afresh, not forked: torch's threads do not survive a fork, and it need not load torch."""

    def __init__(self, lanes: range) -> None:
        self.lanes = lanes
        ours, theirs = multiprocessing.Pipe()
        with tempfile.TemporaryFile() as file:
            file.truncate(PLACE.size)
            self._place = mmap.mmap(file.fileno(), PLACE.size)
            files = (theirs.fileno(), file.fileno())
            self.process = subprocess.Popen(
                [sys.executable, "-m", "metarl.worker", *map(str, files)],
                pass_fds=files,
                env={**os.environ, "OMP_NUM_THREADS": "1"},  # the workers together use the cores
            )
        theirs.close()
        self.connection = ours

    @property
    def at(self) -> tuple[int, int]:
        lane, step = PLACE.unpack_from(self._place)
        return lane, step

    def send(self, command: str, arguments: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # it died; reading its answer will say so
            self.connection.send_bytes(cloudpickle.dumps((command, arguments)))

    def close(self) -> None:
        self.send("close", {})
        self.connection.close()
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class WorkerVectorEnv(VectorEnv):
    """tasks x episodes lanes in task-major order, shared out among processes; built once, then re-tasked.

    What a lane does depends on its own seed and actions alone, so the number of workers changes no result. Raises
    WorkerFault for a worker that raises, dies, or does not answer within `timeout` seconds; it is of no use then.
    """

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012 (gymnasium's own declaration)

    def __init__(self, family: TaskFamily, tasks: Tasks, episodes: int, *, workers: int, timeout: float) -> None:
        self.family = family
        self.timeout = timeout
        self.shape = (number_of_tasks(tasks), episodes)
        self.num_envs = lanes = self.shape[0] * episodes
        self.single_observation_space = family.observation_space
        self.single_action_space = family.action_space
        self.observation_space = batch_space(self.single_observation_space, lanes)
        self.action_space = batch_space(self.single_action_space, lanes)
        self._observations = np.zeros((lanes, *family.observation_space.shape), family.observation_space.dtype)  # type: ignore[misc]
        shares = np.linspace(0, lanes, min(workers, lanes) + 1).round().astype(int).tolist()
        try:
            packed = cloudpickle.dumps(family)
        except Exception as error:
            raise FamilyError(
                f"family '{family.name}' cannot be sent to a worker: {type(error).__name__}: {error}; "
                "metarl check says more"
            ) from None
        self._workers: list[_Worker] = []
        try:
            for first, end in pairwise(shares):
                self._workers.append(_Worker(range(first, end)))
                build = {"path": sys.path, "family": packed, "tasks": tasks, "episodes": episodes}
                self._workers[-1].send("build", {**build, "lanes": range(first, end)})
            for worker in self._workers:
                self._answer(worker, max(timeout, BUILDING))
        except BaseException:
            self.close()
            raise

    def set_tasks(self, tasks: Tasks) -> None:
        for worker in self._workers:
            worker.send("set_tasks", {"tasks": tasks})
        for worker in self._workers:
            self._answer(worker)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:  # type: ignore[override]
        mask = None if options is None else options.get("reset_mask")
        if isinstance(seed, int):
            seed = [seed + i for i in range(self.num_envs)]
        asked = [w for w in self._workers if mask is None or mask[w.lanes.start : w.lanes.stop].any()]
        for worker in asked:
            part = slice(worker.lanes.start, worker.lanes.stop)
            arguments = {"seed": None if seed is None else list(seed[part])}
            worker.send("reset", arguments if mask is None else {**arguments, "options": {"reset_mask": mask[part]}})
        for worker in asked:
            self._observations[worker.lanes.start : worker.lanes.stop] = self._answer(worker)[0]
        return self._observations.copy(), {}

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict]:  # type: ignore[override]
        for worker in self._workers:
            worker.send("step", {"actions": actions[worker.lanes.start : worker.lanes.stop]})
        *answers, infos = zip(*(self._answer(worker) for worker in self._workers), strict=True)
        observations, rewards, terminated, truncated = (np.concatenate(part) for part in answers)
        self._observations = observations
        sizes = [len(worker.lanes) for worker in self._workers]
        told = [successes_in(info, n) for info, n in zip(infos, sizes, strict=True)]
        successes = joined_successes(told, sizes)
        info = {} if successes is None else {"success": successes}
        return observations.copy(), rewards, terminated, truncated, info

    def _answer(self, worker: _Worker, timeout: float | None = None) -> Any:
        """What a worker has to say, or a fault that names the lane and the step it was at."""
        number = self._workers.index(worker)
        timeout = timeout or self.timeout
        try:
            if not worker.connection.poll(timeout):
                raise self._fault(worker, f"worker {number} did not answer within {timeout:g} s")
            kind, result = cloudpickle.loads(worker.connection.recv_bytes())
        except (EOFError, OSError):
            code = worker.process.wait()
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise self._fault(worker, f"worker {number} died ({how})") from None
        if kind == "raised":
            raise WorkerFault(result)
        return result

    def _fault(self, worker: _Worker, what: str) -> WorkerFault:
        lane, step = worker.at
        return WorkerFault(f"{lane_in_words(self.family, lane, self.shape[1])}: {what} at step {step}")

    def close(self, **arguments: Any) -> None:
        for worker in self._workers:
            worker.close()
        self._workers = []
        super().close(**arguments)
