"""Headers of answers that hold samples: caching, names, what made them."""

from __future__ import annotations

from urllib.parse import quote

from app.engine.loaded import Loaded
from app.generate.forms import FILE_FORMATS, AnswerForm, Asked, FileForm, FormKind
from library.identity import Identity

Headers = list[tuple[bytes, bytes]]

NULL_LABEL = "_"
_SUFFIXES = {f.media_type: f.suffix for f in FILE_FORMATS.values()} | {
    "application/zip": "zip",
    "application/x-npy": "npy",
    "application/x-npz": "npz",
}


def headers_of(kind: FormKind, asked: Asked, form: AnswerForm) -> Headers:
    """What precedes an answer of POST /generate.  Of one file: once it is made."""
    origin = asked.origin
    headers = [
        (b"content-type", kind.media_type.encode()),
        (b"cache-control", cache_control(asked.loaded)),
        (b"vary", b"Accept"),
        (b"synthorax-model", origin.model.encode()),
        (b"synthorax-engine", origin.engine_digest.encode()),
    ]
    suffix = _SUFFIXES.get(kind.media_type)
    if isinstance(form, FileForm) and form.identity is not None:
        headers += file_headers(form.identity, asked.loaded, suffix or "")
        if suffix == "png":
            headers.append((b"content-location", address(form.identity).encode()))
    elif suffix is not None:
        headers.append(_disposition("attachment", f"{_stem(asked.loaded)}.{suffix}"))
    return headers


def file_headers(identity: Identity, loaded: Loaded, suffix: str) -> Headers:
    """Of one image."""
    stem = f"{_stem(loaded)}-{identity.seed}"
    return [
        (b"etag", etag(identity, suffix).encode()),
        (b"synthorax-seed", b"%d" % identity.seed),
        (b"synthorax-label", quote(identity.label or "").encode()),
        _disposition("inline", f"{stem}.{suffix}"),
    ]


def etag(identity: Identity, suffix: str = "png") -> str:
    """A strong validator: names all that decides the bytes."""
    return f'"{identity.digest()[:32]}-{suffix}"'


def address(identity: Identity) -> str:
    """Where this sample stands."""
    label = NULL_LABEL if identity.label is None else quote(identity.label, safe="")
    origin = identity.origin
    return (
        f"/models/{origin.model}/samples/{label}/{identity.seed}.png"
        f"?truncation={origin.truncation}&engine={origin.engine_digest}"
    )


def cache_control(loaded: Loaded, immutable: bool = False) -> bytes:
    """Private models leave no copies; an address that names the engine never changes."""
    if loaded.version.private:
        return b"private, no-store"
    return b"public, max-age=31536000, immutable" if immutable else b"no-cache"


def _stem(loaded: Loaded) -> str:
    return f"{loaded.version.name}-{loaded.version.version}"


def _disposition(kind: str, name: str) -> tuple[bytes, bytes]:
    return b"content-disposition", f'{kind}; filename="{name}"'.encode()
