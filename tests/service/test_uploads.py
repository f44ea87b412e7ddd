"""Datasets by HTTP: uploads in every form, cut off, refused; what is shown, deleted, withdrawn."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from library.atomic import read_json, write_json
from tests.service.conftest import TINY, Service, wait_until
from tests.service.processes import api_of, private_bytes
from tests.sets import packed, picture


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 pictures of 20 patients in two classes."""
    root = tmp_path_factory.mktemp("archive")
    for i in range(60):
        picture(root / "set" / "AB"[i % 2] / f"person{i % 20}_virus_{i}.png", i)
    (root / "set" / "A" / "letter.png").write_text("a letter")
    return packed(root / "set", root / "set.zip", prefix="export/")


def sent(service: Service, content: Any, **params: Any) -> httpx.Response:
    headers = {"Content-Type": "application/zip"}
    return service.http.post("/datasets", content=content, headers=headers, params=params)


def ready(service: Service, answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    address = answer.headers["Location"]
    wait_until(lambda: service.http.get(address).json()["status"] != "validating")
    found: dict[str, Any] = service.http.get(address).json()
    return found


def folders(service: Service) -> list[Path]:
    root = service.data_dir / "datasets"
    return [path for path in root.glob("*") if path.is_dir() and path.name != ".incoming"]


def incoming(service: Service) -> list[Path]:
    return list((service.data_dir / "datasets" / ".incoming").glob("*"))


# Uploads


def test_an_upload_is_validated_shown_trained_on_and_deleted(
    service: Service, archive: Path
) -> None:
    found = ready(service, sent(service, archive.read_bytes(), name="Ward 3"))
    identity = found["id"]
    assert (found["status"], found["name"], found["path"]) == ("ready", "Ward 3", None)
    assert (found["images"], found["patients"], found["patients_by"]) == (60, 20, "kermany")
    assert [file["file"] for file in found["refused"]] == ["export/A/letter.png"]
    assert not (service.data_dir / "datasets" / identity / "upload.zip").exists()
    assert found["stored_bytes"] > 0

    # Its files and pictures.
    page = service.http.get(f"/datasets/{identity}/files", params={"limit": 40}).json()
    rest = service.http.get(
        f"/datasets/{identity}/files", params={"limit": 40, "after": page["next"]}
    ).json()
    assert (len(page["data"]), len(rest["data"]), rest["next"]) == (40, 21, None)
    held = service.http.get(f"/datasets/{identity}/files", params={"split": "held_out"}).json()
    assert len(held["data"]) == found["splits"]["held_out"]["images"]
    first = next(file for file in page["data"] if file["status"] == "accepted")
    thumbnail = service.http.get(f"/datasets/{identity}/files/{first['id']}/thumbnail.jpg")
    assert Image.open(io.BytesIO(thumbnail.content)).size == (96, 96)
    links = found["links"]
    for name in ("sheet", "thumbnails", "augmentation"):
        answer = service.http.get(links[name])
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["cache-control"] == "no-store" or name == "report"
        assert np.asarray(Image.open(io.BytesIO(answer.content))).std() > 10
    other = service.http.get(links["sheet"], params={"fit": "stretch", "border": 0.2, "count": 2})
    assert other.content != service.http.get(links["sheet"]).content
    report = service.http.get(links["report"])
    assert "Ward 3" in report.text
    assert "script" not in report.text
    assert "style-src 'unsafe-inline'" in report.headers["content-security-policy"]

    # A job on it uses the train split, fits as was chosen, and the card tells.
    body = {"dataset": identity, "model": "warded", "preset": "quick", "config": {**TINY}}
    job = service.http.post("/train-jobs", json=body).json()
    assert job["config"]["fit"] == "pad"
    ended = service.ended(job["id"])
    assert ended["status"] == "succeeded", ended
    card = service.http.get(f"/models/{ended['model']}").json()["dataset"]
    assert card["fingerprint"] == found["fingerprint"]
    assert card["images"] == found["splits"]["train"]["images"] < 60
    assert card["patients"] == found["splits"]["train"]["patients"]
    assert card["splits"] == found["splits"]
    text = service.http.get(f"/models/{ended['model']}/card").text
    assert "| held-out | " in text
    assert "no patient and no near-duplicate is in two" in text

    # Deleting really deletes.
    assert service.http.delete(f"/datasets/{identity}").status_code == 204
    assert service.http.get(f"/datasets/{identity}").status_code == 404
    assert not (service.data_dir / "datasets" / identity).exists()


def test_every_form_of_an_upload_is_the_same_dataset(service: Service, archive: Path) -> None:
    choices = json.dumps({"fit": "crop", "seed": 5})
    raw = sent(service, archive.read_bytes(), name="raw", choices=choices)

    def chunks() -> Iterator[bytes]:
        content = archive.read_bytes()
        for start in range(0, len(content), 1000):
            yield content[start : start + 1000]

    chunked = sent(service, chunks(), choices=choices)
    form = service.http.post(
        "/datasets",
        files={"file": ("x.zip", archive.read_bytes(), "application/zip")},
        data={"name": "form", "choices": choices},
    )
    identities = {answer.json()["id"] for answer in (raw, chunked, form)}
    assert len(identities) == 1
    found = ready(service, raw)
    assert found["choices"]["fit"] == "crop"
    assert found["name"] == "raw"
    assert incoming(service) == []
    service.http.delete(f"/datasets/{found['id']}")


def test_an_upload_that_is_cut_off_leaves_nothing_and_can_be_sent_again(
    service: Service, archive: Path
) -> None:
    before, known = folders(service), service.http.get("/datasets").json()
    content = archive.read_bytes()
    for length in (f"Content-Length: {len(content)}", "Transfer-Encoding: chunked"):
        with socket.create_connection(("127.0.0.1", service.port)) as half:
            head = (
                f"POST /datasets?name=half HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\n"
                f"Content-Type: application/zip\r\n{length}\r\n\r\n"
            )
            part = content[: len(content) // 2]
            body = f"{len(part):x}\r\n".encode() + part if "chunked" in length else part
            half.sendall(head.encode() + body)
            wait_until(lambda: incoming(service))
        wait_until(lambda: not incoming(service))
    assert folders(service) == before
    assert service.http.get("/datasets").json() == known
    found = ready(service, sent(service, content))
    assert found["status"] == "ready"
    service.http.delete(f"/datasets/{found['id']}")


@pytest.mark.parametrize(
    ("headers", "params", "content", "status", "field"),
    [
        ({"Content-Type": "text/plain"}, {}, b"x", 415, "Content-Type"),
        ({"Content-Type": "application/zip"}, {"choices": "{"}, b"x", 422, "choices"),
        ({"Content-Type": "application/zip"}, {"choices": '{"fit": 1}'}, b"x", 422, "choices.fit"),
        ({"Content-Type": "multipart/form-data"}, {}, b"x", 422, "Content-Type"),
        ({"Content-Type": "multipart/form-data; boundary=b"}, {}, b"--b\r\nnonsense", 422, "body"),
        (
            {"Content-Type": "multipart/form-data; boundary=b"},
            {},
            b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nx\r\n--b--\r\n',
            422,
            "file",
        ),
        (
            {"Content-Type": "multipart/form-data; boundary=b"},
            {},
            b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--b--\r\n',
            422,
            "other",
        ),
        ({"Content-Type": "application/json"}, {}, b'{"path": "/etc"}', 422, "path"),
    ],
)
def test_a_wrong_upload_names_what_is_wrong(
    service: Service,
    headers: dict[str, str],
    params: dict[str, str],
    content: bytes,
    status: int,
    field: str,
) -> None:
    answer = service.http.post("/datasets", content=content, headers=headers, params=params)
    assert answer.status_code == status, answer.text
    assert answer.json()["errors"][0]["field"] == field
    assert incoming(service) == []


def test_what_is_no_archive_fails_with_its_reason(service: Service) -> None:
    found = ready(service, sent(service, b"Rar!" + bytes(100)))
    assert found["status"] == "failed"
    assert "no whole ZIP" in found["error"]["detail"]
    # What failed may be sent again: it is looked at again.
    assert ready(service, sent(service, b"Rar!" + bytes(100)))["status"] == "failed"
    service.http.delete(f"/datasets/{found['id']}")


def test_a_page_of_another_origin_cannot_upload(service: Service, archive: Path) -> None:
    answer = service.http.post(
        "/datasets",
        files={"file": ("x.zip", archive.read_bytes(), "application/zip")},
        headers={"Origin": "http://evil.example"},
    )
    assert answer.status_code == 403


# Jobs and withdrawals


def test_a_job_says_what_is_wrong_with_its_dataset(service: Service, archive: Path) -> None:
    def refused(dataset: Any, **config: Any) -> dict[str, Any]:
        body = {"dataset": dataset, "model": "x", "config": {**TINY, **config}}
        answer = service.http.post("/train-jobs", json=body)
        assert answer.status_code == 422, answer.text
        error: dict[str, Any] = answer.json()["errors"][0]
        return error

    assert refused("ds-ffffffffffff")["field"] == "dataset"
    found = ready(service, sent(service, archive.read_bytes()))
    train = found["splits"]["train"]["images"]
    error = refused(found["id"], batch_size=train + 1)
    assert error["field"] == "config.batch_size"
    assert str(train) in error["allowed"]
    service.http.delete(f"/datasets/{found['id']}")


def test_a_withdrawal_lists_then_lets_go(service: Service, archive: Path) -> None:
    found = ready(service, sent(service, archive.read_bytes(), choices='{"seed": 9}'))
    body = {"dataset": found["id"], "model": "gone", "config": {**TINY}}
    job = service.http.post("/train-jobs", json={**body, "config": {**TINY, "epochs": 5000}}).json()
    wait_until(lambda: service.job(job["id"])["progress"] is not None)
    who = {"patient": "person3"}
    assert service.http.post("/withdrawals", json=who).status_code == 409
    assert service.http.delete(f"/datasets/{found['id']}").status_code == 409
    service.http.post(f"/train-jobs/{job['id']}/cancel")
    service.ended(job["id"])
    trained = service.http.post("/train-jobs", json=body).json()
    model = service.ended(trained["id"])["model"]
    split = {
        file["split"]
        for file in service.http.get(f"/datasets/{found['id']}/files").json()["data"]
        if "person3_" in file["file"]
    }
    listed = service.http.post("/withdrawals", json={**who, "dry_run": True}).json()
    assert listed["datasets"] == {found["id"]: 3}
    another = service.data_dir / "datasets" / "ds-0000000000ff.json"
    record = read_json(service.data_dir / "datasets" / f"{found['id']}.json")
    record |= {"id": "ds-0000000000ff", "status": "validating", "content": None}
    write_json(another, record)  # of a worker that is at it
    refused = service.http.post("/withdrawals", json=who)
    another.unlink()
    assert refused.status_code == 409, refused.text
    assert "ds-0000000000ff is being validated" in refused.json()["detail"]
    assert service.http.get(f"/datasets/{found['id']}").json()["images"] == 60
    receipt = service.http.post("/withdrawals", json=who).json()
    assert service.http.get(f"/datasets/{found['id']}").json()["images"] == 57
    assert service.http.get("/withdrawals").json()["data"] == [receipt]
    if split == {"train"}:
        assert model in receipt["versions"]  # and the first test's, of the same images
        assert service.http.get(f"/models/{model}").status_code in (404, 409)
    else:
        assert receipt["versions"] == []
    assert service.http.post("/withdrawals", json=who).status_code == 404
    for wrong in ({}, {"file": "x"}, {"patient": "a", "dataset": "b", "file": "c"}):
        assert service.http.post("/withdrawals", json=wrong).status_code == 422
    service.http.delete(f"/datasets/{found['id']}")


def test_logs_name_no_file_and_no_patient(service: Service) -> None:
    for path in service.data_dir.rglob("*.log"):
        text = path.read_text(errors="replace")
        assert "person3_" not in text, path
        assert "letter.png" not in text, path


# Kills


def test_a_killed_service_has_no_half_dataset(own_service: Service, tmp_path: Path) -> None:
    big = tmp_path / "big.zip"
    with zipfile.ZipFile(big, "w") as made:
        for i in range(1200):
            content = io.BytesIO()
            noise = np.random.default_rng(i).integers(0, 256, (64, 64), dtype=np.uint8)
            Image.fromarray(noise).resize((128, 128), Image.Resampling.BICUBIC).save(content, "PNG")
            made.writestr(f"A/{i}.png", content.getvalue())
    answer = sent(own_service, big.read_bytes())
    address = answer.headers["Location"]
    wait_until(lambda: own_service.http.get(address).json()["progress"] is not None)
    assert own_service.process is not None
    os.kill(own_service.process.pid, signal.SIGKILL)
    own_service.process.communicate()
    time.sleep(1)
    own_service.start()
    wait_until(lambda: own_service.http.get(address).json()["status"] == "ready")
    assert own_service.http.get(address).json()["images"] == 1200
    folder = own_service.data_dir / address.lstrip("/")
    assert len(list(folder.glob("c-*"))) == 1
    assert not list(folder.glob(".*"))
    assert sent(own_service, big.read_bytes()).json()["status"] == "ready"  # the same dataset


# Memory, and others meanwhile


def test_an_upload_stays_out_of_the_api_s_memory_and_of_others_way(service: Service) -> None:
    api = api_of(service)
    service.http.post("/generate", json={"model": "tiny@1", "count": 8})
    before, most, answered = private_bytes(api), 0, 0
    ended = threading.Event()

    def watch() -> None:
        nonlocal most, answered
        with httpx.Client(base_url=service.url, timeout=60) as http:
            while not ended.is_set():
                most = max(most, private_bytes(api))
                assert http.post("/generate", json={"model": "tiny@1"}).status_code == 200
                answered += 1

    def body() -> Iterator[bytes]:
        for _ in range(300):
            yield os.urandom(2**20)

    thread = threading.Thread(target=watch)
    thread.start()
    began = service.http.post(
        "/datasets", content=body(), headers={"Content-Type": "application/zip"}, timeout=600
    )
    while_sending = answered
    found = ready(service, began)
    ended.set()
    thread.join()
    assert found["status"] == "failed"  # noise is no ZIP
    assert most - before < 64 * 2**20, (most - before) / 2**20
    assert while_sending > 3
    service.http.delete(f"/datasets/{found['id']}")


def test_what_a_killed_upload_has_left_is_removed_a_day_later(
    service: Service, archive: Path
) -> None:
    datasets = service.data_dir / "datasets"
    (datasets / ".incoming").mkdir(exist_ok=True)
    orphan = datasets / "ds-aaaaaaaaaaaa" / "upload.zip"
    orphan.parent.mkdir()
    left = [datasets / ".incoming" / "old.zip", datasets / ".incoming" / "young.zip", orphan]
    for path in left:
        path.write_bytes(b"x")
    for path in (left[0], orphan):
        os.utime(path, (time.time() - 90_000, time.time() - 90_000))
    found = ready(service, sent(service, archive.read_bytes()))
    assert [path.exists() for path in left] == [False, True, False]
    assert not orphan.parent.exists()
    left[1].unlink()
    service.http.delete(f"/datasets/{found['id']}")
