"""Reader studies over HTTP: blinded to everything but the pixels, each reader to their own."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from app.main import create_app
from library.keys import KeyFile, new_key
from library.reader_studies.folder import find
from library.settings import Settings
from library.studies import folder as studies
from library.studies.resolving import resolve
from synthorax import Client, Conflict
from tests import blinding
from tests.service.alone import CLASSES, PLAIN, Api
from tests.service.browser import BREAKS, visiting
from tests.service.conftest import wait_until
from tests.sets import held_out
from tests.test_reader_studies import read_all

LABELS = ("NORMAL", "PNEUMONIA")
SHOWN = {"real_images_may_be_shown": True}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A data folder with the dataset alone, and its id."""
    base = tmp_path_factory.mktemp("held-out")
    return base / "data", held_out(base / "images", base / "data")


@pytest.fixture(scope="module")
def api(data: tuple[Path, str], tiny_models: Path) -> Iterator[Api]:
    with Api(data[0], tiny_models) as running:
        yield running
        assert running.stop() == 0


def made(api: Api, dataset: str, **given: Any) -> dict[str, Any]:
    body = {"model": CLASSES, "dataset": dataset, "per_label": 3, "seed": 5, **SHOWN, **given}
    answer = api.http.post("/reader-studies", json=body)
    assert answer.status_code == 201, answer.text
    study: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == study["links"]["self"]
    return study


class Reader:
    """Somebody with a link."""

    def __init__(self, api: Api, study: dict[str, Any], name: str = "one") -> None:
        answer = api.http.post(f"{study['links']['self']}/readers", json={"name": name})
        assert answer.status_code == 201, answer.text
        self.invited = answer.json()
        assert self.invited["link"] == f"/read#{self.invited['token']}"
        self.http, self.headers = api.http, {"Reader-Token": self.invited["token"]}

    def __call__(self, method: str, path: str, **body: Any) -> httpx.Response:
        json = body or None
        return self.http.request(method, f"/read/{path}", headers=self.headers, json=json)

    def consents(self) -> None:
        assert self("POST", "consent", accepted=True, signed="R. Reader").status_code == 200

    def answers(self, place: int, said: str = "real", **more: Any) -> httpx.Response:
        return self("POST", "answers", position=place, answer=said, milliseconds=700, **more)


def test_nothing_but_the_pixels_tells_real_from_synthetic(api: Api, data: tuple[Path, str]) -> None:
    study = made(api, data[1], per_label=30)
    folder = find(data[0], study["id"])
    rows, fixed, synthetic, items = [], [], [], []
    pixels: dict[int, bytes] = {}
    for name in ("one", "two"):
        reader = Reader(api, study, name)
        reader.consents()
        order = folder.reader(reader.invited["reader"]["id"]).order
        for place, item in enumerate(order):
            answer = reader("GET", f"images/{place}")
            assert answer.status_code == 200, answer.text
            file = blinding.of_file(answer.content)
            said = blinding.of_answer(answer.headers, answer.elapsed.total_seconds())
            rows.append([*file, *said, *blinding.of_place(place)])
            fixed.append((*file, *said[:2]))
            synthetic.append(folder.key[item]["kind"] == "synthetic")
            items.append(item)
            # The same file, whoever sees it and when.
            assert pixels.setdefault(item, answer.content) == answer.content
            reader.answers(place)
    assert len(rows) == 240
    assert sum(synthetic) == 120
    # What a file and its headers say is one and the same of all; times and orders differ, and tell
    # nothing.
    assert len(set(fixed)) == 1
    assert sorted(answer.headers) == sorted(
        ["cache-control", "content-length", "content-type", "content-security-policy", "date",
         "cross-origin-opener-policy", "cross-origin-resource-policy", "permissions-policy",
         "referrer-policy", "x-content-type-options", "x-request-id"]
    )  # fmt: skip
    area, p = blinding.told(rows, synthetic, items)
    assert p > 0.001, (area, p)
    assert 0.35 < area < 0.65
    # The pixels do: both classifiers would be of no use were there nothing to find.
    seen = [
        np.asarray(Image.open(io.BytesIO(content))).ravel()[::37].astype(float).tolist()
        for content in pixels.values()
    ]
    kinds = [folder.key[item]["kind"] == "synthetic" for item in pixels]
    assert blinding.told(seen, kinds, list(pixels))[1] == 0.001


def test_a_study_is_balanced_of_as_many_patients_as_images_and_reads_them_as_training_does(
    api: Api, data: tuple[Path, str]
) -> None:
    study = made(api, data[1], per_label=40, repeats=6)
    assert (study["items"], study["patients"]) == (160, 80)
    folder = find(data[0], study["id"])
    for label in LABELS:
        for kind in ("real", "synthetic"):
            of = [item for item in folder.key if (item["label"], item["kind"]) == (label, kind)]
            assert len(of) == 40
    made_here = [i for i, item in enumerate(folder.key) if item["kind"] == "synthetic"][:8]
    synthetic = [(i, folder.key[i]) for i in made_here]
    named = [{"label": item["label"], "seed": item["seed"]} for _, item in synthetic]
    again = api.images(model=CLASSES, items=named)
    for (i, _), sample in zip(synthetic, again, strict=True):
        with Image.open(io.BytesIO(folder.item(i))) as image:
            assert not image.info  # no marks
            assert sha256(image.tobytes()).hexdigest() == sample["sha256"]
    assert len({item["seed"] for _, item in synthetic}) == 8
    other = find(data[0], made(api, data[1], per_label=40)["id"])
    assert {item.get("seed") for item in other.key} == {item.get("seed") for item in folder.key}


def test_a_reader_consents_answers_goes_on_and_sees_only_their_own(
    api: Api, data: tuple[Path, str]
) -> None:
    study = made(api, data[1])
    reader, other = Reader(api, study), Reader(api, study, "two")
    assert reader("GET", "images/0").status_code == 409
    assert reader.answers(0).status_code == 409
    state = reader("GET", "state").json()
    assert (state["consented_at"], state["answered"], state["total"]) == (None, 0, 12)
    assert "voluntary" in state["consent"]
    reader.consents()
    assert reader("GET", "images/1").status_code == 200  # ahead, so that it is there in time
    assert reader("GET", "images/2").status_code == 409
    assert reader.answers(0, confidence=4).json()["answered"] == 1
    assert reader.answers(0, confidence=4).json()["answered"] == 1  # sent again
    assert reader.answers(0, "synthetic").status_code == 409
    assert reader.answers(5).status_code == 409
    assert reader("DELETE", "answers/0").json()["answered"] == 0
    for place in range(12):
        answer = reader.answers(place, confidence=3)
        # Nothing tells whether it was right.
        assert set(answer.json()) == set(state)
    assert reader("GET", "result").status_code == 409
    assert reader("POST", "finish").json()["finished_at"]
    found = reader("GET", "result").json()
    assert found["specificity"]["value"] == 1
    assert found["sensitivity"]["value"] == 0
    assert found["accuracy"]["value"] == 0.5
    for path in ("images/0", "images/11"):
        assert reader("GET", path).status_code == 409
    assert other("GET", "result").status_code == 409
    assert other("GET", "state").json()["answered"] == 0

    results = api.http.get(study["links"]["results"]).json()
    assert (results["readers_invited"], results["readers_counted"]) == (2, 1)
    assert results["verdict"] is None
    assert results["accuracy"] == {"value": None, "interval": None}
    assert results["readers"][0]["right"] is None
    table = api.http.get(study["links"]["csv"])
    assert table.headers["content-type"].startswith("text/csv")
    lines = table.text.splitlines()
    assert len(lines) == 13
    assert lines[0].startswith("study,reader,place,item,second_showing,label,truth,answer,correct")
    assert "R. Reader" not in table.text + json.dumps(results)
    images = f"{study['links']['self']}/images.zip"
    assert api.http.get(images).status_code == 409
    assert study["design"]["seed"] is None
    closed = api.http.post(f"{study['links']['self']}/close").json()
    assert closed["closed_at"]
    assert closed["design"]["seed"] == 5
    assert other("POST", "consent", accepted=True, signed="x").status_code == 409
    assert reader("GET", "result").status_code == 200
    assert api.http.get(study["links"]["results"]).json()["verdict"]["verdict"] == "inconclusive"

    log = (data[0] / "reader-studies" / study["id"] / "access.jsonl").read_text()
    events = [json.loads(line) for line in log.splitlines()]
    mine = [e["what"] for e in events if e["who"] == reader.invited["reader"]["id"]]
    assert mine.count("consent") == 1
    assert {"state", "image", "finished", "result"} <= set(mine)
    assert {e["what"] for e in events if e["who"] == "operator"} >= {
        "made", "invited", "results", "results.csv", "closed",
    }  # fmt: skip
    assert "R. Reader" not in log
    audit = (data[0] / "audit.jsonl").read_text()
    assert "/read/answers" in audit
    assert reader.invited["token"] not in audit + log

    # What was shown without marks leaves with them.
    with zipfile.ZipFile(io.BytesIO(api.http.get(images).content)) as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")]
        assert len(names) == 6
        content = archive.read(names[0])
        assert archive.read("key.csv").decode().count("real") == 6
    verified = api.http.post("/verify", content=content, headers={"Content-Type": "image/png"})
    assert verified.json()["verdict"] == "exact"
    assert api.http.delete(study["links"]["self"]).status_code == 204
    assert reader("GET", "state").status_code == 401
    assert api.http.get(study["links"]["self"]).status_code == 404


def test_a_reader_is_removed_with_their_link(api: Api, data: tuple[Path, str]) -> None:
    study = made(api, data[1])
    reader = Reader(api, study)
    reader.consents()
    identity = reader.invited["reader"]["id"]
    address = f"{study['links']['self']}/readers/{identity}"
    removed = api.http.delete(address)
    assert removed.status_code == 200, removed.text
    assert removed.json()["readers"] == []
    assert reader("GET", "state").status_code == 401
    assert reader.answers(0).status_code == 401
    assert api.http.delete(address).status_code == 404
    assert api.http.get(study["links"]["results"]).json()["readers_removed"] == 1
    log = (data[0] / "reader-studies" / study["id"] / "access.jsonl").read_text()
    events = [json.loads(line) for line in log.splitlines()]
    (told,) = [event for event in events if event["what"] == "removed"]
    assert (told["who"], told["reader"]) == ("operator", identity)
    other = Reader(api, study).invited["reader"]["id"]
    api.http.post(f"{study['links']['self']}/close")
    refused = api.http.delete(f"{study['links']['self']}/readers/{other}")
    assert refused.status_code == 409
    assert refused.json()["errors"][0]["field"] == "reader"


def test_a_model_without_classes_makes_one_too(api: Api, data: tuple[Path, str]) -> None:
    study = made(api, data[1], model=PLAIN, per_label=5)
    assert study["items"] == 10
    assert study["design"]["labels"] == []


@pytest.mark.parametrize(
    ("given", "status", "field"),
    [
        ({"real_images_may_be_shown": False}, 422, "real_images_may_be_shown"),
        ({"per_label": 150, "labels": ["NORMAL"]}, 422, "per_label"),
        ({"labels": ["VIRUS"]}, 422, "labels"),
        ({"repeats": 3}, 422, "repeats"),
        ({"dataset": "ds-000000000000"}, 404, "dataset"),
        ({"dataset": None}, 409, "dataset"),
        ({"model": "no-such"}, 404, "model"),
    ],
)
def test_what_is_refused(
    api: Api, data: tuple[Path, str], given: dict[str, Any], status: int, field: str
) -> None:
    body = {"model": CLASSES, "dataset": data[1], "per_label": 3, **SHOWN, **given}
    answer = api.http.post("/reader-studies", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["errors"][0]["field"] == field


def test_a_request_that_is_sent_again_makes_one_study(api: Api, data: tuple[Path, str]) -> None:
    body = {"model": CLASSES, "dataset": data[1], "per_label": 3, **SHOWN}

    def sent(key: str, **given: Any) -> httpx.Response:
        headers = {"Idempotency-Key": key}
        return api.http.post("/reader-studies", json={**body, **given}, headers=headers)

    first, again, third = sent("one"), sent("one"), sent("two")
    assert [answer.status_code for answer in (first, again, third)] == [201] * 3
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]
    assert third.json()["id"] != first.json()["id"]
    other = sent("one", per_label=4)
    assert other.status_code == 422
    assert other.json()["errors"][0]["field"] == "Idempotency-Key"


def test_its_dataset_is_not_deleted_under_it(api: Api, data: tuple[Path, str]) -> None:
    study = made(api, data[1])
    refused = api.http.delete(f"/datasets/{data[1]}")
    assert refused.status_code == 409
    assert "reader study" in refused.json()["detail"]
    assert api.http.delete(study["links"]["self"]).status_code == 204


@pytest.mark.parametrize("status", ["queued", "cancelled"])
def test_nor_under_a_study_before_or_after_its_end(
    api: Api, data: tuple[Path, str], status: str
) -> None:
    config = resolve({"positive": "PNEUMONIA", "generator": {"preset": "quick"}}).as_dict()
    record = {"dataset": data[1], "fingerprint": "f" * 64, "config": config}
    study = studies.create(data[0], studies.new_identity(), record)
    if status != "queued":
        study.finish(status)
    assert study.status == status
    try:
        refused = api.http.delete(f"/datasets/{data[1]}")
        assert refused.status_code == 409
        said = f"The study {study.id} was made of images of '{data[1]}'."
        assert refused.json()["detail"].startswith(said)
        assert "Delete the study first" in json.dumps(refused.json())
        assert api.http.get(f"/datasets/{data[1]}").status_code == 200
    finally:
        study.finish("cancelled")
        studies.remove(data[0], study.id)


def test_with_keys_a_link_opens_what_is_its_own_and_nothing_else(
    tmp_path: Path, tiny_models: Path
) -> None:
    identity = held_out(tmp_path / "images", tmp_path / "data", 4)
    with Api(tmp_path / "data", tiny_models) as api:
        trains, secret = new_key("trains", "train")
        KeyFile(api.data_dir).add(trains)
        admin, text = new_key("admin", "admin")
        KeyFile(api.data_dir).add(admin)
        wait_until(lambda: api.http.get("/models").status_code == 401)
        api.http.headers["Authorization"] = f"Bearer {text}"
        study = made(api, identity)
        reader = Reader(api, study)
        api.http.headers["Authorization"] = f"Bearer {secret}"
        assert api.http.get(study["links"]["self"]).status_code == 200
        mine = f"/readers/{reader.invited['reader']['id']}"
        for method, end in (
            ("POST", "/readers"), ("DELETE", mine), ("POST", "/close"), ("GET", "/images.zip"),
        ):  # fmt: skip
            assert api.http.request(method, study["links"]["self"] + end).status_code == 403
        del api.http.headers["Authorization"]
        for path in ("/read", "/static/read/read.js", "/static/vendor/ui/ui.js"):
            assert api.http.get(path).status_code == 200, path
        for path in ("/", "/static/app.js", study["links"]["self"], study["links"]["csv"]):
            assert api.http.get(path).status_code == 401, path
        reader.consents()
        assert reader("GET", "images/0").status_code == 200
        for token in ("", "x", reader.invited["token"][:-1] + "g"):
            refused = api.http.get("/read/state", headers={"Reader-Token": token})
            assert refused.status_code == 401
            assert refused.headers["content-type"] == "application/problem+json"
            assert api.http.post("/read/finish", headers={"Reader-Token": token}).status_code == 401
        log = (api.data_dir / "reader-studies" / study["id"] / "access.jsonl").read_text()
        assert f'"who": "{admin.id}", "what": "made"' in log
        # One line of who has a link, none of who has not.
        audit = (api.data_dir / "audit.jsonl").read_text().splitlines()
        (line,) = (each for each in map(json.loads, audit) if each.get("path", "")[:6] == "/read/")
        assert line["name"] == f"reader {reader.invited['reader']['id']}"
        assert (line["path"], line["status"]) == ("/read/consent", 200)


def test_not_with_a_store(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, store=f"file://{tmp_path / 'store'}")

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            return await http.post("/reader-studies", json={"per_label": 3, **SHOWN})

    answer = asyncio.run(asked())
    assert answer.status_code == 409
    assert answer.json()["errors"][0]["field"] == "SYNTHORAX_STORE"


def judge(page: Page, key: str, then: str) -> None:
    """Press a key until it is taken: one that comes right after an image is for the one before."""
    for _ in range(40):
        page.wait_for_timeout(300)
        page.keyboard.press(key)
        page.wait_for_timeout(200)
        if page.get_by_role("heading", name=then).count():
            return
    pytest.fail(f"{key} did not lead to {then}")


def test_the_page_is_read_by_keyboard_and_goes_on_after_a_reload(
    api: Api, data: tuple[Path, str], browser: Browser
) -> None:
    reader = Reader(api, made(api, data[1], per_label=2, labels=["NORMAL"]))
    with visiting(browser) as page:
        page.goto(f"{api.http.base_url}{reader.invited['link']}")
        page.get_by_role("button", name="Begin").click()
        expect(page.get_by_role("alert")).to_have_text("Tick the box if you agree.")
        page.get_by_role("checkbox").check()
        page.get_by_label("Your name").fill("R. Reader")
        page.keyboard.press("Enter")
        for place in range(4):
            expect(page.get_by_alt_text(f"Chest X-ray {place + 1} of 4")).to_be_visible()
            if place == 2:
                page.reload()
                expect(page.get_by_alt_text("Chest X-ray 3 of 4")).to_be_visible()
            box = page.locator(".viewport img").bounding_box()
            assert box is not None
            assert (box["width"], box["height"]) == (512, 512)
            if place == 3:  # the answer before was a slip
                judge(page, "u", "Image 3 of 4")
                judge(page, "f", "Image 4 of 4")
            page.keyboard.press("5")
            expect(page.get_by_role("button", name="5 of 5")).to_have_attribute(
                "aria-pressed", "true"
            )
            after = f"Image {place + 2} of 4" if place < 3 else "Every image has an answer"
            judge(page, "rf"[place % 2], after)
            assert not page.get_by_text("right", exact=False).count()
        assert reader("GET", "result").status_code == 409
        page.get_by_role("button", name="Finish").click()
        expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
        expect(page.get_by_text("Synthetic images found out")).to_be_visible()
        page.reload()
        expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    study = find(data[0], reader.invited["token"].partition(".")[0])
    answers = study.log(study.readers()[0]).read().answers
    assert "".join(each["answer"][0] for each in answers) == "rsss"
    assert {each["confidence"] for each in answers} == {5, None}


def test_the_page_keeps_an_answer_until_the_server_is_there_again(
    api: Api, data: tuple[Path, str], browser: Browser
) -> None:
    reader = Reader(api, made(api, data[1], per_label=2))
    reader.consents()
    with visiting(browser, viewport={"width": 320, "height": 640}, has_touch=True) as page:
        page.goto(f"{api.http.base_url}{reader.invited['link']}")
        expect(page.get_by_alt_text("Chest X-ray 1 of 8")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == 320
        page.context.set_offline(True)
        page.wait_for_timeout(300)
        page.get_by_role("button", name="Synthetic").tap()
        expect(page.get_by_role("alert")).to_contain_text("nothing is lost")
        page.context.set_offline(False)
        expect(page.get_by_alt_text("Chest X-ray 2 of 8")).to_be_visible()
        assert reader("GET", "state").json()["answered"] == 1
        page.evaluate(BREAKS)
        page.wait_for_timeout(300)
        page.get_by_role("button", name="Synthetic").tap()
        expect(page.get_by_alt_text("Chest X-ray 3 of 8")).to_be_visible()
        assert reader("GET", "state").json()["answered"] == 2  # sent twice, counted once
        page.goto("about:blank")
        page.goto(f"{api.http.base_url}/read#wrong")
        expect(page.get_by_role("alert")).to_contain_text("The link is not")


def test_an_image_that_was_open_for_more_than_a_day_is_answered(
    api: Api, data: tuple[Path, str], browser: Browser
) -> None:
    reader = Reader(api, made(api, data[1], per_label=2))
    reader.consents()
    with visiting(browser) as page:
        page.add_init_script(
            "window.later = 0; const now = performance.now.bind(performance);"
            "performance.now = () => now() + window.later;"
        )
        page.goto(f"{api.http.base_url}{reader.invited['link']}")
        expect(page.get_by_alt_text("Chest X-ray 1 of 8")).to_be_visible()
        page.wait_for_timeout(300)
        page.evaluate("window.later = 30 * 3_600_000")
        judge(page, "r", "Image 2 of 8")
    study = find(data[0], reader.invited["token"].partition(".")[0])
    (answer,) = study.log(study.readers()[0]).read().answers
    assert answer["milliseconds"] == 86_400_000


def test_an_operator_makes_invites_and_closes_on_the_page(
    api: Api, data: tuple[Path, str], browser: Browser
) -> None:
    with visiting(browser) as page:
        page.clock.install()
        page.goto(f"{api.http.base_url}/ui/reader-studies")
        page.get_by_label("Model").select_option(CLASSES)
        page.get_by_label("Images of each class and kind").fill("2")
        page.get_by_role("button", name="Make the study").click()
        expect(page.get_by_text("Say that this is allowed.")).to_be_visible()
        page.get_by_label("Readers will see real images").check()
        page.get_by_role("button", name="Make the study").click()
        page.get_by_label("Invite a reader").fill("Reader 1")
        page.get_by_role("button", name="Make a link").dblclick()  # is one reader
        link = page.locator(".link-text").inner_text()
        token = link.rpartition("#")[2]
        expect(page.get_by_role("cell", name="0 of 8")).to_be_visible()
        study = find(data[0], token.partition(".")[0])
        page.get_by_label("Invite a reader").fill("Reader 2")
        page.get_by_role("button", name="Make a link").click()
        expect(page.get_by_text("The link of Reader 2")).to_be_visible()
        page.get_by_role("button", name="Remove Reader 2").click()
        expect(page.get_by_role("button", name="Keep the reader")).to_be_focused()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        expect(page.get_by_role("row", name="Reader 2")).to_have_count(0)
        expect(page.get_by_text("The link of Reader 2")).to_have_count(0)
        assert [reader.name for reader in study.readers()] == ["Reader 1"]
        # Neither a failure nor a look at another tab ends that it is asked again.
        alert = page.get_by_role("alert")
        for offline in (True, False):
            page.context.set_offline(offline)

            def asked_again(alerts: int = int(offline)) -> bool:
                page.clock.fast_forward(6000)  # again: the last may have come before the timer
                return alert.count() == alerts

            wait_until(asked_again)
            if offline:
                expect(alert).to_contain_text("The server did not answer.")
        page.evaluate("Object.defineProperty(document, 'hidden', { value: true, writable: true })")
        page.clock.fast_forward(6000)
        read_all(study, study.readers()[0], 1.0)
        page.evaluate("document.hidden = false")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        expect(page.get_by_role("cell", name="8 of 8")).to_be_visible()
        expect(page.get_by_role("heading", name="1 of 1 readers are through")).to_be_visible()
        expect(page.get_by_role("img", name="Guessing gives 50")).to_have_count(0)
        page.get_by_role("button", name="Close", exact=True).click()
        page.get_by_role("button", name="Close the study").click()
        expect(page.get_by_text("Told apart")).to_be_visible()
        expect(page.get_by_role("img", name="Guessing gives 50")).to_be_visible()
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(page.get_by_role("heading", name="Reader studies")).to_be_visible()


def test_client_and_command_line(api: Api, data: tuple[Path, str], tmp_path: Path) -> None:
    url = str(api.http.base_url).rstrip("/")

    def said(*words: str, code: int = 0) -> str:
        command = [sys.executable, "-c", "from synthorax.cli import main; main()", "reader-study"]
        environment = {**os.environ, "SYNTHORAX_URL": url, "COLUMNS": "200"}
        done = subprocess.run(
            [*command, *words], env=environment, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    asked = ["new", "--model", CLASSES, "--dataset", data[1], "--per-label", "2", "--json"]
    said(*asked, code=2)
    identity = json.loads(said(*asked, "--real-images-may-be-shown"))["id"]
    with Client(url) as client:
        study = client.reader_studies.list()[0]
        assert study.id == identity
        wrong = study.invite("Reader 1").rpartition("#")[2].split(".")[1]
        assert wrong in said("show", identity)
        assert said("remove", identity, wrong).split() == [wrong, "is", "removed"]
        assert study.invite("Reader 1").startswith(f"{url}/read#{identity}.rd-")
        found = find(data[0], identity)
        read_all(found, found.readers()[0], 1.0)
        assert "8 of 8" in said("show", identity)
        open_still = said("results", identity, "--csv", "answers.csv")
        assert open_still.startswith("1 of 1 readers are through.")
        assert "100" not in open_still
        assert len((tmp_path / "answers.csv").read_text().splitlines()) == 9
        with pytest.raises(Conflict):
            study.save_images(tmp_path / "x.zip")
        assert study.close().closed
        assert zipfile.is_zipfile(study.save_images(tmp_path / "x.zip"))
        assert study.results()["verdict"]["verdict"] == "told_apart"
        assert "100.0% (67.6 to 100.0)" in said("results", identity)
        study.delete()
        assert identity not in [each.id for each in client.reader_studies.list()]
