"""The processes that share a meta-batch, and what they tell each other. One process alone says nothing.

torchrun starts the processes; `joined` makes them ranks. What is computed does not know of them but where tasks meet
(`metarl.reductions`) and where sizes or errors must be the same for all: every rank runs the same code on its share.
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
    """One process alone: whatever is asked of all ranks is what it already has."""

    index = 0
    size = 1
    bytes_sent = 0
    """Bytes of the tensors that this rank has handed to the others so far."""

    def sum(self, value: Tensor) -> Tensor:
        """The sum over ranks of tensors of the same shape."""
        return value

    def largest(self, value: Tensor) -> Tensor:
        """The elementwise maximum over ranks."""
        return value

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all ranks in the order of ranks; their numbers may differ."""
        return rows

    def first(self, value: Tensor) -> Tensor:
        """The first rank's tensor; those of the others have the same shape."""
        return value


class Processes(Ranks):
    """The ranks of a torch.distributed group. Raises RunError where one of them is lost or silent for too long."""

    def __init__(self) -> None:
        self.index, self.size = dist.get_rank(), dist.get_world_size()
        self.bytes_sent = 0

    def sum(self, value: Tensor) -> Tensor:
        all_reduce_sum = value.clone()
        self._meet(dist.all_reduce, all_reduce_sum)
        return all_reduce_sum

    def largest(self, value: Tensor) -> Tensor:
        found = value.clone()
        self._meet(dist.all_reduce, found, op=dist.ReduceOp.MAX)
        return found

    def gather(self, rows: Tensor) -> Tensor:
        counts = torch.zeros(self.size, dtype=torch.int64)
        counts[self.index] = len(rows)
        numbers = self.sum(counts).tolist()
        padded = rows.new_zeros(max(numbers), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in numbers]
        self._meet(lambda own: dist.all_gather(parts, own), padded)
        return torch.cat([part[:n] for part, n in zip(parts, numbers, strict=True)])

    def first(self, value: Tensor) -> Tensor:
        found = value.clone()
        self._meet(dist.broadcast, found, src=0)
        return found

    def _meet(self, operation: Callable[..., Any], own: Tensor, **options: Any) -> None:
        self.bytes_sent += own.nbytes
        try:
            operation(own, **options)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise RunError(f"rank {self.index} of {self.size} lost contact with the others: {reason}") from None


ALONE = Ranks()

_MEETINGS = itertools.count()

CURRENT: ContextVar[Ranks | None] = ContextVar("ranks", default=None)


def current() -> Ranks:
    """The ranks that this computation is shared by."""
    return CURRENT.get() or ALONE


@contextmanager
def use_ranks(ranks: Ranks) -> Iterator[None]:
    """What is computed within is shared by these ranks; `among(ALONE)` is for what every rank does by itself."""
    token = CURRENT.set(ranks)
    try:
        yield
    finally:
        CURRENT.reset(token)


@contextmanager
def process_group(device: str, timeout: float) -> Iterator[None]:
    """Among the processes that torchrun started, if it did and nobody has decided otherwise.

    They talk by gloo, and by nccl about what is on a GPU, of which each takes the one of its local rank. A rank that
    does not answer within `timeout` seconds counts as lost. Raises RunError where they cannot meet.
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
        # A store that was used before still holds the addresses of then: torchrun keeps its own over restarts.
        kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        store = dist.PrefixStore(f"metarl-{restarts() if kept else 0}-{next(_MEETINGS)}", store)
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
    """Which of n tasks are a rank's own: as many as the others' or one more, in the order of ranks."""
    each, more = divmod(n, ranks.size)
    start = ranks.index * each + min(ranks.index, more)
    return slice(start, start + each + (ranks.index < more))


def all_reduce_max(*sizes: int) -> list[int]:
    """The largest of each size over all ranks."""
    here = current()
    return list(sizes) if here.size == 1 else here.largest(torch.tensor(sizes)).tolist()


def all_reduce_sum(count: int) -> int:
    """The sum of a count over all ranks."""
    here = current()
    return count if here.size == 1 else int(here.sum(torch.tensor(count)))


def broadcast_rank0(value: Any) -> Any:
    """The first rank's value, which JSON can hold."""
    here = current()
    if here.size == 1:
        return value
    return json.loads(_texts(json.dumps(value) if here.index == 0 else "")[0])


def broadcast_state(state: State) -> State:
    """The first rank's state, so that ranks on unlike machines do not drift apart by their rounding."""
    here = current()
    if here.size == 1:
        return state
    # Sorted: a state that was loaded from a file has its entries in another order.
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
    """An error of the user's to mend that any rank raises within is raised by all of them, the first rank's first."""
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
    said = {"kind": type(own).__name__, "message": str(own), "rank": here.index}
    first = json.loads(_texts("" if own is None else json.dumps(said))[0])
    if own is not None and first["rank"] == here.index:
        raise own
    raise getattr(errors, first["kind"])(f"rank {first['rank']}: {first['message']}")


def _texts(line: str) -> list[str]:
    """The lines of all ranks that have one to say, in the order of ranks."""
    own = torch.tensor(list(f"{line}\n".encode() if line else b""), dtype=torch.uint8)
    return bytes(current().gather(own).tolist()).decode().splitlines()
