"""Every request's way in and out: what protects a service, with keys or on loopback without."""

from __future__ import annotations

import re
import secrets
import time
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.audit import Audit
from app.access.callers import Caller, caller
from app.access.gate import Gate, Unauthorized, is_own_page
from app.access.limits import Headers, Limits
from app.access.login import login_instead
from app.errors import response_to
from app.metrics import Metrics
from app.telling import Telling
from library.errors import SynthoraxError
from library.logs import request_id
from library.settings import LOOPBACK, Settings

BODY_MAX = 1024 * 1024  # bytes; the largest honest body is 10,000 items
# Where a body may be larger, or something else than JSON: media types that a page of another origin
# cannot send without asking first, save multipart, whose Origin is checked as every other's.
BODY_MAX_OF = {"/verify": 32 * 1024 * 1024}
MEDIA_TYPES_OF = {
    "/verify": ("image/png", "image/jpeg", "image/webp", "application/dicom"),
    "/datasets": ("application/zip", "application/x-zip-compressed", "multipart/form-data"),
    "/models": ("application/zip",),
    "/session": ("application/x-www-form-urlencoded",),
}
# The same of addresses with an id in them.
SCORES = re.compile(r"/studies/[^/]+/scores")
SCORES_MAX, SCORES_TYPES = 32 * 1024 * 1024, ("text/csv",)
_MULTIPART = 1024 * 1024  # bytes that the other parts and their heads may add to an archive
_LOOKED_AT = frozenset(
    b"host origin content-length transfer-encoding content-type authorization cookie accept "
    b"x-forwarded-for x-request-id traceparent".split()
)
_IDENTITY = re.compile(rb"[\w.-]{8,64}", re.ASCII)
_SAFE = ("GET", "HEAD", "OPTIONS")
_SECURITY_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' blob: data:; "
        b"object-src 'none'; base-uri 'none'; frame-ancestors 'self'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"referrer-policy", b"no-referrer"),
]


class Misdirected(SynthoraxError):
    slug, title, status = "host-not-allowed", "This host name is not served", 421


class CrossOrigin(SynthoraxError):
    slug, title, status = "cross-origin", "Another web page may not change anything here", 403


class WrongMediaType(SynthoraxError):
    slug, title, status = (
        "unsupported-media-type",
        "The body has another form than is asked for",
        415,
    )


class TooLarge(SynthoraxError):
    slug, title, status = "too-large", "The body is too large", 413


class Guard:
    """ASGI: every request's way in and out.

    In: Host allow-list, same-origin changes, bodies of a bounded size, keys, limits.  Out: security
    headers, the request's id, a line in the log, and in the audit log where something changed.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        gate: Gate,
        limits: Limits,
        audit: Audit,
        metrics: Metrics,
    ) -> None:
        self.app = app
        self._gate, self._limits, self._audit = gate, limits, audit
        # JSON to /datasets is bounded where it is read: its route takes archives, too.
        archives = dict.fromkeys(("/datasets", "/models"), settings.upload_mb * 2**20 + _MULTIPART)
        self.limits = {**BODY_MAX_OF, **archives}
        self.hosts = LOOPBACK | {settings.host} | set(settings.allowed_hosts)
        self._origins = frozenset(origin.encode() for origin in settings.cors_origins)
        self._telling = Telling(metrics, settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        given = {name: value for name, value in scope["headers"] if name in _LOOKED_AT}
        identity = _identity(given.get(b"x-request-id", b""))
        request_id.set(identity)
        span = self._telling.begin(scope, given, identity)
        caller.set(None)  # not that of the request before on this connection
        own: Headers = [(b"x-request-id", identity.encode())]
        answer = _Answer(send, own)
        limit = self._limit(scope["path"])
        try:
            error = self.refusal(scope, given, limit)
            if error is not None:
                raise error
            found = await self._gate.admit(scope, given)
            caller.set(found)
            if not _is_probe(scope):  # who asks too often must not make the service look ill
                own += await self._limits.request(found)
            changes = self._audit.wants(scope["method"], scope["path"])
            if changes and found.scope is not None:  # what is killed in between is written, too
                await run_in_threadpool(self._audit.asked, found, scope["method"], scope["path"])
        except SynthoraxError as error:
            self._telling.refused(error)
            await refused(error, scope, given)(scope, receive, answer.send)
            self._telling.end(scope, answer.status, began, span)
            return
        answer.is_private = found.by != "none"
        try:
            await self.app(scope, _bounded(receive, limit), answer.send)
        finally:
            if changes:
                await self._written(scope, found, answer.status)
            self._telling.end(scope, answer.status, began, span)

    async def _written(self, scope: Scope, found: Caller, status: int) -> None:
        """In the audit log: how it ended.  Where nobody was known before, by whom it was, if that
        came out (a login, a reader's link): else anybody could fill the disk with lines."""
        who = caller.get()
        if found.scope is not None:
            await run_in_threadpool(self._audit.answered, who, status)
        elif who is not None and who is not found:
            about = (scope["method"], scope["path"], status)
            await run_in_threadpool(self._audit.done, who, *about)

    def _limit(self, path: str) -> int:
        return SCORES_MAX if SCORES.fullmatch(path) else self.limits.get(path, BODY_MAX)

    def refusal(self, scope: Scope, given: dict[bytes, bytes], limit: int) -> SynthoraxError | None:
        """Why a request is not let in, whoever sends it; None where it is."""
        host = _hostname(given.get(b"host", b""))
        # A page that was rebound to this address has no key; probes and scrapers come by number.
        by_number = _is_probe(scope) or (
            b"authorization" in given and self._gate.keys.are_asked_for()
        )
        if host not in self.hosts and not by_number:
            return Misdirected(
                f"The Host header names {host!r}.",
                field="Host",
                value=host,
                remedy="Use 127.0.0.1 or localhost, or add the name to SYNTHORAX_ALLOWED_HOSTS.",
            )
        if scope["method"] in _SAFE:
            return None
        origin = given.get(b"origin")
        if origin is not None and origin not in self._origins and not is_own_page(given):
            shown = origin.decode("latin-1")
            return CrossOrigin(
                f"The request comes from a page of {shown!r}.",
                field="Origin",
                value=shown,
                remedy="Call the service from its own page, or from a program.",
            )
        length = given.get(b"content-length", b"0").decode("latin-1")
        has_body = b"transfer-encoding" in given or length != "0"
        media_type = given.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if has_body and media_type != b"application/json":
            allowed = _media_types(scope["path"])
            shown = media_type.decode("latin-1")
            if shown not in allowed:
                kinds = " or ".join(("application/json", *allowed))
                return WrongMediaType(
                    f"The body's Content-Type is {shown!r}.",
                    field="Content-Type",
                    value=shown,
                    remedy=f"Send it with Content-Type: {kinds}.",
                )
        if length.isdecimal() and int(length) > limit:
            return too_large(f"The body has {length} bytes.", limit)
        return None


def _is_probe(scope: Scope) -> bool:
    path: str = scope["path"]
    return path.startswith("/health/")


def _media_types(path: str) -> tuple[str, ...]:
    """Of bodies, beside JSON."""
    return SCORES_TYPES if SCORES.fullmatch(path) else MEDIA_TYPES_OF.get(path, ())


def too_large(detail: str, limit: int) -> TooLarge:
    return TooLarge(detail, field="body", remedy=f"Send at most {limit} bytes.")


@lru_cache(maxsize=256)
def _hostname(header: bytes) -> str:
    host = header.decode("latin-1")
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return host


class _Answer:
    """Adds headers to an answer on its way, and keeps its status."""

    def __init__(self, send: Send, own: Headers) -> None:
        self._send, self._own = send, own
        self.is_private = False
        self.status = 499  # the client went away before an answer began

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = list(message["headers"])
            names = {name for name, _ in given}
            if self.is_private:
                given = [(n, _private(v) if n == b"cache-control" else v) for n, v in given]
                self._own.append((b"vary", b"authorization, cookie"))
            # What an answer says itself stands alone: browsers would enforce both policies.
            more = [header for header in _SECURITY_HEADERS if header[0] not in names]
            message["headers"] = [*given, *more, *self._own]
        await self._send(message)


def _private(value: bytes) -> bytes:
    """What may be kept, but by the caller's browser alone."""
    return value.replace(b"public", b"private")


def _bounded(receive: Receive, limit: int) -> Receive:
    size = 0

    async def bounded() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:  # sent in chunks, without a length that could be refused before
            raise too_large(f"The body is larger than {limit} bytes.", limit)
        return message

    return bounded


def refused(error: SynthoraxError, scope: Scope, given: dict[bytes, bytes]) -> Response:
    """The answer to who is not let in: a problem, or the login form for a browser on the page."""
    if not isinstance(error, Unauthorized):
        return response_to(error)
    query, accept = scope.get("query_string", b""), given.get(b"accept", b"")
    form = login_instead(scope["path"], query.decode("latin-1"), accept.decode("latin-1"))
    if form is not None:
        return form
    return response_to(error)


def _identity(given: bytes) -> str:
    """The client's id for a request, or one of our own."""
    return given.decode() if _IDENTITY.fullmatch(given) else secrets.token_hex(8)
