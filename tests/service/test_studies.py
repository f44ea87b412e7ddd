"""Studies over HTTP, by the client and on the command line: real API, real workers."""

from __future__ import annotations

import io
import json
import shlex
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import FilePayload, Page, expect
from typer.testing import CliRunner

from app.studies.checking import check
from app.studies.schemas import StudyRequest
from library.datasets.records import read_record
from library.errors import Conflict as ServiceConflict
from library.settings import Settings
from library.studies import folder as studies
from library.versions import BUNDLED
from synthorax import Client, Conflict, InvalidRequest, JobFailed
from synthorax.cli.commands import app
from tests.evaluation.pictures import split_folders
from tests.service.alone import PUBLIC
from tests.service.browser import WAIT_MS
from tests.service.conftest import ROOT, Service, wait_until
from tests.service.studying import CONFIG, Studying, studying


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studying]:
    with studying(tmp_path_factory.mktemp("s")) as running:
        yield running


@pytest.fixture(scope="module")
def client(service: Studying) -> Iterator[Client]:
    with Client(service.url) as made:
        yield made


@pytest.fixture(scope="module")
def finished(service: Studying) -> dict[str, Any]:
    """A study with results."""
    study = service.ended(service.study()["id"])
    assert study["status"] == "succeeded", study
    return study


def test_a_study_is_estimated_made_and_shown(service: Studying, finished: dict[str, Any]) -> None:
    body = {"dataset": service.dataset, "config": {**CONFIG, "generators": 3}}
    answer = service.http.post("/studies/estimates", json=body)
    assert answer.status_code == 202
    assert answer.headers["retry-after"] == "2"
    assert answer.json()["units"] == {"prepare": 1, "generator": 3, "runs": 3, "results": 1}
    wait_until(lambda: service.http.post("/studies/estimates", json=body).status_code == 200)
    found = service.http.post("/studies/estimates", json=body).json()
    assert (found["status"], found["total_seconds"]) == ("measured", 71.0)
    # A generator: 5 arms by the network (3 seeds), 3 by the probe (1); once: 5 and 3, of which one
    # (duplicates) has 3 seeds.
    assert found["generators"] == 3
    assert found["classifiers"] == 3 * (5 * 3 + 3) + (5 * 3 + 2 + 3)
    assert found["patients_known"] is True
    study = finished
    assert study["config"]["smallest_useful_effect"] == 0.01
    assert study["progress"]["kinds"]["generator"] == {"done": 1, "total": 1, "fraction": 1.0}
    assert study["verdict"]["verdict"] == "inconclusive"
    assert study["lights"]["told_apart"] == "amber"
    assert study["progress"]["fraction"] == 1
    assert {unit["status"] for unit in study["units"]} == {"done"}
    assert study["waiting"] is None
    listed = service.http.get("/studies").json()["data"]
    assert {**study, "units": None} in listed


def test_results_are_files(service: Studying, finished: dict[str, Any]) -> None:
    http, links = service.http, finished["links"]
    content = http.get(links["results.json"]).json()
    assert content["study"] == finished["id"]
    assert content["config"] == finished["config"]
    page = http.get(links["results.html"])
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    (policy,) = page.headers.get_list("content-security-policy")
    assert "default-src 'none'" in policy
    kinds = {"tables/contrasts.csv": "text/csv", "tables/contrasts.tex": "application/x-tex",
             "figures/primary.svg": "image/svg+xml", "methods.md": "text/markdown"}  # fmt: skip
    for name, kind in kinds.items():
        answer = http.get(links[name])
        assert answer.headers["content-type"].startswith(kind), name
        assert answer.content
    with zipfile.ZipFile(io.BytesIO(http.get(links["results.zip"]).content)) as archive:
        assert set(kinds) | {"results.json", "results.html"} == set(archive.namelist())
    base = f"/studies/{finished['id']}"
    missing = http.get(f"{base}/tables/none.csv")
    assert missing.status_code == 404
    assert "contrasts.csv" in missing.json()["detail"]
    assert http.get(f"{base}/tables/..%2Fresults.json").status_code == 404
    assert http.get(f"{base}/figures/.hidden").status_code == 422
    arms = http.get(f"{base}/arms.zip")
    assert arms.status_code == 202
    wait_until(lambda: http.get(f"{base}/arms.zip").status_code == 200)
    answer = http.get(f"{base}/arms.zip")
    assert answer.headers["cache-control"] == "private, no-store"
    assert zipfile.ZipFile(io.BytesIO(answer.content)).namelist() == ["README.txt"]


def test_a_study_is_ended_resumed_and_deleted(client: Client, service: Studying) -> None:
    study = client.studies.create(service.dataset, CONFIG)
    with pytest.raises(Conflict, match="no results yet"):
        study.results()
    with pytest.raises(Conflict, match="units of runs to do yet"):
        study.arms("never.zip")
    with pytest.raises(Conflict, match="wait for its results"):
        study.score(b"image,probability\n", "mine")
    with pytest.raises(Conflict, match="Cancel it first"):
        study.delete()
    assert study.cancel().status == "cancelled"
    with pytest.raises(Conflict, match="is cancelled"):
        study.cancel()
    with pytest.raises(JobFailed, match="is cancelled"):
        study.wait()
    assert study.resume().status in ("queued", "running")
    assert study.wait(timeout=120).status == "succeeded"
    with pytest.raises(Conflict, match="Only a cancelled or failed"):
        study.resume()
    assert client.studies.get(study.id).results()["study"] == study.id
    study.delete()
    assert study.id not in [each.id for each in client.studies.list()]
    assert service.http.get(f"/studies/{study.id}").status_code == 404


def test_a_request_sent_twice_makes_one_study(service: Studying) -> None:
    one, other = (service.study(key="once") for _ in "ab")
    assert one["id"] == other["id"]
    service.http.post(f"/studies/{one['id']}/cancel")
    body = {"dataset": service.dataset, "config": {**CONFIG, "seed": 4}}
    third = service.http.post("/studies", json=body, headers={"Idempotency-Key": "once"})
    assert third.status_code == 422
    assert "was used for another request" in third.json()["detail"]


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"positive": "LUPUS"}, "config.positive", "HEALTHY, SHADOW"),
        ({"labels": ["SHADOW", "LUPUS"]}, "config.labels", "no class 'LUPUS'"),
        ({"positive": ""}, "config.positive", "Name the class"),
        ({"ratio": 100}, "config.ratio", "from 0.1 to 10"),
        ({"generator": {"preset": "nobody"}}, "config.generator.preset", "nobody"),
        ({"resolution": 32}, "config.resolution", "64, 128"),
        (
            {"generator": {"config": {"conditional": False}}},
            "config.generator.config.conditional",
            "leave it out",
        ),
        ({"generator": {"model": "nobody@1"}}, "config.generator.model", "GET /models"),
        ({"generator": {"images": "/etc"}}, "config.generator.images", "dataset root"),
        ({"test": "validation"}, "config.test", "small_class"),
        ({"colour": "red"}, "config.colour", "no field 'colour'"),
    ],
)
def test_what_is_wrong_is_named(
    service: Studying, changes: dict[str, Any], field: str, words: str
) -> None:
    body = {"dataset": service.dataset, "config": {**CONFIG, **changes}}
    for path in ("/studies", "/studies/estimates"):
        answer = service.http.post(path, json=body)
        assert answer.status_code == 422, answer.text
        problem = answer.json()
        assert field in [error["field"] for error in problem["errors"]]
        assert words in problem["detail"]


def test_all_that_is_wrong_is_told_at_once(service: Studying) -> None:
    body = {"dataset": "ds-000000000000", "config": {"positive": 3, "folds": 1}}
    problem = service.http.post("/studies", json=body).json()
    fields = {error["field"] for error in problem["errors"]}
    assert fields == {"dataset", "config.positive", "config.folds"}


def test_a_published_version_needs_no_training(service: Studying) -> None:
    given = {"model": PUBLIC}
    body = {"dataset": service.dataset, "config": {**CONFIG, "generator": given}}
    (error,) = service.http.post("/studies", json=body).json()["errors"]
    assert (error["field"], error["given"]) == ("config.generator.model", PUBLIC)
    assert "trained on this very dataset" in error["allowed"]

    card = service.data_dir / "models" / "ours" / "1" / "model.json"  # as if it had been
    shutil.copytree(BUNDLED / PUBLIC.replace("@", "/"), card.parent)
    known = json.loads(card.read_text())
    known["dataset"]["fingerprint"] = read_record(service.data_dir, service.dataset)["fingerprint"]
    card.write_text(json.dumps(known))
    study = service.study(generator={"model": "ours@1"}, generators=1)
    assert "generator" not in study["progress"]["kinds"]
    service.http.post(f"/studies/{study['id']}/cancel")


def test_a_dataset_is_waited_for(service: Studying, client: Client) -> None:
    folder = service.folder.with_name("more")
    shutil.copytree(service.folder, folder)
    with pytest.raises(Conflict, match="Wait until it is ready") as refused:
        client.studies.create({"path": str(folder)}, CONFIG)
    (error,) = refused.value.errors
    assert client.datasets.validated(error["given"])["status"] == "ready"
    assert client.studies.create({"path": str(folder)}, CONFIG).cancel().status == "cancelled"


def test_a_service_with_a_store_makes_no_studies(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, store=f"file://{tmp_path}/store")
    request = StudyRequest(dataset="ds-000000000000", config=CONFIG)
    nobody: Any = None
    with pytest.raises(ServiceConflict, match=r"SYNTHORAX_STORE.*synthorax serve"):
        check(request, settings, nobody, nobody, nobody)


def test_a_model_of_your_own_is_scored(
    client: Client, service: Studying, finished: dict[str, Any]
) -> None:
    study = client.studies.get(finished["id"])
    with pytest.raises(InvalidRequest, match="no UTF-8"):
        study.score(b"\xff\xfe\x00", "mine")
    with pytest.raises(InvalidRequest, match="no CSV"):
        study.score(b"", "mine")
    with pytest.raises(InvalidRequest):
        study.score(b"image,probability\n", "../mine")
    study.score(b"nonsense\n", "mine").wait(timeout=60)
    assert study.status == "succeeded"
    assert study.record["scores"][0]["error"]["detail"] == "mine has no images."
    study.score(b"\xef\xbb\xbfimage,probability\na.png,0.5\n", "mine").wait(timeout=60)
    assert study.record["scores"] == [{"name": "mine", "error": None}]
    assert study.results()["study"] == study.id
    with pytest.raises(Conflict, match="another name"):
        study.score(b"image,probability\n", "mine")
    answer = service.http.post(
        f"/studies/{study.id}/scores?name=json", content="{}",
        headers={"Content-Type": "application/xml"},
    )  # fmt: skip
    assert answer.status_code == 415


def test_the_command_line_asks_follows_and_fetches(
    service: Studying, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synthorax.cli.studies.Client", lambda: client)
    monkeypatch.chdir(tmp_path)

    def command(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["study", *words])
        return done.exit_code, f"{done.output}{done.exception or ''}"

    text = (ROOT / "docs" / "how-to.md").read_text().partition("## Does it help")[2]
    asked = text.partition("```toml\n")[2].partition("```")[0]
    lines = text.partition("```sh\n")[2].partition("```")[0].splitlines()
    named = asked.replace("ds-0123456789ab", service.dataset).replace("PNEUMONIA", "SHADOW")
    (tmp_path / "study.toml").write_text(named.replace("generators = 3", "generators = 1"))
    study: dict[str, Any] = {}
    for line in lines:
        words = [study.get("id", word) if word == "STUDY" else word for word in shlex.split(line)]
        code, out = command(*words[2:], *(["--json"] if words[2] == "run" else []))
        assert code == 0, out
        if words[2] == "cost":
            assert "1 generator and 38 classifiers are trained. About 31 seconds" in out
        elif words[2] == "run":
            study = json.loads(out[out.index('{"id"') :].splitlines()[0])
            assert study["status"] == "succeeded"
        elif words[2] == "show":
            assert "Inconclusive. Of SHADOW" in " ".join(out.split())
        elif words[2] == "list":
            assert study["id"] in out
    assert (tmp_path / "study" / "tables" / "contrasts.csv").is_file()
    (tmp_path / "study.json").write_text(json.dumps(CONFIG))
    assert "names no dataset" in command("run", "study.json")[1]
    code, out = command("run", "study.json", "--dataset", service.dataset)  # nobody answers
    assert (code, "Begin it?" in out) == (1, True), out
    code, out = command("arms", study["id"], "-o", "arms.zip")
    assert code == 0, out
    assert zipfile.is_zipfile(tmp_path / "arms.zip")
    (tmp_path / "My model.csv").write_text("image,probability\n")
    code, out = command("score", study["id"], "My model.csv")
    assert (code, "my-model is in the results" in out) == (0, True), out
    (tmp_path / "bad.csv").write_text("nothing\n")
    code, out = command("score", study["id"], "bad.csv")
    assert (code, "bad is not scored" in out) == (1, True), out
    code, out = command("cancel", study["id"])
    assert (code, "is succeeded" in out) == (1, True), out
    assert command("delete", study["id"])[0] == 0
    assert study["id"] not in command("list")[1]


def test_a_study_is_fixed_begun_and_read_on_the_page(service: Studying, page: Page) -> None:
    page.goto(f"{service.url}/ui/studies")
    page.get_by_role("link", name="New study").click()
    form = page.get_by_role("form", name="New study")
    expect(form.get_by_label("Class to tell from the rest")).to_have_value("SHADOW")
    form.get_by_label("Name").fill("from the page")
    tested = form.get_by_label("How it is tested")
    few = form.get_by_text("images. With fewer than 200")
    expect(few).to_contain_text("SHADOW has")
    tested.select_option("small_class")  # it has a generator in every fold
    expect(form.get_by_label("Generators", exact=True)).to_have_count(0)
    expect(few).to_have_count(0)
    tested.select_option("usefulness")
    form.get_by_label("Generators", exact=True).fill("none")
    form.get_by_role("button", name="What will it take?").click()
    expect(form.get_by_text("Use a whole number from 1 to 20.")).to_be_visible()
    form.get_by_label("Generators", exact=True).fill("2")
    begin = form.get_by_role("button", name="Begin the study")
    expect(begin).to_have_attribute("aria-disabled", "true")
    form.get_by_role("button", name="What will it take?").click()
    expect(form.get_by_text("by one worker of each kind")).to_be_visible()
    expect(form.locator(".numbers")).to_contain_text("56")  # classifiers
    begin.click()
    expect(page.get_by_role("heading", name="from the page", level=1)).to_be_visible()
    verdict = page.get_by_role("region", name="Verdict")
    expect(verdict.get_by_text("Not shown", exact=True)).to_be_visible(timeout=WAIT_MS)
    (study,) = [s for s in service.http.get("/studies").json()["data"] if s["name"]
                == "from the page"]  # fmt: skip
    assert (study["status"], study["config"]["generators"]) == ("succeeded", 2)
    row = page.get_by_role("region", name="Differences").get_by_role("row").nth(1)
    expect(row).to_contain_text("real + 1 × syntheticreal + 1 × duplicatessmall network")
    expect(row).to_contain_text("+0.008 (−0.013 to +0.029)")
    figure = page.get_by_role("img", name="The difference that decides")
    expect(figure).to_have_js_property("naturalWidth", 720)
    with page.expect_download() as download:
        page.get_by_role("link", name="contrasts.csv").click()
    assert Path(download.value.path()).read_text().startswith("classifier,arm")
    own = page.get_by_role("list", name="Models of your own")
    for name, content, words in (
        ("My model.csv", b"image,score\n", "my-model is in the results"),
        ("bad.csv", b"nothing\n", "bad: not scored. bad has no images."),
    ):
        file: FilePayload = {"name": name, "mimeType": "text/csv", "buffer": content}
        page.get_by_label("Predictions, a CSV").set_input_files(file)
        expect(own).to_contain_text(words, timeout=WAIT_MS)
    page.get_by_role("button", name="Delete").click()
    sure = page.get_by_role("dialog", name="Delete this study?")
    sure.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("heading", name="Studies", level=1)).to_be_visible()
    assert service.http.get(f"/studies/{study['id']}").status_code == 404


@pytest.mark.long
def test_a_small_study_is_done_by_the_whole_service(own_service: Service) -> None:
    """`synthorax serve` and the real program, from the question to the verdict."""
    images = split_folders(own_service.data_dir / "images" / "chests")
    config = {
        "positive": "SHADOW", "generators": 1, "seeds": 1, "epochs": 1, "steps_min": 10,
        "arms": ["real", "duplicates", "real_synthetic"], "seed": 1,
        "generator": {"preset": "quick", "config": {"epochs": 1, "batch_size": 8}},
    }  # fmt: skip
    with Client(own_service.url) as client:
        choices = {"patient": r"(?:^|/)p(\d+)_"}
        dataset = client.datasets.add(images, choices=choices)
        study = client.studies.create(dataset["id"], config).wait(timeout=900)
        found = study.results()
    assert found["verdict"]["verdict"] in ("benefit", "equivalent", "inconclusive", "harm")
    there = studies.find(own_service.data_dir, study.id)
    assert there.done() == {unit.name for unit in there.units}
