"""The keys of this machine's data folder, as the commands show them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from library.keys import Key, KeyFile, new_key
from library.settings import from_environment

_DAY = 86_400.0  # seconds


def add(name: str, scope: str, days: float | None) -> dict[str, Any]:
    """Make and store a key; `key` of the answer is its text."""
    key, text = new_key(name, scope, None if days is None else time.time() + days * _DAY)
    _file().add(key)
    return {**shown(key), "key": text}


def new(name: str, scope: str) -> dict[str, Any]:
    """Make a key that is not stored; `entry` is for SYNTHORAX_API_KEYS."""
    key, text = new_key(name, scope)
    return {**shown(key), "key": text, "entry": key.entry}


def all_keys() -> list[dict[str, Any]]:
    return [shown(key) for key in _file().read().values()]


def revoke(key: str) -> dict[str, Any]:
    return shown(_file().revoke(key))


def rotate(key: str, hours: float) -> dict[str, Any]:
    """Make a key in place of another, which ends after so long."""
    made, text = _file().rotate(key, hours * 3600)
    return {**shown(made), "key": text}


def shown(key: Key) -> dict[str, Any]:
    """A key without its digest."""
    return {
        "id": key.id,
        "name": key.name,
        "scope": key.scope,
        "created": _time(key.created),
        "expires": _time(key.expires),
        "problem": key.problem(time.time()),
    }


def _file() -> KeyFile:
    return KeyFile(from_environment().data_dir)


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
