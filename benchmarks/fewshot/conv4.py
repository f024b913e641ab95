"""The four-layer convolutional network of the few-shot literature, with parameters stacked over tasks."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from metarl.core.params import Params, TaskParams
from metarl.core.prng import Key, uniform

EPSILON = 1e-3
"""Added to batch variances, as in the code of MAML and of Reptile."""


class Conv4:
    """Four blocks of a 3x3 convolution, batch normalisation and ReLU, each halving the image; then a linear head.

    Parameters are named `conv.<i>.weight`, shaped as in `torch.nn.Conv2d` (the normalisation's shift is the bias),
    `norm.<i>.scale`, `norm.<i>.shift`, `head.weight`, `head.bias`. Initial weights are Glorot-uniform.

    Batch normalisation uses the statistics of the current batch, in training and at test time, and accumulates none.
    The output for an image therefore depends on the other images of its batch.

    Args:
        channels: Channels of the images.
        outputs: Outputs of the head; None leaves it out, and the network embeds images.
        size: Height and width of the images.
        filters: Filters of each convolution.
        halving: A stride of two (Omniglot in Finn et al. 2017 and Nichol et al. 2018), which rounds up, or 2x2
            max-pooling (Vinyals et al. 2016), which rounds down.
        average: Average the last layer over pixels, rather than flatten it.
    """

    def __init__(
        self,
        channels: int,
        outputs: int | None,
        *,
        size: int,
        filters: int = 64,
        halving: Literal["stride", "max-pool"] = "stride",
        average: bool = True,
    ) -> None:
        self.channels, self.outputs, self.filters, self.halving, self.average = (
            channels, outputs, filters, halving, average,
        )  # fmt: skip
        for _ in range(4):
            size = (size + 1) // 2 if halving == "stride" else size // 2
        self.features = filters * (1 if average else size * size)

    def initialise(self, key: Key) -> Params:
        """Untrained parameters, float64."""
        params: Params = {}
        inputs = self.channels
        for i in range(4):
            weight = _glorot(key.at(f"conv.{i}"), self.filters, inputs * 9, 9 * (inputs + self.filters))
            params[f"conv.{i}.weight"] = weight.reshape(self.filters, inputs, 3, 3)
            params[f"norm.{i}.scale"] = torch.ones(self.filters, dtype=torch.float64)
            params[f"norm.{i}.shift"] = torch.zeros(self.filters, dtype=torch.float64)
            inputs = self.filters
        if self.outputs is not None:
            params |= self.head(self.outputs, key)
        return params

    def head(self, outputs: int, key: Key) -> Params:
        """A new linear layer on top."""
        weight = _glorot(key.at("head"), outputs, self.features, outputs + self.features)
        return {"head.weight": weight, "head.bias": torch.zeros(outputs, dtype=torch.float64)}

    def __call__(
        self, params: TaskParams, inputs: Float[Tensor, "tasks images channels height width"], batches: int = 1
    ) -> Float[Tensor, "tasks images outputs"]:
        """Outputs for the images of every task, which form `batches` consecutive batches of equal size."""
        x = inputs.movedim(2, -1)
        for i in range(4):
            x = convolve(x, params[f"conv.{i}.weight"], 2 if self.halving == "stride" else 1)
            x = torch.relu(normalise(x, params[f"norm.{i}.scale"], params[f"norm.{i}.shift"], batches))
            if self.halving == "max-pool":
                pooled = F.max_pool2d(x.flatten(0, 1).movedim(-1, 1), 2)
                x = pooled.movedim(1, -1).unflatten(0, x.shape[:2])
        x = x.mean((2, 3)) if self.average else x.movedim(-1, 2).flatten(2)
        if "head.weight" not in params:
            return x
        return torch.baddbmm(params["head.bias"].unsqueeze(1), x, params["head.weight"].mT)


def convolve(
    x: Float[Tensor, "tasks images height width channels"],
    weight: Float[Tensor, "tasks filters channels 3 3"],
    stride: int,
) -> Float[Tensor, "tasks images high wide filters"]:
    """3x3 convolution with padding 1 and filters of each task's own: one matrix product a task over image windows.

    Grouped convolutions, the result of `torch.vmap`, are several times slower on a CPU.
    """
    tasks, images = x.shape[:2]
    if tasks == 1:
        return F.conv2d(x[0].movedim(-1, 1), weight[0], stride=stride, padding=1).movedim(1, -1)[None]
    windows = _Windows.apply(x.flatten(0, 1), stride)
    high, wide = windows.shape[1:3]
    out = torch.bmm(windows.view(tasks, images * high * wide, -1), weight.permute(0, 3, 4, 2, 1).flatten(1, 3))
    return out.view(tasks, images, high, wide, -1)


class _Windows(torch.autograd.Function):
    """The 3x3 windows of padded images: (images, height, width, channels) to (images, high, wide, 9 x channels).

    `F.unfold` keeps channels first, so that windows are copied number by number, and torch's gradient of slices fills a
    whole image for each of nine. With channels last a row of a window is one contiguous copy.
    """

    @staticmethod
    def forward(x: Tensor, stride: int) -> Tensor:
        padded = F.pad(x, (0, 0, 1, 1, 1, 1))
        windows = padded.unfold(1, 3, stride).unfold(2, 3, stride)
        return windows.permute(0, 1, 2, 4, 5, 3).flatten(3)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        ctx.shape, ctx.stride = inputs[0].shape, inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Scattered.apply(gradient, ctx.stride, ctx.shape), None


class _Scattered(torch.autograd.Function):
    """Windows summed into the images they came from: the transpose, and so the gradient, of `_Windows`."""

    @staticmethod
    def forward(windows: Tensor, stride: int, shape: tuple[int, int, int, int]) -> Tensor:
        images, height, width, channels = shape
        high, wide = windows.shape[1:3]
        parts = windows.unflatten(3, (3, 3, channels))
        padded = windows.new_zeros(images, height + 2, width + 2, channels)
        for i in range(3):
            for j in range(3):
                padded[:, i : i + stride * high : stride, j : j + stride * wide : stride] += parts[:, :, :, i, j]
        return padded[:, 1:-1, 1:-1]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int, Any], output: Tensor) -> None:
        ctx.stride = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Windows.apply(gradient, ctx.stride), None, None


def normalise(
    x: Float[Tensor, "tasks images height width channels"],
    scale: Float[Tensor, "tasks channels"],
    shift: Float[Tensor, "tasks channels"],
    batches: int,
) -> Tensor:
    """Batch normalisation with the statistics of each batch of a task (Ioffe and Szegedy 2015, algorithm 1)."""
    parts = x.reshape(len(x), batches, -1, x.shape[-1])
    variance, mean = _Moments.apply(parts)
    # One multiplication and one addition an element: the channel's factors are combined first.
    factor = torch.rsqrt(variance + EPSILON) * scale[:, None, None]
    return torch.addcmul(shift[:, None, None] - mean * factor, parts, factor).view(x.shape)


class _Moments(torch.autograd.Function):
    """Variance and mean over the last axis but one, which is kept with size one.

    With channels last, `torch.var_mean` reads memory a channel at a time and is some ten times slower than two passes.
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        mean = x.mean(-2, keepdim=True)
        return (x - mean).square_().mean(-2, keepdim=True), mean

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(inputs[0], output[1])

    @staticmethod
    def backward(ctx: Any, of_variance: Tensor, of_mean: Tensor) -> Tensor:
        x, mean = ctx.saved_tensors
        number = x.shape[-2]
        factor = of_variance * (2 / number)
        return torch.addcmul(of_mean / number - factor * mean, x, factor)


def _glorot(key: Key, rows: int, columns: int, fans: int) -> Tensor:
    return (2 * uniform(key.env_seeds(rows, columns)) - 1) * math.sqrt(6.0 / fans)
