"""The client and the command line before what is no service, or a service that says little."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.main import get_command

from synthorax import AsyncClient, Client, ConnectionFailed, StatusError, SynthoraxError
from synthorax._async.jobs import AsyncJob
from synthorax._sync.jobs import Job
from synthorax._sync.studies import Study
from synthorax.batch import Batch
from synthorax.cli import main
from synthorax.cli.commands import app

NOWHERE = "http://127.0.0.1:9"
QUEUED = {"id": "job-1", "status": "queued", "finished_at": None, "progress": None}
JSON = {"Content-Type": "application/json"}


class Answers(ThreadingHTTPServer):
    """Answers paths as it is told, and keeps what it was asked: path and Authorization."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.told: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, str | None]] = []

    def tell(
        self, path: str, value: Any, status: int = 200, headers: dict[str, str] = JSON
    ) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.told[path] = (status, headers, content)


class _Handler(BaseHTTPRequestHandler):
    server: Answers

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Authorization"]))
        if self.path.endswith("/events"):
            self._wait_for_ever()
            return
        nothing: tuple[int, dict[str, str], bytes] = (404, JSON, b"{}")
        status, headers, content = self.server.told.get(self.path, nothing)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def _wait_for_ever(self) -> None:
        """The events of a job that waits for a worker: comments."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b": alive\n\n")
                time.sleep(0.05)
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def answers() -> Iterator[Answers]:
    with Answers() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SYNTHORAX_API_KEY", raising=False)
    monkeypatch.delenv("SYNTHORAX_URL", raising=False)
    monkeypatch.chdir(tmp_path)


Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `synthorax`: its exit status, and all that it said in one line."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["synthorax", *words])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return int(end.value.code or 0), " ".join((said.out + said.err).split())

    return run


def test_waiting_ends_in_time_although_nothing_is_told(answers: Answers) -> None:
    answers.tell("/train-jobs/job-1", QUEUED)

    async def twin() -> None:
        async with AsyncClient(answers.url) as client:
            await AsyncJob(client._transport, dict(QUEUED)).wait(print, timeout=0.3)

    began = time.monotonic()
    with Client(answers.url) as client:
        for progress in (False, print):
            with pytest.raises(TimeoutError, match="job-1 has not ended yet"):
                Job(client._transport, dict(QUEUED)).wait(progress, timeout=0.3)
    with pytest.raises(TimeoutError, match="job-1 has not ended yet"):
        asyncio.run(twin())
    assert 0.9 <= time.monotonic() - began < 5


def test_waiting_for_a_service_that_is_away_ends_in_time() -> None:
    with Client(NOWHERE) as client:
        client.is_known()
        for wait in (Job(client._transport, dict(QUEUED)), Study(client._transport, dict(QUEUED))):
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                wait.wait(timeout=0.3)
            assert time.monotonic() - began < 3


def test_what_is_no_service_is_said(answers: Answers, tmp_path: Path) -> None:
    page = {"Content-Type": "text/html; charset=utf-8"}
    answers.tell("/models", b"<!doctype html>", headers=page)
    answers.tell("/workers", b"all is well", headers={"Content-Type": "text/plain"})
    answers.tell("/presets", [])
    answers.tell("/generate", {"images": []})
    answers.tell("/studies/st-1/results.zip", b"<!doctype html>", headers=page)
    with Client(answers.url) as client:
        for call in (
            client.models.list,
            client.workers,
            client.presets,
            client.generate,
            lambda: Study(client._transport, {"id": "st-1"}).download(tmp_path / "results"),
        ):
            with pytest.raises(ConnectionFailed, match="No Synthorax answers at"):
                call()
    assert not (tmp_path / "results").exists()
    with Client(NOWHERE) as client, pytest.raises(ConnectionFailed):
        Study(client._transport, {"id": "st-1"}).arms(tmp_path / "arms.zip")


@pytest.mark.parametrize("url", ["http://host:port", "127.0.0.1:8000", "http://", "http://h:99999"])
def test_an_address_that_is_none_is_said(url: str) -> None:
    with pytest.raises(SynthoraxError, match="is no address of a service"):
        Client(url)


def test_what_cannot_be_is_not_asked_for(tmp_path: Path) -> None:
    with Client(NOWHERE) as client:
        with pytest.raises(SynthoraxError, match="count is 0: give at least one image"):
            client.generate(count=0)
        with pytest.raises(SynthoraxError, match="items is empty"):
            client.generate(items=[])
        with pytest.raises(SynthoraxError, match="is a folder"):
            client.download(tmp_path, model="m@1")


def test_samples_are_the_same_where_the_same_makes_them() -> None:
    images, seeds = np.zeros((2, 4, 4), np.uint8), np.arange(2, dtype=np.uint64)
    batch = Batch(images, seeds, ["A", "A"], "m@1", "d", "e", 1.0, {"engine_digest": "e"}, NOWHERE)
    assert batch == batch
    assert batch[1] in batch
    assert batch.index(batch[1]) == 1
    assert len({*batch, *batch}) == 2


# -- The key of the environment -----------------------------------------------------------------


def test_a_key_goes_to_the_service_of_the_environment_alone(
    answers: Answers, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    problem = {"detail": "A key is needed.", "remedy": "Send one."}
    answers.tell("/models", problem, 401)
    monkeypatch.setenv("SYNTHORAX_API_KEY", "secret")
    port = answers.server_port
    # What is before @ is a name, however much it looks like the service.
    for own, link in (
        ("http://localhost:8000", answers.url),
        (f"https://127.0.0.1:{port}", answers.url),
        ("http://localhost:8000", f"http://localhost:8000\\@127.0.0.1:{port}"),
    ):
        monkeypatch.setenv("SYNTHORAX_URL", own)
        code, said = command("open", f"{link}/?label=A")
        assert code == 1
        _, sent = answers.asked.pop()
        assert "secret" not in str(sent)
        assert "A key is needed." in said
        assert f"is not the service of SYNTHORAX_URL ({own})" in said
    monkeypatch.setenv("SYNTHORAX_URL", f"http://127.0.0.1:{port}/")
    for link in (f"{answers.url}/?label=A", "/?label=A"):
        code, said = command("open", link)
        assert (code, "Send one." in said) == (1, True), said
        assert answers.asked.pop() == ("/models", "Bearer secret")


def test_a_key_does_not_follow_to_where_an_answer_points(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHORAX_API_KEY", "secret")
    there = f"http://localhost:{answers.server_port}/presets"
    answers.tell("/models", b"", 302, {"Location": there})
    with Client(answers.url) as client, pytest.raises(StatusError, match="points to http://local"):
        client.models.list()
    assert answers.asked == [("/models", "Bearer secret")]
    with Client(answers.url, api_key="") as client, pytest.raises(StatusError):
        client.models.list()
    assert answers.asked[1:] == [("/models", None)]


# -- What commands say --------------------------------------------------------------------------


def test_every_command_tells_one_json_value() -> None:
    def without(group: Any, name: str = "") -> Iterator[str]:
        for word, command in getattr(group, "commands", {}).items():
            yield from without(command, f"{name} {word}".strip())
        if not hasattr(group, "commands") and not any("--json" in p.opts for p in group.params):
            yield name

    assert sorted(without(get_command(app))) == ["datasets inspect", "serve", "worker"]


def test_brackets_in_names_are_shown(
    answers: Answers, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.setenv("SYNTHORAX_URL", answers.url)
    for name in ("scans [old]", "scans [/v2]", "scans :x:"):
        assert repr(name) in command("datasets", "add", name)[1]
        record = {"id": "ds-1", "status": "ready", "images": 1, "patients": 1, "labels": [name]}
        answers.tell("/datasets", {"data": [{**record, "name": "NIH [clean]"}]})
        said = command("datasets", "list")[1]
        assert name in said
        assert "NIH [clean]" in said


def test_what_cannot_be_read_or_written_is_said_at_once(
    answers: Answers, monkeypatch: pytest.MonkeyPatch, command: Command, tmp_path: Path
) -> None:
    monkeypatch.setenv("SYNTHORAX_URL", answers.url)
    study = ("reader-study", "new", "--real-images-may-be-shown", "--consent")
    assert command(*study, "nofile") == (1, "error: 'nofile': No such file or directory.")
    (tmp_path / "scan.png").write_bytes(b"\x89PNG\xff")
    assert command(*study, "scan.png") == (1, "error: 'scan.png' is no text in UTF-8.")
    (tmp_path / "generated.zip").mkdir()
    code, said = command("generate", "--zip")
    assert (code, "'generated.zip' is a folder" in said) == (1, True), said
    code, said = command("generate", "-o", "scan.png")
    assert (code, "'scan.png' is a file" in said) == (1, True), said
    assert answers.asked == []
