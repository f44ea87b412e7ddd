"""Who calls: a key, a session that began with one, or nobody in particular."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from starlette.types import Scope


@dataclass(frozen=True)
class Caller:
    """key: its id, empty where no keys are asked for.  address: of the client."""

    key: str
    name: str
    scope: str | None  # generate, train, admin; None: nobody
    by: Literal["key", "session", "token", "none"]
    address: str


# Of the request that is answered now.
caller: ContextVar[Caller | None] = ContextVar("caller", default=None)

Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


def address_of(scope: Scope, forwarded: bytes, proxies: Networks) -> str:
    """The client's address: the last one in X-Forwarded-For that none of our proxies wrote.

    Without proxies that are known, the header is anybody's word and is not read.
    """
    peer: str = (scope.get("client") or ("",))[0]
    if not proxies or not _within(peer, proxies):
        return peer
    for part in reversed(forwarded.decode("latin-1").split(",")):
        named = part.strip()
        if not _is_address(named):
            return peer
        peer = named
        if not _within(named, proxies):
            break
    return peer


def networks(names: Sequence[str]) -> Networks:
    """Raises ValueError."""
    return tuple(ipaddress.ip_network(name, strict=False) for name in names)


@lru_cache(maxsize=1024)
def _within(address: str, proxies: Networks) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in proxies)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
