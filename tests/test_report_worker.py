"""Reports by the light worker: a process each, its end, and what the version's gate does then."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from library.atomic import write_json
from library.reports import (
    begin_report,
    find_record,
    find_report,
    list_reports,
    log_of,
    remove_report,
    reports_root,
)
from library.settings import Settings
from library.version_states import WAITS, hold
from library.versions import Broken, ModelLibrary, Version
from tests.test_versions import publish
from tests.valkey import Server
from worker import keys
from worker.gate import begin_first_report
from worker.jobs import JobStore
from worker.queue import LIGHT, celery_app, enqueue_report, enqueue_validation, messages
from worker.reports import Command, ReportSweeper, evaluation, make_report

FAKE = Path(__file__).parent / "fake_evaluation.py"
GREEN = {"fidelity": "amber", "usefulness": "not estimable", "privacy": "green"}
RED = {**GREEN, "privacy": "red"}
REQUEST = {"dataset": "ds-0123456789ab", "count": 200, "seed": 3}
CALM = threading.Event()  # nobody stops the worker


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def settings(server: Server, tmp_path: Path) -> Settings:
    redis: Any = server.client()
    redis.flushall()
    return Settings(data_dir=tmp_path, redis_url=server.url, attempts_max=2, lease_seconds=2)


@pytest.fixture
def version(settings: Settings) -> Version:
    return publish(ModelLibrary(settings.models, bundled=None))


def fake(mode: str | dict[str, str]) -> Command:
    """The real command line, with another program behind it."""
    text = mode if isinstance(mode, str) else json.dumps(mode)

    def command(record: Mapping[str, Any], settings: Settings) -> list[str]:
        real = evaluation(record, settings)
        assert real[:3] == [sys.executable, "-m", "evaluation"]
        return [sys.executable, str(FAKE), text, *real[3:]]

    return command


def make(
    report: str, server: Server, settings: Settings, mode: str | dict[str, str]
) -> dict[str, Any]:
    make_report(report, server.client(), settings, CALM, fake(mode))
    return find_record(settings.data_dir, report)


def why_not(settings: Settings) -> str:
    (found,) = ModelLibrary(settings.models, bundled=None).versions()
    return found.reason if isinstance(found, Broken) else ""


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_a_report_is_made_once(server: Server, settings: Settings, version: Version) -> None:
    report = begin_report(settings.data_dir, version, REQUEST)["id"]
    record = make(report, server, settings, GREEN)
    assert (record["status"], record["lights"], record["error"]) == ("complete", GREEN, None)
    assert record["progress"] is None
    _, folder = find_report(settings.data_dir, version.digest, "latest", None)
    assert json.loads((folder / "report.json").read_text())["id"] == report
    assert make(report, server, settings, "die") == record  # a message that came again
    redis: Any = server.client()
    assert not redis.exists(keys.report_lease(report), keys.report_attempts(report))


def test_the_command_says_what_was_asked_for(settings: Settings, version: Version) -> None:
    record = begin_report(settings.data_dir, version, REQUEST)
    command = evaluation(record, settings)
    assert command[3:] == [
        "version", "chest@1", "--data-dir", str(settings.data_dir), "--report", record["id"],
        "--dataset", "ds-0123456789ab", "--count", "200", "--seed", "3", "--lifeline",
    ]  # fmt: skip


def test_what_evaluation_refuses_is_the_record_s_error(
    server: Server, settings: Settings, version: Version
) -> None:
    report = begin_report(settings.data_dir, version, REQUEST)["id"]
    record = make(report, server, settings, "refuse")
    assert record["status"] == "failed"
    assert record["error"]["detail"] == "The dataset has no held-out image"
    assert make(report, server, settings, GREEN) == record


def test_a_process_that_dies_is_begun_again_and_fails_at_last(
    server: Server, settings: Settings, version: Version
) -> None:
    report = begin_report(settings.data_dir, version, REQUEST)["id"]
    assert make(report, server, settings, "die")["status"] == "pending"
    record = make(report, server, settings, "die")
    assert record["status"] == "failed"
    assert "ended its process 2 times in a row" in record["error"]["detail"]
    assert "Killed by its own hand" in record["error"]["detail"]
    assert "own hand" in log_of(settings.data_dir, version.digest, report).read_text()


def test_what_ends_each_worker_fails_at_last(
    server: Server, settings: Settings, version: Version
) -> None:
    report = begin_report(settings.data_dir, version, REQUEST)["id"]
    redis: Any = server.client()
    redis.set(keys.report_attempts(report), 2)  # as two workers left it that were killed
    record = make(report, server, settings, GREEN)
    assert record["status"] == "failed"
    assert "ended its worker 2 times" in record["error"]["detail"]


def test_a_worker_that_is_stopped_leaves_it_to_the_next(
    server: Server, settings: Settings, version: Version
) -> None:
    report = begin_report(settings.data_dir, version, REQUEST)["id"]
    drain = threading.Event()
    arguments = (report, server.client(), settings, drain, fake("hang"))
    worker = threading.Thread(target=make_report, args=arguments)
    worker.start()
    until(lambda: find_record(settings.data_dir, report)["progress"] is not None)
    record = find_record(settings.data_dir, report)
    assert record["status"] == "running"
    assert record["progress"] == {"phase": "drawing samples", "fraction": 0.25}
    assert make(report, server, settings, GREEN)["status"] == "running"  # another has it
    time.sleep(3 * settings.lease_seconds / 2)  # longer than a lease that nobody renews
    assert make(report, server, settings, GREEN)["status"] == "running"
    drain.set()
    worker.join(60)
    assert not worker.is_alive()
    assert find_record(settings.data_dir, report)["status"] == "pending"
    redis: Any = server.client()
    assert not redis.exists(keys.report_lease(report), keys.report_attempts(report))
    make_report(report, server.client(), settings, drain, fake(GREEN))
    assert find_record(settings.data_dir, report)["status"] == "pending"  # it takes nothing more


def test_what_is_deleted_meanwhile_stays_deleted(
    server: Server, settings: Settings, version: Version
) -> None:
    report = begin_report(settings.data_dir, version, REQUEST)["id"]
    arguments = (report, server.client(), settings, CALM, fake("hang"))
    worker = threading.Thread(target=make_report, args=arguments)
    worker.start()
    until(lambda: find_record(settings.data_dir, report)["progress"] is not None)
    assert remove_report(settings.data_dir, version.digest, report)
    worker.join(60)
    assert not worker.is_alive()
    assert list_reports(settings.data_dir, bundled=None) == []
    left = (reports_root(settings.data_dir) / version.digest).iterdir()
    assert [path.name for path in left] == [".lock"]
    make_report(report, server.client(), settings, CALM, fake(GREEN))  # its message comes again
    assert not remove_report(settings.data_dir, version.digest, report)


def test_what_was_left_behind_is_sent_again_behind_the_datasets(
    server: Server, settings: Settings, version: Version
) -> None:
    report = begin_report(settings.data_dir, version, REQUEST)["id"]
    done = begin_report(settings.data_dir, version, REQUEST)["id"]
    make(done, server, settings, GREEN)
    app = celery_app(settings)
    sweeper = ReportSweeper(server.client(), settings, lambda each: enqueue_report(app, each))
    sweeper.sweep()
    assert not messages(server.client(), LIGHT)
    sweeper.sweep()
    assert messages(server.client(), LIGHT) == {report: 1}
    sweeper.sweep()
    sweeper.sweep()
    assert messages(server.client(), LIGHT) == {report: 1}
    enqueue_validation(app, "ds-1")
    redis: Any = server.client()
    assert redis.llen(keys.CELERY + LIGHT) == 1  # the queue that is taken from first


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        (GREEN, ""),
        (RED, "has a red light: privacy"),
        ({**RED, "fidelity": "red"}, "has red lights: fidelity, privacy"),
        ("refuse", "failed"),
    ],
)
def test_the_gate(
    server: Server, settings: Settings, version: Version, mode: Any, reason: str
) -> None:
    hold(version, WAITS)
    assert why_not(settings) == WAITS
    report = begin_report(settings.data_dir, version, REQUEST, gate=True)["id"]
    make(report, server, settings, mode)
    assert why_not(settings) == (f"its report {report} {reason}" if reason else "")


def test_a_later_report_releases_and_none_holds_what_is_in_use(
    server: Server, settings: Settings, version: Version
) -> None:
    hold(version, WAITS)
    first, second, third = (
        begin_report(settings.data_dir, version, REQUEST, gate=True)["id"] for _ in range(3)
    )
    make(first, server, settings, "refuse")
    assert why_not(settings) == f"its report {first} failed"
    make(second, server, settings, GREEN)
    assert why_not(settings) == ""
    make(third, server, settings, RED)
    assert why_not(settings) == ""


def with_held_out(version: Version, images: int) -> Version:
    splits = {"held_out": {"images": images}} if images else {"train": {"images": 9}}
    card = {**version.card, "dataset": {"id": "ds-0123456789ab", "splits": splits}}
    write_json(version.path / "model.json", card)
    return version


def test_a_job_begins_one_report_and_hears_of_its_end(
    server: Server, settings: Settings, version: Version
) -> None:
    with_held_out(version, 4)
    hold(version, WAITS)
    store = JobStore(server.client())
    job = store.create({"priority": "normal"}, "job-1")["id"]
    report, told = begin_first_report(settings, job, {}, "chest@1")
    assert report is not None
    assert told is not None
    assert (told["type"], told["report"], told["lights"]) == ("evaluation", report, {})
    assert begin_first_report(settings, job, {"report": True}, "chest@1")[0] == report
    record = make(report, server, settings, RED)
    assert (record["gate"], record["job"]) == (True, job)
    assert record["request"] == {"dataset": "ds-0123456789ab", "count": 1000}
    last = json.loads(store.redis.xrevrange(keys.events(job), count=1)[0][1]["event"])
    assert (last["type"], last["model"], last["lights"]) == ("evaluation", "chest@1", RED)
    # Of a job that is gone nothing is told.
    store.redis.delete(keys.events(job))
    again = begin_report(settings.data_dir, version, REQUEST, job=job)["id"]
    make(again, server, settings, GREEN)
    assert not store.redis.exists(keys.events(job))


def test_without_held_out_images_there_is_no_report_and_a_reason(
    settings: Settings, version: Version
) -> None:
    with_held_out(version, 0)
    assert begin_first_report(settings, "job-1", {"report": False}, "chest@1") == (None, None)
    report, told = begin_first_report(settings, "job-1", {}, "chest@1")
    assert report is None
    assert told is not None
    assert "ds-0123456789ab has no held-out images" in told["message"]
    hold(version, WAITS)
    begin_first_report(settings, "job-1", {}, "chest@1")
    assert "no held-out images, so no report can be made" in why_not(settings)
    assert begin_first_report(settings, "job-1", {}, "chest@9")[0] is None
