"""Datasets and reports in the store: a record each, and the folder that it speaks of.

state/{kind}/{name}.json                the record, and the manifest of its folder
files/{kind}/{name}/{token}.json        a manifest
files/{kind}/{name}/{sha256}            its files, small ones packed: nobody can list what the
                                        files of a dataset are called, or how many there are

A record with the higher revision is the newer one, wherever it was written; every change makes it
higher.  A folder is had when somebody asks for it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from zlib import crc32

from library.atomic import new_folder, read_json, sync_folder, sync_tree, write_json
from library.locks import waiting
from library.store.folders import Damaged, Pusher, damaged, download, files_of, read_manifest
from library.store.objects import Missing, Objects

logger = logging.getLogger("synthorax.store")

STAMP = "store.json"  # in a record's folder: the manifest that it was had by, or pushed as
_LOCKS = frozenset({"lock", STAMP})
_LOCK_FILES = 16  # names share them: there is none to remove with a record


class SharedRecords:
    """Records of one kind below `root`, as {name}.json beside {name}/.  Methods raise StoreAway.

    pattern, name: where records lie below root, and what one is called, ds-… or DIGEST/rp-…;
    complete: whether what a record speaks of lies in its folder.
    """

    def __init__(
        self,
        objects: Objects,
        kind: str,
        root: Path,
        pattern: str,
        name: str,
        complete: Callable[[Mapping[str, Any], Path], bool],
    ) -> None:
        self._objects, self.kind, self._root = objects, kind, root
        self._pattern, self._name, self._complete = pattern, re.compile(name), complete
        self._seen: dict[str, str] = {}
        self._manifests: dict[str, str | None] = {}  # by name: of the folder in the store

    def names(self) -> Iterator[str]:
        """Names of the records here."""
        for path in sorted(self._root.glob(self._pattern)):
            name = path.relative_to(self._root).with_suffix("").as_posix()
            if self._name.fullmatch(name):
                yield name

    # Out

    def push(self, name: str, folder: bool = True, new: bool = False) -> bool:
        """Put a record as it is here; with its folder, where that has changed.

        folder: False where only the record has changed; new: one that was deleted may be again.
        False: nothing is put, since somebody has written a newer one; it comes with the next look.
        Raises OSError, Missing when the record was deleted, here or elsewhere.
        """
        with self._alone(name):
            return self._push(name, folder, new)

    def _push(self, name: str, folder: bool, new: bool) -> bool:
        key, graves = self._key(name), self._tombstones(name)
        if graves and not new:
            raise Missing(name)
        before = self._envelope(key) or {}
        manifest = before.get("folder")
        if folder:
            manifest = self._push_folder(name)
        try:
            record = read_json(self._root / f"{name}.json")
        except FileNotFoundError:
            raise Missing(name) from None
        if int(before.get("record", {}).get("revision", 0)) > int(record.get("revision", 0)):
            return False
        envelope = {"record": record, "folder": manifest}
        self._objects.write(key, json.dumps(envelope).encode())
        self._objects.remove(graves)
        self._manifests[name] = manifest
        old = before.get("folder")
        if old is not None and old != manifest:
            used = {manifest} | self._used(manifest)
            listed = self._objects.list(f"files/{self.kind}/{name}/")
            self._objects.remove(sorted(set(listed) - used))
        return True

    def _push_folder(self, name: str) -> str | None:
        folder = self._root / name
        files = {n: path for n, path in files_of(folder).items() if n not in _LOCKS}
        if not files:
            return None
        blobs = f"files/{self.kind}/{name}"
        manifest = f"{blobs}/{secrets.token_hex(8)}.json"
        Pusher(self._objects).push(files, blobs, manifest, {}, packed=True)
        write_json(folder / STAMP, {"manifest": manifest})
        return manifest

    def _alone(self, name: str) -> AbstractContextManager[None]:
        """Of this machine's processes one at a time takes a folder up or down: what one has just
        put up, and not named yet, would be removed by the other.
        """
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        return waiting(self._root / f".folders-{crc32(name.encode()) % _LOCK_FILES:02d}.lock")

    def _used(self, manifest: str | None) -> set[str]:
        return set() if manifest is None else read_manifest(self._objects, manifest).objects()

    def remove(self, name: str) -> None:
        """Really delete a record and its folder, here and everywhere."""
        grave = f"state/deleted/{self.kind}/{name}/{secrets.token_hex(8)}"
        self._objects.write(grave, b"{}")
        self._objects.remove([self._key(name)])
        self._objects.remove(sorted(self._objects.list(f"files/{self.kind}/{name}/")))

    def push_missing(self, listing: Mapping[str, str]) -> None:
        """Put the records that only this folder has."""
        for name in self.names():
            grave = f"state/deleted/{self.kind}/{name}/"
            if self._key(name) in listing or any(key.startswith(grave) for key in listing):
                continue
            with contextlib.suppress(Missing, OSError):
                if self._complete(read_json(self._root / f"{name}.json"), self._root / name):
                    self.push(name)

    # In

    def pull(self, listing: Mapping[str, str], remove: Callable[[str], None]) -> None:
        """Bring the records here to those of the store.

        listing: of `state/`; remove: called with the name of one that was deleted.
        """
        buried = set()
        for key, tag in listing.items():
            if key.startswith(f"state/deleted/{self.kind}/"):
                name = key.removeprefix(f"state/deleted/{self.kind}/").rpartition("/")[0]
                buried.add(name)
                if self._seen.get(key) != tag and self._name.fullmatch(name):
                    remove(name)
                    self._seen[key] = tag
        for key, tag in listing.items():
            name = key.removeprefix(f"state/{self.kind}/").removesuffix(".json")
            if key != self._key(name) or not self._name.fullmatch(name) or name in buried:
                continue
            if self._seen.get(key) != tag:
                self.look(name)
                self._seen[key] = tag

    def look(self, name: str) -> None:
        """Take over one record, if the store has a newer one."""
        if not self._name.fullmatch(name):
            return
        try:
            envelope = self._envelope(self._key(name))
        except Damaged as error:
            logger.warning("%s", error)
            return
        if envelope is None:
            return
        self._manifests[name] = envelope["folder"]
        path, record = self._root / f"{name}.json", envelope["record"]
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with waiting(path.parent / ".lock"):
            try:
                before = int(read_json(path).get("revision", 0))
            except (OSError, ValueError):
                before = -1
            newer = int(record.get("revision", 0)) > before
            if newer:
                write_json(path, record)
        stamp = self._stamp(name)
        # Not of an older record: its folder may just be on its way up from here.
        if newer and stamp is not None and stamp != envelope["folder"]:
            self._drop(name)  # what it held may have been withdrawn

    def bring(self, name: str) -> None:
        """Have the folder of a record here.  Raises Damaged, OSError."""
        self.look(name)
        for last in (False, True):
            manifest = self._manifests.get(name)
            if manifest is None or self._stamp(name) == manifest:
                return
            try:
                with self._alone(name):
                    if self._stamp(name) != manifest:
                        self._fetch(name, manifest)
                return
            except Damaged:
                self.look(name)
                if last or self._manifests.get(name) == manifest:
                    raise

    def _fetch(self, name: str, manifest: str) -> None:
        folder = self._root / name
        try:
            found = read_manifest(self._objects, manifest)
        except Missing:
            raise damaged(manifest, "it is gone") from None
        with new_folder(folder.parent, folder.name) as fresh:
            download(self._objects, found, fresh)
            sync_tree(fresh)
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            (folder / STAMP).unlink(missing_ok=True)
            # Part by part, since the lock in it may be held; the stamp makes it whole.
            for part in fresh.iterdir():
                target = folder / part.name
                if target.is_dir():
                    shutil.rmtree(target)
                os.replace(part, target)
            sync_folder(folder)
            write_json(folder / STAMP, {"manifest": manifest})

    def _drop(self, name: str) -> None:
        folder = self._root / name
        (folder / STAMP).unlink(missing_ok=True)
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name not in _LOCKS:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _stamp(self, name: str) -> str | None:
        try:
            return str(read_json(self._root / name / STAMP)["manifest"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _envelope(self, key: str) -> dict[str, Any] | None:
        try:
            found = json.loads(self._objects.read(key))
            if not isinstance(found["record"], dict):
                raise ValueError("no record")
            return {"record": found["record"], "folder": found["folder"]}
        except Missing:
            return None
        except (ValueError, KeyError, TypeError, RecursionError):
            raise damaged(key, "it is no record") from None

    def _tombstones(self, name: str) -> list[str]:
        return sorted(self._objects.list(f"state/deleted/{self.kind}/{name}/"))

    def _key(self, name: str) -> str:
        return f"state/{self.kind}/{name}.json"
