"""Headers of answers that hold samples: caching, names, what made them."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote

from app.formats.encoding import FILE_FORMATS
from app.generate.forms import AnswerForm, Asked, FileForm, FormKind
from library.identity import Identity, Origin

Headers = list[tuple[bytes, bytes]]

NULL_LABEL = "_"
_SUFFIXES = {f.media_type: f.suffix for f in FILE_FORMATS.values()} | {
    "application/zip": "zip",
    "application/x-npy": "npy",
    "application/x-npz": "npz",
}
_OF_ONE_FILE = ("image/", "application/dicom")


def headers_of(kind: FormKind, asked: Asked, form: AnswerForm) -> Headers:
    """What precedes an answer of POST /generate.  Of one file: once it is made."""
    private = asked.loaded.version.private
    more: Headers = []
    if asked.accepted is not None:
        told = f"rejected={asked.accepted.total}; report={asked.accepted.report}"
        more = [(b"synthorax-near-copies", told.encode())]
    if not isinstance(form, FileForm):
        return [*_shared(kind.media_type, asked.origin, private), *more]
    identity = form.identity
    assert identity is not None
    headers = file_headers(identity, _SUFFIXES[kind.media_type])
    headers += [*_shared(kind.media_type, asked.origin, private), *more]
    if kind.media_type == "image/png":
        headers.append((b"content-location", address(identity).encode()))
    return headers


@lru_cache(maxsize=256)
def _shared(media_type: str, origin: Origin, private: bool) -> tuple[tuple[bytes, bytes], ...]:
    headers = [
        (b"content-type", media_type.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", cache_control(private)),
    ]
    if media_type != "image/png":  # whose Content-Location names them
        headers += [
            (b"synthorax-model", origin.model.encode()),
            (b"synthorax-engine", origin.engine_digest.encode()),
        ]
    suffix = _SUFFIXES.get(media_type)
    if suffix is not None and not media_type.startswith(_OF_ONE_FILE):
        name = f"{_stem(origin.model)}.{suffix}"
        headers.append((b"content-disposition", f'attachment; filename="{name}"'.encode()))
    return tuple(headers)


def file_headers(identity: Identity, suffix: str) -> Headers:
    """Of one image."""
    origin, label, seed = identity
    name = f'inline; filename="{_stem(origin.model)}-{seed}.{suffix}"'
    headers = [
        (b"etag", etag(identity, suffix).encode()),
        (b"synthorax-seed", b"%d" % seed),
        (b"content-disposition", name.encode()),
    ]
    if label is not None:
        headers.append((b"synthorax-label", _quoted(label).encode()))
    return headers


@lru_cache(maxsize=256)
def _quoted(label: str | None) -> str:
    return quote(label or "", safe="", errors="surrogateescape")


@lru_cache(maxsize=256)
def _stem(model: str) -> str:
    return model.replace("@", "-")


def etag(identity: Identity, suffix: str = "png") -> str:
    """A strong validator: names all that decides the bytes."""
    return f'"{identity.digest()[:32]}-{suffix}"'


def address(identity: Identity) -> str:
    """Where this sample stands."""
    origin, label, seed = identity
    return (
        f"/models/{origin.model}/samples/{NULL_LABEL if label is None else _quoted(label)}/{seed}"
        f".png?truncation={origin.truncation}&engine={origin.engine_digest}"
    )


def cache_control(private: bool, immutable: bool = False) -> bytes:
    """Private models leave no copies; an address that names the engine never changes."""
    if private:
        return b"private, no-store"
    return b"public, max-age=31536000, immutable" if immutable else b"no-cache"
