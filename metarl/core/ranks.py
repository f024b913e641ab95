"""torch.distributed wrappers for ranks that share a meta-batch; no-ops in a single process.

torchrun starts the processes, and `process_group` makes them ranks. Every rank runs the same code on its share of the
tasks. Only `metarl.core.collectives`, and code that needs the same sizes or errors on all ranks, refers to ranks.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from metarl.core import errors
from metarl.core.errors import MetarlError, RunError
from metarl.core.launch import place_of_launch, restarts
from metarl.core.params import State


class Ranks:
    """A single process: every reduction returns its argument."""

    index = 0
    size = 1
    bytes_sent = 0
    """Bytes of the tensors that this rank has sent to the others so far."""

    def sum(self, value: Tensor) -> Tensor:
        """Sum over ranks; the tensors have the same shape."""
        return value

    def largest(self, value: Tensor) -> Tensor:
        """Elementwise maximum over ranks; the tensors have the same shape."""
        return value

    def gather(self, rows: Tensor) -> Tensor:
        """Rows of all ranks in rank order; ranks may have different numbers of rows."""
        return rows

    def first(self, value: Tensor) -> Tensor:
        """The tensor of rank 0; the tensors have the same shape."""
        return value


class Processes(Ranks):
    """The ranks of a torch.distributed group.

    Raises:
        RunError: By every operation, if a rank is lost or does not answer within the timeout.
    """

    def __init__(self) -> None:
        self.index, self.size = dist.get_rank(), dist.get_world_size()
        self.bytes_sent = 0

    def sum(self, value: Tensor) -> Tensor:
        """Sum over ranks, by all-reduce."""
        total = value.clone()
        self._call(dist.all_reduce, total)
        return total

    def largest(self, value: Tensor) -> Tensor:
        """Elementwise maximum over ranks, by all-reduce."""
        found = value.clone()
        self._call(dist.all_reduce, found, op=dist.ReduceOp.MAX)
        return found

    def gather(self, rows: Tensor) -> Tensor:
        """Rows of all ranks in rank order, by all-gather of padded tensors."""
        counts = torch.zeros(self.size, dtype=torch.int64)
        counts[self.index] = len(rows)
        numbers = self.sum(counts).tolist()
        padded = rows.new_zeros(max(numbers), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in numbers]
        self._call(lambda own: dist.all_gather(parts, own), padded)
        return torch.cat([part[:n] for part, n in zip(parts, numbers, strict=True)])

    def first(self, value: Tensor) -> Tensor:
        """The tensor of rank 0, by broadcast."""
        found = value.clone()
        self._call(dist.broadcast, found, src=0)
        return found

    def _call(self, operation: Callable[..., Any], own: Tensor, **options: Any) -> None:
        self.bytes_sent += own.nbytes
        try:
            operation(own, **options)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise RunError(f"rank {self.index} of {self.size} lost contact with the others: {reason}") from None


ALONE = Ranks()
"""A single process; `use_ranks(ALONE)` makes every collective a no-op."""

_GROUPS = itertools.count()

CURRENT: ContextVar[Ranks | None] = ContextVar("ranks", default=None)


def current() -> Ranks:
    """The ranks that share the current computation."""
    return CURRENT.get() or ALONE


@contextmanager
def use_ranks(ranks: Ranks) -> Iterator[None]:
    """Use these ranks inside the block; `use_ranks(ALONE)` makes every rank compute by itself.

    Args:
        ranks: The ranks that share the computation.
    """
    token = CURRENT.set(ranks)
    try:
        yield
    finally:
        CURRENT.reset(token)


@contextmanager
def process_group(device: str, timeout: float) -> Iterator[None]:
    """Join the processes that torchrun started; a no-op without torchrun, or inside `use_ranks`.

    CPU tensors are exchanged by gloo, CUDA tensors by nccl. A process uses the GPU of its local rank.

    Args:
        device: The device of the run's configuration.
        timeout: Seconds after which a rank that does not answer counts as lost.

    Raises:
        RunError: The processes cannot form a group.
    """
    if place_of_launch()[1] == 1 or CURRENT.get() is not None:
        yield
        return
    gpu = device.startswith("cuda") and torch.cuda.is_available()
    try:
        if gpu:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        wait = timedelta(seconds=timeout)
        store, rank, size = next(rendezvous("env://", timeout=wait))
        # torchrun keeps its store over restarts, with the addresses of the previous processes; a new prefix hides them.
        kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        store = dist.PrefixStore(f"metarl-{restarts() if kept else 0}-{next(_GROUPS)}", store)
        backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=wait)
    except (RuntimeError, ValueError) as error:
        raise RunError(f"the processes of this launch did not meet: {str(error).splitlines()[0]}") from None
    try:
        with use_ranks(Processes()):
            yield
    finally:
        dist.destroy_process_group()


def share(n: int, ranks: Ranks) -> slice:
    """Slice of n tasks that belongs to the current rank; shares differ by at most one task.

    Args:
        n: Number of tasks.
        ranks: The ranks that share them.
    """
    each, more = divmod(n, ranks.size)
    start = ranks.index * each + min(ranks.index, more)
    return slice(start, start + each + (ranks.index < more))


def all_reduce_max(*sizes: int) -> list[int]:
    """Maximum of each size over all ranks.

    Example:
        >>> all_reduce_max(3, 5)
        [3, 5]
    """
    here = current()
    return list(sizes) if here.size == 1 else here.largest(torch.tensor(sizes)).tolist()


def all_reduce_sum(count: int) -> int:
    """Sum of a count over all ranks."""
    here = current()
    return count if here.size == 1 else int(here.sum(torch.tensor(count)))


def broadcast_rank0(value: Any) -> Any:
    """The value of rank 0.

    Args:
        value: Anything that JSON can represent.
    """
    here = current()
    if here.size == 1:
        return value
    return json.loads(_texts(json.dumps(value) if here.index == 0 else "")[0])


def broadcast_state(state: State) -> State:
    """The state of rank 0; it keeps ranks on different hardware from diverging by rounding.

    Args:
        state: A state with the same names, shapes and types on all ranks.
    """
    here = current()
    if here.size == 1:
        return state
    # Sorted, since a state that was loaded from a file has its entries in another order.
    values = {(name, key): state[name][key].detach() for name in sorted(state) for key in sorted(state[name])}
    device = next(iter(state["theta"].values())).device
    flat = here.first(torch.cat([v.contiguous().reshape(-1).view(torch.uint8).to(device) for v in values.values()]))
    parts = dict(zip(values, flat.split([value.nbytes for value in values.values()]), strict=True))

    def like(part: Tensor, value: Tensor) -> Tensor:
        return part.clone().view(value.dtype).reshape(value.shape).to(value.device)

    return {
        name: {key: like(parts[name, key], value) for key, value in params.items()} for name, params in state.items()
    }


@contextmanager
def sync_errors() -> Iterator[None]:
    """If any rank raises MetarlError inside the block, all ranks raise it (lowest rank wins)."""
    here = current()
    if here.size == 1:
        yield
        return
    own: MetarlError | None = None
    try:
        yield
    except MetarlError as error:
        own = error
    if not all_reduce_max(int(own is not None))[0]:
        return
    report = {"kind": type(own).__name__, "message": str(own), "rank": here.index}
    first = json.loads(_texts("" if own is None else json.dumps(report))[0])
    if own is not None and first["rank"] == here.index:
        raise own
    raise getattr(errors, first["kind"])(f"rank {first['rank']}: {first['message']}")


def _texts(line: str) -> list[str]:
    """The non-empty lines of all ranks, in rank order."""
    own = torch.tensor(list(f"{line}\n".encode() if line else b""), dtype=torch.uint8)
    return bytes(current().gather(own).tolist()).decode().splitlines()
