"""A file from elsewhere: fetched only with its digest, or from a hub that tells it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from synthorax.errors import ConnectionFailed, SynthoraxError

HUB = "https://huggingface.co"  # HF_ENDPOINT names another
_HUB = "hf://"


def address_of(source: str, headers: dict[str, str]) -> str:
    """Where hf://OWNER/REPO[@REVISION][/FILE] lies; other addresses are as they are.

    A repository with one exported version needs no FILE.  Raises SynthoraxError, httpx.HTTPError.
    """
    if not source.startswith(_HUB):
        return source
    owner, _, rest = source.removeprefix(_HUB).partition("/")
    repository, _, file = rest.partition("/")
    repository, _, revision = repository.partition("@")
    if not (owner and repository):
        raise SynthoraxError(f"{source!r} names no repository.", "Write hf://OWNER/REPO/FILE.")
    hub = os.environ.get("HF_ENDPOINT", HUB).rstrip("/")
    revision = revision or "main"
    if not file:
        listing = f"{hub}/api/models/{owner}/{repository}/revision/{revision}"
        file = _only_version(source, listing, headers)
    return f"{hub}/{owner}/{repository}/resolve/{revision}/{file}"


def _only_version(source: str, listing: str, headers: dict[str, str]) -> str:
    import httpx

    answer = httpx.get(listing, headers=headers, follow_redirects=True, timeout=60)
    if answer.is_error:
        raise SynthoraxError(f"{source}: the server answered {answer.status_code}.")
    names = [each["rfilename"] for each in answer.json()["siblings"]]
    versions = [name for name in names if name.endswith(".synthorax")]
    if len(versions) != 1:
        found = ", ".join(versions) or "none"
        raise SynthoraxError(f"{source} holds {found}.", "Name one file: hf://OWNER/REPO/FILE.")
    return str(versions[0])


def fetch(source: str, path: Path, sha256: str | None) -> None:
    """Write what lies at an address to `path`.

    sha256: needed, but for a hub, which tells that of its large files.  Raises SynthoraxError.
    """
    import httpx

    from_hub = source.startswith(_HUB)
    if sha256 is None and not from_hub:
        raise SynthoraxError(
            f"{source} could be any file.", "Give the SHA-256 that its author published: sha256=…"
        )
    token = os.environ.get("HF_TOKEN") if from_hub else None
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        address = address_of(source, headers)
        with httpx.stream(
            "GET", address, headers=headers, follow_redirects=True, timeout=60
        ) as answer:
            if answer.is_error:
                raise SynthoraxError(f"{source}: the server answered {answer.status_code}.")
            with open(path, "wb") as file:
                for part in answer.iter_bytes():
                    file.write(part)
            first = (*answer.history, answer)[0]
    except httpx.HTTPError as error:
        raise ConnectionFailed(f"{source} could not be fetched ({type(error).__name__}).") from None
    told = first.headers.get("x-linked-etag", "").strip('"')
    if sha256 is None and len(told) == 64:
        check_digest(path, told)


def check_digest(path: Path, sha256: str) -> None:
    """Raise SynthoraxError where a file is another one."""
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256.lower():
        raise SynthoraxError(
            f"The file has the SHA-256 {found}, and {sha256} was expected.", "It is another file."
        )
