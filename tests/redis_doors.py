"""A Valkey behind TLS, whose only user may do no more than deploy/valkey/users.acl says."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import ssl
import threading
from hashlib import sha256
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import redis

from synthorax.local import valkey
from tests.valkey import Server

ROOT = Path(__file__).resolve().parent.parent
ACL = (ROOT / "deploy" / "valkey" / "users.acl").read_text()
TLS = ROOT / "tests" / "data" / "tls"
# As an operator may choose it: it has to be written as %XX in an address.
PASSWORD = "p@ss/word:%" + secrets.token_hex(8)


def acl(rules: str = "") -> str:
    """The file of deploy/, with a password; `rules` are added to the user's."""
    digest = sha256(PASSWORD.encode()).hexdigest()
    filled = re.sub(r"#PUT-\S+", f"#{digest}", ACL)
    user = next(line for line in filled.splitlines() if line.startswith("user synthorax "))
    watcher = f"user watcher on >{PASSWORD} ~* &* +@all"
    return "\n".join(["user default off", f"{user} {rules}".strip(), watcher, ""])


class Guarded(Server):
    """Valkey on a unix socket with users, as `watcher` sees it."""

    def __init__(self, folder: Path, rules: str = "") -> None:
        super().__init__(folder)
        (folder / "users.acl").write_text(acl(rules))
        self.url = self.local = f"unix://watcher:{quote(PASSWORD, safe='')}@{self.socket}"

    def command(self) -> list[str]:
        command = valkey.command(self.folder, self.socket)
        return [*command, "--aclfile", str(self.folder / "users.acl")]

    def refused(self) -> list[str]:
        """What the user was not let do."""
        admin: Any = self.client()
        return [f"{each['reason']}: {each['object']}" for each in admin.acl_log()]


class TlsDoor:
    """Speaks TLS on a port of its own, and passes on to a unix socket."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0
        self.handshakes = 0

    def url(self, ca: str = "ca.pem", password: str = PASSWORD, host: str = "localhost") -> str:
        who = f"synthorax:{quote(password, safe='')}"
        return f"rediss://{who}@{host}:{self.port}/0?ssl_ca_certs={TLS / ca}"

    def __enter__(self) -> Self:
        self._thread.start()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / "server.pem", TLS / "server.key")

        async def listen() -> asyncio.Server:
            return await asyncio.start_server(self._pass_on, "127.0.0.1", 0, ssl=context)

        self._server = asyncio.run_coroutine_threadsafe(listen(), self._loop).result(30)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        others = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.handshakes += 1
        inner, outer = await asyncio.open_unix_connection(str(self._socket))
        try:
            await asyncio.gather(_copy(reader, outer), _copy(inner, writer))
        except asyncio.CancelledError:
            pass
        finally:
            writer.transport.abort()
            outer.transport.abort()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while block := await source.read(65_536):
            target.write(block)
            await target.drain()
    target.close()


def may(connection: Any, *command: str) -> bool:
    """Whether this user may, on a key of ours."""
    try:
        connection.execute_command(*command)
    except redis.exceptions.NoPermissionError:
        return False
    except redis.exceptions.ResponseError as error:
        return "not allowed" not in str(error)  # DEBUG, to anybody
    return True
