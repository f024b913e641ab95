"""The metrics of a run as TensorBoard events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metarl.domains import Domain


class Events:
    """TensorBoard events of a run."""

    def __init__(self, run: Path, iteration: int, domain: Domain) -> None:
        from tensorboardX import SummaryWriter

        self._domain = domain
        self._writer = SummaryWriter(str(run / "tensorboard"), purge_step=iteration + 1 if iteration else None)

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, record: dict[str, Any]) -> None:
        number = record["iteration"]
        self.write_scalars(self._domain.measure, record[self._domain.measure], number)
        for name in ("kl", "outer_loss", "gradient_norm", self._domain.unit):
            if name in record:
                self._writer.add_scalar(name, record[name], number)
        for name, seconds in record.get("seconds", {}).items():
            self._writer.add_scalar(f"seconds/{name}", seconds, number)

    def write_scalars(self, name: str, curve: list[float | None], number: int) -> None:
        for step, value in enumerate(curve):
            if value is not None:
                self._writer.add_scalar(f"{name}/step-{step}", value, number)
