"""Whether Redis lets this service in, and lets it do what it needs: asked once, at the start.

A Redis that is away is waited for; one that is there and refuses would be waited for in vain.
"""

from __future__ import annotations

import ssl
from typing import Any

import redis
from redis.exceptions import (
    AuthenticationError,
    ConnectionError,
    NoPermissionError,
    RedisError,
    ResponseError,
)

from library.errors import InvalidValue, SynthoraxError
from library.redis_address import SETTING, shown, user_of
from worker import keys
from worker.connection import client

ACL = "deploy/valkey/users.acl"
_KEY, _OTHER = keys.PREFIX + "ask", keys.PREFIX + "ask:other"

# Every command that is sent to Redis, here or by Celery, with arguments for the question.
# They are queued in a transaction, where permissions are looked at, and never done.
COMMANDS: dict[str, tuple[str, ...]] = {
    **{name: (_KEY,) for name in (
        "del", "exists", "get", "hgetall", "hlen", "llen", "mget", "persist", "pttl", "rpop",
        "scard", "smembers", "ttl", "type", "zcard",
    )},
    **{name: (_KEY, "1") for name in (
        "brpop", "decrby", "expire", "hdel", "hexists", "hget", "incrby", "lpush", "pexpire",
        "pexpireat", "rpush", "sadd", "set", "srem", "zrem", "zrevrank", "zscore",
    )},
    **{name: (_KEY, "0", "0") for name in ("lrange", "zrange", "zrangebyscore", "zrevrange")},
    "hincrbyfloat": (_KEY, "field", "1"),
    "hset": (_KEY, "field", "1"),
    "incr": (_KEY,),
    "rename": (_KEY, _OTHER),
    "xadd": (_KEY, "*", "field", "1"),
    "xinfo|stream": (_KEY,),
    "xrange": (_KEY, "-", "+"),
    "xread": ("STREAMS", _KEY, "0"),
    "zadd": (_KEY, "1", "member"),
    "eval": ("return 1", "1", _KEY),
    "evalsha": ("0" * 40, "1", _KEY),
    "script|load": ("return 1",),
    "scan": ("0",),
    "time": (),
    "ping": (),
}  # fmt: skip
# Of connections and transactions themselves: cannot be asked for so.
SESSION = (
    "auth", "hello", "select", "client|setinfo", "client|setname", "multi", "exec", "discard",
    "watch", "unwatch",
)  # fmt: skip


class NotLetIn(SynthoraxError):
    slug, title, status = "redis-refuses", "Redis does not let the service in", 503


def refuse_without_access(url: str) -> None:
    """Raises NotLetIn or InvalidValue where Redis is there and waiting for it would not help.

    A Redis that is away, or whose address is empty, is no reason.
    """
    if not url:
        return
    try:
        forbidden = _forbidden(client(url))
    except AuthenticationError:
        raise NotLetIn(
            f"Redis at {shown(url)} does not accept the user or the password of {SETTING}.",
            field=SETTING,
            remedy="Correct them there; special characters are written as %XX.",
        ) from None
    except NoPermissionError as error:
        raise _no_permission(url, [str(error)]) from None
    except ConnectionError as error:
        problem = _tls(error)
        if problem is not None:
            raise InvalidValue(
                f"TLS with Redis at {shown(url)} fails: {problem}.",
                field=SETTING,
                remedy=f"ssl_ca_certs= in {SETTING} names the PEM file of the authority that "
                "signed Redis' certificate, whose names have to hold the host that stands there.",
            ) from None
        return
    except RedisError:
        return
    if forbidden:
        raise _no_permission(url, forbidden)


def _no_permission(url: str, forbidden: list[str]) -> NotLetIn:
    few = ", ".join(forbidden[:6]) + (", …" if len(forbidden) > 6 else "")
    return NotLetIn(
        f"The user {user_of(url)!r} of {SETTING} may not do in Redis what is needed: {few}.",
        field=SETTING,
        remedy=f"Give it the commands and keys that {ACL} has.",
    )


def _forbidden(connection: redis.Redis) -> list[str]:
    """Commands that this user may not use on keys of ours."""
    found: list[str] = []
    pool: Any = connection.connection_pool
    line = pool.get_connection()
    try:
        line.send_command("MULTI")
        line.read_response()
        for name, arguments in COMMANDS.items():
            line.send_command(*name.upper().split("|"), *arguments)
        for name in COMMANDS:
            try:
                line.read_response()
            except NoPermissionError as error:
                found.append(f"{name} (on keys {keys.PREFIX}*)" if "key" in str(error) else name)
            except ResponseError:
                continue  # another version's command, or none for a transaction
        line.send_command("DISCARD")
        line.read_response()
    finally:
        line.disconnect()
        pool.release(line)
    return found


def _tls(error: BaseException | None) -> str | None:
    """What went wrong with TLS, or None where that is not what went wrong."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted ({error.verify_message})"
        if isinstance(error, ssl.SSLError):
            reason = error.reason or "the certificates' files cannot be read"
            plain = error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
            return "it speaks no TLS there (use redis://, or its port for TLS)" if plain else reason
        error = error.__cause__ or error.__context__
    return None
