"""SYNTHORAX_REDIS_URL: what may stand in it.  Messages never repeat it: it holds a password."""

from __future__ import annotations

import os
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from library.errors import InvalidValue

SETTING = "SYNTHORAX_REDIS_URL"
_SCHEMES = ("redis", "rediss", "unix")
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


def checked(url: str) -> str:
    """The address, if it is one.  Raises InvalidValue."""
    parts = _split(url)
    if parts.scheme not in _SCHEMES:
        raise _invalid(
            "is no address of a Redis",
            "Use redis://USER:PASSWORD@HOST:PORT/0, rediss://… for TLS, or unix:///PATH; a "
            "password's special characters as %XX.",
        )
    given = parse_qs(parts.query)
    if parts.scheme != "rediss" and any(name.startswith("ssl_") for name in given):
        raise _invalid("has options for TLS and does not ask for it", "Begin it with rediss://.")
    for name in _FILES:
        for path in given.get(name, []):
            if not os.access(path, os.R_OK):
                raise _invalid(
                    f"names {path!r} as {name}, which cannot be read",
                    "Give the path of a PEM file that the service's user may read.",
                )
    return url


def shown(url: str) -> str:
    """The address without password and options."""
    parts = _split(url)
    user = f"{unquote(parts.username)}@" if parts.username else ""
    where = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{user}{where}{parts.path}"


def user_of(url: str) -> str:
    return unquote(_split(url).username or "") or "default"


def password_of(url: str) -> str:
    return unquote(_split(url).password or "")


def host_of(url: str) -> str | None:
    """None: this machine's, by a socket's path."""
    parts = _split(url)
    return None if parts.scheme == "unix" else parts.hostname or "localhost"


def has_certificate(url: str) -> bool:
    """Whether a certificate of ours tells Redis who we are."""
    return "ssl_certfile" in parse_qs(_split(url).query)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # its words may hold a part of the password
        raise _invalid(
            "cannot be read", "Write the password's special characters as %XX."
        ) from None
    return parts


def _invalid(what: str, remedy: str) -> InvalidValue:
    return InvalidValue(f"{SETTING} {what}.", field=SETTING, remedy=remedy)
