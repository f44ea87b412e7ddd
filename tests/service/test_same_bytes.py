"""2,000 samples drawn under a mix of requests equal each one alone: the long proof, per engine."""

from __future__ import annotations

import base64
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.service.alone import Api
from tests.service.test_hot_swap import activate

BACKENDS: list[dict[str, Any]] = [
    {"backend": "onnxruntime"},
    {"backend": "torch"},
    {"backend": "torch", "precision": "bfloat16"},
]
PUBLIC = ("chest-xray-dcgan@1", "chest-xray-dcgan@2")
Wanted = tuple[str, str | None, int, float]  # model, label, seed, truncation


@pytest.mark.long
@pytest.mark.parametrize("settings", BACKENDS, ids=lambda s: "-".join(s.values()))
def test_two_thousand_samples(settings: dict[str, Any], tmp_path: Path, tiny_models: Path) -> None:
    drawn = random.Random(7)
    wanted: list[Wanted] = []
    for _ in range(2000):
        model = drawn.choice(PUBLIC)
        label = drawn.choice((None, "NORMAL", "PNEUMONIA")) if model.endswith("2") else None
        wanted.append((model, label, drawn.randrange(2**53), drawn.choice((1.0, 0.7, 0.35))))
    # Requests of random sizes, each of one model and truncation.
    groups: list[list[Wanted]] = []
    for model in PUBLIC:
        for truncation in (1.0, 0.7, 0.35):
            left = [w for w in wanted if (w[0], w[3]) == (model, truncation)]
            while left:
                size = drawn.choice((1, 1, 2, 3, 7, 16, 33, 128))
                groups.append(left[:size])
                left = left[size:]
    drawn.shuffle(groups)

    def together(api: Api) -> dict[Wanted, bytes]:
        def ask(group: list[Wanted]) -> list[tuple[Wanted, bytes]]:
            items = [{"label": label, "seed": seed} for _, label, seed, _ in group]
            images = api.images(model=group[0][0], truncation=group[0][3], items=items)
            files = [base64.b64decode(image["png"]) for image in images]
            return list(zip(group, files, strict=True))

        with ThreadPoolExecutor(16) as clients:
            return dict(pair for pairs in clients.map(ask, groups) for pair in pairs)

    with Api(tmp_path / "a", tiny_models, cpu_threads=1, **settings) as api:
        made = together(api)
        for model, label, seed, truncation in wanted:
            body = {"model": model, "label": label, "seed": seed, "truncation": truncation}
            alone = api.post("image/png", **body).content
            assert alone == made[model, label, seed, truncation]
        for reference in (*PUBLIC, *PUBLIC):  # there and back
            assert activate(api, reference) == 200
        assert together(api) == made
        assert api.stop() == 0
        api.start()
        assert together(api) == made
    with Api(tmp_path / "b", tiny_models, cpu_threads=2, **settings) as api:
        assert together(api) == made
