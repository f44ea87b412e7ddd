"""A folder as objects: its files by their SHA-256, then a manifest, which makes it exist.

A manifest names each file with its bytes and digest, and has a digest of its own.  What is half
uploaded has no manifest, so nobody sees it; what is half downloaded has no name on the disk.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from library.atomic import claim, new_folder
from library.digest import digest_file, digest_json
from library.errors import Unusable
from library.store.objects import Missing, Objects

SCHEMA = 1
PACKED_BYTES, PACK_BYTES = 2**20, 64 * 2**20  # files up to so many are put together, up to so many


@dataclass(frozen=True)
class Manifest:
    """What a folder held: bytes, SHA-256 and object of each file; about: what its owner says."""

    files: Mapping[str, Mapping[str, Any]]
    about: Mapping[str, Any]

    def objects(self) -> set[str]:
        return {str(file["object"]) for file in self.files.values()}


class Damaged(Unusable):
    slug, title = "damaged-object", "An object in the store is damaged"


def damaged(key: str, why: str) -> Damaged:
    return Damaged(
        f"The object {key} in the store is not what was put there: {why}.",
        field="SYNTHORAX_STORE",
        value=key,
        remedy="Bring back the object's earlier version, or delete what it belongs to.",
    )


def check_name(name: str) -> str:
    """A file's name within its folder.  Raises ValueError for one that leads out of it."""
    if "\\" in name or "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError(f"{name!r} is no name of a file in a folder")
    return name


def files_of(folder: Path) -> dict[str, Path]:
    """Every file of a folder by its name, without temporary ones."""
    names = ((path, path.relative_to(folder)) for path in sorted(folder.rglob("*")))
    return {
        name.as_posix(): path
        for path, name in names
        if path.is_file() and not any(part.startswith(".") for part in name.parts)
    }


class Pusher:
    """Uploads folders whose files mostly stay: digests are kept as long as a file's stamp."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._digests: dict[tuple[int, int, int], str] = {}

    def push(
        self,
        files: Mapping[str, Path],
        blobs: str,
        key: str,
        about: Mapping[str, Any],
        packed: bool = False,
    ) -> Manifest | None:
        """Upload what is not there below `blobs`, then create the manifest `key`.

        None when there is a manifest of this name already.  The files must not change meanwhile.
        packed: small files go together, so that a hundred thousand do not take as many requests.
        Raises StoreAway, OSError.
        """
        there = self._objects.list(f"{blobs}/")
        named: dict[str, dict[str, Any]] = {}
        small: list[tuple[str, Path, str]] = []
        for name, path in files.items():
            check_name(name)
            size, sha256 = path.stat().st_size, self._digest(path)
            if packed and size <= PACKED_BYTES:
                small.append((name, path, sha256))
                continue
            named[name] = {"bytes": size, "sha256": sha256, "object": f"{blobs}/{sha256}"}
            self._upload(path, f"{blobs}/{sha256}", there)
        for part in _packs(small):
            named |= self._pack(part, blobs, there)
        content = {"schema": SCHEMA, "token": secrets.token_hex(8), "files": named}
        content |= {"about": dict(about)}
        content["digest"] = digest_json(content)
        text = json.dumps(content, indent=1).encode()
        return Manifest(named, about) if self._objects.create(key, text) else None

    def _upload(self, path: Path, key: str, there: dict[str, str]) -> None:
        if key not in there:
            self._objects.upload(path, key)
            there[key] = ""

    def _pack(
        self, part: list[tuple[str, Path, str]], blobs: str, there: dict[str, str]
    ) -> dict[str, dict[str, Any]]:
        named, at = {}, 0
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pack"
            with open(path, "wb") as pack:
                for name, file, sha256 in part:
                    content = file.read_bytes()
                    pack.write(content)
                    named[name] = {"bytes": len(content), "sha256": sha256, "at": at}
                    at += len(content)
            key = f"{blobs}/{digest_file(path)}"
            self._upload(path, key, there)
        return {name: {**file, "object": key} for name, file in named.items()}

    def _digest(self, path: Path) -> str:
        about = path.stat()
        stamp = (about.st_ino, about.st_size, about.st_mtime_ns)
        if stamp not in self._digests:
            self._digests[stamp] = digest_file(path)
        return self._digests[stamp]


def _packs(small: list[tuple[str, Path, str]]) -> Iterable[list[tuple[str, Path, str]]]:
    part: list[tuple[str, Path, str]] = []
    size = 0
    for entry in small:
        part.append(entry)
        size += entry[1].stat().st_size
        if size >= PACK_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def read_manifest(objects: Objects, key: str) -> Manifest:
    """Raises Missing, Damaged, StoreAway."""
    try:
        content = json.loads(objects.read(key))
        told = content.pop("digest")
        if content["schema"] != SCHEMA:
            raise damaged(key, "its format is of another version of Synthorax")
        if told != digest_json(content):
            raise damaged(key, "its digest differs")
        files = {check_name(name): file for name, file in content["files"].items()}
        return Manifest(files, content["about"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(key, f"it is no manifest ({type(error).__name__})") from None


def pull(
    objects: Objects,
    manifest: Manifest,
    target: Path,
    want: Callable[[str], bool] = lambda _name: True,
    finish: Callable[[Path], None] = lambda _folder: None,
    reuse: Path | None = None,
) -> bool:
    """Download a folder to `target`; False when there is one by now.

    want: which files; finish: done in the folder before it has its name; reuse: a folder whose
    files are taken where they have the right digest.  Raises Missing, Damaged, StoreAway, OSError.
    """
    with new_folder(target.parent) as folder:
        download(objects, manifest, folder, want, reuse)
        finish(folder)
        return claim(folder, target)


def download(
    objects: Objects,
    manifest: Manifest,
    folder: Path,
    want: Callable[[str], bool] = lambda _name: True,
    reuse: Path | None = None,
) -> None:
    """Every file into a folder, each compared with its digest."""
    packs: dict[str, Path] = {}
    with tempfile.TemporaryDirectory(dir=folder, prefix=".packs-") as beside:
        for name, file in manifest.files.items():
            if not want(name):
                continue
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if reuse is not None and _is(reuse / name, file):
                os.link(reuse / name, path)
                continue
            key = str(file["object"])
            if "at" in file:
                if key not in packs:
                    packs[key] = Path(beside) / str(len(packs))
                    _fetch(objects, key, packs[key])
                with open(packs[key], "rb") as pack:
                    pack.seek(int(file["at"]))
                    path.write_bytes(pack.read(int(file["bytes"])))
            else:
                _fetch(objects, key, path)
            if not _is(path, file):
                size, wanted = path.stat().st_size, file["bytes"]
                differs = f"{size} bytes instead of {wanted}" if size != wanted else "other bytes"
                raise damaged(key, f"{name} has {differs}, and its SHA-256 differs")


def _fetch(objects: Objects, key: str, path: Path) -> None:
    try:
        objects.download(key, path)
    except Missing:
        raise damaged(key, "it is gone") from None


def _is(path: Path, file: Mapping[str, Any]) -> bool:
    try:
        return path.stat().st_size == int(file["bytes"]) and digest_file(path) == str(
            file["sha256"]
        )
    except OSError:
        return False
