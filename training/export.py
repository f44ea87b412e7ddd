"""The generator as ONNX, written from its own layers: fp16 weights, batch norm folded at load.

Weights stay float16 in the file; a cast and the batch norm's scale are applied in the graph, so
both files of a version hold the same numbers.  A runtime folds them once when it loads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from library.errors import SynthoraxError
from library.latents import latents
from training.networks import Generator

OPSET = 17
_CHUNK = 8  # images compared at once: an export must not need more memory than the training
TOLERANCE = 1e-4  # in units of [-1, 1]; a grey level is 7.8e-3


class ExportDiffers(SynthoraxError):
    slug, title = "export-differs", "The exported generator differs from the trained one"


def round_to_half(generator: Generator) -> None:
    """Round weights to float16 values, in place (batch norm's vectors and statistics stay)."""
    with torch.no_grad():
        for parameter in generator.parameters():
            if parameter.ndim >= 2:
                parameter.copy_(parameter.half().float())


def stored_tensors(generator: Generator) -> dict[str, torch.Tensor]:
    """The tensors of model.safetensors: float16 weights, float32 batch norm."""
    return {
        name: (tensor.half() if tensor.ndim >= 2 else tensor).cpu().contiguous()
        for name, tensor in generator.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def to_onnx(generator: Generator) -> onnx.ModelProto:
    """Graph z (n, latent_dim) float32, label (n,) int64 -> images (n, 1, r, r) float32."""
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def constant(name: str, values: NDArray[np.generic]) -> str:
        weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def cast(name: str, tensor: torch.Tensor) -> str:
        half = constant(f"{name}.half", tensor.detach().cpu().half().numpy())
        nodes.append(helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT))
        return name

    inputs = [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", generator.latent_dim])]
    x = "z"
    if generator.embedding is not None:
        inputs.append(helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]))
        table = cast("embedding", generator.embedding.weight)
        nodes.append(helper.make_node("Gather", [table, "label"], ["class"], axis=0))
        nodes.append(helper.make_node("Concat", [x, "class"], ["latent"], axis=1))
        x = "latent"
    axes = constant("axes", np.array([2, 3], np.int64))
    nodes.append(helper.make_node("Unsqueeze", [x, axes], ["column"]))
    x = "column"

    layers = list(generator.main)
    for i, layer in enumerate(layers):
        following = layers[i + 1] if i + 1 < len(layers) else None
        if isinstance(layer, nn.ConvTranspose2d):
            operands = [x, cast(f"{i}.weight", layer.weight)]
            if isinstance(following, nn.BatchNorm2d):
                scale, shift = folded(following)
                factor = constant(f"{i}.scale", scale.reshape(1, -1, 1, 1))
                nodes.append(helper.make_node("Mul", [operands[1], factor], [f"{i}.folded"]))
                operands = [x, f"{i}.folded", constant(f"{i}.shift", shift)]
            attributes: dict[str, Any] = {
                "kernel_shape": list(layer.kernel_size),
                "strides": list(layer.stride),
                "pads": [int(p) for p in layer.padding] * 2,
            }
            nodes.append(helper.make_node("ConvTranspose", operands, [f"x{i}"], **attributes))
        elif isinstance(layer, nn.BatchNorm2d):
            continue
        else:
            operation = {nn.ReLU: "Relu", nn.Tanh: "Tanh"}[type(layer)]
            output = f"x{i}" if following is not None else "images"
            nodes.append(helper.make_node(operation, [x], [output]))
        x = nodes[-1].output[0]

    shape: list[int | str] = ["n", 1, *_picture(generator)]
    outputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "generator", inputs, outputs, weights)
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8, producer_name="synthorax")
    onnx.checker.check_model(model, full_check=True)
    return model


def folded(norm: nn.BatchNorm2d) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Batch norm in evaluation mode as y = scale x + shift, each (channels,) float32."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, var = norm.running_mean.cpu().numpy(), norm.running_var.cpu().numpy()
    weight, bias = norm.weight.detach().cpu().numpy(), norm.bias.detach().cpu().numpy()
    scale = weight / np.sqrt(var + np.float32(norm.eps))
    return scale.astype(np.float32), (bias - mean * scale).astype(np.float32)


def _picture(generator: Generator) -> tuple[int, int]:
    doublings = sum(isinstance(m, nn.ConvTranspose2d) for m in generator.main) - 1
    return (4 * 2**doublings,) * 2


@torch.no_grad()
def check(generator: Generator, path: Path, count: int = 64) -> float:
    """Largest difference between ONNX Runtime and torch on the CPU over `count` seeds.

    Raises ExportDiffers above TOLERANCE.
    """
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    z = latents(range(count), generator.latent_dim)
    label = np.arange(count, dtype=np.int64) % max(1, generator.classes)
    generator = generator.cpu().float().eval()
    difference = 0.0
    for start in range(0, count, _CHUNK):
        part = slice(start, start + _CHUNK)
        feed = {"z": z[part], "label": label[part]} if generator.classes else {"z": z[part]}
        on_runtime = session.run(["images"], feed)[0]
        on_torch = generator(torch.from_numpy(z[part]), torch.from_numpy(label[part])).numpy()
        # numpy's maximum: what is no number must not be passed over.
        difference = float(np.maximum(difference, np.abs(on_runtime - on_torch).max()))
    if not difference <= TOLERANCE:
        raise ExportDiffers(
            f"ONNX Runtime and torch differ by {difference:.2e}, more than {TOLERANCE:g}.",
            remedy="The training may have diverged; look at the samples of its last epochs.",
        )
    return difference
