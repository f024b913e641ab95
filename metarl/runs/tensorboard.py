"""The metrics of a run as TensorBoard events."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metarl.config.registry import ProblemKind
from metarl.core.errors import RunError
from metarl.runs.durable import writing

FLUSH_SECONDS = 10.0
"""Maximum delay of the file during training."""


class Events:
    """TensorBoard events of a run, written by the training thread.

    The SummaryWriter of tensorboardX writes in a thread of its own. On a full disk that thread ends silently, and
    training blocks for ever on its queue.

    Args:
        run: The run directory.
        iteration: Iteration that training continues from.
        kind: The kind of problem.

    Raises:
        RunError: By every method, if events cannot be written.
    """

    def __init__(self, run: Path, iteration: int, kind: ProblemKind) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.summary import scalar

        self._kind, self._event, self._scalar = kind, Event, scalar
        self._folder = run / "tensorboard"
        self._flushed = time.monotonic()
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            # The iteration is part of the name, since a run resumed within a second would overwrite its first file.
            self._writer = EventsWriter(str(self._folder / "events"), f".{iteration}")
            if iteration:
                # TensorBoard then ignores later events of earlier files.
                start = SessionLog(status=SessionLog.START)
                self._add(iteration + 1, session_log=start)
            self._writer.flush()

    def __enter__(self) -> Events:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # The exception that ended training takes precedence over an error here.
        with contextlib.suppress(RunError) if kind else contextlib.nullcontext(), writing(self._folder):
            self._writer.close()

    def write(self, record: dict[str, Any]) -> None:
        """Write the metrics of an iteration."""
        number = record["iteration"]
        for name in (self._kind.measure, "success"):
            self._write_curve(name, record.get(name, []), number)
        names = ("kl", "outer_loss", "gradient_norm", self._kind.unit)
        self._write({name: record[name] for name in names if name in record}, number)
        self._write({f"seconds/{name}": value for name, value in record.get("seconds", {}).items()}, number)

    def write_validation(self, found: dict[str, Any], number: int) -> None:
        """Write performance and success rates on meta-validation tasks.

        Args:
            found: The `meta_validation` entry of a manifest.
            number: The iteration.
        """
        self._write_curve("meta-validation", found[self._kind.measure], number)
        self._write_curve("meta-validation-success", found.get("success", []), number)

    def _write_curve(self, name: str, curve: list[float | None], number: int) -> None:
        self._write({f"{name}/step-{step}": value for step, value in enumerate(curve) if value is not None}, number)

    def _write(self, scalars: Mapping[str, float], number: int) -> None:
        with writing(self._folder):
            for name, value in scalars.items():
                self._add(number, summary=self._scalar(name, value))
            if time.monotonic() - self._flushed > FLUSH_SECONDS:
                self._writer.flush()
                self._flushed = time.monotonic()

    def _add(self, number: int, **content: Any) -> None:
        self._writer.write_event(self._event(wall_time=time.time(), step=number, **content))
