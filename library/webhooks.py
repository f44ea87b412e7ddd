"""Webhooks: which addresses may be told of a job's end, and the signature of what they are told.

The signature is that of Standard Webhooks (github.com/standard-webhooks/standard-webhooks).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from library.errors import InvalidValue

KEY_BYTES_MIN = 24  # the standard's bound
URL_CHARACTERS_MAX = 2048
_PORTS = {"http": 80, "https": 443}
# Only what every parser of addresses reads alike: no user, no escapes, no name beyond ASCII.
_NETLOC = re.compile(r"(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?", re.I)
_URL = re.compile(r"https?://[!-~]+", re.I)
_UNSAFE = re.compile(r"[\\#]")


def check_webhook(url: str, hosts: Sequence[str], secret: str) -> str:
    """The address, if jobs may tell it of their end.  Raises InvalidValue on the field webhook.

    hosts: the operator's, each `host` (the scheme's own port) or `host:port`, compared as text.
    """
    if not hosts:
        raise _refused(
            "No host may be told of a job's end.",
            url,
            "Leave webhook out; or the operator names hosts in SYNTHORAX_WEBHOOK_HOSTS.",
        )
    if not secret:
        raise _refused(
            "Nothing signs what a webhook is told.",
            url,
            "Leave webhook out; or the operator sets SYNTHORAX_WEBHOOK_SECRET.",
        )
    allowed = ", ".join(hosts)
    found = _NETLOC.fullmatch(_netloc(url))
    if found is None or not 0 < int(found["port"] or 1) < 2**16:
        raise _refused(
            f"The webhook {url[:200]!r} is no plain http or https address.",
            url,
            "Use https://HOST/PATH, with no user, no fragment, no backslash and no character "
            f"beyond ASCII (a name in its xn-- form); HOST is one of: {allowed}.",
        )
    scheme = url.partition(":")[0].lower()
    host, port = found["host"].lower(), int(found["port"] or _PORTS[scheme])
    names = {f"{host}:{port}"} | ({host} if port == _PORTS[scheme] else set())
    if not names & {name.lower() for name in hosts}:
        raise _refused(
            f"The webhook's host is {found[0]!r}.",
            url,
            f"SYNTHORAX_WEBHOOK_HOSTS allows: {allowed}.",
        )
    return url


def _netloc(url: str) -> str:
    """Host and port of an address, "" where it is none or parsers may differ over it."""
    if len(url) > URL_CHARACTERS_MAX or not _URL.fullmatch(url) or _UNSAFE.search(url):
        return ""
    try:
        return urlsplit(url).netloc
    except ValueError:  # brackets that do not match
        return ""


def _refused(detail: str, url: str, remedy: str) -> InvalidValue:
    return InvalidValue(detail, field="webhook", value=url[:200], remedy=remedy)


def signing_key(secret: str) -> bytes:
    """The key of a secret: `whsec_` and base64, or the text itself.  Raises InvalidValue."""
    key, coded = secret.encode(), secret.startswith("whsec_")
    if coded:
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            key = b""
    if len(key) < KEY_BYTES_MIN:
        raise InvalidValue(
            f"SYNTHORAX_WEBHOOK_SECRET holds a key of {len(key)} bytes"
            f"{' (base64 after whsec_)' if coded else ''}.",  # never the secret itself
            field="SYNTHORAX_WEBHOOK_SECRET",
            remedy=f"Use at least {KEY_BYTES_MIN} bytes, for instance of `openssl rand -base64 32` "
            "with whsec_ before it.",
        )
    return key


def sign(secret: str, identity: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a message; timestamp in s since 1970.  Raises InvalidValue."""
    signed = b".".join((identity.encode(), str(timestamp).encode(), body))
    mac = hmac.digest(signing_key(secret), signed, hashlib.sha256)
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": "v1," + base64.b64encode(mac).decode(),
    }
