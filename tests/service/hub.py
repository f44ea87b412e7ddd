"""A hub in memory that speaks the protocol of Hugging Face's: repositories, git LFS, commits."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_test"  # noqa: S105


class Hub(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.private: dict[str, bool] = {}
        self.files: dict[str, dict[str, bytes]] = {}  # of a repository, by name
        self.commits: list[str] = []
        self.objects: dict[str, bytes] = {}  # large ones, by SHA-256


@contextmanager
def hub() -> Iterator[Hub]:
    """A hub that answers within the block."""
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/main", self.path):
            names = self.server.files.get(found[1])
            if names is not None:
                self._answer({"siblings": [{"rfilename": name} for name in names]})
                return
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/main/(.+)", self.path):
            content = self.server.files.get(found[1], {}).get(found[2])
            if content is not None:
                told = {"X-Linked-ETag": f'"{sha256(content).hexdigest()}"'}
                self._answer(content, headers=told)
                return
        self._answer({"error": "not found"}, 404)

    def do_PUT(self) -> None:
        self.server.objects[self.path.rpartition("/")[2]] = self._body()
        self._answer({})

    def do_POST(self) -> None:
        path = self.path.partition("?")[0]
        body = self._body()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer({"error": "who are you?"}, 401)
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            modes = [{"path": f["path"], "shouldIgnore": False,
                      "uploadMode": "lfs" if f["path"].endswith(".synthorax") else "regular"}
                     for f in files]  # fmt: skip
            self._answer({"files": modes})
        elif path.endswith(".git/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            links = [{**o, "actions": {"upload": {"href": f"{self.server.url}/lfs/{o['oid']}"}}}
                     for o in objects]  # fmt: skip
            self._answer({"transfer": "basic", "objects": links})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            self._commit(found[1], [json.loads(line) for line in body.splitlines()])
        else:
            self._answer({"error": path}, 404)

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked.get('organization', 'me')}/{asked['name']}"
        url = {"url": f"{self.server.url}/{name}"}
        if name in self.server.files:
            self._answer({"error": "You already created this model repo", **url}, 409)
            return
        self.server.files[name] = {}
        self.server.private[name] = asked.get("visibility") == "private"
        self._answer(url)

    def _commit(self, repository: str, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.server.commits.append(value["summary"])
            elif line["key"] == "file":
                self.server.files[repository][value["path"]] = base64.b64decode(value["content"])
            else:
                content = self.server.objects[value["oid"]]
                assert sha256(content).hexdigest() == value["oid"]
                self.server.files[repository][value["path"]] = content
        oid = f"{len(self.server.commits):040x}"
        self._answer(
            {"commitUrl": f"{self.server.url}/{repository}/commit/{oid}", "commitOid": oid}
        )

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))
