"""What a run tells: one schema for every event, numbers as JSON, CSV and TensorBoard."""

from __future__ import annotations

import contextlib
import csv
import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from app.main import STREAMS_MAX
from app.train_jobs.numbers import COLUMNS
from tests.service.conftest import Service, train_request, wait_until
from tests.service.test_train_jobs import follow
from worker import keys
from worker.connection import client
from worker.events import EVENT


@pytest.fixture(scope="module")
def job(service: Service, dataset: Path) -> str:
    """A job that has run for six epochs, with lines inside epochs too."""
    body = train_request(dataset, epochs=6, checkpoint_seconds=0.2)
    identity = str(service.http.post("/train-jobs", json=body).json()["id"])
    assert service.ended(identity)["status"] == "succeeded"
    return identity


def test_every_event_of_a_job_is_of_the_schema(service: Service, job: str) -> None:
    told = [event for _, event in follow(service, job)]
    assert {event["type"] for event in told} >= {"status", "metric", "checkpoint", "sample"}
    for event in told:
        EVENT.validate_python(event)
    page = service.http.get(f"/train-jobs/{job}/events").json()
    for event in page["data"]:
        EVENT.validate_python(event)
    assert page["trimmed"] is False
    metric = next(event for event in told if event["type"] == "metric")
    for wrong in ({"d_x": 1.5}, {"schema": 2}, {"surprise": 1}, {"loss_d": float("nan")}):
        with pytest.raises(ValidationError):
            EVENT.validate_python({**metric, **wrong})


def test_the_schema_is_in_the_api_s_document(service: Service) -> None:
    document = service.http.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    kinds = schemas["Event"]["discriminator"]["mapping"]
    told = {"status", "metric", "checkpoint", "sample", "validation", "log", "evaluation"}
    assert set(kinds) == told
    assert schemas["MetricEvent"]["properties"]["d_x"]["maximum"] == 1
    answer = document["paths"]["/train-jobs/{job}/events"]["get"]["responses"]["200"]["content"]
    assert answer["application/json"]["schema"]["$ref"].endswith("/EventPage")
    data = answer["text/event-stream"]["itemSchema"]["properties"]["data"]
    assert data["contentSchema"]["$ref"] == "#/components/schemas/Event"


def test_numbers_can_be_cut_and_thinned(service: Service, job: str) -> None:
    def numbers(query: str = "") -> Any:
        return service.http.get(f"/train-jobs/{job}/metrics{query}").json()

    every = numbers()
    assert every["total"] == len(every["data"])
    epochs = numbers("?scope=epoch")["data"]
    assert [line["epoch"] for line in epochs] == [1, 2, 3, 4, 5, 6]
    after = numbers(f"?scope=epoch&after_step={epochs[3]['step']}")["data"]
    assert after == epochs[4:]
    thin = numbers("?scope=epoch&max_points=3")
    assert thin["total"] == 6
    assert [thin["data"][0], thin["data"][-1]] == [epochs[0], epochs[-1]]
    assert len(thin["data"]) == 3
    for wrong, field in (("max_points=1", "max_points"), ("after_step=-1", "after_step")):
        refused = service.http.get(f"/train-jobs/{job}/metrics?{wrong}")
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["field"] == field


def test_numbers_as_a_table(service: Service, job: str) -> None:
    answer = service.http.get(f"/train-jobs/{job}/metrics", headers={"Accept": "text/csv"})
    assert f"{job}-metrics.csv" in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    lines = service.http.get(f"/train-jobs/{job}/metrics").json()["data"]
    assert list(rows[0]) == list(COLUMNS)
    assert [float(row["loss_g"]) for row in rows] == [line["loss_g"] for line in lines]


def records(content: bytes) -> list[bytes]:
    """The records of an event file: length, its checksum, the bytes, their checksum."""
    found, place = [], 0
    while place < len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        found.append(content[place + 12 : place + 12 + length])
        place += 16 + length
    return found


def test_numbers_for_tensorboard(service: Service, job: str) -> None:
    from tensorboardX.proto.event_pb2 import Event

    answer = service.http.get(f"/train-jobs/{job}/tensorboard")
    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        (name,) = archive.namelist()
        content = archive.read(name)
    assert name.startswith(f"{job}/events.out.tfevents.")
    events = [Event.FromString(record) for record in records(content)]
    assert events[0].file_version == "brain.Event:2"
    tags: dict[str, list[tuple[int, float]]] = {}
    grids = {}
    for event in events[1:]:
        for value in event.summary.value:
            if value.HasField("image"):
                grids[event.step] = value.image.encoded_image_string
            else:
                tags.setdefault(value.tag, []).append((event.step, value.simple_value))
    lines = service.http.get(f"/train-jobs/{job}/metrics?scope=epoch").json()["data"]
    told = tags["loss/discriminator"]
    assert [step for step, _ in told] == [line["step"] for line in lines]
    assert [loss for _, loss in told] == pytest.approx([line["loss_d"] for line in lines], rel=1e-6)
    last = service.http.get(f"/train-jobs/{job}/samples/6.png").content
    assert grids[lines[-1]["step"]] == last
    assert len(grids) == 6
    assert service.http.get("/train-jobs/job-none/tensorboard").status_code == 404


def test_a_stream_that_was_trimmed_says_so(service: Service, job: str) -> None:
    redis: Any = client((service.data_dir / "redis" / "address").read_text())
    told = follow(service, job)
    redis.xtrim(keys.events(job), maxlen=3, approximate=False)

    def stream(after: str) -> list[str]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": after}
        return service.http.get(f"/train-jobs/{job}/events", headers=headers).text.split("\n\n")

    for after in ("", told[0][0]):
        first, *rest = [message for message in stream(after) if message]
        assert f"/train-jobs/{job}/metrics holds every number" in first
        assert "\nid:" not in first  # a reader that comes back asks from where it was
        assert len(rest) == 3
    assert len([message for message in stream(told[-3][0]) if message]) == 2
    assert service.http.get(f"/train-jobs/{job}/events").json()["trimmed"] is True


def test_more_readers_than_there_may_be_are_told_to_come_again(
    service: Service, dataset: Path
) -> None:
    job = service.train(dataset, epochs=5000)["id"]
    address, headers = f"/train-jobs/{job}/events", {"Accept": "text/event-stream"}
    limits = httpx.Limits(max_connections=STREAMS_MAX + 1)
    with httpx.Client(base_url=service.url, timeout=60, limits=limits) as http:
        with contextlib.ExitStack() as stack:
            readers = []  # kept: a response whose lines nobody holds is closed
            for _ in range(STREAMS_MAX):
                stream = http.stream("GET", address, headers=headers)
                readers.append(stack.enter_context(stream).iter_lines())
                next(readers[-1])  # it has begun
            refused = service.http.get(address, headers=headers)
            assert refused.status_code == 503
            assert "Retry-After" in refused.headers
            assert service.http.get(address).status_code == 200  # as a page
    service.http.post(f"/train-jobs/{job}/cancel")
    service.ended(job)
    wait_until(lambda: service.http.get(address, headers=headers).status_code == 200)
