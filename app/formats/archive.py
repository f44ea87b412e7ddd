"""application/zip: the files in class folders, the version's card, and two manifests.

Whatever the count, memory holds 50 bytes an image: the rest is sent as it is made.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import unicodedata
from array import array
from collections.abc import Iterable, Iterator

from app.formats.encoding import Encoded, FileFormat
from app.formats.png import crc32
from app.formats.zipping import Entry, ZipWriter, local_header
from library.identity import Identity, Origin

_PAGE = 512  # manifest lines and directory entries that are made at once
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]')
_FILES = ("CARD.md", "manifest.csv", "manifest.jsonl")
# Names that Windows keeps for devices.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{d}{i}" for d in ("com", "lpt") for i in range(10))}
COLUMNS = (
    "file", "label", "seed", "truncation", "sha256", "model", "version_digest", "engine_digest"
)  # fmt: skip


class ZipForm:
    """A ZIP of one file an image."""

    def __init__(
        self, origin: Origin, file_format: FileFormat, card: bytes | None, repeats: bool
    ) -> None:
        """`repeats`: the same sample may be asked for twice, so that names carry its index."""
        self.format = file_format
        self._origin = origin
        self._suffix = file_format.suffix
        self._card = card
        self._repeats = repeats
        self._zip = ZipWriter()
        self._entries: list[Entry] = []
        self._folders: dict[str | None, bytes] = {}
        self._taken = {name.casefold() for name in _FILES}
        self._labels: list[str | None] = []
        # One row an image.
        self._seeds = array("Q")
        self._label_indices = array("H")
        self._crcs = array("I")
        self._sizes = array("I")
        self._sha256 = bytearray()
        self._first = 0  # offset of the first image

    def head(self) -> bytes:
        if self._card is None:
            return b""
        entry, data = self._zip.file(b"CARD.md", self._card)
        self._entries.append(entry)
        self._first = self._zip.offset
        return data

    def chunk(self, part: Encoded) -> bytes:
        data: list[bytes] = []
        for i, (identity, file) in enumerate(zip(part.identities, part.files, strict=True)):
            crc = crc32(file)
            name = self._name(self._label_index(identity), identity.seed, part.start + i)
            data += (local_header(name, crc, len(file)), file)
            self._seeds.append(identity.seed)
            self._crcs.append(crc)
            self._sizes.append(len(file))
            self._sha256 += hashlib.sha256(part.levels[i]).digest()
        joined = b"".join(data)
        self._zip.offset += len(joined)
        return joined

    def tail(self) -> Iterator[bytes]:
        yield from self._zip.stream(b"manifest.csv", self._csv(), self._entries)
        yield from self._zip.stream(b"manifest.jsonl", self._jsonl(), self._entries)
        count = len(self._seeds) + len(self._entries)
        yield from _paged(self._zip.directory(self._all_entries(), count))

    def _label_index(self, identity: Identity) -> int:
        """Remembers which class the next image has."""
        label = identity.label
        if label not in self._folders:
            self._folders[label] = _folder(label, self._taken).encode()
            self._labels.append(label)
        index = self._labels.index(label)
        self._label_indices.append(index)
        return index

    def _name(self, label_index: int, seed: int, index: int) -> bytes:
        folder = self._folders[self._labels[label_index]]
        if self._repeats:
            return b"%b/%06d-%d.%b" % (folder, index, seed, self._suffix.encode())
        return b"%b/%d.%b" % (folder, seed, self._suffix.encode())

    def _names(self) -> Iterator[bytes]:
        for i, seed in enumerate(self._seeds):
            yield self._name(self._label_indices[i], seed, i)

    def _all_entries(self) -> Iterator[Entry]:
        yield from self._entries
        offset = self._first
        for name, crc, size in zip(self._names(), self._crcs, self._sizes, strict=True):
            yield Entry(name, crc, size, size, offset)
            offset += len(local_header(name, crc, size)) + size

    def _csv(self) -> Iterator[bytes]:
        """RFC 4180; what all rows share is quoted once."""
        origin = self._origin
        ends = [origin.model, origin.version_digest, origin.engine_digest]
        end = f",{_csv_line(ends)}\r\n"
        folders = {name: _csv_line([label]) for name, label in self._by_folder().items()}

        def lines() -> Iterator[bytes]:
            yield f"{_csv_line(COLUMNS)}\r\n".encode()
            for name, seed, sha256 in self._rows():
                label = folders[name.rpartition("/")[0]]
                line = f"{_csv_line([name]) if ',' in name else name},{label},{seed}"
                line = f"{line},{origin.truncation},{sha256}{end}"
                yield line.encode(errors="backslashreplace")

        yield from _paged(lines())

    def _jsonl(self) -> Iterator[bytes]:
        origin = self._origin
        shared = {
            "model": origin.model,
            "version_digest": origin.version_digest,
            "engine_digest": origin.engine_digest,
        }
        end = json.dumps(shared, ensure_ascii=False)[1:] + "\n"
        labels = {
            name: json.dumps(label, ensure_ascii=False) for name, label in self._by_folder().items()
        }

        def lines() -> Iterator[bytes]:
            for name, seed, sha256 in self._rows():
                # A name on disk holds nothing that JSON must escape.
                line = f'{{"file": "{name}", "label": {labels[name.rpartition("/")[0]]}, '
                line = f'{line}"seed": {seed}, "truncation": {origin.truncation}, '
                line = f'{line}"sha256": "{sha256}", {end}'
                yield line.encode(errors="backslashreplace")

        yield from _paged(lines())

    def _rows(self) -> Iterator[tuple[str, int, str]]:
        """Name, seed and SHA-256 of each image."""
        sha256 = self._sha256.hex()
        for i, name in enumerate(self._names()):
            yield name.decode(), self._seeds[i], sha256[64 * i : 64 * i + 64]

    def _by_folder(self) -> dict[str, str | None]:
        return {folder.decode(): label for label, folder in self._folders.items()}


def _csv_line(values: Iterable[object]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(values)
    return buffer.getvalue().removesuffix("\r\n")


def _paged(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces."""
    page: list[bytes] = []
    for part in parts:
        page.append(part)
        if len(page) == _PAGE:
            yield b"".join(page)
            page.clear()
    yield b"".join(page)


def _folder(label: str | None, taken: set[str]) -> str:
    """A folder's name for a class, safe on every system, and taken from now on.

    Two classes never share one, also where case or composition of letters does not count.
    """
    text = unicodedata.normalize("NFC", label or "samples")
    name = _UNSAFE.sub("_", text).strip(" .") or "samples"
    if name.split(".")[0].casefold() in _DEVICES:
        name = f"_{name}"
    chosen, number = name, 2
    while chosen.casefold() in taken:
        chosen = f"{name}-{number}"
        number += 1
    taken.add(chosen.casefold())
    return chosen
