"""The OpenAPI document holds: schemathesis asks a running API for all of it, right and wrong.

It varies every parameter and body of every operation, follows what answers lead to (jobs that it
has queued itself, their events, clones, ends), and checks each answer against the document: its
status, form, schema and headers; wrong requests must be refused, other methods answered by 405.

No worker runs: what is queued stays queued.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.formats.encoding import FILE_FORMATS
from library.keys import KeyFile, new_key
from tests.evaluation.pictures import LABELS, split_folders
from tests.fake_study import finished
from tests.fuzzing.targets import own_files
from tests.service.alone import CLASSES, PLAIN, Api
from tests.service.conftest import ROOT, Service, train_request, wait_until
from tests.sets import packed
from tests.valkey import Server

NAN, INFINITY = float("nan"), float("inf")
LONG_MIN = 20_000  # examples
# It wants each request that fits the schema to succeed, and JSON Schema cannot say which labels a
# version has, that an image is whole, which fields go together, or that 1.0 is no whole number.
LEFT_OUT = "positive_data_acceptance"
# Seconds of work for each example (decoder processes, figures): a few of them are enough.
SLOW = (
    "/datasets/{dataset}/sheet.png",
    "/datasets/{dataset}/augmentation.png",
    "/train-jobs/{job}/figures.zip",
    "/train-jobs/{job}/tensorboard",
)


@dataclass(frozen=True)
class Known:
    """What a service has: requests name it more often than anything else."""

    folder: Path
    roots: Path
    job: str
    dataset: str
    path: str
    model: str
    study: str

    def values(self) -> dict[str, list[Any]]:
        """By parameter, as schemathesis names them."""
        references = [self.model, PLAIN, CLASSES]
        return {
            "path.job": [self.job],
            "path.study": [self.study],
            "path.dataset": [self.dataset],
            "path.name": ["tiny", self.model.partition("@")[0]],
            "path.report": ["latest"],
            "path.version": [1, 2],
            "path.label": ["_", "NORMAL", *LABELS],
            "path.epoch": [1, 2],
            "path.file": [1, 2],
            "query.one": references,
            "query.other": references,
            "body.path": [self.path],
            "body.dataset": [self.dataset],
            "body.dataset.path": [self.path],
            "body.label": ["NORMAL", *LABELS],
            "body.config.positive": ["NORMAL", *LABELS],
            "body.preset": ["quick"],
        }


def left_behind(base: Path, models: Path, images: Path, **asked: Any) -> Known:
    """A folder in which a dataset was validated and a job trained on it; nothing runs in it."""
    folder = base / "data"
    shutil.copytree(models, folder / "models")
    whole = Service(folder, images.parent)
    try:
        whole.start()
        given = {"path": str(images), "choices": {"patient": r"(?:^|/)p(\d+)_"}}
        made = whole.http.post("/datasets", json=given).json()["id"]
        wait_until(lambda: whole.http.get(f"/datasets/{made}").json()["status"] == "ready")
        request = train_request(images, conditional=True)
        job = whole.http.post("/train-jobs", json={**request, "dataset": made, **asked}).json()
        job = whole.ended(job["id"])
        assert job["status"] == "succeeded", job
        if asked["report"]:
            reports = f"/models/{job['model']}/reports"
            wait_until(
                lambda: (
                    [r["status"] for r in whole.http.get(reports).json()["data"]] == ["complete"]
                )
            )
        study = finished(folder, made).id
        return Known(folder, images.parent, job["id"], made, str(images), job["model"], study)
    finally:
        whole.close()


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path, dataset: Path) -> Known:
    base = tmp_path_factory.mktemp("left")
    return left_behind(base, tiny_models, dataset, report=False)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path) -> Known:
    """With a report, which takes a minute."""
    base = tmp_path_factory.mktemp("evaluated")
    images = split_folders(base / "roots" / "chests")
    return left_behind(base, tiny_models, images, report=True, model="reported")


@contextmanager
def serving(known: Known, folder: Path) -> Iterator[Api]:
    """The API on a copy of what is known, which may be spoilt."""
    data_dir = folder / "data"
    shutil.copytree(known.folder, data_dir)
    settings = {"dataset_roots": known.roots, "trusted_proxies": "127.0.0.1"}
    with (
        Server(data_dir / "redis") as redis,
        Api(data_dir, known.folder / "models", redis_url=redis.url, **settings) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, dataset: Path) -> Path:
    """Good files to send, by their media types."""
    folder = tmp_path_factory.mktemp("files")
    packed(dataset, folder / "application-zip")
    (folder / "text-csv").write_text("partition,generator,arm,ratio,seed,image,score\n")
    for form, content in zip(FILE_FORMATS.values(), own_files(), strict=True):
        (folder / form.media_type.replace("/", "-")).write_bytes(content)
    return folder


def asked(
    api: Api,
    known: Known,
    files: Path,
    examples: int,
    headers: Mapping[str, str] = {},
    left_out: tuple[str, ...] = (LEFT_OUT,),
    *options: str,
) -> tuple[int, str]:
    """How many requests were made, and what was said; fails with each finding."""
    folder = api.data_dir.parent / "asked"
    folder.mkdir()
    settings = folder / "schemathesis.toml"
    lines = [
        "seed = 1",
        "max-stream-events = 3",  # an unended job's events never end
        "request-timeout = 120",
        "continue-on-failure = true",
        f"headers = {_table(headers)}",
        f'generation = {{ database = "none", deterministic = true, max-examples = {examples} }}',
        "[parameters]",
        *(f'"{name}" = {{ dictionary = "{name}", probability = 0.7 }}' for name in known.values()),
        *(f'[dictionaries."{n}"]\nvalues = {json.dumps(v)}' for n, v in known.values().items()),
    ]
    few = f"phases.fuzzing.generation.max-examples = {2 + examples // 20}"
    plain = f"phases.coverage.enabled = false\n{few}"
    # What waits for events of a job that stays queued would wait for as long as any other answer;
    # wrong keys that come from one address are slowed.
    of_path = {
        **dict.fromkeys(SLOW, plain),
        "/train-jobs/{job}/events": "request-timeout = 10",
        "/session": few,
    }
    lines += [f'[[operations]]\ninclude-path = "{p}"\n{rule}' for p, rule in of_path.items()]
    settings.write_text("\n".join(lines))
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings), "run"]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{api.port}/openapi.json", *options,
         f"--exclude-checks={','.join(left_out)}"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.service.openapi_hooks",
            "SYNTHORAX_TEST_FILES": str(files),
        },
        capture_output=True,
        text=True,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-20_000:]
    found = re.search(r"(\d+) generated, \d+ passed", said) or re.search(r"(\d+) generated", said)
    assert found is not None, said[-2000:]
    return int(found[1]), said


def _table(headers: Mapping[str, str]) -> str:
    return "{ " + ", ".join(f'"{k}" = "{v}"' for k, v in headers.items()) + " }"


def test_the_api_is_as_it_is_described(known: Known, files: Path, tmp_path: Path) -> None:
    with serving(known, tmp_path) as api:
        count, said = asked(api, known, files, 5)
        assert count >= 1000
        assert api.http.get("/health/ready").status_code == 200
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in said


@pytest.mark.long
def test_the_api_is_as_it_is_described_at_length(
    evaluated: Known, files: Path, tmp_path: Path
) -> None:
    with serving(evaluated, tmp_path) as api:
        count, said = asked(api, evaluated, files, 400)
        print(said[said.index("=== SUMMARY") :])  # noqa: T201  for docs/security.md
    assert count >= LONG_MIN


def test_with_keys_every_answer_is_described(known: Known, files: Path, tmp_path: Path) -> None:
    """With a key that may generate: 403 wherever more is needed, as described."""
    with serving(known, tmp_path) as api:
        key, text = new_key("generates", "generate")
        KeyFile(api.data_dir).add(key)
        wait_until(lambda: api.http.get("/models").status_code == 401)
        bearer = {"Authorization": f"Bearer {text}"}
        document = api.http.get("/openapi.json", headers=bearer).json()
        assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
        asked(api, known, files, 2, bearer, (LEFT_OUT,), "--phases=fuzzing")
        log = [json.loads(x) for x in (api.data_dir / "audit.jsonl").read_text().splitlines()]
    assert sum(each.get("status") == 403 for each in log) > 20


def test_what_was_found_stays_mended(known: Known, tmp_path: Path) -> None:
    with serving(known, tmp_path) as api:
        files, events = f"/datasets/{known.dataset}/files", f"/train-jobs/{known.job}/events"
        far = api.http.get(files, params={"after": 2**70})
        assert (far.status_code, far.json()["errors"][0]["field"]) == (422, "after")
        for wrong in ("-5", f"{2**64}", "٣"):
            streamed = {b"Accept": b"text/event-stream", b"Last-Event-ID": wrong.encode()}
            assert api.http.get(events, headers=streamed).status_code == 422
            assert api.http.get(events, params={"after": wrong}).status_code == 422
        form = {"Content-Type": "application/json"}
        no_text = api.http.post("/train-jobs", content=b"\xff{}", headers=form)
        assert (no_text.status_code, no_text.json()["errors"][0]["field"]) == (422, "body")
        other = api.http.put("/train-jobs")
        assert (other.status_code, other.headers["Allow"]) == (405, "GET, POST")
        assert api.http.post("/session", json={"key": ""}).status_code == 422
        # Python reads numbers that JSON does not have.
        dataset, model = {"path": known.path}, "tiny"
        for path, body, field in (
            ("/train-jobs", {"dataset": dataset, "model": model, "config": {"lr": NAN}}, "config"),
            ("/train-jobs/estimates", {"dataset": dataset, "model": model, "config": {"lr": [NAN]}},
             "config"),
            ("/studies", {"dataset": known.dataset, "config": {"k": [1, NAN]}}, "config.k.1"),
            ("/datasets", {**dataset, "choices": {"held_out": -INFINITY}}, "choices.held_out"),
        ):  # fmt: skip
            for headers in (form, {**form, "Idempotency-Key": "none"}):
                answer = api.http.post(path, content=json.dumps(body), headers=headers)
                assert answer.status_code == 422
                assert answer.json()["errors"][0]["field"].startswith(field)
        archive = {"file": ("x.zip", b"PK", "application/zip")}
        answer = api.http.post("/datasets", files=archive, data={"choices": "Infinity"})
        assert answer.json()["errors"][0]["given"] == "inf"
        long = api.http.get(f"/train-jobs/{known.job}/samples/{10**300}.png")
        assert long.status_code == 422
        # Validated by nobody here: it holds nothing yet.
        waiting = api.http.post("/datasets", json={"path": f"{known.path}/NORMAL"}).json()["id"]
        asked = {"dataset": waiting, "file": "NORMAL/x.png", "dry_run": True}
        assert api.http.post("/withdrawals", json=asked).status_code == 409
