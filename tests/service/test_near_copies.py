"""`reject_near_copies`: replaced and counted, the same each time, and refused without a report."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.generate.nearest import LOOKS
from library.latents import replacement_seed
from library.near_copies import thumbnail, write
from library.reports import COPIES, OPERATOR
from tests.service.alone import CLASSES, PLAIN, Api

FLAGGED = (3, 5)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("data"), tiny_models) as running:
        yield running
        assert running.stop() == 0


def levels(image: dict[str, Any]) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(base64.b64decode(image["png"]))) as picture:
        return np.asarray(picture)


def report_on(
    api: Api,
    model: str,
    small: NDArray[np.uint8],
    threshold: float,
    name: str,
    unseen: NDArray[np.float64] | None = None,
) -> None:
    """A complete report, whose training images are samples of the model itself."""
    digest = api.http.get(f"/models/{model}").json()["digest"]
    root = api.data_dir / "reports" / digest
    write(root / name / OPERATOR / COPIES, small, threshold, 64, unseen)
    (root / name / "report.json").write_text("{}")
    record = {"id": name, "created_at": 1.0 + int(name[-1]), "status": "complete"}
    (root / f"{name}.json").write_text(json.dumps(record))


@pytest.fixture(scope="module")
def plain(api: Api) -> list[dict[str, Any]]:
    found = api.images(model=PLAIN, seed=0, count=12)
    small = np.stack([thumbnail(levels(found[seed])) for seed in FLAGGED])
    report_on(api, PLAIN, small, 0.9999, "rp-000000000001")
    return found


def filtered(api: Api, **body: Any) -> dict[str, Any]:
    answer = api.post("application/json", model=PLAIN, reject_near_copies=True, **body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_near_copies_are_replaced_counted_and_nothing_else_changes(
    api: Api, plain: list[dict[str, Any]]
) -> None:
    found = filtered(api, seed=0, count=12)
    assert found["near_copies"] == {"rejected": 2, "report": "rp-000000000001"}
    for seed, image in enumerate(found["images"]):
        assert image["requested_seed"] == seed
        if seed in FLAGGED:
            assert image["rejected"] == 1
            assert image["seed"] == replacement_seed(seed, 1)
            (alone,) = api.images(model=PLAIN, seed=image["seed"])
            assert alone["sha256"] == image["sha256"]
        else:
            assert (image["rejected"], image["seed"]) == (0, seed)
            assert image["png"] == plain[seed]["png"]


def test_the_answer_is_the_same_in_other_company(api: Api, plain: list[dict[str, Any]]) -> None:
    assert plain
    together = {i["requested_seed"]: i for i in filtered(api, seed=0, count=12)["images"]}
    for seed in (3, 4, 5):
        (alone,) = filtered(api, seed=seed)["images"]
        assert {**alone, "index": 0} == {**together[seed], "index": 0}
    items = [{"seed": seed} for seed in (5, 3, 5)]
    listed = filtered(api, items=items)["images"]
    assert [i["sha256"] for i in listed] == [together[s]["sha256"] for s in (5, 3, 5)]


def test_other_forms_say_what_was_rejected(api: Api, plain: list[dict[str, Any]]) -> None:
    assert plain
    body = {"model": PLAIN, "seed": 3, "reject_near_copies": True}
    answer = api.post("image/png", **body)
    assert answer.headers["Synthorax-Seed"] == str(replacement_seed(3, 1))
    assert answer.headers["Synthorax-Near-Copies"] == "rejected=1; report=rp-000000000001"
    answer = api.post("application/zip", **{**body, "count": 3})
    assert answer.headers["Synthorax-Near-Copies"] == "rejected=2; report=rp-000000000001"
    refused = api.post("application/x-npy", **body)
    assert refused.status_code == 422
    assert "holds no seeds" in refused.json()["detail"]
    text = api.http.get("/metrics").text
    assert f'synthorax_near_copies_rejected_total{{model="{PLAIN}"}}' in text


def test_without_a_report_it_is_refused_with_the_remedy(api: Api) -> None:
    answer = api.post("application/json", model=CLASSES, reject_near_copies=True)
    assert answer.status_code == 409
    assert f"POST /models/{CLASSES}/reports" in answer.json()["detail"]


def test_a_generator_that_only_copies_is_told(api: Api, plain: list[dict[str, Any]]) -> None:
    assert plain
    small = np.stack([thumbnail(levels(each)) for each in plain])
    report_on(api, PLAIN, small, -1.0, "rp-000000000002")  # whatever it is, it is too near
    answer = api.post("application/json", model=PLAIN, seed=7, reject_near_copies=True)
    assert answer.status_code == 409
    assert answer.json()["type"].endswith("near-copies-only")
    assert "16 samples for the seed 7" in answer.json()["detail"]


def test_a_sample_is_placed_among_unseen_images_and_its_neighbour_stays_hidden(
    tmp_path: Path, tiny_models: Path
) -> None:
    with Api(tmp_path, tiny_models) as hidden:
        found = hidden.images(model=PLAIN, seed=0, count=4)
        small = np.stack([thumbnail(levels(found[seed])) for seed in (1, 2)])
        at = f"/models/{PLAIN}/samples/_/2/nearest"
        missing = hidden.http.get(at)
        assert missing.status_code == 409
        assert "has no report" in missing.json()["detail"]
        report_on(hidden, PLAIN, small, 0.9999, "rp-000000000001", np.array([0.5, 0.6, 1.1, 1.2]))
        answer = hidden.http.get(at)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert told["correlation"] == pytest.approx(1.0)
        assert (told["percentile"], told["near_copy"], told["training_images"]) == (50, True, 2)
        assert not told["preview"]
        refused = hidden.http.get(f"{at}.png")
        assert refused.status_code == 403
        assert "SYNTHORAX_REAL_PREVIEWS" in json.dumps(refused.json())
        assert not (hidden.data_dir / LOOKS).exists()
    with Api(hidden.data_dir, tiny_models, real_previews=1) as shown:
        assert shown.http.get(at).json()["preview"]
        for _ in range(2):
            picture = shown.http.get(f"{at}.png")
            assert picture.status_code == 200
            assert "no-store" in picture.headers["Cache-Control"]
        with Image.open(io.BytesIO(picture.content)) as image:
            assert np.array_equal(np.asarray(image), small[1])
        looks = [json.loads(line) for line in (shown.data_dir / LOOKS).read_text().splitlines()]
        assert [look["training_image"] for look in looks] == [1, 1]
        assert looks[0]["model"] == PLAIN
