"""Where Redis is, and clients with bounds on every wait."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

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


def celery_broker(url: str) -> dict[str, Any]:
    """Celery's settings for redis-py's form of an address.

    They differ for unix sockets; and for TLS, where kombu checks no certificate unless told to.
    """
    if url.startswith("unix://"):
        return {"broker_url": "redis+socket://" + url.removeprefix("unix://")}
    if not url.startswith("rediss://"):
        return {"broker_url": url}
    given = redis.ConnectionPool.from_url(url).connection_kwargs
    tls = {name: value for name, value in given.items() if name.startswith("ssl_")}
    address = urlsplit(url)._replace(path=f"/{given.get('db', 0)}", query="").geturl()
    return {"broker_url": address, "broker_use_ssl": {"ssl_cert_reqs": "required", **tls}}
