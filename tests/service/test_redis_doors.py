"""Redis behind TLS, with a user who may do what is needed and no more."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from library.redis_address import shown
from tests.redis_doors import ACL, PASSWORD, Guarded, TlsDoor, may
from tests.service.conftest import Service, train_request, wait_until
from tests.service.test_backup import run
from tests.service.test_train_jobs import follow
from tests.sets import packed
from worker.admission import COMMANDS, SESSION
from worker.connection import celery_broker, client

FORBIDDEN = (
    ("CONFIG", "GET", "maxmemory"), ("CONFIG", "SET", "dir", "x"), ("FLUSHALL",), ("FLUSHDB",),
    ("KEYS", "*"), ("DEBUG", "SLEEP", "0"), ("MODULE", "LIST"), ("ACL", "LIST"), ("SAVE",),
    ("SHUTDOWN", "NOSAVE"), ("CLIENT", "LIST"), ("MONITOR",), ("SLAVEOF", "NO", "ONE"), ("INFO",),
    ("FUNCTION", "LIST"), ("SWAPDB", "0", "1"), ("SORT", "synthorax:x"), ("GET", "another"),
    ("SET", "another", "1"), ("PUBLISH", "synthorax:x", "1"), ("EVAL", "return 1", "1", "another"),
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with Guarded(tmp_path_factory.mktemp("v")) as running:
        yield running


@pytest.fixture(scope="module")
def door(server: Guarded) -> Iterator[TlsDoor]:
    with TlsDoor(server.socket) as running:
        yield running


def test_a_job_ends_behind_tls_with_a_user_of_few_rights(
    tmp_path: Path, roots: Path, dataset: Path, tiny_models: Path, server: Guarded, door: TlsDoor
) -> None:
    shutil.copytree(tiny_models, tmp_path / "models")
    limits = {"SYNTHORAX_REQUESTS_A_MINUTE": "100000"}
    service = Service(tmp_path, roots, {"SYNTHORAX_REDIS_URL": door.url(), **limits})
    try:
        service.start()
        body = {"model": "tiny@2", "count": 2, "seed": 3}
        assert service.http.post("/generate", json=body).status_code == 200
        zipped = {"Content-Type": "application/zip"}
        upload = packed(dataset, tmp_path / "upload.zip").read_bytes()
        made = service.http.post("/datasets", content=upload, headers=zipped).json()["id"]
        wait_until(lambda: service.http.get(f"/datasets/{made}").json()["status"] == "ready")
        first = service.train(dataset, epochs=5000)["id"]
        second = service.http.post(
            "/train-jobs", json=train_request(dataset), headers={"Idempotency-Key": "k"}
        ).json()["id"]
        wait_until(lambda: service.job(first)["progress"] is not None)
        assert service.job(second)["queue_position"] == 0
        assert service.http.get("/train-jobs?limit=1").json()["data"]
        service.http.post(f"/train-jobs/{first}/cancel")
        ended = service.ended(second)
        assert ended["status"] == "succeeded", ended
        assert follow(service, second)[-1][1]["status"] == "succeeded"
        assert service.http.delete(f"/train-jobs/{first}").status_code < 300
        estimate = service.http.post("/train-jobs/estimates", json=train_request(dataset))
        assert estimate.status_code < 300, estimate.text
        place = tmp_path.with_name("backups")
        place.mkdir()
        for command in (("doctor",), ("repair", "--look"), ("backup", str(place))):
            code, _, words = run(service, *command)
            assert code == 0, (command, words)
            assert PASSWORD not in words
        assert service.stop() == 0
    finally:
        service.close()
    assert door.handshakes > 3
    assert server.refused() == ["command: config|get"]  # the doctor asks, and is content


def test_the_user_may_do_no_more(server: Guarded, door: TlsDoor) -> None:
    connection = client(door.url())
    allowed = [command for command in FORBIDDEN if may(connection, *command)]
    assert not allowed
    words = {word.removeprefix("+") for word in ACL.split() if word.startswith("+")}
    assert words == {*COMMANDS, *SESSION}
    admin: Any = server.client()
    admin.acl_log_reset()


def test_celery_checks_the_certificate_as_redis_py_does(door: TlsDoor) -> None:
    broker = celery_broker(door.url())
    assert "?" not in broker["broker_url"]
    tls = broker["broker_use_ssl"]
    assert tls["ssl_cert_reqs"] == "required"
    assert tls["ssl_ca_certs"].endswith("ca.pem")
    assert celery_broker("rediss://h/3?ssl_check_hostname=false") == {
        "broker_url": "rediss://h/3",
        "broker_use_ssl": {"ssl_cert_reqs": "required", "ssl_check_hostname": False},
    }
    assert celery_broker("redis://h/3") == {"broker_url": "redis://h/3"}


def told(tmp_path: Path, roots: Path, url: str) -> list[str]:
    """The words of API, worker and `doctor` on a Redis that does not let them in."""
    service = Service(tmp_path, roots, {"SYNTHORAX_REDIS_URL": url})
    words = []
    for command in (("serve",), ("worker",), ("doctor",)):
        code, out, errors = run(service, *command)
        assert code == 1
        words.append(" ".join((out + " " + errors).split()))
        assert "Traceback" not in words[-1]
    service.close()
    return words


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"password": "wr0ng-" + "x7" * 16}, "does not accept the user or the password"),
        ({"ca": "other-ca.pem"}, "certificate is not accepted"),
        ({"host": "127.0.0.1"}, "certificate is not accepted"),
    ],
)
def test_who_is_not_let_in_is_told_why(
    tmp_path: Path, roots: Path, door: TlsDoor, change: dict[str, str], expected: str
) -> None:
    url = door.url(**change)
    for words in told(tmp_path, roots, url):
        assert expected in words
        assert "SYNTHORAX_REDIS_URL" in words
        assert shown(url) in words.replace(" ", "") or shown(url) in words
        for secret in (PASSWORD, change.get("password", PASSWORD)):
            assert secret not in words


def test_a_missing_right_is_named(tmp_path: Path, roots: Path) -> None:
    (tmp_path / "v").mkdir()
    for rules, expected in (("-xadd -evalsha", "xadd, evalsha"),
                            ("resetkeys ~other:*", "(on keys synthorax:*)")):  # fmt: skip
        folder = tmp_path / "v" / str(len(rules))
        folder.mkdir()
        with Guarded(folder, rules) as server, TlsDoor(server.socket) as door:
            for words in told(tmp_path, roots, door.url()):
                assert "may not do in Redis what is needed" in words
                for name in expected.split(", "):
                    assert name in words
                assert "deploy/valkey/users.acl" in words
                assert PASSWORD not in words


def test_a_file_of_users_with_its_placeholder_is_refused_by_valkey(tmp_path: Path) -> None:
    server = Guarded(tmp_path)
    (tmp_path / "users.acl").write_text(ACL)
    ran = subprocess.run(server.command(), timeout=60, check=False)
    assert ran.returncode != 0
    assert "users.acl" in (tmp_path / "valkey.log").read_text()
