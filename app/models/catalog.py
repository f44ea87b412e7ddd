"""The model library as every request asks for it: the disk is read when it changes."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

from library.errors import NotFound
from library.store.objects import StoreAway
from library.store.shared import Store
from library.versions import Broken, ModelLibrary, Version

_ASK_SECONDS = 0.5  # between two questions to the store, whoever asks
_BRING_SECONDS = 20.0  # that a request waits for a version to come
_FRESH_SECONDS = 0.25  # what was read is taken as it is for so long


class Catalog(ModelLibrary):
    """Answers from memory while no folder's or choice's modification time has changed.

    store: which other machines publish to, too.
    """

    _listed: list[Version | Broken] | None = None
    _resolved: dict[str, Version]
    _signature: tuple[object, ...] = ()
    _looked = 0.0
    _asked = -math.inf

    def __init__(self, folder: Path, store: Store | None = None) -> None:
        super().__init__(folder, shared=None if store is None else store.versions)
        self._store = store

    def find_anywhere(self, reference: str | None) -> Version:
        """As `find`; a version that another machine has just published is brought here first.

        Not for the event loop: it may take as long as a download.
        """
        try:
            return self.find(reference)
        except NotFound:
            if not self._asks_others():
                raise
            return self.find(reference)

    def _asks_others(self) -> bool:
        """Look into the store, but not for each of many requests for what nobody has."""
        if self._store is None or time.monotonic() - self._asked < _ASK_SECONDS:
            return False
        self._asked = time.monotonic()
        try:
            self._store.ask(self._store.refresh, _BRING_SECONDS)
        except StoreAway:
            return False
        self.refresh()
        return True

    def find(self, reference: str | None) -> Version:
        self.versions()
        found = self._resolved.get(reference) if reference is not None else None
        if found is not None:
            return found
        try:
            found = super().find(reference)
        except NotFound:
            self.refresh()  # it may be that young
            found = super().find(reference)
        if reference is not None:
            self._resolved[reference] = found
        return found

    def refresh(self) -> None:
        """Look at the disk before the next answer."""
        self._looked = 0.0

    def versions(self) -> list[Version | Broken]:
        now = time.monotonic()
        if self._listed is None or now - self._looked > _FRESH_SECONDS:
            signature = self._look()
            if self._listed is None or signature != self._signature:
                self._listed = super().versions()
                self._resolved = {}
                self._signature = signature
            self._looked = now
        return self._listed

    def activate(self, reference: str) -> Version:
        version = super().activate(reference)
        self.refresh()
        return version

    def _look(self) -> tuple[object, ...]:
        """Names, and modification times of each version's folder and model.json."""
        found: list[object] = []
        for path in self._paths():
            found.append((str(path), _modified(path), _modified(path / "model.json")))
        return tuple(found)


def _modified(path: os.PathLike[str]) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
