"""Deterministic reduction order: each task runs in its own thread, one at a time; partial sums are added in task order.

A batched kernel may round a task's numbers differently for another batch size (a matrix product of one task is not
bitwise that of two). Each task is therefore a rank of its own here, and sums gather the partial results of all tasks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from metarl.core.ranks import Ranks, current, share, use_ranks

Result = TypeVar("Result")


class _Exchange:
    """State shared by the threads of one process: their partial results, and the lock that lets one run at a time."""

    def __init__(self, outer: Ranks, start: int, own: int, tasks: int) -> None:
        self.outer, self.start, self.tasks = outer, start, tasks
        self.rows: list[Tensor] = [torch.empty(0)] * own
        self.found = torch.empty(0)
        self.turn = threading.Lock()
        self.all_here = threading.Barrier(own)


class TaskRank(Ranks):
    """One task as a rank among the tasks of all processes."""

    def __init__(self, table: _Exchange, place: int) -> None:
        self.table, self.place = table, place
        self.index, self.size = table.start + place, table.tasks

    @property
    def bytes_sent(self) -> int:  # type: ignore[override]
        """Bytes sent by the process of this task."""
        return self.table.outer.bytes_sent

    def gather(self, rows: Tensor) -> Tensor:
        """Rows of all tasks in task order."""
        table = self.table
        table.rows[self.place] = rows
        table.turn.release()
        try:
            table.all_here.wait()
            if self.place == 0:
                try:
                    table.found = table.outer.gather(torch.cat(table.rows))
                except BaseException:
                    table.all_here.abort()
                    raise
            table.all_here.wait()
            return table.found
        finally:
            table.turn.acquire()

    def sum(self, value: Tensor) -> Tensor:
        """Sum over tasks in task order."""
        return self.gather(value[None]).sum(0)

    def largest(self, value: Tensor) -> Tensor:
        """Elementwise maximum over tasks."""
        return self.gather(value[None]).amax(0)

    def first(self, value: Tensor) -> Tensor:
        """The tensor of the first task."""
        return self.gather(value[None])[0]


def parts_of(tasks: int, ordered: bool) -> list[slice]:
    """Parts of this rank's share of the tasks that are computed at once: the whole share, or one task each.

    Args:
        tasks: Number of tasks of the meta-batch.
        ordered: Whether each task is computed alone. An empty share is one part all the same.
    """
    own = share(tasks, current())
    return [slice(i, i + 1) for i in range(own.start, own.stop)] if ordered and own.start < own.stop else [own]


def on_share(tasks: int, ordered: bool, compute: Callable[[slice, int], Result]) -> Result:
    """Compute on this rank's share of the tasks, while the other ranks compute on theirs.

    With `ordered` each task of the share is computed in a thread of its own. One thread runs at a time; control passes
    to the next at each collective operation.

    Args:
        tasks: Number of tasks of the meta-batch.
        ordered: Whether each task is computed alone.
        compute: Called as `compute(part, place)` with a slice of the meta-batch and the index of that part. It returns
            the same result for all parts, since its collective operations reduce over all tasks.

    Returns:
        The result of the part that finished first.

    Example:
        >>> on_share(4, False, lambda part, place: (part, place))
        (slice(0, 4, None), 0)
    """
    parts = parts_of(tasks, ordered)
    if not ordered:
        return compute(parts[0], 0)
    table = _Exchange(current(), parts[0].start, len(parts), tasks)
    results: list[Result] = []
    errors: list[BaseException] = []

    def work(place: int) -> None:
        with table.turn, use_ranks(TaskRank(table, place)):
            try:
                results.append(compute(parts[place], place))
            except threading.BrokenBarrierError:
                pass  # the thread that broke the barrier reports its error
            except BaseException as error:
                errors.append(error)
                table.all_here.abort()

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results[0]
