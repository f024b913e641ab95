"""Ordinary environments in worker processes; each has a SyncTaskVectorEnv with its share of the sub-environments."""

from __future__ import annotations

import contextlib
import mmap
import multiprocessing
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle
import numpy as np

from metarl.core.errors import FamilyError, MetarlError, WorkerFault
from metarl.core.launch import thread_environment
from metarl.families.family import TaskFamily, env_label
from metarl.families.tasks import Tasks
from metarl.families.vector import TaskVectorEnv, joined_successes, mask_of, successes_in
from metarl.networks.actions import in_rows

BUILDING = 120.0
"""Seconds within which a worker must start and build its environments, unless its timeout is longer."""

GRACE = 2.0
"""Seconds within which a worker must close its environments."""


class _Worker:
    """A worker process. It is spawned, not forked, since torch's threads do not survive a fork."""

    def __init__(self, indices: range) -> None:
        self.indices = indices
        ours, theirs = multiprocessing.Pipe()
        with tempfile.TemporaryFile() as file:
            file.truncate(PLACE.size)
            self._place = mmap.mmap(file.fileno(), PLACE.size)
            files = (theirs.fileno(), file.fileno())
            self.process = subprocess.Popen(
                [sys.executable, "-m", "metarl.families.workers", *map(str, files)],
                pass_fds=files,
                env=thread_environment(1),  # one core per worker
            )
        theirs.close()
        self.connection = ours

    @property
    def at(self) -> tuple[int, int]:
        env_index, step = PLACE.unpack_from(self._place)
        return env_index, step

    def send(self, command: str, arguments: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # a dead worker is reported when its answer is read
            self.connection.send_bytes(cloudpickle.dumps((command, arguments)))

    def close(self) -> None:
        self.send("close", {})
        self.connection.close()
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class SubprocVectorEnv(TaskVectorEnv):
    """Sub-environments divided among worker processes; they are built once and then re-tasked.

    A sub-environment depends only on its own seed and actions, so the number of workers does not change results.

    Args:
        family: Makes the environments; it is pickled by value.
        tasks: A batch of tasks.
        episodes: Sub-environments of each task.
        workers: Number of processes.
        timeout: Seconds after which a worker that does not answer counts as hung.

    Raises:
        FamilyError: The family cannot be pickled.
        WorkerFault: By every method, if a worker raised, died or hung. The object must then be closed.
    """

    def __init__(self, family: TaskFamily, tasks: Tasks, episodes: int, *, workers: int, timeout: float) -> None:
        super().__init__(family.observation_space, family.action_space, tasks, episodes)
        self.family, self.timeout, envs = family, timeout, self.num_envs
        self._observations = np.zeros((envs, *family.observation_space.shape), family.observation_space.dtype)  # type: ignore[misc]
        shares = np.linspace(0, envs, min(workers, envs) + 1).round().astype(int).tolist()
        try:
            pickled = cloudpickle.dumps(family)
        except Exception as error:
            raise FamilyError(
                f"family '{family.name}' cannot be sent to a worker: {type(error).__name__}: {error}; "
                "metarl check gives details"
            ) from None
        self._workers: list[_Worker] = []
        try:
            for first, end in pairwise(shares):
                self._workers.append(_Worker(range(first, end)))
                build = {"path": sys.path, "family": pickled, "tasks": tasks, "episodes": episodes}
                self._workers[-1].send("build", {**build, "indices": range(first, end)})
            for worker in self._workers:
                self._answer(worker, max(timeout, BUILDING))
        except BaseException:
            self.close()
            raise

    def set_tasks(self, tasks: Tasks) -> None:
        """Change the tasks of all sub-environments; a reset must follow."""
        self.check_tasks(tasks)
        for worker in self._workers:
            worker.send("set_tasks", {"tasks": tasks})
        for worker in self._workers:
            self._answer(worker)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:  # type: ignore[override]
        """Start episodes in all sub-environments, or in those of `options["reset_mask"]`."""
        mask, seed = mask_of(options), self.seeds_of(seed)
        asked = [w for w in self._workers if mask is None or mask[w.indices.start : w.indices.stop].any()]
        for worker in asked:
            part = slice(worker.indices.start, worker.indices.stop)
            arguments = {"seed": None if seed is None else seed[part]}
            worker.send("reset", arguments if mask is None else {**arguments, "options": {"reset_mask": mask[part]}})
        for worker in asked:
            self._observations[worker.indices.start : worker.indices.stop] = self._answer(worker)[0]
        return self._observations.copy(), {}

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict]:  # type: ignore[override]
        """One step of all sub-environments; the workers step in parallel."""
        for worker in self._workers:
            worker.send("step", {"actions": in_rows(actions, worker.indices.start, worker.indices.stop)})
        *answers, infos = zip(*(self._answer(worker) for worker in self._workers), strict=True)
        observations, rewards, terminated, truncated = (np.concatenate(part) for part in answers)
        self._observations = observations
        sizes = [len(worker.indices) for worker in self._workers]
        found = [successes_in(info, n) for info, n in zip(infos, sizes, strict=True)]
        successes = joined_successes(found, sizes)
        info = {} if successes is None else {"success": successes}
        return observations.copy(), rewards, terminated, truncated, info

    def _answer(self, worker: _Worker, timeout: float | None = None) -> Any:
        """A worker's answer; raises WorkerFault with the sub-environment and step if there is none."""
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
        env_index, step = worker.at
        return WorkerFault(f"{env_label(self.family, env_index, self.shape[1])}: {what} at step {step}")

    def close(self, **arguments: Any) -> None:
        """End all workers."""
        for worker in self._workers:
            worker.close()
        self._workers = []
        super().close(**arguments)


PLACE = struct.Struct("qq")
"""Layout of the shared memory with a worker's current sub-environment and step, for errors of hung or dead workers."""


def serve(connection: Connection, place: mmap.mmap) -> None:
    """Run a worker: answer each (command, arguments) with ("done", result) or ("raised", message).

    Args:
        connection: Pipe to the parent; the function returns when it is closed.
        place: Shared memory for the current sub-environment and step.
    """
    env: Any = None
    while True:
        try:
            command, arguments = cloudpickle.loads(connection.recv_bytes())
        except EOFError:
            return
        if command == "close":
            if env is not None:
                env.close()
            return
        answer: tuple[str, Any]
        try:
            if command == "build":
                from metarl.families.family import SyncTaskVectorEnv

                sys.path[:] = arguments.pop("path")
                family = cloudpickle.loads(arguments.pop("family"))
                env = SyncTaskVectorEnv(family, **arguments, note=lambda *at: PLACE.pack_into(place, 0, *at))
                result = None
            else:
                result = getattr(env, command)(**arguments)
        except MetarlError as error:
            answer = ("raised", str(error))
        except Exception as error:
            answer = ("raised", traceback.format_exception_only(error)[-1].strip())
        else:
            answer = ("done", result)
        connection.send_bytes(cloudpickle.dumps(answer))


def end_with_parent(parent: int) -> None:
    """Exit when the parent process has ended, even while an environment does not return."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # the parent handles signals
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
    serve(Connection(int(sys.argv[1])), mmap.mmap(int(sys.argv[2]), PLACE.size))
