"""The order of sums fixed: every task is computed alone, whatever the number of ranks, and added in task order.

Libraries round a task's numbers by what is computed beside it (a matrix product of one task is not that of two), so
each task is a rank of its own here, a thread of its process, and the threads take turns. Sums gather the tasks' parts.
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
    """What the threads of one process share: parts laid down, and whose turn it is."""

    def __init__(self, outer: Ranks, start: int, own: int, tasks: int) -> None:
        self.outer, self.start, self.tasks = outer, start, tasks
        self.rows: list[Tensor] = [torch.empty(0)] * own
        self.found = torch.empty(0)
        self.turn = threading.Lock()
        self.all_here = threading.Barrier(own)


class TaskRank(Ranks):
    """One task as a rank among all tasks of all processes."""

    def __init__(self, table: _Exchange, place: int) -> None:
        self.table, self.place = table, place
        self.index, self.size = table.start + place, table.tasks

    @property
    def bytes_sent(self) -> int:  # type: ignore[override]
        return self.table.outer.bytes_sent

    def gather(self, rows: Tensor) -> Tensor:
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
        return self.gather(value[None]).sum(0)

    def largest(self, value: Tensor) -> Tensor:
        return self.gather(value[None]).amax(0)

    def first(self, value: Tensor) -> Tensor:
        return self.gather(value[None])[0]


def parts_of(tasks: int, ordered: bool) -> list[slice]:
    """The parts of this rank's share that are computed at once: all of it, or task by task. An empty share is one."""
    own = share(tasks, current())
    return [slice(i, i + 1) for i in range(own.start, own.stop)] if ordered and own.start < own.stop else [own]


def on_share(tasks: int, ordered: bool, compute: Callable[[slice, int], Result]) -> Result:
    """What `compute(part, place)` gives for the share that this rank has of the tasks, and for the others' theirs.

    With `ordered` it is called for each task of the share, in threads of which one runs at a time between the points
    where tasks meet; `place` counts them. All give the same, and one of the results is returned.
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
                pass  # whoever broke it says why
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
