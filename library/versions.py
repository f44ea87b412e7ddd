"""The model library on disk: names, their published versions, and the one served by default."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from library.atomic import claim, read_json, write_json
from library.digest import digest_file
from library.errors import InvalidValue, NotFound, Unusable
from library.version_cards import SCHEMA, problem_of
from library.version_states import RETIRED, why_held

BUNDLED = Path(__file__).resolve().parent.parent / "models"
VERSION_MAX = 999_999_999
REFERENCE = re.compile(r"(?P<name>[a-z0-9._-]+)(@(?P<version>[1-9][0-9]{0,8}))?")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class Version:
    """One published set of generator weights, immutable."""

    name: str
    version: int
    path: Path
    card: dict[str, Any]  # model.json

    @cached_property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"

    @cached_property
    def digest(self) -> str:
        return str(self.card["digest"])

    @property
    def resolution(self) -> int:
        return int(self.card["resolution"])

    @property
    def latent_dim(self) -> int:
        return int(self.card["architecture"]["latent_dim"])

    @cached_property
    def labels(self) -> list[str]:
        """Class names by index; empty for a model without classes."""
        return list(self.card["labels"])

    @property
    def label_frequencies(self) -> list[float]:
        return list(self.card["label_frequencies"])

    @cached_property
    def private(self) -> bool:
        return bool(self.card.get("private", True))

    def verify(self) -> None:
        """Compare the weights' files with their digests.  Raises Unusable."""
        for name, file in self.card["files"].items():
            try:
                digest = digest_file(self.path / name)
            except OSError:
                digest = ""
            if digest != file["sha256"]:
                raise Unusable(
                    f"{name} of {self.reference} is not the file that was published "
                    "(its SHA-256 differs).",
                    field="model",
                    value=self.reference,
                    remedy="Restore the version's folder from a backup, or publish it again.",
                )


@dataclass(frozen=True)
class Broken:
    """A version that cannot be used, and why; `held`: one that is whole, but waits for a report."""

    name: str
    version: int
    reason: str
    held: Version | None = None


class Shared(Protocol):
    """What several machines' libraries have in common (library.store.versions)."""

    def publish(
        self, library: ModelLibrary, name: str, prepared: Path, card: dict[str, Any]
    ) -> Version:
        """Claim a number for all of them."""

    def activate(self, reference: str) -> None:
        """Let all of them serve a version by default."""


class ModelLibrary:
    """Versions below {data dir}/models, and the bundled ones, read in place.

    shared: where numbers are claimed and choices made together with other machines.
    """

    def __init__(
        self, folder: Path, bundled: Path | None = BUNDLED, shared: Shared | None = None
    ) -> None:
        self.folder, self.shared = folder, shared
        same = bundled is None or bundled.resolve() == folder.resolve()
        self.roots = [folder] if bundled is None or same else [folder, bundled]

    def versions(self) -> list[Version | Broken]:
        """Every version, usable or not, by name, then newest first."""
        found = [self._read(path) for path in self._paths()]
        return sorted(found, key=lambda v: (v.name, -v.version))

    def find(self, reference: str | None) -> Version:
        """`name@version`, `name` (its newest usable version), or None (the active version).

        Raises NotFound, or Unusable with the reason.
        """
        return self._find(self.active() if reference is None else reference, self.versions())

    def find_held(self, reference: str) -> Version:
        """As `find`, and a version that is held counts as any other: for its evaluation alone.

        Raises NotFound, or Unusable with the reason.
        """
        versions = [v.held or v if isinstance(v, Broken) else v for v in self.versions()]
        return self._find(reference, versions)

    def _find(self, reference: str, versions: Sequence[Version | Broken]) -> Version:
        match = REFERENCE.fullmatch(reference)
        name, number = (match["name"], match["version"]) if match else (reference, None)
        broken: Broken | None = None
        for version in versions:
            if version.name != name or (number and version.version != int(number)):
                continue
            if isinstance(version, Version):
                return version
            broken = broken or version
        if broken is not None:
            raise Unusable(
                f"{broken.name}@{broken.version} cannot be used: {broken.reason}.",
                field="model",
                value=reference,
                remedy="Use another version: GET /models lists them.",
            )
        names = sorted({v.name for v in versions})
        raise NotFound(
            f"There is no model {reference!r}.",
            field="model",
            value=reference,
            remedy=f"The models here are: {', '.join(names) or 'none yet; train one'}.",
        )

    def active(self) -> str:
        """The reference served by default: the operator's choice, the bundled one, or any.

        A choice whose version is gone or unusable does not take generation down.
        """
        usable = [v for v in self.versions() if isinstance(v, Version)]
        for root in self.roots:
            try:
                chosen = str(read_json(root / "active.json")["model"])
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if any(chosen == version.reference for version in usable):
                return chosen
        if not usable:
            raise NotFound(
                "There is no model yet.", field="model", remedy="Train one: POST /train-jobs."
            )
        return usable[0].reference

    def activate(self, reference: str) -> Version:
        version = self.find(reference)
        if self.shared is not None:  # first: what others do not follow is not done here
            self.shared.activate(version.reference)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_json(self.folder / "active.json", {"model": version.reference})
        return version

    def whole(self) -> list[Version]:
        """The versions that are usable, and those that are held."""
        found = [v.held if isinstance(v, Broken) else v for v in self.versions()]
        return [version for version in found if version is not None]

    def retired(self) -> list[Version]:
        """The versions that are never served again; of a deleted one the card alone is there."""
        found = []
        for path in self._paths():
            if (path / RETIRED).is_file():
                with suppress(OSError, ValueError, RecursionError):
                    card = read_json(path / "model.json")
                    if isinstance(card, dict) and "digest" in card:
                        found.append(Version(path.parent.name, int(path.name), path, card))
        return found

    def with_digest(self, name: str, digest: str) -> Version | None:
        """The version of this name that holds exactly these weights, if there is one."""
        for version in self.whole():
            if (version.name, version.digest) == (name, digest):
                return version
        return None

    def with_job(self, name: str, job: str, steps: int) -> Version | None:
        """The version that a train job has published at this step, if it has."""
        for version in self.whole():
            if version.name == name:
                made = version.card.get("training", {}).get("steps")
                if (version.card.get("job"), made) == (job, steps):
                    return version
        return None

    def publish(self, name: str, prepared: Path, card: dict[str, Any]) -> Version:
        """Claim the next version number of a name for a prepared folder (same file system).

        model.json is written here, since it holds the number; the rename publishes, or what is
        shared with other machines does.
        """
        if self.shared is not None:
            return self.shared.publish(self, name, prepared, card)
        while True:
            number = max(self.numbers(name), default=0) + 1
            numbered = self.numbered(name, prepared, card, number)
            if self.place(name, number, prepared):
                return Version(name, number, self.folder / name / str(number), numbered)

    def numbers(self, name: str) -> list[int]:
        """Numbers of a name that are taken here.

        Whatever has a number for a name takes it, else a stray file would hold us at it.
        """
        entries = [path for root in self.roots for path in (root / name).glob("*")]
        return [int(path.name) for path in entries if _NUMBER.fullmatch(path.name)]

    def numbered(
        self, name: str, prepared: Path, card: Mapping[str, Any], number: int
    ) -> dict[str, Any]:
        """Write the model.json of a prepared folder as it is under this number."""
        found = {**card, "schema": SCHEMA, "name": name, "version": number}
        write_json(prepared / "model.json", found)
        return found

    def place(self, name: str, number: int, prepared: Path) -> bool:
        """Rename a prepared folder to its number; False when the number is taken."""
        (self.folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        return claim(prepared, self.folder / name / str(number))

    def _paths(self) -> Iterator[Path]:
        for root in self.roots:
            if root.is_dir():
                for path in root.glob("*/*"):
                    if not _NUMBER.fullmatch(path.name):
                        continue
                    if path.is_dir() and os.access(path, os.R_OK):
                        yield path

    def _read(self, path: Path) -> Version | Broken:
        name, number = path.parent.name, int(path.name)
        try:
            card = read_json(path / "model.json")
            retired = path / RETIRED
            reason = (
                f"it is retired: {read_json(retired)['reason']}"
                if retired.is_file()
                else problem_of(card, path)
            )
        except FileNotFoundError:
            reason = "model.json is missing"
        except (OSError, ValueError, RecursionError) as error:
            reason = f"model.json cannot be read ({error})"
        if reason:
            return Broken(name, number, reason)
        version, held = Version(name, number, path, card), why_held(path)
        return Broken(name, number, held, version) if held else version


def label_index(version: Version, label: str | None, field: str = "label") -> int | None:
    """The class index of a label; None for "draw it from the seed" and for models without classes.

    Raises InvalidValue naming the labels that exist.
    """
    if label is None:
        return None
    if label in version.labels:
        return version.labels.index(label)
    raise InvalidValue(
        f"{version.reference} has no label {label!r}.",
        field=field,
        value=label,
        remedy=f"Its labels are: {', '.join(version.labels)}; or null."
        if version.labels
        else "It was trained without classes: leave the label out.",
    )
