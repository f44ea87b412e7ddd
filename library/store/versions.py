"""Versions in the store: a number is claimed by the manifest that publishes it.

state/models/{name}/{number}.json         the manifest, created once and never written again
state/models/{name}/{number}.now.json     whether it is held or retired; the first is told by the
                                          manifest, so that nobody serves what is held
state/active.json                         the version served by default
files/models/{name}/{sha256}              its files
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from library.atomic import read_json, write_json
from library.store.folders import Damaged, Manifest, Pusher, damaged, files_of, pull, read_manifest
from library.store.objects import Missing, Objects, check_claims
from library.version_states import HELD, RETIRED
from library.versions import Broken, ModelLibrary, Version

logger = logging.getLogger("synthorax.store")

PREFIX = "state/models/"
ACTIVE = "state/active.json"
_MANIFEST = re.compile(r"state/models/([a-z0-9._-]+)/([1-9][0-9]{0,8})\.json")
_NOW = re.compile(r"state/models/([a-z0-9._-]+)/([1-9][0-9]{0,8})\.now\.json")
_STATES = (HELD, RETIRED)


class SharedVersions:
    """The versions of one data folder's library, and those of the store.

    Methods raise StoreAway.
    """

    def __init__(self, objects: Objects, folder: Path) -> None:
        self._objects, self._folder = objects, folder
        self._pusher = Pusher(objects)
        self._checked = False  # that the store keeps two from claiming one number
        self._seen: dict[str, str] = {}  # of objects that change: what told of their last change
        self.damaged: dict[str, str] = {}  # version -> why it could not be had

    # Out

    def publish(
        self, library: ModelLibrary, name: str, prepared: Path, card: dict[str, Any]
    ) -> Version:
        """Publish a prepared folder under the name's next number in the store, then here.

        The same weights, or the same step of the same job, are published once, whoever does.
        Raises Damaged when a version of this name cannot be read.
        """
        if not self._checked:
            check_claims(self._objects)
            self._checked = True
        while True:
            taken = self._numbers(name, self._objects.list(f"{PREFIX}{name}/"))
            for number in sorted(taken):
                about = read_manifest(self._objects, taken[number]).about
                if _same(about, card):
                    return self._placed(library, name, number)
            number = max([*taken, *library.numbers(name)], default=0) + 1
            numbered = library.numbered(name, prepared, card, number)
            if self._create(name, number, prepared, numbered) is not None:
                library.place(name, number, prepared)
                return self._placed(library, name, number)

    def adopt(self, library: ModelLibrary) -> list[str]:
        """Upload the versions that only this folder has, under their own numbers.

        Returns those whose number is another version's in the store.
        """
        there = self._objects.list(PREFIX)
        others = []
        for version in library.versions():
            found = (version.held or version) if isinstance(version, Broken) else version
            if isinstance(found, Broken) or found.path.parent.parent != self._folder:
                continue
            key = _key(found.name, found.version)
            if key not in there:
                self._create(found.name, found.version, found.path, found.card)
                there[key] = ""
            about = read_manifest(self._objects, key).about
            if about["digest"] != found.digest:
                others.append(found.reference)
        return others

    def _create(
        self, name: str, number: int, folder: Path, card: Mapping[str, Any]
    ) -> Manifest | None:
        files = {n: path for n, path in files_of(folder).items() if n not in _STATES}
        about = {
            "digest": card["digest"],
            "job": card.get("job"),
            "steps": card.get("training", {}).get("steps"),
            **_state(folder),
        }
        return self._pusher.push(files, f"files/models/{name}", _key(name, number), about)

    def activate(self, reference: str) -> None:
        self._objects.write(ACTIVE, json.dumps({"model": reference}).encode())

    def tell(self, name: str, number: int | str) -> None:
        """Say whether a version is held or retired, as its folder does now."""
        folder = self._folder / name / str(number)
        now = _state(folder)
        self._objects.write(_now_key(name, int(number)), json.dumps(now).encode())
        if now["deleted"]:
            self._forget(name, int(number))

    def _forget(self, name: str, number: int) -> None:
        """Delete the files of a version that is deleted, but model.json."""
        kept: set[str] = set()
        gone: set[str] = set()
        for other, key in self._numbers(name, self._objects.list(f"{PREFIX}{name}/")).items():
            files = read_manifest(self._objects, key).files
            for file, about in files.items():
                mine = other == number and file != "model.json"
                (gone if mine else kept).add(str(about["object"]))
        self._objects.remove(sorted(gone - kept))

    # In

    def pull(self, listing: Mapping[str, str]) -> bool:
        """Bring this folder to what the store has; True when something has changed.

        listing: of `state/`.  A damaged version is kept out and named in `damaged`.
        """
        changed = False
        for key in listing:
            found = _MANIFEST.fullmatch(key)
            if found is not None:
                changed |= self._fetch(found[1], int(found[2]), listing)
        for key, tag in listing.items():
            found = _NOW.fullmatch(key)
            if found is not None and self._seen.get(key) != tag:
                path = self._folder / found[1] / found[2]
                if path.is_dir():
                    _apply(path, self._now(found[1], int(found[2]), {}))
                    self._seen[key] = tag
                    changed = True
        tag = listing.get(ACTIVE, "")
        if tag and self._seen.get(ACTIVE) != tag:
            self._follow()
            self._seen[ACTIVE] = tag
        return changed

    def _fetch(self, name: str, number: int, listing: Mapping[str, str]) -> bool:
        path, key = self._folder / name / str(number), _key(name, number)
        if (path / "model.json").is_file() or self._seen.get(key) == listing[key]:
            return False
        try:
            self._bring(name, number)
        except Damaged as error:
            # Not asked for again until it changes, or this process is started again.
            self._seen[key], self.damaged[f"{name}@{number}"] = listing[key], str(error)
            logger.warning("%s@%d is not had from the store: %s", name, number, error)
            return False
        self.damaged.pop(f"{name}@{number}", None)
        return True

    def _bring(self, name: str, number: int) -> None:
        """Download one version.  Raises Damaged."""
        key = _key(name, number)
        try:
            manifest = read_manifest(self._objects, key)
        except Missing:
            raise damaged(key, "it is gone") from None
        now = self._now(name, number, manifest.about)
        gone = bool(now.get("deleted"))
        pull(
            self._objects,
            manifest,
            self._folder / name / str(number),
            want=lambda file: not gone or file == "model.json",
            finish=lambda folder: _checked(folder, key, manifest, now),
        )

    def _now(self, name: str, number: int, first: Mapping[str, Any]) -> Mapping[str, Any]:
        key = _now_key(name, number)
        try:
            found = json.loads(self._objects.read(key))
        except Missing:
            return first
        except (ValueError, RecursionError):
            raise damaged(key, "it is no JSON") from None
        return found if isinstance(found, dict) else first

    def _follow(self) -> None:
        try:
            chosen = str(json.loads(self._objects.read(ACTIVE))["model"])
        except (Missing, ValueError, KeyError, TypeError):
            return  # generation goes on with what it has
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_json(self._folder / "active.json", {"model": chosen})

    def _placed(self, library: ModelLibrary, name: str, number: int) -> Version:
        if not (self._folder / name / str(number)).is_dir():
            self._bring(name, number)
        return library.find_held(f"{name}@{number}")

    def _numbers(self, name: str, listing: Mapping[str, str]) -> dict[int, str]:
        found = [_MANIFEST.fullmatch(key) for key in listing]
        return {int(m[2]): m[0] for m in found if m is not None and m[1] == name}


def _key(name: str, number: int) -> str:
    return f"{PREFIX}{name}/{number}.json"


def _now_key(name: str, number: int) -> str:
    return f"{PREFIX}{name}/{number}.now.json"


def _same(about: Mapping[str, Any], card: Mapping[str, Any]) -> bool:
    if about.get("digest") == card["digest"]:
        return True
    job, steps = card.get("job"), card.get("training", {}).get("steps")
    return job is not None and (about.get("job"), about.get("steps")) == (job, steps)


def _state(folder: Path) -> dict[str, Any]:
    """held.json and retired.json of a version's folder; whether its files are deleted."""
    found: dict[str, Any] = {}
    for name in _STATES:
        if (folder / name).is_file():
            found[name] = read_json(folder / name)
    found["deleted"] = RETIRED in found and not (folder / "model.safetensors").exists()
    return found


def _apply(folder: Path, now: Mapping[str, Any]) -> None:
    """A version that is retired stays so, whatever comes."""
    for name in _STATES:
        if name in now:
            write_json(folder / name, now[name])
        elif name != RETIRED:
            (folder / name).unlink(missing_ok=True)
    if now.get("deleted"):
        for file in folder.iterdir():
            if file.name not in (RETIRED, "model.json"):
                shutil.rmtree(file) if file.is_dir() else file.unlink()


def _checked(folder: Path, key: str, manifest: Manifest, now: Mapping[str, Any]) -> None:
    try:
        card = read_json(folder / "model.json")
        if card["digest"] != manifest.about["digest"]:
            raise damaged(key, "it names other weights than its model.json")
    except (OSError, ValueError, KeyError, TypeError):
        raise damaged(key, "it holds no model.json") from None
    _apply(folder, now)
