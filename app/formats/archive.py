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

    media_type = "application/zip"

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

    def _rows(self) -> Iterator[dict[str, object]]:
        origin = self._origin
        for i, name in enumerate(self._names()):
            yield {
                "file": name.decode(),
                "label": self._labels[self._label_indices[i]],
                "seed": self._seeds[i],
                "truncation": origin.truncation,
                "sha256": self._sha256[32 * i : 32 * i + 32].hex(),
                "model": origin.model,
                "version_digest": origin.version_digest,
                "engine_digest": origin.engine_digest,
            }

    def _csv(self) -> Iterator[bytes]:
        yield from _paged(_csv_lines(self._rows()))

    def _jsonl(self) -> Iterator[bytes]:
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in self._rows())
        yield from _paged(line.encode(errors="backslashreplace") for line in lines)


def _csv_lines(rows: Iterable[dict[str, object]]) -> Iterator[bytes]:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(row)
        yield buffer.getvalue().encode(errors="backslashreplace")
        buffer.seek(0)
        buffer.truncate()


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
