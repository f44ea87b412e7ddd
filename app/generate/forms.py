"""The forms of an answer by media type: what each may hold, and how it is built."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, Protocol

from app.engine.loaded import Loaded
from app.formats.archive import ZipForm
from app.formats.encoding import FILE_FORMATS, Encoded, FileFormat, Form
from app.formats.npy import NpyForm, NpzForm
from app.generate.near_copies import Accepted
from library.errors import InvalidValue
from library.identity import Identity, Origin

NPZ_BYTES_MAX = 2**32 - 2**20  # of pixels: the archive inside has no 64-bit sizes


class AnswerForm(Form, Protocol):
    """A form that a whole answer has."""

    def head(self) -> bytes: ...
    def tail(self) -> Iterator[bytes]: ...


class Asked(NamedTuple):
    """What a form may need to know of the request."""

    loaded: Loaded
    origin: Origin
    images: int
    repeats: bool  # a sample may be asked for twice
    file_format: str  # of the files in an archive
    accepted: Accepted | None = None  # with reject_near_copies


@dataclass(frozen=True)
class FormKind:
    """A media type that POST /generate answers with."""

    media_type: str
    count_max: int
    streamed: bool  # sent as it is made, in constant memory
    build: Callable[[Asked], AnswerForm]
    holds_files: bool = False  # in a format of the caller's choice


class JsonForm:
    """The answer as JSON, PNGs in base64.  Written by hand: base64 needs no escaping."""

    format = FILE_FORMATS["png"]

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def head(self) -> bytes:
        version, origin = self._asked.loaded.version, self._asked.origin
        about: dict[str, object] = {
            "model": {"name": version.name, "version": version.version, "digest": version.digest},
            "engine": {
                "backend": origin.backend,
                "precision": origin.precision,
                "digest": origin.engine_digest,
            },
            "synthetic": True,
        }
        accepted = self._asked.accepted
        if accepted is not None:
            about["near_copies"] = {"rejected": accepted.total, "report": accepted.report}
        return json.dumps(about).encode()[:-1] + b', "images": ['

    def chunk(self, part: Encoded) -> bytes:
        _, height, width = part.levels.shape
        entries = []
        for i, (identity, file) in enumerate(zip(part.identities, part.files, strict=True)):
            sha256 = hashlib.sha256(part.levels[i]).hexdigest()
            about = (
                f'{{"index": {part.start + i}, "seed": {identity.seed}, '
                f'"label": {_quoted(identity.label)}, "width": {width}, "height": {height}, '
                f'"sha256": "{sha256}", "png": "'
            )
            entries.append(about.encode() + b64encode(file) + b'"' + self._instead(part.start + i))
        joined = b", ".join(entries)
        return b", " + joined if part.start else joined

    def _instead(self, index: int) -> bytes:
        accepted = self._asked.accepted
        if accepted is None:
            return b"}"
        requested, rejected = accepted.requested[index], accepted.rejected[index]
        return b', "requested_seed": %d, "rejected": %d}' % (requested, rejected)

    def tail(self) -> Iterator[bytes]:
        yield b"]}"


@cache
def _quoted(label: str | None) -> str:
    return json.dumps(label)


class FileForm:
    """One image as a file."""

    def __init__(self, file_format: FileFormat) -> None:
        self.format = file_format
        self.identity: Identity | None = None  # once it is made

    def head(self) -> bytes:
        return b""

    def chunk(self, part: Encoded) -> bytes:
        self.identity = part.identities[0]
        return part.files[0]

    def tail(self) -> Iterator[bytes]:
        yield from ()


def _zip(asked: Asked) -> AnswerForm:
    file_format = FILE_FORMATS[asked.file_format]
    card = asked.loaded.version.path / "CARD.md"
    content = card.read_bytes() if card.is_file() else None
    return ZipForm(asked.origin, file_format, content, asked.repeats)


def _npy(asked: Asked) -> AnswerForm:
    return NpyForm(asked.images, asked.loaded.version.resolution)


def _npz(asked: Asked) -> AnswerForm:
    resolution = asked.loaded.version.resolution
    if asked.images * resolution**2 > NPZ_BYTES_MAX:
        most = NPZ_BYTES_MAX // resolution**2
        raise InvalidValue(
            f"{asked.images} images of {resolution} x {resolution} pixels are more than 4 GiB.",
            field="count",
            value=asked.images,
            remedy=f"Ask for at most {most} as npz, or accept application/x-npy.",
        )
    return NpzForm(asked.origin, asked.images, resolution)


JSON_COUNT_MAX = 256
ARRAY_COUNT_MAX = 4096
COUNT_MAX = 100_000

# In our order of preference.
KINDS = {
    kind.media_type: kind
    for kind in (
        FormKind("application/json", JSON_COUNT_MAX, False, JsonForm),
        *(
            FormKind(f.media_type, 1, False, lambda _, f=f: FileForm(f))  # type: ignore[misc]
            for f in FILE_FORMATS.values()
        ),
        FormKind("application/zip", COUNT_MAX, True, _zip, holds_files=True),
        FormKind("application/x-npy", ARRAY_COUNT_MAX, True, _npy),
        FormKind("application/x-npz", ARRAY_COUNT_MAX, True, _npz),
    )
}


def check_count(kind: FormKind, count: int, field: str) -> None:
    """Raises InvalidValue when the form cannot hold so many."""
    if count <= kind.count_max:
        return
    others = [f"{k.media_type} (up to {k.count_max:,})" for k in KINDS.values()]
    able = [text for text, k in zip(others, KINDS.values(), strict=True) if k.count_max >= count]
    raise InvalidValue(
        f"{kind.media_type} holds {_images(kind.count_max)}, and {count:,} are asked for.",
        field=field,
        value=count,
        remedy=f"Ask for fewer, or accept {' or '.join(able)}.",
    )


def check_filtered(kind: FormKind, count: int) -> None:
    """Raises InvalidValue for what reject_near_copies cannot answer."""
    if kind.media_type == "application/x-npy":  # it could not say which seeds made them
        raise InvalidValue(
            "application/x-npy holds no seeds, and reject_near_copies changes them.",
            field="reject_near_copies",
            value=True,
            remedy="Accept application/x-npz, application/zip or application/json.",
        )
    if count > ARRAY_COUNT_MAX:
        raise InvalidValue(
            f"{count:,} images are asked for with reject_near_copies.",
            field="count",
            value=count,
            remedy=f"Ask for at most {ARRAY_COUNT_MAX:,} at once.",
        )


def _images(count: int) -> str:
    return "one image" if count == 1 else f"at most {count:,} images"
