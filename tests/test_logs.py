"""Log lines of child processes: the form and the ids of whoever started them, and no names."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from library import logs
from library.datasets.records import read_record, register
from library.decoding.pool import Decoders
from library.settings import Settings
from tests.sets import picture
from tests.valkey import Server
from worker.child import ChildProcess
from worker.jobs import JobStore
from worker.light import validate_dataset
from worker.queue import celery_app, enqueue
from worker.sweeper import Sweeper, end_attempt

ROOT = Path(__file__).parent.parent
IDS = {"SYNTHORAX_REQUEST_ID": "request-of-a-test", "SYNTHORAX_JOB_ID": "job-1"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    """This process writes JSON lines, under the ids of a request and a job."""
    root = logging.getLogger()
    level = root.level
    written = io.StringIO()
    logs.configure("json", written)
    tokens = logs.request_id.set("request-of-a-test"), logs.job_id.set("job-1")
    yield written
    logs.request_id.reset(tokens[0])
    logs.job_id.reset(tokens[1])
    logs.configure("text")
    root.handlers.clear()
    root.setLevel(level)


def words_of(form: str, *command: str) -> str:
    """What a program writes to stderr when a worker starts it."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, **IDS, "SYNTHORAX_LOG": form},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    return done.stderr


@pytest.mark.parametrize(
    ("logger", "command"),
    [
        ("synthorax.trainer", ("-m", "training", "run", "patient-7.json")),
        ("synthorax.evaluation", ("-m", "evaluation", "version", "none@1", "--data-dir", "none")),
    ],
)
def test_a_child_s_lines_carry_the_ids_it_was_started_with(
    logger: str, command: tuple[str, ...]
) -> None:
    lines = [json.loads(w) for w in words_of("json", *command).splitlines() if w[0] == "{"]
    (line,) = lines
    assert (line["logger"], line["level"]) == (logger, "error")
    assert (line["request"], line["job"]) == ("request-of-a-test", "job-1")
    assert "patient" not in json.dumps(line)  # it is named in the words after it alone
    assert words_of("text", *command).startswith("error: ")  # people read the words alone


def test_an_exception_that_ends_a_child_is_a_line_without_its_words() -> None:
    program = (
        "import threading, logging; from library.logs import configure_child\n"
        "configure_child('synthorax.trainer')\n"
        "say = logging.getLogger('synthorax.trainer').info\n"
        "thread = threading.Thread(target=say, args=('of a thread',)); thread.start()\n"
        "thread.join(); raise ValueError('patient-7.dcm')"
    )
    of_thread, end, *rest = words_of("json", "-c", program).splitlines()
    assert json.loads(of_thread)["request"] == json.loads(end)["request"] == "request-of-a-test"
    assert json.loads(end)["message"] == "failed: ValueError"
    assert rest[-1] == "ValueError: patient-7.dcm"  # what the job's message is made of


@pytest.mark.usefixtures("said")
def test_a_worker_passes_on_whole_lines_of_its_child_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "trainer.log"
    log.write_text('{"time": 1, "level": "info", "logger": "old", "message": "of before"}\n')
    program = (
        "import logging, sys; from library.logs import configure_child\n"
        "configure_child('synthorax.trainer')\n"
        "print('words of a driver about patient-7', file=sys.stderr)\n"
        "print('{\"patient\": 7}', file=sys.stderr)\n"
        "logging.getLogger('synthorax.trainer').info('one')\n"
        "logging.getLogger('synthorax.trainer').info('two', extra={'step': 3})\n"
    )
    child = ChildProcess([sys.executable, "-c", program], log, {})
    while child.ended() is None:
        assert child.events(0.1) == []
    child.close()
    child.close()  # again: nothing is said twice
    passed = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["message"] for line in passed] == ["one", "two"]
    assert {(line["request"], line["job"]) for line in passed} == {("request-of-a-test", "job-1")}
    assert passed[1]["step"] == 3
    assert "patient-7" in child.last_words()


def test_later_attempts_are_sent_under_the_request_that_made_the_job(
    server: Server, tmp_path: Path
) -> None:
    server.client().flushall()
    store = JobStore(server.client())
    settings = Settings(data_dir=tmp_path, redis_url=server.url)
    app = celery_app(settings)
    token = logs.request_id.set("request-of-a-test")
    request: dict[str, Any] = {"dataset": {"path": "/x", "id": "ds-1"}, "priority": "normal"}
    job = store.create(request, "job-1")
    logs.request_id.reset(token)
    assert job["request_id"] == "request-of-a-test"
    assert store.lease("job-1", "mine", 60).take()
    store.transition("job-1", ("queued",), "running", fence="mine", attempt=1, worker="w@here")
    end_attempt(store, settings, store.get("job-1"), "it died", "mine")
    sent: list[str | None] = []
    sweeper = Sweeper(store, settings, lambda record: _send(app, record, store, sent))
    for _ in range(2):  # two looks must agree
        sweeper.sweep(0.0)
        store.redis.delete("synthorax:sweep")
    assert sent == ["request-of-a-test"]


def _send(app: Any, record: Any, store: JobStore, sent: list[str | None]) -> None:
    enqueue(app, record)
    for key in store.redis.scan_iter("synthorax:celery:training*"):
        if store.redis.type(key) == "list":
            for text in store.redis.lrange(key, 0, -1):
                sent.append(json.loads(text)["headers"]["request"])


def test_a_decoder_s_end_is_logged_under_the_request_of_its_dataset(
    tmp_path: Path, said: io.StringIO
) -> None:
    task = {"do": "square", "path": str(picture(tmp_path / "patient-7.png"))}
    with Decoders(1, seconds=1e-6) as decoders:
        (answer,) = decoders.map([task])
    assert answer.refused is not None
    (line,) = map(json.loads, said.getvalue().splitlines())
    assert (line["logger"], line["level"]) == ("synthorax.decoding", "warning")
    assert (line["request"], line["job"]) == ("request-of-a-test", "job-1")
    assert "patient-7" not in json.dumps(line)


def test_a_dataset_is_validated_under_the_request_that_named_it(
    server: Server, tmp_path: Path
) -> None:
    server.client().flushall()
    picture(tmp_path / "images" / "A" / "1.png")
    token = logs.request_id.set("request-of-a-test")
    identity = register(tmp_path, tmp_path / "images")["id"]
    logs.request_id.reset(token)  # as of a message that the sweep sent
    validate_dataset(identity, server.client(), Settings(data_dir=tmp_path, redis_url=server.url))
    assert read_record(tmp_path, identity)["status"] == "ready"
    assert logs.request_id.get() == "request-of-a-test"
    logs.request_id.set(None)
