"""Another version takes over while requests run: none fails, none mixes, same bytes ever after."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from library.atomic import write_json
from tests.service.alone import CLASSES, PLAIN, PUBLIC, Api
from tests.service.conftest import wait_until


@pytest.fixture
def api(tmp_path: Path, tiny_models: Path) -> Iterator[Api]:
    with Api(tmp_path, tiny_models) as running:
        yield running


def activate(api: Api, reference: str) -> int:
    return api.http.post(f"/models/{reference}/activate").status_code


def served(api: Api) -> str:
    model = api.post(seed=1).json()["model"]
    return f"{model['name']}@{model['version']}"


def test_no_request_fails_or_mixes_versions(api: Api) -> None:
    assert activate(api, PLAIN) == 200
    stop = threading.Event()
    answers: list[dict[str, Any]] = []
    failures: list[int] = []

    def ask(number: int) -> None:
        seed = 1000 * number
        while not stop.is_set():
            answer = api.post(count=5, seed=seed)
            if answer.status_code == 200:
                answers.append(answer.json())
            else:
                failures.append(answer.status_code)
            seed += 5

    clients = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for client in clients:
        client.start()
    for reference in [CLASSES, PLAIN, PUBLIC] * 5:
        assert activate(api, reference) == 200
        assert served(api) == reference
    stop.set()
    for client in clients:
        client.join()
    assert not failures
    versions = {f"{a['model']['name']}@{a['model']['version']}" for a in answers}
    assert versions == {CLASSES, PLAIN, PUBLIC}
    for answer in answers[:: max(1, len(answers) // 60)]:
        reference = f"{answer['model']['name']}@{answer['model']['version']}"
        for image in answer["images"]:
            named = {"model": reference, "seed": image["seed"], "label": image["label"]}
            alone = api.post("image/png", **named).content
            assert alone == base64.b64decode(image["png"])


def test_there_and_back_and_after_a_restart_the_same_bytes(api: Api) -> None:
    assert activate(api, CLASSES) == 200
    before = api.images(count=50, seed=9)
    assert activate(api, PLAIN) == 200
    assert api.images(count=50, seed=9) != before
    assert activate(api, CLASSES) == 200
    assert api.images(count=50, seed=9) == before
    assert api.stop() == 0
    api.start()
    assert served(api) == CLASSES
    assert api.images(count=50, seed=9) == before


def test_a_damaged_version_does_not_take_over(api: Api) -> None:
    assert activate(api, CLASSES) == 200
    path = api.data_dir / "models" / "tiny" / "1" / "model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert activate(api, PLAIN) == 409
    assert served(api) == CLASSES
    # Also when the choice was made elsewhere; then it is said.
    write_json(api.data_dir / "models" / "active.json", {"model": PLAIN})
    wait_until(lambda: "reason" in api.http.get("/health/ready").json()["checks"]["engine"])
    assert served(api) == CLASSES


def test_a_choice_made_by_another_process_is_followed(api: Api) -> None:
    assert activate(api, CLASSES) == 200
    write_json(api.data_dir / "models" / "active.json", {"model": PLAIN})
    wait_until(lambda: served(api) == PLAIN)


def test_versions_leave_memory_and_come_back(tmp_path: Path, tiny_models: Path) -> None:
    with Api(tmp_path, tiny_models, model_memory_mb=1) as api:
        assert activate(api, PLAIN) == 200
        expected = {
            reference: api.images(model=reference, seed=3) for reference in (CLASSES, PUBLIC)
        }
        for _ in range(3):
            for reference, images in expected.items():
                assert api.images(model=reference, seed=3) == images
                loaded = api.http.get("/health/ready").json()["checks"]["engine"]["loaded"]
                # What is served by default stays, beside the one that was asked for.
                assert {each["model"] for each in loaded} == {PLAIN, reference}


def test_a_version_published_meanwhile_is_found(api: Api) -> None:
    source = api.data_dir / "models" / "tiny" / "2"
    assert api.post(model="tiny@3").status_code == 404
    target = api.data_dir / "models" / "tiny" / "3"
    target.mkdir()
    for file in source.iterdir():
        if file.name != "model.json":
            (target / file.name).write_bytes(file.read_bytes())
    card = json.loads((source / "model.json").read_text())
    write_json(target / "model.json", {**card, "version": 3})
    assert api.post(model="tiny@3").status_code == 200
