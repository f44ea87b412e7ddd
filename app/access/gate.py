"""Lets a request in, or says what it lacks: a key, a scope, patience."""

from __future__ import annotations

from collections.abc import Iterator
from http.cookies import CookieError, SimpleCookie
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from prometheus_client.core import Metric
from starlette.concurrency import run_in_threadpool
from starlette.types import Scope

from app.access.audit import Audit
from app.access.callers import Caller, address_of, networks
from app.access.failures import Failures
from app.access.scopes import OPEN, needed
from app.access.sessions import Sessions
from app.access.signing import Signer
from app.metrics import counter
from library.errors import SynthoraxError
from library.keys import Key, Keys, allows
from library.settings import Settings

COOKIE = "synthorax_session"
EVENTS_SECONDS = 60  # a token's: it is asked for right before the stream is opened
EVENTS = "events"  # what it is signed for
_SAFE = ("GET", "HEAD", "OPTIONS")
_WAYS = "Authorization: Bearer synthorax_…, or log in on the page"


class Unauthorized(SynthoraxError):
    slug, title, status = "unauthorized", "A key is needed", 401
    challenge = 'Bearer realm="synthorax"'  # what would let in


class Forbidden(SynthoraxError):
    slug, title, status = "forbidden", "The key does not allow this", 403


class Gate:
    """Knows keys, sessions and tokens.  Without any key everybody may do all."""

    def __init__(self, settings: Settings, audit: Audit) -> None:
        self.keys = Keys(settings.data_dir, settings.api_keys)
        self.signer = Signer(settings.data_dir)
        self.sessions = Sessions(settings.data_dir, self.signer)
        self._failures = Failures()
        self._wrong = 0  # keys, tokens
        self._audit = audit
        self._proxies = networks(settings.trusted_proxies)

    async def admit(self, scope: Scope, given: dict[bytes, bytes]) -> Caller:
        """Who calls, if they may.  Raises Unauthorized, Forbidden, TooManyWrong.

        given: headers by their names in lower case.
        """
        address = address_of(scope, given.get(b"x-forwarded-for", b""), self._proxies)
        if not self.keys.are_asked_for():
            return Caller("", "", "admin", "none", address)
        wanted = needed(scope["method"], scope["path"])
        try:
            found = self._found(scope, given, address)
        except Unauthorized as error:
            if wanted is OPEN:  # probes and the login page work beside an old session
                return Caller("", "", None, "none", address)
            await self.wrong(address, scope["method"], scope["path"])
            raise error
        if wanted is OPEN:
            return found or Caller("", "", None, "none", address)
        if found is None:
            raise Unauthorized(
                "This service is used with a key.",
                field="Authorization",
                remedy=f"Send {_WAYS}; the service's operator makes keys: synthorax keys add NAME.",
            )
        if not allows(found.scope, wanted):
            method, path = scope["method"], scope["path"]
            await run_in_threadpool(self._audit.forbidden, found.key, address, method, path)
            raise Forbidden(
                f"The key {found.key} has the scope {found.scope}, and this needs {wanted}.",
                field="Authorization",
                remedy=f"Ask the operator for a key with the scope {wanted}.",
            )
        return found

    def families(self) -> Iterator[Metric]:
        """For /metrics."""
        text = "Wrong keys and tokens that were tried"
        yield counter("synthorax_wrong_keys", text, {(): self._wrong}, ())

    async def wrong(self, address: str, method: str, path: str) -> None:
        """A wrong key: wait as the address has earned, and write it down."""
        self._wrong += 1
        count = await self._failures.happened(address)
        if count:
            await run_in_threadpool(self._audit.refused, address, method, path, count)

    def _found(self, scope: Scope, given: dict[bytes, bytes], address: str) -> Caller | None:
        """Whoever is named; None where nobody is.  Raises Unauthorized for what is wrong."""
        header = given.get(b"authorization")
        if header is not None:
            kind, _, text = header.decode("latin-1").partition(" ")
            key = self.keys.find(text.strip()) if kind.lower() == "bearer" else None
            return _known(key, "key", address, "The key is none of this service's.")
        token = _token(scope)
        if token is not None:
            about = self.signer.read(EVENTS, token) or {}
            same = about.get("path") == scope["path"] and scope["method"] in _SAFE
            key = self.keys.by_id(about["key"]) if same else None
            return _known(key, "token", address, "The token is none, or its minute is over.")
        session = _cookie(given.get(b"cookie"))
        if session is not None:
            began_with = self.sessions.key_of(session)
            key = self.keys.by_id(began_with) if began_with else None
            if key is None:  # an old cookie is no attempt: it is as if there were none
                return None
            self._same_origin(scope, given)
            return _known(key, "session", address, "")
        return None

    def _same_origin(self, scope: Scope, given: dict[bytes, bytes]) -> None:
        """A session is sent by the browser, whoever asks: so the page that asks must be ours.

        Pages of SYNTHORAX_CORS_ORIGINS, which the guard lets in, are to send a key.
        """
        if scope["method"] in _SAFE or is_own_page(given):
            return
        raise Forbidden(
            "A session changes something only from the service's own page.",
            field="Origin",
            remedy="From a program, send Authorization: Bearer … instead of the cookie.",
        )


def _known(
    key: Key | None, by: Literal["key", "session", "token"], address: str, wrong: str
) -> Caller:
    if key is None:
        raise Unauthorized(wrong, field="Authorization", remedy=f"Send {_WAYS}.")
    return Caller(key.id, key.name, key.scope, by, address)


def _token(scope: Scope) -> str | None:
    query = scope.get("query_string", b"")
    if b"token=" not in query or not scope["path"].endswith("/events"):
        return None
    found = parse_qs(query.decode("latin-1")).get("token")
    return found[0] if found else None


def is_own_page(given: dict[bytes, bytes]) -> bool:
    """Whether a request comes from a page of the very host that it is sent to."""
    try:
        asking = urlsplit(given.get(b"origin", b"")).netloc
    except ValueError:
        return False
    return bool(asking) and asking == given.get(b"host")


def _cookie(header: bytes | None) -> str | None:
    if header is None or COOKIE.encode() not in header:
        return None
    try:
        found = SimpleCookie(header.decode("latin-1")).get(COOKIE)
    except CookieError:
        return None
    return found.value if found else None
