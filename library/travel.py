"""A published version as one file: packed on one server, checked and unpacked on another.

A ZIP, not compressed, of the version's own files and `export.json`, which names each with its
SHA-256.  Nothing in it is executed or unpickled: weights are safetensors and an ONNX graph.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from library.ancestors import DISCRIMINATOR
from library.digest import digest_file, digest_version
from library.errors import InvalidValue
from library.latents import SCHEME
from library.version_cards import problem_of
from library.versions import REFERENCE, Version

ABOUT = "export.json"
SCHEMA = 1
# What a version's folder may hold, and the most bytes of each.
FILES = {
    "model.json": 2**24,
    "model.safetensors": 2**32,
    "model.onnx": 2**31,
    DISCRIMINATOR: 2**32,
    "CARD.md": 2**22,
    "samples.png": 2**26,
    "loss.png": 2**24,
    "metrics.jsonl": 2**28,
}
_NEEDED = ("model.json", "model.safetensors", "model.onnx", "CARD.md", "samples.png")
_DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I64": "<i8", "I32": "<i4", "U8": "u1"}
_HEADER_MAX = 2**24  # bytes
_PART = 2**20


def pack(version: Version, target: IO[bytes]) -> None:
    """Write a version as one file.  Raises Unusable where its files are not what was published."""
    version.verify()
    found = {name: version.path / name for name in FILES if (version.path / name).is_file()}
    about = {
        "schema": SCHEMA,
        "name": version.name,
        "version": version.version,
        "digest": version.digest,
        "files": {name: digest_file(path) for name, path in found.items()},
    }
    with zipfile.ZipFile(target, "w", allowZip64=True) as archive:
        archive.writestr(_entry(ABOUT), json.dumps(about, indent=1, sort_keys=True))
        for name, path in found.items():
            with archive.open(_entry(name), "w", force_zip64=True) as out, open(path, "rb") as file:
                while part := file.read(_PART):
                    out.write(part)


def unpack(archive: Path, folder: Path) -> dict[str, Any]:
    """Check a file that `pack` wrote and put its files into an empty folder; its model.json.

    The digest of every file and, anew from the tensors, of the version itself must fit.  Raises
    InvalidValue, field `body`.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            about = _about(content)
            for name, digest in about["files"].items():
                with open(folder / name, "xb") as out, content.open(name) as file:
                    if _copied(file, out, FILES[name]) != digest:
                        raise _refused(f"{name} is not the file that was exported (its SHA-256).")
        card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if reason := problem_of(card, folder):
            raise _refused(f"It holds no usable version: {reason}.")
        if not set(card["files"]) <= FILES.keys():
            raise _refused("model.json names files that a version does not have.")
        for name, file in card["files"].items():
            if about["files"].get(name) != file["sha256"]:
                raise _refused(f"{name} is not the file that was published (its SHA-256).")
        identity = {key: card[key] for key in ("architecture", "labels", "label_frequencies")}
        found = digest_version(
            {**identity, "latents": SCHEME}, read_tensors(folder / "model.safetensors")
        )
        if found != card["digest"]:
            raise _refused("The weights do not have the digest that model.json names.")
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _refused(f"It is no exported version ({type(error).__name__}).") from None
    return {**card, "imported": {"name": about["name"], "version": about["version"]}}


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a safetensors file, memory-mapped.  Raises ValueError where it is none."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_HEADER_MAX, size - 8):
            raise ValueError("no header")
        header: Mapping[str, Any] = json.loads(file.read(length))
    data = np.memmap(path, np.uint8, "r")[8 + length :] if size > 8 + length else np.zeros(0, "u1")
    tensors = {}
    for name, each in header.items():
        if name == "__metadata__":
            continue
        begin, end = each["data_offsets"]
        kind, shape = np.dtype(_DTYPES[each["dtype"]]), tuple(each["shape"])
        count = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        if min((0, *shape)) < 0 or not 0 <= begin <= end <= len(data) or end - begin != count:
            raise ValueError(f"{name} lies outside the file")
        tensors[name] = data[begin:end].view(kind).reshape(shape)
    return tensors


def _about(content: zipfile.ZipFile) -> dict[str, Any]:
    names = content.namelist()
    if len(set(names)) != len(names) or ABOUT not in names:
        raise _refused(f"It is no exported version: it has no {ABOUT}, or two.")
    if content.getinfo(ABOUT).file_size > 2**20:
        raise _refused(f"{ABOUT} is too large.")
    about: dict[str, Any] = json.loads(content.read(ABOUT))
    if about.get("schema") != SCHEMA:
        raise _refused(f"Its format is {about.get('schema')!r}, and this service knows {SCHEMA}.")
    listed = set(about["files"])
    if listed != set(names) - {ABOUT} or not listed <= FILES.keys() or not listed >= set(_NEEDED):
        raise _refused("It does not hold the files of a version, and nothing else.")
    if not REFERENCE.fullmatch(f"{about['name']}@{about['version']}"):
        raise _refused(f"Its name is {about['name']!r}.")
    return about


def _copied(file: IO[bytes], out: IO[bytes], most: int) -> str:
    digest, size = sha256(), 0
    while part := file.read(_PART):
        size += len(part)
        if size > most:
            raise _refused("A file in it is larger than a version's is.")
        digest.update(part)
        out.write(part)
    return digest.hexdigest()


def _entry(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name)  # of 1980: the same version gives the same bytes


def _refused(detail: str) -> InvalidValue:
    return InvalidValue(
        detail, field="body", remedy="Export it again: synthorax models export NAME@VERSION."
    )
