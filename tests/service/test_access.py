"""Keys on a running service: nothing without one, no more than its scope, sessions, limits."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect

from app.main import create_app
from library.keys import KeyFile, Keys, new_key
from library.settings import Settings
from synthorax import Client
from synthorax.errors import StatusError
from tests.service.alone import CLASSES, Api
from tests.service.browser import visiting
from tests.service.conftest import ROOT, TINY, Service, wait_until
from tests.service.test_shell_lines import lines_of
from tests.test_scopes import EXAMPLES
from tests.valkey import Server

PAGES = ("/", "/ui/runs", "/docs", "/static/app.js", "/openapi.json", "/metrics")


def made(folder: Path, scope: str, **more: Any) -> str:
    key, text = new_key(f"a {scope}", scope, **more)
    KeyFile(folder).add(key)
    return text


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keyed")


@pytest.fixture(scope="module")
def held(folder: Path) -> dict[str, str]:
    return {scope: made(folder, scope) for scope in ("generate", "train", "admin")}


@pytest.fixture(scope="module")
def api(folder: Path, held: dict[str, str], tiny_models: Path) -> Iterator[Api]:  # noqa: ARG001
    with Api(folder, tiny_models, images_a_day=50) as running:
        yield running


def audited(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]


def test_without_a_key_every_route_but_health_refuses(api: Api, tmp_path: Path) -> None:
    assert api.http.get("/health/live").status_code == 200
    ready = api.http.get("/health/ready").json()
    assert ready["checks"]["engine"] == {"status": "ok"}  # no version, no path
    document = create_app(Settings(data_dir=tmp_path)).openapi()
    asked = [("GET", page) for page in PAGES]
    for path, found in document["paths"].items():
        there = re.sub(r"\{(\w+)\}", lambda m: EXAMPLES.get(m[1], "x"), path)
        asked += [(method.upper(), there) for method in found]
    refused = 0
    for method, path in asked:
        if path.startswith(("/health/", "/session")):
            continue
        body: dict[str, Any] = {"content": b"{}", "headers": {"Content-Type": "application/json"}}
        answer = api.http.request(method, path, **(body if method in ("POST", "PUT") else {}))
        assert answer.status_code == 401, (method, path)
        wanted = "Reader-Token" if path.startswith("/read/") else "Bearer"  # readers have links
        assert answer.headers["WWW-Authenticate"].startswith(wanted), path
        refused += 1
    assert refused > 60


def test_a_key_does_what_its_scope_says(api: Api, held: dict[str, str]) -> None:
    wanted = {
        ("GET", "/models"): "generate",
        ("GET", f"/models/{CLASSES}/samples/NORMAL/7.png"): "generate",
        ("GET", "/"): "generate",
        ("GET", f"/models/{CLASSES}/samples/NORMAL/7/nearest.png"): "train",
        ("GET", "/datasets"): "train",
        ("POST", "/train-jobs"): "train",
        ("GET", "/withdrawals"): "admin",
        ("GET", f"/models/{CLASSES}/export"): "admin",
        ("POST", f"/models/{CLASSES}/activate"): "admin",
    }
    order = list(held)
    for scope, key in held.items():
        for (method, path), least in wanted.items():
            answer = api.http.request(method, path, headers=bearer(key))
            let_in = not answer.text.startswith(
                '{"type":"https://synthorax.invalid/errors/forbidden'
            )
            may = order.index(scope) >= order.index(least)
            assert let_in == may, (scope, method, path, answer.text[:200])
    answer = api.http.post("/train-jobs", json={}, headers=bearer(held["generate"]))
    assert answer.json()["title"] == "The key does not allow this"
    assert "this needs train" in answer.json()["detail"]
    with Client(str(api.http.base_url), held["generate"]) as client:
        assert client.generate("NORMAL", model=CLASSES).labels == ["NORMAL"]
        with pytest.raises(StatusError, match="needs train"):
            client.datasets.list()


def test_changes_and_refusals_are_written_down(
    api: Api, folder: Path, held: dict[str, str]
) -> None:
    mark = "audit-test-1"
    given = {**bearer(held["admin"]), "X-Request-ID": mark}
    answer = api.http.post(f"/models/{CLASSES}/activate", headers=given)
    assert answer.headers["X-Request-ID"] == mark
    # The second is written when the answer is on its way.
    wait_until(lambda: len([line for line in audited(folder) if line["request"] == mark]) == 2)
    asked, answered = (line for line in audited(folder) if line["request"] == mark)
    assert (asked["method"], asked["path"]) == ("POST", f"/models/{CLASSES}/activate")
    assert asked["name"] == "a admin"
    assert answered["status"] == answer.status_code == 200
    other = {**bearer(held["generate"]), "X-Request-ID": "audit-test-2"}
    refused = api.http.get("/datasets", headers=other)
    assert refused.json()["request_id"] == "audit-test-2"
    assert [line["status"] for line in audited(folder) if line["request"] == "audit-test-2"] == [
        403
    ]
    # What is no id is not taken over.
    odd = api.http.get("/models", headers={**bearer(held["admin"]), "X-Request-ID": "a b;c"})
    assert re.fullmatch("[0-9a-f]{16}", odd.headers["X-Request-ID"])
    words = (folder / "audit.jsonl").read_text()
    assert not any(key in words or key.rpartition("_")[2] in words for key in held.values())


@pytest.mark.parametrize(
    ("seconds", "most"), [(6, 60), pytest.param(60, 120, marks=pytest.mark.long)]
)
def test_wrong_keys_are_slowed_and_counted(
    api: Api, folder: Path, held: dict[str, str], seconds: float, most: int
) -> None:
    """One guesser who does not wait for answers."""
    wrong = bearer("synthorax_00000000_" + "0" * 64)
    until, statuses = time.monotonic() + seconds, []

    def guess() -> None:
        while time.monotonic() < until:
            statuses.append(api.http.get("/models", headers=wrong).status_code)

    guessers = [threading.Thread(target=guess) for _ in range(8)]
    for thread in guessers:
        thread.start()
    # Whoever has a right key, from the same address, is not kept waiting.
    began = time.monotonic()
    assert api.http.get("/models", headers=bearer(held["generate"])).status_code == 200
    assert time.monotonic() < until, began
    for thread in guessers:
        thread.join()
    assert set(statuses) == {401}
    assert len(statuses) < most  # thousands, if nothing slowed them
    told = [line for line in audited(folder) if line.get("wrong_keys")]
    assert told
    assert sum(line["wrong_keys"] for line in told) >= len(statuses) // 2
    assert told[-1]["address"] == "127.0.0.1"


def test_a_quota_is_told_and_kept(api: Api, folder: Path) -> None:
    key = bearer(made(folder, "generate"))
    body = {"model": CLASSES, "count": 20, "seed": 1}
    first = api.http.post("/generate", json=body, headers=key)
    assert first.headers["RateLimit-Policy"] == '"images";q=50;w=86400'
    assert first.headers["RateLimit"].startswith('"images";r=30;t=')
    assert api.http.post("/generate", json=body, headers=key).status_code == 200
    refused = api.http.post("/generate", json=body, headers=key)
    assert refused.status_code == 429
    assert "10 of 50 are left" in refused.json()["detail"]
    assert 0 < int(refused.headers["Retry-After"]) <= 86_400
    # What was refused was not counted; another key has its own.
    assert api.http.post("/generate", json={**body, "count": 10}, headers=key).status_code == 200
    # Whatever else draws images counts them, too.
    key = bearer(made(folder, "generate"))
    sample = api.http.get(f"/models/{CLASSES}/samples/_/5.png", headers=key)
    assert sample.headers["RateLimit"].startswith('"images";r=49;')
    known = {**key, "If-None-Match": sample.headers["ETag"]}
    assert api.http.get(f"/models/{CLASSES}/samples/_/5.png", headers=known).status_code == 304
    strip = {"from": 1, "to": 2, "steps": 40}
    path = f"/models/{CLASSES}/interpolate"
    assert api.http.get(path, params=strip, headers=key).status_code == 200
    assert api.http.get(path, params=strip, headers=key).status_code == 429
    png = {**key, "Content-Type": "image/png"}
    assert api.http.post("/verify", content=sample.content, headers=png).status_code == 200
    told = api.http.post("/generate", json={"model": CLASSES}, headers=key)
    assert told.headers["RateLimit"].startswith('"images";r=7;')


def test_limits_are_shared_by_replicas(
    tmp_path: Path, own_service: Service, tiny_models: Path
) -> None:
    settings = {
        "redis_url": (own_service.data_dir / "redis" / "address").read_text(),
        "requests_a_minute": 5,
        "images_a_day": 50,
    }
    key = bearer(made(tmp_path / "one", "generate"))
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "keys.json").write_bytes((tmp_path / "one" / "keys.json").read_bytes())
    with (
        Api(tmp_path / "one", tiny_models, **settings) as one,
        Api(tmp_path / "two", tiny_models, **settings) as two,
    ):
        statuses = [each.http.get("/models", headers=key).status_code for each in (one, two) * 4]
        assert statuses == [200] * 5 + [429] * 3
        probes = [one.http.get("/health/live") for _ in range(8)]  # a limit is no illness
        assert [each.status_code for each in probes] == [200] * 8
        assert "RateLimit" not in probes[0].headers
        # Without Redis each replica counts for itself.
        own_service.stop()
        assert one.http.get("/models", headers=key).status_code == 200
        # And nothing is counted of what cannot be recorded.
        job = {"model": CLASSES, "count": 20, "seed": 1}
        assert one.http.post("/generate-jobs", json=job, headers=key).status_code == 503
        told = one.http.post("/generate", json={"model": CLASSES}, headers=key)
        assert told.headers["RateLimit"].startswith('"images";r=49;')


def test_a_job_that_is_sent_many_times_at_once_is_counted_once(
    tmp_path: Path, tiny_models: Path
) -> None:
    with (
        Server(tmp_path / "redis") as redis,
        Api(tmp_path / "data", tiny_models, redis_url=redis.url, images_a_day=1000) as running,
    ):
        key = {**bearer(made(tmp_path / "data", "generate")), "Idempotency-Key": "once"}
        wait_until(lambda: running.http.get("/models").status_code == 401)
        job = {"model": CLASSES, "count": 100, "seed": 1}

        def sent(_: int) -> httpx.Response:
            return running.http.post("/generate-jobs", json=job, headers=key)

        with ThreadPoolExecutor(8) as at_once:
            answers = list(at_once.map(sent, range(8)))
        assert [each.status_code for each in answers] == [202] * 8
        assert len({each.json()["id"] for each in answers}) == 1
        told = running.http.post("/generate", json={"model": CLASSES}, headers=key)
        assert told.headers["RateLimit"].startswith('"images";r=899;')


def test_a_session_is_the_key_s_and_ends_with_it(api: Api, folder: Path) -> None:
    key = made(folder, "train")
    origin = {"Origin": str(api.http.base_url).rstrip("/")}
    with httpx.Client(base_url=api.http.base_url, timeout=60) as browser:
        answer = browser.post("/session", json={"key": key}, headers=origin)
        assert answer.status_code == 204
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Secure" not in cookie
        assert key.rpartition("_")[2] not in cookie
        assert browser.get("/session").json() == {
            "keys": True, "key": key[10:18], "name": "a train", "scope": "train", "by": "session",
        }  # fmt: skip
        assert browser.get("/models").status_code == 200
        assert browser.get("/models").headers["Vary"] == "authorization, cookie"
        # Another page cannot use it, nor what tells no origin.
        body = {"count": 1, "model": CLASSES}
        foreign = browser.post("/generate", json=body, headers={"Origin": "http://evil.example"})
        assert foreign.status_code == 403
        assert browser.post("/generate", json=body).status_code == 403
        assert browser.post("/generate", json=body, headers=origin).status_code == 200
        # A cookie that was changed is none.
        changed = browser.cookies["synthorax_session"][:-2] + "AA"
        jar = {"synthorax_session": changed}
        tried = httpx.get(f"{api.http.base_url}/models", cookies=jar, timeout=60)
        assert tried.status_code == 401
        KeyFile(folder).revoke(key[10:18])
        wait_until(lambda: browser.get("/models").status_code == 401)
    https = {**origin, "X-Forwarded-Proto": "https"}
    key = made(folder, "train")
    secured = httpx.post(f"{api.http.base_url}/session", json={"key": key}, headers=https)
    assert "Secure" in secured.headers["Set-Cookie"]


def test_a_login_leads_nowhere_else(api: Api, held: dict[str, str]) -> None:
    for target, leads in (("/ui/runs?a=1", "/ui/runs?a=1"), ("//evil.example", "/"),
                          ("https://evil.example", "/"), ("/\\evil.example", "/")):  # fmt: skip
        form = {"key": held["generate"], "next": target}
        answer = httpx.post(f"{api.http.base_url}/session", data=form)
        assert (answer.status_code, answer.headers["Location"]) == (303, leads)


def test_an_event_stream_by_a_token(service: Service, dataset: Path) -> None:
    job = service.train(dataset)["id"]
    made = service.http.post(f"/train-jobs/{job}/events/tokens")
    assert made.status_code == 201
    assert made.json()["expires_in"] == 60
    service.ended(job)
    key, text = new_key("later", "train")
    KeyFile(service.data_dir).add(key)
    try:
        path = f"/train-jobs/{job}/events"
        wait_until(lambda: service.http.get(path).status_code == 401)
        fresh = service.http.post(f"{path}/tokens", headers=bearer(text)).json()["token"]
        with service.http.stream("GET", path, params={"token": fresh}) as stream:
            assert stream.status_code == 200
            assert next(stream.iter_lines())
        # It opens this one stream, and not the one that was made for nobody's key.
        assert service.http.get("/train-jobs", params={"token": fresh}).status_code == 401
        other = "/train-jobs/job-0000000000000000/events"
        assert service.http.get(other, params={"token": fresh}).status_code == 401
        assert service.http.get(path, params={"token": fresh[:-2] + "AA"}).status_code == 401
    finally:
        KeyFile(service.data_dir).path.unlink()


def test_another_page_may_call_with_a_key_where_it_is_named(
    tmp_path: Path, tiny_models: Path
) -> None:
    key = made(tmp_path, "generate")
    lab, evil = "https://lab.example.org", "https://evil.example.org"
    with Api(tmp_path, tiny_models, cors_origins=lab) as api:
        asking = {"Access-Control-Request-Method": "POST",
                  "Access-Control-Request-Headers": "authorization, content-type"}  # fmt: skip
        may = api.http.options("/generate", headers={"Origin": lab, **asking})
        assert may.headers["Access-Control-Allow-Origin"] == lab
        assert "Access-Control-Allow-Credentials" not in may.headers
        not_evil = api.http.options("/generate", headers={"Origin": evil, **asking})
        assert "Access-Control-Allow-Origin" not in not_evil.headers
        body = {"model": CLASSES}
        answer = api.http.post("/generate", json=body, headers={"Origin": lab, **bearer(key)})
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, lab)
        answer = api.http.post("/generate", json=body, headers={"Origin": evil, **bearer(key)})
        assert answer.status_code == 403


def test_secrets_are_not_logged(tmp_path: Path, tiny_models: Path) -> None:
    key = made(tmp_path, "train")
    api = Api(tmp_path, tiny_models, log="json")
    # Redis away, with a password in its address, is what a service warns of.
    environment = {**api.environment, "SYNTHORAX_REDIS_URL": "redis://:hunter2secret@127.0.0.1:9/0"}
    process = subprocess.Popen(
        [sys.executable, "-m", "app"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    api.process = None
    wait_until(lambda: _answers(api))
    api.http.get("/models", headers={**bearer(key), "X-Request-ID": "logged-request"})
    api.http.get("/train-jobs", headers=bearer(key))
    api.http.get(f"/train-jobs/x/events?token={key}")
    process.terminate()
    _, words = process.communicate(timeout=60)
    api.http.close()
    lines = [json.loads(line) for line in words.splitlines()]
    (line,) = (line for line in lines if line.get("request") == "logged-request")
    assert (line["path"], line["status"], line["key"]) == ("/models", 200, key[10:18])
    assert line["seconds"] >= 0
    assert key.rpartition("_")[2] not in words
    assert "hunter2secret" not in words


def _answers(api: Api) -> bool:
    try:
        return api.http.get("/health/live").status_code == 200
    except httpx.TransportError:
        return False


def test_the_page_asks_for_a_key_and_lets_go_of_it(
    browser: Browser, own_service: Service, dataset: Path
) -> None:
    key = made(own_service.data_dir, "admin")
    wait_until(lambda: own_service.http.get("/models").status_code == 401)
    with visiting(browser) as page:
        page.goto(f"{own_service.url}/ui/runs")
        page.get_by_label("API key").fill("synthorax_wrong")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_contain_text("none of this service's keys")
        page.get_by_label("API key").fill(key)
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{own_service.url}/ui/runs")
        expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
        # Events come through the session, too.
        body = {"dataset": {"path": str(dataset)}, "model": "keyed", "preset": "quick",
                "config": TINY}  # fmt: skip
        job = own_service.http.post("/train-jobs", json=body, headers=bearer(key)).json()["id"]
        page.goto(f"{own_service.url}/ui/runs/{job}")
        expect(page.get_by_role("link", name="Generate with keyed@1")).to_be_visible(
            timeout=180_000
        )
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_label("API key")).to_be_visible()
        page.goto(f"{own_service.url}/")
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("[data-index='15']")).to_be_visible()
        page.wait_for_load_state("networkidle")  # styles of other pages come last
        # A key that ends ends the page's session.
        KeyFile(own_service.data_dir).revoke(key[10:18])
        wait_until(lambda: own_service.http.get("/models", headers=bearer(key)).status_code == 401)
        page.goto(f"{own_service.url}/ui/models")
        expect(page.get_by_label("API key")).to_be_visible()


def test_the_commands_of_the_page_make_and_end_keys(tmp_path: Path) -> None:
    """docs/security.md, in the order in which it is read."""
    known: dict[str, str] = {}
    environment = {**os.environ, "SYNTHORAX_DATA_DIR": str(tmp_path)}
    for words in lines_of((ROOT / "docs" / "security.md").read_text()):
        asked = [known.get(word, word) for word in words[1:]]
        done = subprocess.run(
            [sys.executable, "-c", "from synthorax.cli import main; main()", *asked, "--json"],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (words, done.stderr)
        told = json.loads(done.stdout)
        if words[2] == "add":
            known["0123abcd"] = told["id"]
            assert Keys(tmp_path, ()).find(told["key"])
    ended = Keys(tmp_path, ()).all()[known["0123abcd"]]
    assert ended.problem(time.time()) == "was revoked"
    refused = subprocess.run(
        [sys.executable, "-c", "from synthorax.cli import main; main()", "keys", "add", "x",
         "--scope", "root"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode == 1
    assert "generate, train or admin" in " ".join(refused.stderr.split())
