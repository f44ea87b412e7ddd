"""Protects a service without keys on loopback from a hostile web page in the user's browser."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import problem_response
from library.errors import SynthoraxError
from library.settings import LOOPBACK, Settings

BODY_MAX = 1024 * 1024  # bytes; the largest honest body is 256 items
_SAFE = ("GET", "HEAD", "OPTIONS")
_SECURITY_HEADERS = [
    (
        b"content-security-policy",
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
    slug, title, status = "unsupported-media-type", "The body must be JSON", 415


class TooLarge(SynthoraxError):
    slug, title, status = "too-large", "The body is too large", 413


class Guard:
    """ASGI middleware: Host allow-list, same-origin changes, JSON bodies of a bounded size."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.hosts = LOOPBACK | {settings.host} | set(settings.allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        error = self._refusal(scope["method"], headers)
        if error is not None:
            await problem_response(error.as_problem())(scope, receive, send)
            return
        size = 0

        async def bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > BODY_MAX:  # sent in chunks, without a length that could be refused above
                raise TooLarge("The body is larger than 1 MiB.", remedy="Send a smaller request.")
            return message

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *_SECURITY_HEADERS]}
            await send(message)

        await self.app(scope, bounded, with_headers)

    def _refusal(self, method: str, headers: Headers) -> SynthoraxError | None:
        host = _hostname(headers.get("host", ""))
        if host not in self.hosts:
            return Misdirected(
                f"The Host header names {host!r}.",
                field="Host",
                value=host,
                remedy="Use 127.0.0.1 or localhost, or add the name to SYNTHORAX_ALLOWED_HOSTS.",
            )
        if method in _SAFE:
            return None
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            return CrossOrigin(
                f"The request comes from a page of {origin!r}.",
                field="Origin",
                value=origin,
                remedy="Call the service from its own page, or from a program.",
            )
        length = headers.get("content-length", "0")
        has_body = "transfer-encoding" in headers or length != "0"
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if has_body and media_type != "application/json":
            return WrongMediaType(
                f"The body's Content-Type is {media_type!r}.",
                field="Content-Type",
                value=media_type,
                remedy="Send JSON with Content-Type: application/json.",
            )
        if length.isdecimal() and int(length) > BODY_MAX:
            return TooLarge(
                f"The body has {length} bytes.",
                field="body",
                value=int(length),
                remedy=f"Send at most {BODY_MAX} bytes.",
            )
        return None


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return host
