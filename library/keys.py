"""API keys: who may do what.  Stored as digests; the secret is told once, when a key is made.

A key reads synthorax_ID_SECRET, 32 and 256 random bits in hexadecimal: so long that a fast digest
is a right one.  Keys are in a file below the data folder, which commands change while services read
it, or in SYNTHORAX_API_KEYS, as ID:SCOPE:SHA256.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

from library.atomic import read_json, write_json
from library.errors import InvalidValue, NotFound, Unusable
from library.locks import waiting
from library.weak_secrets import is_known_digest

FILE = "keys.json"  # below the data folder
SCOPES = ("generate", "train", "admin")  # each holds those before it
_SCHEMA = 1
_TEXT = re.compile(r"synthorax_([0-9a-f]{8})_([0-9a-f]{64})")
_ENTRY = re.compile(rf"([0-9a-f]{{8}}):({'|'.join(SCOPES)}):([0-9a-f]{{64}})")
_LOOK_SECONDS = 1.0  # between two looks at the file


@dataclass(frozen=True)
class Key:
    """A key without its secret.  Times are seconds since 1970."""

    id: str
    scope: str
    sha256: str  # of the secret, hexadecimal
    name: str = ""
    created: float = 0.0
    expires: float | None = None
    revoked: float | None = None

    def problem(self, now: float) -> str | None:
        """Why the key is of no use, or None."""
        if self.revoked is not None:
            return "was revoked"
        if self.expires is not None and self.expires <= now:
            return "has expired"
        return None

    @property
    def entry(self) -> str:
        """As SYNTHORAX_API_KEYS holds it; no secret."""
        return f"{self.id}:{self.scope}:{self.sha256}"


def allows(scope: str | None, needed: str) -> bool:
    """Whether a scope holds another."""
    return scope is not None and SCOPES.index(scope) >= SCOPES.index(needed)


def new_key(name: str, scope: str, expires: float | None = None) -> tuple[Key, str]:
    """A key and its text, which is nowhere else.  Raises InvalidValue."""
    if scope not in SCOPES:
        raise InvalidValue(
            f"{scope!r} is no scope.", field="scope", value=scope, remedy=f"Use {_or(SCOPES)}."
        )
    secret = secrets.token_hex(32)
    digest = sha256(secret.encode()).hexdigest()
    key = Key(secrets.token_hex(4), scope, digest, name, time.time(), expires)
    return key, f"synthorax_{key.id}_{secret}"


def entries(text: str) -> tuple[Key, ...]:
    """Keys of SYNTHORAX_API_KEYS.  Raises InvalidValue, which repeats nothing of it."""
    found = []
    for place, part in enumerate(text.replace(",", " ").split(), 1):
        match = _ENTRY.fullmatch(part)
        if match is None:
            raise InvalidValue(
                f"Entry {place} of SYNTHORAX_API_KEYS is not ID:SCOPE:SHA256.",
                field="SYNTHORAX_API_KEYS",
                remedy="Make one: synthorax keys new NAME --scope generate. It tells the entry, "
                "and the key itself once.",
            )
        if is_known_digest(match[3]):
            raise InvalidValue(
                f"Entry {place} of SYNTHORAX_API_KEYS is the digest of a well-known word or a "
                "placeholder.",
                field="SYNTHORAX_API_KEYS",
                remedy="Make one: synthorax keys new NAME --scope generate. Its secret has 256 "
                "random bits.",
            )
        found.append(Key(match[1], match[2], match[3], "environment"))
    return tuple(found)


class KeyFile:
    """The keys of a data folder.  A file with revoked keys alone still asks for a key."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / FILE

    def read(self) -> dict[str, Key]:
        """By id.  Raises Unusable for a file that is not one of ours."""
        try:
            content = read_json(self.path)
            if content["schema"] != _SCHEMA:
                raise ValueError
            found = [Key(**each) for each in content["keys"]]
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError):
            raise Unusable(
                f"{str(self.path)!r} is damaged, so nobody is let in.",
                remedy="Restore it from a backup, or remove it and make the keys anew.",
            ) from None
        return {key.id: key for key in found}

    def add(self, key: Key) -> None:
        with self._changing() as keys:
            keys[key.id] = key

    def revoke(self, key: str) -> Key:
        """Let a key in no more.  Raises NotFound."""
        with self._changing() as keys:
            keys[key] = replace(_known(keys, key), revoked=time.time())
            return keys[key]

    def rotate(self, key: str, overlap: float) -> tuple[Key, str]:
        """A new key of the same name and scope; the old one ends after `overlap` seconds.

        Raises NotFound.
        """
        with self._changing() as keys:
            old = _known(keys, key)
            made, text = new_key(old.name, old.scope)
            ends = time.time() + overlap
            ends = ends if old.expires is None else min(old.expires, ends)
            keys |= {made.id: made, key: replace(old, expires=ends)}
        return made, text

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Key]]:
        """The keys, to be changed in place: read and written under one lock, or a key that another
        command revokes meanwhile would come back."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with waiting(self.path.with_name(f".{FILE}.lock")):
            keys = self.read()
            yield keys
            content = {"schema": _SCHEMA, "keys": [asdict(key) for key in keys.values()]}
            write_json(self.path, content)
            self.path.chmod(0o600)


def _known(keys: Mapping[str, Key], key: str) -> Key:
    if key not in keys:
        raise NotFound(f"There is no key {key!r}.", remedy="synthorax keys list shows all.")
    return keys[key]


class Keys:
    """All keys of a service, looked at anew when their file changes."""

    def __init__(self, data_dir: Path, given: Iterable[Key]) -> None:
        self._file = KeyFile(data_dir)
        self._given = {key.id: key for key in given}
        self._looked, self._seen = 0.0, (-1, -1)
        self._keys: dict[str, Key] = {}
        self._asked = False

    def all(self, now_made: str | None = None) -> Mapping[str, Key]:
        """By id.  Raises Unusable where the file is damaged.

        now_made: an id; where it is not known, the file is looked at in any case.
        """
        now = time.monotonic()
        is_new = now_made is not None and now_made not in self._keys
        if is_new or now - self._looked >= _LOOK_SECONDS or not self._looked:
            seen = self._state()
            if seen != self._seen:
                self._keys = {**self._file.read(), **self._given}
                self._seen = seen
            self._looked = now
        return self._keys

    def are_asked_for(self) -> bool:
        """Whether a request needs a key: from the first key on, also when its file is gone."""
        self._asked = self._asked or bool(self.all())
        return self._asked

    def find(self, text: str) -> Key | None:
        """The key that a text is, if it is one that lets somebody in."""
        match = _TEXT.fullmatch(text)
        if match is None:
            return None
        key = self.all(now_made=match[1]).get(match[1])
        digest = sha256(match[2].encode()).hexdigest()
        # One comparison, of the same length, whether the id is known or not.
        same = hmac.compare_digest(digest, key.sha256 if key else "0" * 64)
        return key if key and same and key.problem(time.time()) is None else None

    def by_id(self, key: str) -> Key | None:
        """A key that lets somebody in now, by its id: of a session."""
        found = self.all().get(key)
        return found if found and found.problem(time.time()) is None else None

    def _state(self) -> tuple[int, int]:
        try:
            found = self._file.path.stat()
        except FileNotFoundError:
            return (0, 0)
        return (found.st_mtime_ns, found.st_ino)


def _or(names: Iterable[str]) -> str:
    *some, last = names
    return f"{', '.join(some)} or {last}"
