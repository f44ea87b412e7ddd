"""Secrets that anybody would try first: words of documentation, and what is too short."""

from __future__ import annotations

import re
from hashlib import sha256

from library import redis_address
from library.errors import InvalidValue

LENGTH_MIN, DIFFERENT_MIN = 16, 8  # characters of a password
_LOCAL = frozenset({None, "127.0.0.1", "localhost", "::1"})
# Without digits and signs: "P@ssw0rd-123" is told by its length.
_WORDS = (
    "admin", "administrator", "apikey", "changeit", "changeme", "default", "dummy", "example",
    "fillin", "foobared", "guest", "hunter", "letmein", "master", "mypassword", "pass", "passwd",
    "password", "placeholder", "qwerty", "redis", "redispassword", "replace", "replaceme", "root",
    "secret", "secretpassword", "setapassword", "synthorax", "synthoraxpassword", "test", "todo",
    "valkey", "valkeypassword", "yourpassword", "yoursecret",
)  # fmt: skip
_PARTS = ("changeme", "change-me", "example", "placeholder", "replaceme", "replace-me", "password",
          "synthorax")  # fmt: skip
_REMEDY = (
    "Make one of 256 random bits, `openssl rand -hex 32`, and set it there and in Redis "
    "(container files: SYNTHORAX_REDIS_PASSWORD; redis-password in deploy/kubernetes/secret.yaml)."
)


def why_weak(secret: str) -> str | None:
    """What is wrong with a password, or None."""
    letters = re.sub(r"[^a-z]", "", secret.lower())
    if letters in _WORDS or any(part in secret.lower() for part in _PARTS):
        return "a well-known word or a placeholder"
    if len(secret) < LENGTH_MIN:
        return f"shorter than {LENGTH_MIN} characters"
    if len(set(secret)) < DIFFERENT_MIN:
        return f"of fewer than {DIFFERENT_MIN} different characters"
    return None


def is_known_digest(digest: str) -> bool:
    """Whether a SHA-256 (hexadecimal) is one of a well-known word, or was typed by hand."""
    return digest in _DIGESTS or len(set(digest)) < DIFFERENT_MIN


def refuse_weak_password(url: str, is_reachable: bool, trusted: bool) -> None:
    """Raises InvalidValue for a Redis that others reach, or a service that others reach.

    is_reachable: this service listens beyond loopback; trusted: the operator says that only
    trusted machines are on the network, so that Redis may have no password.
    """
    is_remote = redis_address.host_of(url) not in _LOCAL
    password = redis_address.password_of(url)
    if not password:
        if is_remote and not trusted and not redis_address.has_certificate(url):
            raise _refusal(
                "has no password, and Redis is on another machine",
                f"{_REMEDY} Where only trusted machines can reach Redis, SYNTHORAX_TRUST_NETWORK=1 "
                "allows it.",
            )
        return
    weak = why_weak(password)
    if weak is not None and (is_remote or is_reachable):
        raise _refusal(f"has a password that is {weak}", _REMEDY)


def _refusal(what: str, remedy: str) -> InvalidValue:
    setting = redis_address.SETTING
    return InvalidValue(f"{setting} {what}.", field=setting, remedy=remedy)


_DIGESTS = frozenset(
    sha256(text.encode()).hexdigest()
    for word in ("", *_WORDS, "SECRET", "KEY", "0" * 64)
    for text in (word, word.upper(), word.capitalize(), f"{word}\n")
)
