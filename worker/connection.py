"""Where Redis is, and clients with bounds on every wait."""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio

_BOUNDS: dict[str, Any] = {
    "socket_connect_timeout": 2.0,  # s
    "health_check_interval": 15,  # s
    "protocol": 2,  # one shape of XREAD's answer
    "decode_responses": True,
}


def client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=5.0, **_BOUNDS)


def streaming_client(url: str, connections: int) -> redis.asyncio.Redis:
    """An asynchronous client for blocking reads, one connection for each."""
    return redis.asyncio.Redis.from_url(
        url, socket_timeout=30.0, max_connections=connections, **_BOUNDS
    )


def counting_client(url: str) -> redis.asyncio.Redis:
    """An asynchronous client for small questions in a request's way: they wait half a second."""
    bounds = {**_BOUNDS, "socket_connect_timeout": 0.5}
    return redis.asyncio.Redis.from_url(url, socket_timeout=0.5, **bounds)


def celery_url(url: str) -> str:
    """redis-py's form of an address as Celery's (they differ for unix sockets)."""
    return "redis+socket://" + url.removeprefix("unix://") if url.startswith("unix://") else url
