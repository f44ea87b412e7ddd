"""The client cannot drift: from its twin, from the service's OpenAPI document, from its weight."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from jsonschema import Draft202012Validator

import synthorax._async.client
import synthorax._async.datasets
import synthorax._async.generate_jobs
import synthorax._async.jobs
import synthorax._async.long_work
import synthorax._async.models
import synthorax._async.reader_studies
import synthorax._async.studies
import synthorax._sync.client
import synthorax._sync.datasets
import synthorax._sync.generate_jobs
import synthorax._sync.jobs
import synthorax._sync.long_work
import synthorax._sync.models
import synthorax._sync.reader_studies
import synthorax._sync.studies
from app.main import create_app
from library.settings import Settings
from synthorax._sync.client import Client
from synthorax._sync.generate_jobs import GenerateJob
from synthorax._sync.jobs import Job
from synthorax._sync.reader_studies import ReaderStudy
from synthorax._sync.studies import Study

ROOT = Path(__file__).resolve().parent.parent
PAIRS = [
    (synthorax._async.client.AsyncClient, synthorax._sync.client.Client),
    (synthorax._async.jobs.AsyncJob, synthorax._sync.jobs.Job),
    (synthorax._async.jobs.AsyncJobs, synthorax._sync.jobs.Jobs),
    (synthorax._async.long_work.AsyncLongWork, synthorax._sync.long_work.LongWork),
    (
        synthorax._async.generate_jobs.AsyncGenerateJob,
        synthorax._sync.generate_jobs.GenerateJob,
    ),
    (
        synthorax._async.generate_jobs.AsyncGenerateJobs,
        synthorax._sync.generate_jobs.GenerateJobs,
    ),
    (
        synthorax._async.reader_studies.AsyncReaderStudy,
        synthorax._sync.reader_studies.ReaderStudy,
    ),
    (
        synthorax._async.reader_studies.AsyncReaderStudies,
        synthorax._sync.reader_studies.ReaderStudies,
    ),
    (synthorax._async.studies.AsyncStudy, synthorax._sync.studies.Study),
    (synthorax._async.studies.AsyncStudies, synthorax._sync.studies.Studies),
    (synthorax._async.models.AsyncModels, synthorax._sync.models.Models),
    (synthorax._async.datasets.AsyncDatasets, synthorax._sync.datasets.Datasets),
]


def public(kind: type) -> dict[str, Any]:
    renamed = {"aclose": "close"}
    return {
        renamed.get(name, name): member
        for name, member in vars(kind).items()
        if not name.startswith("_")
    }


@pytest.mark.parametrize(("asynchronous", "synchronous"), PAIRS)
def test_twins_have_one_surface(asynchronous: type, synchronous: type) -> None:
    one, other = public(asynchronous), public(synchronous)
    assert one.keys() == other.keys()
    for name, member in one.items():
        if not callable(member):
            continue
        mine, its = (inspect.signature(each) for each in (member, other[name]))
        assert re.sub(r"\bAsync|_async\b", "", str(mine)) == re.sub(r"_sync\b", "", str(its)), name
        assert inspect.getdoc(member)
    assert any(map(inspect.iscoroutinefunction, one.values()))
    assert not any(map(inspect.iscoroutinefunction, other.values()))


def test_the_twin_is_as_it_is_made() -> None:
    made = subprocess.run([sys.executable, "tools/twins.py", "--check"], cwd=ROOT)
    assert made.returncode == 0


class Sent(Exception):
    """A call that would have been made."""


def recorded(call: Callable[[Client], Any]) -> httpx.Request:
    """The first request of a call."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        request.read()
        requests.append(request)
        raise Sent

    with Client("http://service") as client:
        client._transport._http = httpx.Client(
            base_url="http://service", transport=httpx.MockTransport(answer)
        )
        client._transport._process = os.getpid()
        with pytest.raises(Sent):
            call(client)
    return requests[0]


def job(client: Client) -> Job:
    return Job(client._transport, {"id": "job-1", "finished_at": None})


def generate_job(client: Client) -> GenerateJob:
    return GenerateJob(client._transport, {"id": "gj-1", "finished_at": None})


def reader_study(client: Client) -> ReaderStudy:
    return ReaderStudy(client._transport, {"id": "rs-1", "closed_at": None, "readers": []})


def study(client: Client) -> Study:
    return Study(client._transport, {"id": "st-1", "finished_at": None})


CALLS: list[tuple[str, Callable[[Client], Any]]] = [
    ("POST /generate", lambda c: c.generate("A", 3, truncation=0.5, reject_near_copies=True)),
    ("POST /generate", lambda c: c.generate(items=[("A", 1), (None, 2)])),
    ("POST /generate", lambda c: next(iter(c.stream("A")))),
    ("POST /generate", lambda c: c.samples({"A": 1})),
    ("POST /generate", lambda c: c.dataset(3)),
    ("POST /verify", lambda c: c.verify(b"\x89PNG")),
    ("GET /models", lambda c: c.models.list()),
    ("GET /models", lambda c: c.models.active()),
    ("GET /models/{name}@{version}", lambda c: c.models.get("m@1")),
    ("GET /models/{name}@{version}/card", lambda c: c.models.card("m@1")),
    ("GET /models/{name}@{version}/export", lambda c: c.models.export("m@1", "x", "yes: us")),
    ("POST /models/{name}@{version}/activate", lambda c: c.models.activate("m@1")),
    ("POST /models/{name}@{version}/reports", lambda c: c.models.evaluate("m@1", "ds-1")),
    ("GET /models/{name}@{version}/reports", lambda c: c.models.reports("m@1")),
    ("GET /models/{name}@{version}/reports/{report}", lambda c: c.models.report("m@1")),
    ("GET /models/{name}@{version}/reports", lambda c: c.models.report_ended("m@1", "rp-1")),
    ("GET /models/compare", lambda c: c.models.compare("m@1", "m@2")),
    ("GET /datasets", lambda c: c.datasets.list()),
    ("GET /datasets/{dataset}", lambda c: c.datasets.get("ds-1")),
    ("GET /datasets/{dataset}", lambda c: c.datasets.validated("ds-1")),
    ("GET /datasets/choices", lambda c: c.datasets.choices()),
    ("POST /datasets", lambda c: c.datasets.register("a", "b", {"fit": "crop"})),
    ("DELETE /datasets/{dataset}", lambda c: c.datasets.delete("ds-1")),
    ("POST /withdrawals", lambda c: c.datasets.withdraw(patient="p", dry_run=True)),
    ("POST /train-jobs", lambda c: c.train("ds-0123456789ab", "m", "quick", {"epochs": 1})),
    ("POST /train-jobs", lambda c: c.train("a/folder", "m", report=False, labels=["x"])),
    ("POST /train-jobs/estimates", lambda c: c.estimate("ds-0123456789ab", "quick")),
    (
        "POST /reader-studies",
        lambda c: c.reader_studies.create(
            "m@1", "ds-1", labels=["A"], real_images_may_be_shown=True
        ),
    ),
    ("GET /reader-studies", lambda c: c.reader_studies.list()),
    ("GET /reader-studies/{study}", lambda c: c.reader_studies.get("rs-1")),
    ("GET /reader-studies/{study}", lambda c: reader_study(c).reload()),
    ("POST /reader-studies/{study}/readers", lambda c: reader_study(c).invite("one")),
    ("DELETE /reader-studies/{study}/readers/{reader}", lambda c: reader_study(c).remove("rd-1")),
    ("GET /reader-studies/{study}/results.json", lambda c: reader_study(c).results()),
    ("GET /reader-studies/{study}/results.csv", lambda c: reader_study(c).save_csv("x.csv")),
    ("GET /reader-studies/{study}/images.zip", lambda c: reader_study(c).save_images("x.zip")),
    ("POST /reader-studies/{study}/close", lambda c: reader_study(c).close()),
    ("DELETE /reader-studies/{study}", lambda c: reader_study(c).delete()),
    ("GET /presets", lambda c: c.presets()),
    ("GET /workers", lambda c: c.workers()),
    ("GET /health/ready", lambda c: c.ready()),
    ("GET /train-jobs", lambda c: c.jobs.list("failed", "x")),
    ("GET /train-jobs/{job}", lambda c: c.jobs.get("job-1")),
    ("GET /train-jobs/{job}", lambda c: job(c).reload()),
    ("GET /train-jobs/{job}/events", lambda c: next(iter(job(c).events()))),
    ("GET /train-jobs/{job}/metrics", lambda c: job(c).history()),
    ("POST /train-jobs/{job}/cancel", lambda c: job(c).cancel()),
    ("POST /train-jobs/{job}/finish", lambda c: job(c).finish()),
    ("POST /train-jobs/{job}/resume", lambda c: job(c).resume(epochs=3, max_seconds=9)),
    ("POST /train-jobs/{job}/clone", lambda c: job(c).clone(config={"seed": 1}, model="n")),
    ("DELETE /train-jobs/{job}", lambda c: job(c).delete()),
    ("POST /generate-jobs", lambda c: c.generate_jobs.create(10, "A", shard_images=100)),
    ("POST /generate-jobs", lambda c: c.generate_jobs.create(10, labels=["A"], container="zip")),
    ("GET /generate-jobs", lambda c: c.generate_jobs.list("failed")),
    ("GET /generate-jobs/{job}", lambda c: c.generate_jobs.get("gj-1")),
    ("GET /generate-jobs/{job}", lambda c: generate_job(c).reload()),
    ("GET /generate-jobs/{job}/shards", lambda c: generate_job(c).shards()),
    ("GET /generate-jobs/{job}/manifest.json", lambda c: generate_job(c).manifest()),
    ("POST /generate-jobs/{job}/cancel", lambda c: generate_job(c).cancel()),
    ("POST /generate-jobs/{job}/resume", lambda c: generate_job(c).resume()),
    ("DELETE /generate-jobs/{job}", lambda c: generate_job(c).delete()),
    ("POST /studies", lambda c: c.studies.create("ds-0123456789ab", {"positive": "A"})),
    ("POST /studies/estimates", lambda c: c.studies.estimate({"path": "x"}, {"positive": "A"})),
    ("GET /studies", lambda c: c.studies.list("failed")),
    ("GET /studies/{study}", lambda c: c.studies.get("st-1")),
    ("GET /studies/{study}", lambda c: study(c).reload()),
    ("GET /studies/{study}/results.json", lambda c: study(c).results()),
    ("GET /studies/{study}/results.zip", lambda c: study(c).download("x")),
    ("GET /studies/{study}/arms.zip", lambda c: study(c).arms("x")),
    ("POST /studies/{study}/scores", lambda c: study(c).score(b"image,p", "mine")),
    ("POST /studies/{study}/cancel", lambda c: study(c).cancel()),
    ("POST /studies/{study}/resume", lambda c: study(c).resume()),
    ("DELETE /studies/{study}", lambda c: study(c).delete()),
]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return create_app(Settings(data_dir=tmp_path_factory.mktemp("data"))).openapi()


@pytest.mark.parametrize(("route", "call"), CALLS, ids=lambda value: getattr(value, "text", None))
def test_every_call_is_one_of_the_document(
    document: dict[str, Any], route: str, call: Callable[[Client], Any]
) -> None:
    request = recorded(call)
    method, path = route.split()
    assert request.method == method
    pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))
    assert re.fullmatch(pattern, urlsplit(str(request.url)).path)
    operation = document["paths"][path][method.lower()]
    known = {p["name"]: p for p in operation.get("parameters", []) if p["in"] == "query"}
    assert set(request.url.params) <= set(known)
    if request.headers.get("content-type") != "application/json":
        return
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    whole = {**schema, "components": document["components"]}
    Draft202012Validator(whole).validate(json.loads(request.content))


def test_every_public_call_is_checked_here() -> None:
    """A method that is added wants a line above, or a word here on why not."""
    source = Path(__file__).read_text()
    files = {
        "download",
        "export_report",
        "upload",
        "add",
        "bring",
        "dicom",
        "push",
    }  # streams: the tests on a service
    ours = {"is_known", "named", "wait", "aclose", "close"}  # make no request of their own
    for _, kind in PAIRS:
        for name, member in public(kind).items():
            if callable(member) and name not in files | ours:
                assert re.search(rf"\.{name}\(", source), (kind, name)


def _loaded(statement: str) -> set[str]:
    program = f"{statement}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(json.loads(done.stdout))


def test_importing_costs_next_to_nothing() -> None:
    assert not _loaded("import synthorax") & {"torch", "httpx", "numpy", "PIL", "rich", "typer"}
    client = _loaded("from synthorax import Client; Client()")
    assert not client & {"torch", "typer", "fastapi", "pyarrow", "app", "library"}
    with pytest.raises(AttributeError, match="no attribute 'Clients'"):
        _ = synthorax.Clients


def test_the_public_face() -> None:
    face: ModuleType = synthorax
    assert {name for name in face.__all__ if getattr(face, name) is not None} == set(face.__all__)
    assert sorted(face.__all__) == [
        "AsyncClient", "AsyncJob", "Batch", "Busy", "Client", "Conflict", "ConnectionFailed",
        "EngineChanged", "InvalidRequest", "Job", "JobFailed", "NotAllowed", "NotFound", "Sample",
        "SampleSet", "ServerError", "StatusError", "SynthoraxError",
    ]  # fmt: skip
