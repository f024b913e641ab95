"""Functions that are computed again in the backward pass, so that their intermediate results take no memory until then.

This is gradient checkpointing (Chen et al. 2016, "Training deep nets with sublinear memory cost") for functions that
take derivatives themselves, as an inner step does. `torch.utils.checkpoint` supports no `torch.func.grad` inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from metarl.core.params import Params

Flat = Callable[..., tuple[Tensor, ...]]
"""A function of tensors that returns a tuple of tensors."""


def recomputed(
    function: Callable[..., tuple[Params, ...]], *arguments: Params, when: bool = True
) -> tuple[Params, ...]:
    """Value of a function of named tensors whose graph is not kept; every backward pass computes the function again.

    Derivatives of any order are those of the function itself. Those with respect to tensors that the function reads
    from elsewhere are not taken.

    Args:
        function: A differentiable function of dictionaries of tensors, without side effects.
        *arguments: The dictionaries.
        when: Whether to do so; otherwise the function is called, and its graph is kept.

    Returns:
        The dictionaries that the function returned.

    Example:
        >>> x = torch.tensor(3.0, requires_grad=True)
        >>> (cube,) = recomputed(lambda at: ({"y": at["x"] ** 3},), {"x": x})
        >>> torch.autograd.grad(cube["y"], x)
        (tensor(27.),)
    """
    if not when:
        return function(*arguments)
    names = [list(argument) for argument in arguments]
    returned: list[list[str]] = []

    def flat(*tensors: Tensor) -> tuple[Tensor, ...]:
        rest = iter(tensors)
        results = function(*({name: next(rest) for name in part} for part in names))
        returned[:] = [list(result) for result in results]
        return tuple(value for result in results for value in result.values())

    tensors = [value for argument in arguments for value in argument.values()]
    rest = iter(_Recomputed.apply(flat, *tensors))  # type: ignore[no-untyped-call]
    return tuple({name: next(rest) for name in part} for part in returned)


class _Recomputed(torch.autograd.Function):
    """A function that saves its inputs alone. Its derivative is such a function too, so no order keeps a graph."""

    @staticmethod
    def forward(function: Flat, *inputs: Tensor) -> tuple[Tensor, ...]:
        return function(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.function, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        chosen = [place for place, needed in enumerate(ctx.needs_input_grad[1:]) if needed]
        pull_back = _pull_back(ctx.function, len(inputs), chosen)
        found = iter(_Recomputed.apply(pull_back, *inputs, *slopes))  # type: ignore[no-untyped-call]
        return None, *(next(found) if place in chosen else None for place in range(len(inputs)))


def _pull_back(function: Flat, inputs: int, chosen: Sequence[int]) -> Flat:
    """Vector-Jacobian product of a function, as a function of its inputs and the slopes of its outputs.

    Args:
        function: The function.
        inputs: Number of its inputs.
        chosen: Indices of the inputs that are differentiated.
    """

    def pulled_back(*values: Tensor) -> tuple[Tensor, ...]:
        def of_chosen(*moved: Tensor) -> tuple[Tensor, ...]:
            replaced = dict(zip(chosen, moved, strict=True))
            return function(*(replaced.get(place, value) for place, value in enumerate(values[:inputs])))

        product: Flat = torch.func.vjp(of_chosen, *(values[place] for place in chosen))[1]
        return product(values[inputs:])

    return pulled_back
