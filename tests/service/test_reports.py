"""Reports by the real service: after a train job, on request, compared, exported, and as a gate."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from library.version_states import hold
from library.versions import ModelLibrary
from tests.evaluation.pictures import FEW, LABELS, split_folders
from tests.service.conftest import TINY, Service, wait_until

COUNT = 60  # samples of each class in a job's own report


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    base = tmp_path_factory.mktemp("reported")
    split_folders(base / "roots" / "chests", *FEW)
    service = Service(base / "data", base / "roots", {"SYNTHORAX_REPORT_COUNT": str(COUNT)})
    service.data_dir.mkdir()
    service.start()
    yield service
    service.close()


@pytest.fixture(scope="module")
def dataset(reported: Service) -> str:
    return validated(reported, "chests")


def validated(service: Service, name: str) -> str:
    folder = service.data_dir.parent / "roots" / name
    answer = service.http.post(
        "/datasets", json={"path": str(folder), "choices": {"patient": r"(?:^|/)p(\d+)_"}}
    )
    assert answer.status_code == 202, answer.text
    address = answer.headers["Location"]
    wait_until(lambda: service.http.get(address).json()["status"] == "ready")
    return str(answer.json()["id"])


def trained(service: Service, dataset: str, **more: Any) -> dict[str, Any]:
    config = {**TINY, "epochs": 1, "conditional": True}
    body = {"dataset": dataset, "model": "reported", "config": config, **more}
    answer = service.http.post("/train-jobs", json=body)
    assert answer.status_code == 202, answer.text
    job = service.ended(answer.json()["id"])
    assert job["status"] == "succeeded", job
    return job


def reports(service: Service, model: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.http.get(f"/models/{model}/reports").json()["data"]
    return found


def ended(service: Service, model: str) -> dict[str, Any]:
    """The newest report, once it has ended."""
    done = ("complete", "failed")
    wait_until(lambda: bool(r := reports(service, model)) and r[0]["status"] in done)
    return reports(service, model)[0]


def test_a_train_job_is_followed_by_its_report(reported: Service, dataset: str) -> None:
    job = trained(reported, dataset)
    model = job["model"]
    report = ended(reported, model)
    assert report["status"] == "complete", report
    assert (report["job"], report["dataset"]) == (job["id"], dataset)
    http, base = reported.http, report["links"]["self"]
    content = http.get(base).json()
    assert content["lights"] == report["lights"]
    assert content["data"]["patients_in_both"] == 0
    assert content["data"]["training_verified"] is True
    members = content["privacy"]["membership"]["discriminator"]["members"]
    assert members == content["data"]["train"]["images"]
    assert http.get(f"/models/{model}/reports/latest").json() == content
    page = http.get(f"{base}/report.html")
    assert "Synthetic" in page.text
    (policy,) = page.headers.get_list("content-security-policy")
    assert "style-src 'unsafe-inline'" in policy
    assert http.get(f"{base}/card").text.startswith("# reported@1: evaluation")
    assert http.get(f"{base}/figures/ruler.svg").headers["content-type"] == "image/svg+xml"
    pairs = http.get(f"{base}/operator/pairs.html")
    assert pairs.headers["cache-control"] == "private, no-store"
    listed = {m["reference"]: m for m in http.get("/models").json()["data"]}[model]
    assert listed["report"] == {"id": report["id"], "lights": report["lights"]}
    # The job's events tell it; the schema has it.
    events = http.get(f"/train-jobs/{job['id']}/events", params={"limit": 1000}).json()["data"]
    told = [event for event in events if event["type"] == "evaluation"]
    assert told[0]["report"] == report["id"]
    wait_until(
        lambda: any(
            event["type"] == "evaluation" and event["lights"] == report["lights"]
            for event in http.get(f"/train-jobs/{job['id']}/events", params={"limit": 1000}).json()[
                "data"
            ]
        )
    )


def test_exports_hold_everything_but_patients(reported: Service, dataset: str) -> None:
    assert dataset
    base = ended(reported, "reported@1")["links"]["self"]
    one, other = (reported.http.get(f"{base}/exports.zip").content for _ in range(2))
    assert one == other
    with zipfile.ZipFile(io.BytesIO(one)) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
    wanted = {"report.json", "methods.md", "claim.md", "tables/fidelity.tex", "figures/ruler.svg"}
    assert wanted <= names
    assert not [name for name in names if name.startswith("operator")]


def test_a_gate_holds_until_the_report(reported: Service, dataset: str) -> None:
    split_folders(reported.data_dir.parent / "roots" / "others", *FEW, seed=11)
    job = trained(reported, dataset, publish_if="not_red", config={**TINY, "seed": 8, "epochs": 1})
    model = job["model"]
    assert job["publish_if"] == "not_red"
    report = ended(reported, model)
    assert report["status"] == "complete", report
    assert report["gate"] is True
    # Fifty held-out images are too few for any light: none is red.
    assert set(report["lights"].values()) == {"not estimable"}
    assert shown(reported, model)["usable"] is True
    hold(ModelLibrary(reported.data_dir / "models").find(model), "a red light")
    # Neither less nor another dataset's images release it, and copies of these say nothing.
    less, again = (
        reported.http.post(f"/models/{model}/reports", json=body)
        for body in (
            {"count": COUNT - 1},
            {"count": COUNT, "dataset": validated(reported, "others")},
        )
    )
    assert (less.status_code, again.status_code) == (202, 202)  # also of a held one
    assert (less.json()["gate"], again.json()["gate"]) == (False, False)
    reported.http.delete(less.json()["links"]["self"])
    elsewhere = ended(reported, model)
    assert elsewhere["status"] == "complete", elsewhere
    content = reported.http.get(elsewhere["links"]["self"]).json()
    assert content["data"]["training_verified"] is False
    assert content["data"]["train"] is None
    assert content["privacy"]["membership"] == {"black box": None, "discriminator": None}
    assert shown(reported, model)["reason"].endswith("a red light")
    assert reported.http.post("/generate", json={"model": model}).status_code == 409


def shown(service: Service, model: str) -> dict[str, Any]:
    listed = service.http.get("/models").json()["data"]
    (found,) = (each for each in listed if each["reference"] == model)
    return dict(found)


def test_what_a_gate_needs_is_said(reported: Service) -> None:
    body = {"dataset": {"path": str(reported.data_dir.parent / "roots" / "chests" / "train")},
            "model": "x", "publish_if": "not_red"}  # fmt: skip
    answer = reported.http.post("/train-jobs", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "publish_if"


def test_reports_are_refused_with_reasons(reported: Service, dataset: str) -> None:
    http = reported.http
    assert http.post("/models/no@1/reports", json={}).status_code == 404
    bundled = http.post("/models/chest-xray-dcgan@1/reports", json={})
    assert bundled.status_code == 409
    assert "Name one that holds its training images" in bundled.json()["detail"]
    for body, field in (
        ({"dataset": "ds-000000000000"}, "dataset"),
        ({"count": 5}, "count"),
        ({"cnt": 200}, "cnt"),
    ):
        answer = http.post("/models/reported@1/reports", json=body)
        assert answer.status_code == 422, answer.text
        assert field in json.dumps(answer.json()["errors"])
    assert http.get("/models/reported@1/reports/rp-000000000000").status_code == 404
    # The classes of another model are not here.
    answer = http.post("/models/chest-xray-dcgan@2/reports", json={"dataset": dataset})
    assert answer.status_code == 202
    failed = ended(reported, "chest-xray-dcgan@2")
    if failed["status"] != "failed":  # the bundled report is newer
        failed = next(r for r in reports(reported, "chest-xray-dcgan@2") if r["status"] == "failed")
    assert "has no images of 'NORMAL'" in failed["error"]["detail"]


def test_two_versions_are_compared_where_they_measured_the_same(
    reported: Service, dataset: str
) -> None:
    made = trained(reported, dataset, report=False, config={**TINY, "conditional": True, "seed": 9})
    assert reports(reported, made["model"]) == []
    answer = reported.http.post(f"/models/{made['model']}/reports", json={"count": COUNT})
    assert answer.status_code == 202
    same = reported.http.post(f"/models/{made['model']}/reports", json={"count": COUNT})
    assert same.status_code == 202
    assert same.json()["id"] == answer.json()["id"]  # it was under way
    assert ended(reported, made["model"])["status"] == "complete"
    assert len(reports(reported, made["model"])) == 1
    query = {"one": "reported@1", "other": made["model"]}
    found = reported.http.get("/models/compare", params=query).json()
    assert {row["label"] for row in found["differences"]} == set(LABELS)
    assert {"kid_lite0", "coverage", "msssim"} <= {row["metric"] for row in found["differences"]}
    same = reported.http.get("/models/compare", params={"one": "reported@1", "other": "reported@1"})
    assert {row["better"] for row in same.json()["differences"]} == {"none"}
    code = reported.command("reports", "compare", "reported@1", made["model"])
    text, errors = code.communicate(timeout=60)
    assert code.returncode == 0, errors
    assert "kid_lite0" in text


def test_a_report_is_deleted(reported: Service, dataset: str) -> None:
    assert dataset
    report = ended(reported, "reported@1")
    assert reported.http.delete(report["links"]["self"]).status_code == 204
    assert report["id"] not in {r["id"] for r in reports(reported, "reported@1")}
    assert reported.http.get(report["links"]["self"]).status_code == 404
