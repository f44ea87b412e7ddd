"""The way in, without a server: who may use a session, what is written down, a full disk."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.access.gate import COOKIE
from app.access.sessions import FOLDER, SECONDS
from app.main import create_app
from library.keys import KeyFile, new_key
from library.settings import Settings

OWN = "http://127.0.0.1:8000"
NAMED = "http://127.0.0.1:3000"  # of the same site: SameSite=Strict lets its page send the cookie
ACTIVATE = "/models/chest-xray-dcgan@2/activate"


def keyed(folder: Path, **settings: Any) -> tuple[FastAPI, str]:
    """The API on a folder with one key of an administrator."""
    key, text = new_key("ann", "admin")
    KeyFile(folder).add(key)
    return create_app(Settings(data_dir=folder, **settings)), text


def ask(app: FastAPI, method: str, path: str, **options: Any) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=OWN) as http:
            return await http.request(method, path, **options)

    return asyncio.run(asked())


def logged_in(app: FastAPI, key: str) -> dict[str, str]:
    answer = ask(app, "POST", "/session", json={"key": key}, headers={"Origin": OWN})
    assert answer.status_code == 204
    return {"Cookie": f"{COOKIE}={answer.cookies[COOKIE]}"}


def audited(folder: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]
    except FileNotFoundError:
        return []


def test_a_session_is_of_no_use_to_a_page_that_is_named_for_keys(tmp_path: Path) -> None:
    app, key = keyed(tmp_path, cors_origins=(NAMED,))
    cookie, bearer = logged_in(app, key), {"Authorization": f"Bearer {key}"}
    by_session = ask(app, "POST", ACTIVATE, headers={**cookie, "Origin": NAMED})
    assert by_session.status_code == 403
    assert by_session.json()["errors"][0]["field"] == "Origin"
    for origin in ("http://127.0.0.1", "null", "http://[", NAMED + ".evil.example"):
        refused = ask(app, "POST", ACTIVATE, headers={**cookie, "Origin": origin})
        assert refused.status_code == 403, origin
    for given in ({**cookie, "Origin": OWN}, {**bearer, "Origin": NAMED}):
        assert ask(app, "POST", ACTIVATE, headers=given).status_code == 200


def test_a_session_that_was_ended_lets_nobody_in(tmp_path: Path) -> None:
    app, key = keyed(tmp_path)
    first, second = logged_in(app, key), logged_in(app, key)
    replica = create_app(Settings(data_dir=tmp_path))
    assert ask(replica, "GET", "/presets", headers=first).status_code == 200
    (tmp_path / FOLDER).mkdir()
    (old := tmp_path / FOLDER / "0123").touch()
    os.utime(old, (0, time.time() - SECONDS - 1))
    answer = ask(app, "DELETE", "/session", headers={**first, "Origin": OWN})
    assert answer.status_code == 204
    assert f'{COOKIE}=""' in answer.headers["Set-Cookie"]
    for each in (app, replica):
        assert ask(each, "GET", "/presets", headers=first).status_code == 401
        assert ask(each, "GET", "/presets", headers=second).status_code == 200
    assert not old.exists(), "it would be over by now"
    assert ask(app, "DELETE", "/session", headers={**first, "Origin": OWN}).status_code == 204


def test_who_is_nobody_writes_no_line(tmp_path: Path) -> None:
    app, key = keyed(tmp_path)
    for method, path in (("DELETE", "/session"), ("POST", "/read/finish"), ("POST", "/read/x")):
        for given in ({}, {"Reader-Token": "x"}, {"Cookie": f"{COOKIE}=x.y"}):
            ask(app, method, path, headers=given)
    assert ask(app, "POST", "/session", json={}).status_code == 422
    assert audited(tmp_path) == []
    cookie = logged_in(app, key)
    (line,) = audited(tmp_path)
    assert (line["key"], line["name"]) == (key[10:18], "ann")
    assert (line["method"], line["path"], line["status"]) == ("POST", "/session", 204)
    ask(app, "DELETE", "/session", headers={**cookie, "Origin": OWN})
    asked, answered = audited(tmp_path)[1:]
    assert (asked["by"], asked["method"], answered["status"]) == ("session", "DELETE", 204)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk that is full but for what stands in `free`; mounting needs root."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs the right to")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def fill(disk: Path) -> None:
    with open(disk / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"0" * 4096) == 4096:
            pass


def test_a_full_disk_refuses_changes_and_not_what_makes_room(
    full_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app, key = keyed(full_disk)
    bearer = {"Authorization": f"Bearer {key}"}
    fill(full_disk)
    refused = ask(app, "POST", ACTIVATE, headers=bearer)
    assert refused.status_code == 507
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert "'audit.jsonl' cannot be written (No space left on device)" in refused.json()["detail"]
    assert ask(app, "GET", "/presets", headers=bearer).status_code == 200
    assert not caplog.records
    with caplog.at_level(logging.ERROR):
        done = ask(app, "DELETE", "/reader-studies/rs-0123456789abcdef", headers=bearer)
    assert done.status_code == 404  # it was looked for
    words = [record.getMessage() for record in caplog.records]
    assert len(words) == 2
    assert '"path": "/reader-studies/rs-0123456789abcdef"' in words[0]
    assert '"status": 404' in words[1]
    # A wrong key stays what it is.
    wrong = ask(app, "GET", "/presets", headers={"Authorization": "Bearer x"})
    assert wrong.status_code == 401


def test_an_audit_log_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    app, key = keyed(tmp_path)
    (tmp_path / "audit.jsonl").mkdir()
    refused = ask(app, "DELETE", "/studies/x", headers={"Authorization": f"Bearer {key}"})
    assert refused.status_code == 500
    assert refused.json()["type"].endswith("not-writable")
