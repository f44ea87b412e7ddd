"""The model library as every request asks for it: the disk is read when it changes."""

from __future__ import annotations

import os
import time

from library.errors import NotFound
from library.versions import Broken, ModelLibrary, Version

_FRESH_SECONDS = 0.25  # what was read is taken as it is for so long


class Catalog(ModelLibrary):
    """Answers from memory while no folder's or choice's modification time has changed."""

    _listed: list[Version | Broken] | None = None
    _resolved: dict[str, Version]
    _signature: tuple[object, ...] = ()
    _looked = 0.0

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
