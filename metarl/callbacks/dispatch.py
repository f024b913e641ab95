"""Calls of callbacks: one after another, without influence on randomness, and with errors that name them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from typing import Any
from warnings import warn

import torch

from metarl.callbacks.callback import Callback, Outcome, RunView
from metarl.config.run import RunConfig
from metarl.core.errors import CallbackFault, ConfigError, in_words
from metarl.core.machine import generators_restored
from metarl.core.params import Params

AgentMaker = Callable[[RunConfig, Params, Mapping[str, Any], str], Any]
"""Function of configuration, theta, a manifest's entries and the start of error messages that returns an agent."""


class Callbacks:
    """The callbacks of one run.

    Args:
        callbacks: The callbacks, in the order in which they are called.
        agent_of: Makes the agents of `RunView.agent`; None if there are none.

    Raises:
        ConfigError: One of them is not a `Callback`.
    """

    def __init__(self, callbacks: Sequence[Callback] = (), agent_of: AgentMaker | None = None) -> None:
        for i, callback in enumerate(callbacks):
            if not isinstance(callback, Callback):
                raise ConfigError(f"callbacks[{i}] = {callback!r:.80}; expected an instance of a metarl.Callback")
        self._callbacks, self._started = list(callbacks), list[Callback]()
        self.agent_of = agent_of
        self.stop: str | None = None
        """Name and reason of the first callback that asked for the end of training."""
        self.fault: CallbackFault | None = None
        """The first error of a callback."""

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    def start(self, view: RunView) -> None:
        """Call `on_start`; raises CallbackFault, after `on_end` of those that have started."""
        for callback in self._callbacks:
            fault = self._call(callback, "on_start", view)
            if fault is not None:
                self.end(view, Outcome(view.iteration, error=fault))
                raise fault
            self._started.append(callback)

    def iteration(self, view: RunView) -> None:
        """Call `on_iteration`."""
        self._each("on_iteration", view)

    def checkpoint(self, view: RunView) -> None:
        """Call `on_checkpoint`."""
        self._each("on_checkpoint", view)

    def end(self, view: RunView, outcome: Outcome) -> None:
        """Call `on_end` of every callback that has started, also of those that raised."""
        for callback in self._started:
            fault = self._call(callback, "on_end", view, outcome)
            if fault is not None and outcome.error is None and self.fault is None:
                self.fault = fault
            elif fault is not None:
                warn(str(fault), stacklevel=2)  # the error that ended training is the one to raise
        self._started = []

    def _each(self, event: str, view: RunView) -> None:
        for callback in self._started:
            if self.fault is None:
                self.fault = self._call(callback, event, view)

    def _call(self, callback: Callback, event: str, view: RunView, *more: Any) -> CallbackFault | None:
        name = type(callback).__name__

        def ask(reason: str) -> None:
            self.stop = self.stop or f"callback {name}: {reason}"

        own = replace(deepcopy(replace(view, make_agent=None)), ask_to_stop=ask, make_agent=view.make_agent)
        try:
            with undisturbed():
                getattr(callback, event)(own, *more)
        except Exception as error:
            words = " ".join(in_words(error).split())
            fault = CallbackFault(f"callback {name}, {event} at iteration {view.iteration}: {words}")
            fault.__cause__ = error
            return fault
        return None


@contextmanager
def undisturbed() -> Iterator[None]:
    """Restore random generators, torch's threads, default type and gradient mode after the block.

    Example:
        >>> before = torch.initial_seed()
        >>> with undisturbed():
        ...     _ = torch.manual_seed(before + 1)
        >>> torch.initial_seed() == before
        True
    """
    threads, dtype, gradients = torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()
    with generators_restored():
        try:
            yield
        finally:
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
            torch.set_default_dtype(dtype)
            torch.set_grad_enabled(gradients)
