"""The strip between two samples."""

from __future__ import annotations

import io
import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from library.latents import SEED_MAX, between, latents
from tests.service.conftest import Service

MODEL = "chest-xray-dcgan@2"


def pixels(content: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(content)))


def strip(service: Service, **query: object) -> bytes:
    answer = service.http.get(f"/models/{MODEL}/interpolate", params=query)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return answer.content


def test_its_ends_are_the_samples_of_the_two_seeds(service: Service) -> None:
    query = {"from": 3, "to": 9, "label": "PNEUMONIA", "steps": 5, "truncation": 0.8}
    content = strip(service, **query)
    shown = pixels(content)
    assert shown.shape == (64, 5 * 64 + 4 * 2)
    frames = [shown[:, i * 66 : i * 66 + 64] for i in range(5)]
    for seed, frame in ((3, frames[0]), (9, frames[-1])):
        address = f"/models/{MODEL}/samples/PNEUMONIA/{seed}.png?truncation=0.8"
        assert np.array_equal(pixels(service.http.get(address).content), frame)
    moved = [np.abs(a.astype(int) - b).mean() for a, b in pairwise(frames)]
    whole = np.abs(frames[0].astype(int) - frames[-1]).mean()
    assert 0 < min(moved)
    assert max(moved) < whole  # no step is as far as the whole way
    assert strip(service, **query) == content
    told = json.loads(Image.open(io.BytesIO(content)).info["synthorax"])
    assert told["synthetic"] is True
    assert told["interpolation"] == {"from": 3, "to": 9, "steps": 5}
    assert b"trainedAlgorithmicMedia" in content


def test_a_label_that_is_left_out_is_the_first_seed_s(service: Service) -> None:
    content = strip(service, **{"from": 5, "to": 6, "steps": 2})
    told = json.loads(Image.open(io.BytesIO(content)).info["synthorax"])
    named = strip(service, **{"from": 5, "to": 6, "steps": 2, "label": told["label"]})
    assert np.array_equal(pixels(content), pixels(named))


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": 1}, "to"),
        ({"from": 1, "to": 2, "steps": 1}, "steps"),
        ({"from": 1, "to": 2, "steps": 65}, "steps"),
        ({"from": -1, "to": 2}, "from"),
        ({"from": 1, "to": 2**53}, "to"),
        ({"from": 1, "to": 2, "label": "COVID"}, "label"),
        ({"from": 1, "to": 2, "truncation": 0}, "truncation"),
    ],
)
def test_wrong_input_is_named(service: Service, query: dict[str, object], field: str) -> None:
    answer = service.http.get(f"/models/{MODEL}/interpolate", params=query)  # type: ignore[arg-type]
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].endswith(field)


seeds = st.integers(0, SEED_MAX)


@given(seeds, seeds, st.integers(2, 20), st.integers(2, 130))
def test_the_way_keeps_the_length_of_its_ends(first: int, last: int, steps: int, dim: int) -> None:
    z = between(first, last, steps, dim)
    assert z.shape == (steps, dim)
    assert np.array_equal(z[[0, -1]], latents([first, last], dim))
    lengths = np.linalg.norm(z.astype(np.float64), axis=1)
    expected = np.linspace(lengths[0], lengths[-1], steps)
    assert np.allclose(lengths, expected, rtol=1e-5)
    # Even steps of the angle.
    unit = z / lengths[:, None]
    angles = np.arccos(np.clip((unit[1:] * unit[:-1]).sum(1), -1, 1))
    assert np.allclose(angles, angles.mean(), atol=2e-3)
