"""Push and pull: what is half there is not there, what was altered is refused, nothing escapes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from library.digest import digest_json
from library.errors import InvalidValue
from library.store.folders import Damaged, Manifest, Pusher, files_of, pull, read_manifest
from library.store.objects import (
    FolderObjects,
    Missing,
    Objects,
    StoreAway,
    check_url,
    open_objects,
)


class Killed(BaseException):
    """The process ends here."""


class Mortal:
    """Objects whose user is killed before, or right after, its nth operation."""

    def __init__(self, objects: Objects, lives: int) -> None:
        self._objects, self._lives = objects, lives

    def _step(self) -> None:
        if self._lives == 0:
            raise Killed
        self._lives -= 1

    def read(self, key: str) -> bytes:
        self._step()
        content = self._objects.read(key)
        self._step()
        return content

    def write(self, key: str, content: bytes) -> None:
        self._step()
        self._objects.write(key, content)
        self._step()

    def create(self, key: str, content: bytes) -> bool:
        self._step()
        done = self._objects.create(key, content)
        self._step()
        return done

    def upload(self, path: Path, key: str) -> None:
        self._step()
        self._objects.upload(path, key)
        self._step()

    def download(self, key: str, path: Path) -> None:
        self._step()
        path.write_bytes(b"half")
        self._step()
        self._objects.download(key, path)
        self._step()

    def list(self, prefix: str) -> dict[str, str]:
        self._step()
        return self._objects.list(prefix)

    def remove(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._step()
            self._objects.remove([key])


@pytest.fixture(params=["file", "memory"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    (tmp_path / "store").mkdir()
    name = os.urandom(6).hex()
    url = f"file://{tmp_path}/store" if request.param == "file" else f"memory:///{name}"
    return open_objects(url)


def written(folder: Path, files: dict[str, bytes]) -> dict[str, Path]:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return files_of(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in files_of(folder).items()}


FILES = {"a.json": b"{}", "deep/er/b.bin": os.urandom(3000), "deep/c": b"", "same": b"{}"}


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_pulled_is_what_was_pushed(objects: Objects, tmp_path: Path, packed: bool) -> None:
    files = written(tmp_path / "here", FILES)
    assert Pusher(objects).push(files, "files/x", "state/x.json", {"n": 1}, packed) is not None
    manifest = read_manifest(objects, "state/x.json")
    assert manifest.about == {"n": 1}
    assert pull(objects, manifest, tmp_path / "there")
    assert contents(tmp_path / "there") == FILES
    assert len(objects.list("files/x/")) == (1 if packed else 3)  # the same bytes lie there once
    assert not pull(objects, manifest, tmp_path / "there")
    # The name is taken, whatever is pushed under it.
    assert Pusher(objects).push({}, "files/x", "state/x.json", {}) is None
    assert read_manifest(objects, "state/x.json") == manifest


def test_parts_of_a_folder_and_files_that_are_here_already(
    objects: Objects, tmp_path: Path
) -> None:
    files = written(tmp_path / "here", FILES)
    Pusher(objects).push(files, "files/x", "state/x.json", {})
    manifest = read_manifest(objects, "state/x.json")
    pull(objects, manifest, tmp_path / "part", want=lambda name: name.startswith("deep/"))
    assert set(contents(tmp_path / "part")) == {"deep/er/b.bin", "deep/c"}
    (tmp_path / "part" / "deep" / "c").write_bytes(b"another")
    objects.remove([str(manifest.files["deep/er/b.bin"]["object"])])
    pull(objects, manifest, tmp_path / "whole", reuse=tmp_path / "part")
    assert contents(tmp_path / "whole") == FILES


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("how", ["cut short", "another byte", "gone"])
def test_an_object_that_was_meddled_with_is_refused_by_name(
    objects: Objects, tmp_path: Path, how: str, packed: bool
) -> None:
    files = written(tmp_path / "here", FILES)
    Pusher(objects).push(files, "files/x", "state/x.json", {}, packed)
    manifest = read_manifest(objects, "state/x.json")
    key = str(manifest.files["deep/er/b.bin"]["object"])
    was = objects.read(key)
    if how == "gone":
        objects.remove([key])
    else:
        middle = len(was) // 2
        objects.write(key, was[:middle] + (b"" if how == "cut short" else b"?" + was[middle + 1 :]))
    with pytest.raises(Damaged, match=key):
        pull(objects, manifest, tmp_path / "there")
    assert not (tmp_path / "there").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


def test_a_manifest_that_was_meddled_with_is_refused(objects: Objects, tmp_path: Path) -> None:
    files = written(tmp_path / "here", FILES)
    Pusher(objects).push(files, "files/x", "state/x.json", {"n": 1})
    was = objects.read("state/x.json")
    for content in (b"", was[:-9], was.replace(b'"n": 1', b'"n": 2'), b"[]", b"{}", b"\xff"):
        objects.write("state/x.json", content)
        with pytest.raises(Damaged, match=r"state/x\.json"):
            read_manifest(objects, "state/x.json")
    with pytest.raises(Missing):
        read_manifest(objects, "state/y.json")


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/../../x", "", ".", "a//b", "a/./b", "a\\b", "a\0b", "a/"]
)
def test_names_that_lead_out_of_the_folder_are_refused(
    objects: Objects, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x")
    with pytest.raises(ValueError, match="no name"):
        Pusher(objects).push({name: path}, "files/x", "state/x.json", {})
    # And when somebody else has written the manifest.
    Pusher(objects).push({"good": path}, "files/x", "state/x.json", {})
    content = json.loads(objects.read("state/x.json"))
    content["files"] = {name: content["files"]["good"]}
    del content["digest"]
    content["digest"] = digest_json(content)
    objects.write("state/x.json", json.dumps(content).encode())
    with pytest.raises(Damaged):
        read_manifest(objects, "state/x.json")


@pytest.mark.parametrize("key", ["../x", "/x", "a/../b", "", "a//b", "a/.b", "a b", "ä"])
def test_names_of_objects_that_are_none_are_refused(objects: Objects, key: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        objects.write(key, b"")


def test_one_of_two_creates_an_object(objects: Objects) -> None:
    assert objects.create("state/1.json", b"one")
    assert not objects.create("state/1.json", b"other")
    assert objects.read("state/1.json") == b"one"


@settings(max_examples=60)
@given(
    files=st.dictionaries(
        st.sampled_from(["a", "b/c", "b/d", "e.json"]), st.binary(max_size=40), max_size=4
    ),
    lives=st.lists(st.integers(0, 30), max_size=4),
    packed=st.booleans(),
)
def test_killed_between_any_two_operations(
    tmp_path_factory: pytest.TempPathFactory,
    files: dict[str, bytes],
    lives: list[int],
    packed: bool,
) -> None:
    """Whoever looks sees all or nothing, however often the pusher and the puller are killed."""
    folder = tmp_path_factory.mktemp("kills")
    (folder / "store").mkdir()
    whole = FolderObjects(folder / "store")
    here = written(folder / "here", files) if files else {}

    def seen() -> Manifest | None:
        try:
            return read_manifest(whole, "state/x.json")
        except Missing:
            return None

    for life in lives:
        try:
            Pusher(Mortal(whole, life)).push(here, "files/x", "state/x.json", {}, packed)
        except Killed:
            pass
        if (manifest := seen()) is not None:  # then all of it is there
            pull(whole, manifest, folder / os.urandom(4).hex())
    Pusher(whole).push(here, "files/x", "state/x.json", {}, packed)
    manifest = seen()
    assert manifest is not None
    for life in lives:
        try:
            pull(Mortal(whole, life), manifest, folder / "there")
        except Killed:
            pass
        if (folder / "there").exists():
            assert contents(folder / "there") == files
    pull(whole, manifest, folder / "there")
    assert contents(folder / "there") == files


def test_a_folder_that_is_not_mounted_is_no_empty_store(tmp_path: Path) -> None:
    objects = open_objects(f"file://{tmp_path}/not-mounted")
    for action in (
        lambda: objects.list("state/"),
        lambda: objects.read("state/x.json"),
        lambda: objects.write("state/x.json", b""),
    ):
        with pytest.raises(StoreAway):
            action()
    assert not (tmp_path / "not-mounted").exists()


@pytest.mark.parametrize(
    "url",
    [
        "bucket", "s3://", "s3:///prefix", "http://x/y", "file://relative", "s3://b/../c",
        "s3://AKIA123:a-secret@bucket/p", "s3://b/p?versionId=1", "gs://b/p",
    ],
)  # fmt: skip
def test_addresses_that_are_no_store_are_refused_and_not_shown(url: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        check_url(url)
    assert caught.value.field == "SYNTHORAX_STORE"
    assert "a-secret" not in f"{caught.value!s}{caught.value.as_problem()}"
    for good in ("s3://b", "s3://b/p/q", "file:///mnt/x y", "memory://"):
        check_url(good)
