"""A version as a file: what is packed comes out again, and what was meddled with does not."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from safetensors.numpy import load_file, save_file

from app.models.travel import check_graph
from library.errors import InvalidValue
from library.travel import ABOUT, pack, read_tensors, unpack
from library.versions import BUNDLED, ModelLibrary, Version

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def version() -> Version:
    return ModelLibrary(BUNDLED).find("chest-xray-dcgan@2")


@pytest.fixture(scope="module")
def packed(version: Version) -> bytes:
    buffer = io.BytesIO()
    pack(version, buffer)
    return buffer.getvalue()


def test_what_is_packed_comes_out_again(version: Version, packed: bytes, tmp_path: Path) -> None:
    again = io.BytesIO()
    pack(version, again)
    assert again.getvalue() == packed  # the same version, the same bytes
    (tmp_path / "file").write_bytes(packed)
    (tmp_path / "out").mkdir()
    card = unpack(tmp_path / "file", tmp_path / "out")
    assert card["digest"] == version.digest
    assert card["imported"] == {"name": version.name, "version": version.version}
    for path in (tmp_path / "out").iterdir():
        assert path.read_bytes() == (version.path / path.name).read_bytes()


def changed(packed: bytes, change: Callable[[Files], None], told: bool = True) -> bytes:
    """The same file with other contents; told: export.json names their digests."""
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    about = json.loads(files[ABOUT])
    if told:
        about["files"] = {
            name: sha256(content).hexdigest() for name, content in files.items() if name != ABOUT
        }
        files[ABOUT] = json.dumps(about).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def flip(name: str) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        content = bytearray(files[name])
        content[len(content) // 2] ^= 1
        files[name] = bytes(content)

    return change


def edited(name: str, edit: Callable[[dict[str, Any]], Any]) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        content = json.loads(files[name])
        edit(content)
        files[name] = json.dumps(content).encode()

    return change


def relabelled(files: Files) -> None:
    """Another label, all files' digests right: the version's own digest is not."""
    edited("model.json", lambda card: card.update(labels=["X", "Y"]))(files)


@pytest.mark.parametrize(
    ("change", "told", "words"),
    [
        (flip("model.safetensors"), False, "not the file that was exported"),
        (flip("model.safetensors"), True, "not the file that was published"),
        (flip("model.onnx"), True, "not the file that was published"),
        (lambda files: files.pop("model.onnx"), True, "files of a version, and nothing else"),
        (lambda files: files.update({"more.txt": b"x"}), True, "and nothing else"),
        (lambda files: files.update({"../up.txt": b"x"}), True, "and nothing else"),
        (lambda files: files.pop(ABOUT) and files.update({"a": b""}), False, None),
        (edited(ABOUT, lambda about: about.update(schema=2)), True, "Its format is 2"),
        (edited(ABOUT, lambda about: about.update(name="../x")), True, "Its name is"),
        (edited("model.json", lambda card: card.pop("labels")), True, "lacks labels"),
        (edited("model.json", lambda card: card.update(files={})), True, "names no files"),
        (relabelled, True, "do not have the digest"),
    ],
)
def test_what_was_meddled_with_is_refused(
    packed: bytes, change: Callable[[Files], None], told: bool, words: str | None, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    if words is None:
        (tmp_path / "file").write_bytes(packed[: len(packed) // 2])
    else:
        (tmp_path / "file").write_bytes(changed(packed, change, told))
    with pytest.raises(InvalidValue, match=words or "no exported version") as refused:
        unpack(tmp_path / "file", tmp_path / "out")
    assert refused.value.field == "body"
    assert not (tmp_path / "up.txt").exists()


def test_tensors_are_read_as_safetensors_reads_them(version: Version, tmp_path: Path) -> None:
    path = version.path / "model.safetensors"
    wanted = load_file(path)
    found = read_tensors(path)
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
    save_file({"a": np.zeros((2, 0), np.float32), "b": np.array(3, np.int64)}, tmp_path / "small")
    small = read_tensors(tmp_path / "small")
    assert small["a"].shape == (2, 0)
    assert int(small["b"]) == 3


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 17]}},
        {"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [8, 24]}},
        {"a": {"dtype": "PICKLE", "shape": [4], "data_offsets": [0, 16]}},
    ],
)
def test_tensors_outside_their_file_are_refused(header: dict[str, Any], tmp_path: Path) -> None:
    text = json.dumps(header).encode()
    (tmp_path / "file").write_bytes(len(text).to_bytes(8, "little") + text + bytes(16))
    with pytest.raises((ValueError, KeyError)):
        read_tensors(tmp_path / "file")


def graph(*nodes: Any, weights: list[Any] | None = None) -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        list(nodes), "g", [value("z", TensorProto.FLOAT, [1])],
        [value("y", TensorProto.FLOAT, [1])], weights or [],
    )  # fmt: skip
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])


def test_a_graph_that_is_not_ours_is_refused(version: Version, tmp_path: Path) -> None:
    check_graph(version.path / "model.onnx")
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no graph at all")
    with pytest.raises(InvalidValue, match="is not one that Synthorax exports"):
        check_graph(path)
    onnx.save(graph(helper.make_node("Exp", ["z"], ["y"])), path)
    with pytest.raises(InvalidValue, match="it has Exp"):
        check_graph(path)
    elsewhere = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
    elsewhere.data_location = TensorProto.EXTERNAL
    entry = elsewhere.external_data.add()
    entry.key, entry.value = "location", "data.bin"
    model = graph(helper.make_node("Add", ["z", "w"], ["y"]), weights=[elsewhere])
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InvalidValue, match="is not one that Synthorax exports"):
        check_graph(path)


def test_every_bundled_graph_is_one_of_ours() -> None:
    for each in ModelLibrary(BUNDLED).versions():
        assert isinstance(each, Version)
        check_graph(each.path / "model.onnx")
