"""Any generator as an ONNX graph, from a trace of its own forward pass.

Weights stay float16 in the file; a cast and the batch norm's scale are applied in the graph, so
both files of a version hold the same numbers.  A runtime folds them once when it loads.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, fx, nn
from torch.nn import functional

from training.networks import Generator

_ACTIVATIONS: dict[type[nn.Module], str] = {nn.ReLU: "Relu", nn.Tanh: "Tanh"}


def translate(generator: Generator, opset: int) -> onnx.ModelProto:
    """z (n, latent_dim) float32, label (n,) int64 -> images (n, 1, r, r) float32.

    Without classes there is no input `label`.  Raises NotImplementedError naming an operation that
    no generator has had so far.
    """
    writer = _Writer(generator)
    writer.write()
    inputs = [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", generator.latent_dim])]
    if generator.classes:
        inputs.append(helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]))
    shape: list[int | str] = ["n", 1, generator.resolution, generator.resolution]
    outputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)]
    graph = helper.make_graph(writer.nodes, "generator", inputs, outputs, writer.weights)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
        producer_name="synthorax",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


class _Writer:
    """One node of the trace after the other; `names` holds what each one is called in ONNX."""

    def __init__(self, generator: Generator) -> None:
        self.traced = fx.symbolic_trace(generator)
        self.modules = dict(self.traced.named_modules())
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.names: dict[fx.Node, str] = {}
        self.folded: set[fx.Node] = set()

    def write(self) -> None:
        for node in self.traced.graph.nodes:
            if node.op == "placeholder":
                self.names[node] = str(node.target)
            elif node.op == "output":
                self.nodes.append(
                    helper.make_node("Identity", [self.names[node.args[0]]], ["images"])
                )
            elif node in self.folded:
                self.names[node] = self.names[node.args[0]]
            elif node.op == "call_module":
                self.names[node] = self._module(node, self.modules[str(node.target)])
            else:
                self.names[node] = self._function(node)

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, name: str, values: NDArray[np.generic]) -> str:
        if name not in {weight.name for weight in self.weights}:
            self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def cast(self, name: str, tensor: Tensor) -> str:
        """A weight, float16 in the file; vectors stay as they are."""
        values = tensor.detach().cpu()
        if values.ndim < 2:
            return self.constant(name, values.float().numpy())
        half = self.constant(f"{name}.half", values.half().numpy())
        return self.add("Cast", half, to=TensorProto.FLOAT)

    def _module(self, node: fx.Node, layer: nn.Module) -> str:
        x, name = self._input(node), str(node.target)
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            return self._convolution(node, name, layer, x)
        if isinstance(layer, nn.BatchNorm2d):
            scale, shift = folded(layer)
            x = self.add("Mul", x, self.constant(f"{name}.scale", scale.reshape(1, -1, 1, 1)))
            return self.add("Add", x, self.constant(f"{name}.shift", shift.reshape(1, -1, 1, 1)))
        if isinstance(layer, nn.Embedding):
            return self.add("Gather", self.cast(f"{name}.weight", layer.weight), x, axis=0)
        if isinstance(layer, nn.Linear):
            operands = [x, self.cast(f"{name}.weight", layer.weight)]
            if layer.bias is not None:
                operands.append(self.constant(f"{name}.bias", layer.bias.detach().cpu().numpy()))
            return self.add("Gemm", *operands, transB=1)
        if type(layer) in _ACTIVATIONS:
            return self.add(_ACTIVATIONS[type(layer)], x)
        raise NotImplementedError(f"a generator with a layer {type(layer).__name__}")

    def _convolution(
        self, node: fx.Node, name: str, layer: nn.Conv2d | nn.ConvTranspose2d, x: str
    ) -> str:
        weight = self.cast(f"{name}.weight", layer.weight)
        shift = None if layer.bias is None else layer.bias.detach().cpu().numpy()
        norm = self._norm_after(node)
        transposed = isinstance(layer, nn.ConvTranspose2d)
        if norm is not None:
            scale, moved = folded(norm)
            shift = moved if shift is None else moved + shift * scale
            across = (1, -1, 1, 1) if transposed else (-1, 1, 1, 1)
            factor = self.constant(f"{name}.scale", scale.reshape(across))
            weight = self.add("Mul", weight, factor)
        operands = [x, weight]
        if shift is not None:
            operands.append(self.constant(f"{name}.shift", shift.astype(np.float32)))
        return self.add(
            "ConvTranspose" if transposed else "Conv",
            *operands,
            kernel_shape=list(layer.kernel_size),
            strides=list(layer.stride),
            pads=[int(p) for p in layer.padding] * 2,
            group=layer.groups,
        )

    def _norm_after(self, node: fx.Node) -> nn.BatchNorm2d | None:
        """The batch norm that alone uses a convolution's result: it is folded into it."""
        users = list(node.users)
        if len(users) == 1 and users[0].op == "call_module":
            layer = self.modules[str(users[0].target)]
            # Of a transposed convolution in groups the channels lie otherwise in the weight.
            if isinstance(layer, nn.BatchNorm2d) and self.modules[str(node.target)].groups == 1:
                self.folded.add(users[0])
                return layer
        return None

    def _function(self, node: fx.Node) -> str:
        target: Any = node.target
        if node.op == "call_method":
            target = getattr(Tensor, target)
        write = _FUNCTIONS.get(target)
        if write is None:
            raise NotImplementedError(f"a generator that calls {target}")
        return write(self, node)

    def _input(self, node: fx.Node, place: int = 0) -> str:
        return self.operand(node.args[place])

    def operand(self, argument: Any) -> str:
        if isinstance(argument, fx.Node):
            return self.names[argument]
        return self.constant(f"number.{argument}", np.array(argument, np.float32))


def folded(norm: nn.BatchNorm2d) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Batch norm in evaluation mode as y = scale x + shift, each (channels,) float32."""
    if norm.running_mean is None or norm.running_var is None:
        raise NotImplementedError("a generator whose batch norm keeps no statistics")
    mean, var = norm.running_mean.cpu().numpy(), norm.running_var.cpu().numpy()
    weight, bias = norm.weight.detach().cpu().numpy(), norm.bias.detach().cpu().numpy()
    scale = weight / np.sqrt(var + np.float32(norm.eps))
    return scale.astype(np.float32), (bias - mean * scale).astype(np.float32)


def _index(writer: _Writer, node: fx.Node) -> str:
    """x[:, :, None, None]: new axes of length 1."""
    wanted = node.args[1]
    if not isinstance(wanted, tuple) or not all(i is None or i == slice(None) for i in wanted):
        raise NotImplementedError(f"a generator that takes the part {wanted} of a tensor")
    axes = [place for place, index in enumerate(wanted) if index is None]
    named = writer.constant(f"axes.{axes}", np.array(axes, np.int64))
    return writer.add("Unsqueeze", writer.operand(node.args[0]), named)


def _cat(writer: _Writer, node: fx.Node) -> str:
    parts: Any = node.args[0]
    axis = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
    return writer.add("Concat", *(writer.operand(part) for part in parts), axis=axis)


def _reshape(writer: _Writer, node: fx.Node) -> str:
    shape = [int(side) for side in node.args[1:]]  # type: ignore[arg-type]
    named = writer.constant(f"shape.{shape}", np.array(shape, np.int64))
    return writer.add("Reshape", writer.operand(node.args[0]), named)


def _twice(writer: _Writer, node: fx.Node) -> str:
    """interpolate(x, scale_factor=2, mode="nearest")."""
    if node.kwargs.get("mode") != "nearest" or node.kwargs.get("scale_factor") != 2:
        raise NotImplementedError(f"a generator that interpolates with {dict(node.kwargs)}")
    scales = writer.constant("scales", np.array([1, 1, 2, 2], np.float32))
    attributes = {"mode": "nearest", "nearest_mode": "floor"}
    attributes["coordinate_transformation_mode"] = "asymmetric"
    return writer.add("Resize", writer.operand(node.args[0]), "", scales, **attributes)


def _leaky(writer: _Writer, node: fx.Node) -> str:
    slope: Any = node.kwargs.get("negative_slope", node.args[1] if len(node.args) > 1 else 0.01)
    return writer.add("LeakyRelu", writer.operand(node.args[0]), alpha=float(slope))


def _both(kind: str) -> Callable[[_Writer, fx.Node], str]:
    def write(writer: _Writer, node: fx.Node) -> str:
        return writer.add(kind, writer.operand(node.args[0]), writer.operand(node.args[1]))

    return write


def _one(kind: str) -> Callable[[_Writer, fx.Node], str]:
    def write(writer: _Writer, node: fx.Node) -> str:
        return writer.add(kind, writer.operand(node.args[0]))

    return write


_FUNCTIONS: dict[Any, Callable[[_Writer, fx.Node], str]] = {
    operator.getitem: _index,
    torch.cat: _cat,
    torch.tanh: _one("Tanh"),
    Tensor.reshape: _reshape,
    operator.add: _both("Add"),
    functional.interpolate: _twice,
    functional.leaky_relu: _leaky,
}
