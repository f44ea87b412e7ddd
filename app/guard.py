"""Protects a service without keys on loopback from a hostile web page in the user's browser."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import problem_response
from library.errors import SynthoraxError
from library.settings import LOOPBACK, Settings

BODY_MAX = 1024 * 1024  # bytes; the largest honest body is 10,000 items
# Where a body may be larger, or something else than JSON: media types that a page of another origin
# cannot send without asking first, save multipart, whose Origin is checked as every other's.
BODY_MAX_OF = {"/verify": 32 * 1024 * 1024}
MEDIA_TYPES_OF = {
    "/verify": ("image/png", "image/jpeg", "image/webp", "application/dicom"),
    "/datasets": ("application/zip", "application/x-zip-compressed", "multipart/form-data"),
    "/models": ("application/zip",),
}
_MULTIPART = 1024 * 1024  # bytes that the other parts and their heads may add to an archive
_LOOKED_AT = frozenset(
    (b"host", b"origin", b"content-length", b"transfer-encoding", b"content-type")
)
_SAFE = ("GET", "HEAD", "OPTIONS")
_POLICY = b"content-security-policy"
_SECURITY_HEADERS = [  # the policy first
    (
        _POLICY,
        b"default-src 'self'; img-src 'self' blob: data:; "
        b"object-src 'none'; base-uri 'none'; frame-ancestors 'self'",
    ),
    (b"x-content-type-options", b"nosniff"),
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
    """ASGI middleware: Host allow-list, same-origin changes, JSON bodies of a bounded size."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        # JSON to /datasets is bounded where it is read: its route takes archives, too.
        archives = dict.fromkeys(("/datasets", "/models"), settings.upload_mb * 2**20 + _MULTIPART)
        self.limits = {**BODY_MAX_OF, **archives}
        self.hosts = LOOPBACK | {settings.host} | set(settings.allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.limits.get(scope["path"], BODY_MAX)
        error = self.refusal(scope, limit)
        if error is not None:
            await problem_response(error.as_problem())(scope, receive, send)
            return
        size = 0

        async def bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > limit:  # sent in chunks, without a length that could be refused above
                raise too_large(f"The body is larger than {limit} bytes.", limit)
            return message

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = message["headers"]
                # A page's own policy stands alone: browsers would enforce both.
                own = any(name == _POLICY for name, _ in given)
                message["headers"] = [*given, *_SECURITY_HEADERS[own:]]
            await send(message)

        await self.app(scope, bounded, with_headers)

    def refusal(self, scope: Scope, limit: int = BODY_MAX) -> SynthoraxError | None:
        """Why a request is not let in; None where it is."""
        # One pass over the raw headers: this is paid by every request.
        given = {name: value for name, value in scope["headers"] if name in _LOOKED_AT}
        host_header = given.get(b"host", b"")
        host = _hostname(host_header)
        if host not in self.hosts:
            return Misdirected(
                f"The Host header names {host!r}.",
                field="Host",
                value=host,
                remedy="Use 127.0.0.1 or localhost, or add the name to SYNTHORAX_ALLOWED_HOSTS.",
            )
        if scope["method"] in _SAFE:
            return None
        origin = given.get(b"origin")
        if origin is not None and _netloc(origin) != host_header:
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
            allowed = MEDIA_TYPES_OF.get(scope["path"], ())
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


def _netloc(origin: bytes) -> bytes:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return b""


def too_large(detail: str, limit: int) -> TooLarge:
    return TooLarge(detail, field="body", remedy=f"Send at most {limit} bytes.")


@lru_cache(maxsize=256)
def _hostname(header: bytes) -> str:
    host = header.decode("latin-1")
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return host
