"""The small network: learns, repeats itself to the bit, shows what it is told to show."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from evaluation.probe import auroc
from library.config import Augmentation
from studies.arms import PAPER, Shown
from studies.network import Pictures, _Order, fitted, probabilities
from tests.evaluation.pictures import real

NONE = np.zeros(0, np.int64)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    images = real(1, 60, side=32)
    return Pictures(images.levels, images.classes, images.levels[:0], NONE)


def whole(pictures: Pictures, **more: object) -> Shown:
    return Shown(np.arange(len(pictures.classes)), NONE, **more)  # type: ignore[arg-type]


def test_it_learns_what_there_is_to_learn(pictures: Pictures) -> None:
    network = fitted(pictures, whole(pictures), 2, 60, 1)
    unseen = real(2, 30, side=32)
    scores = probabilities(network, unseen.levels)
    assert np.allclose(scores.sum(1), 1)
    assert auroc(scores[:, 1], unseen.classes == 1) > 0.95


@pytest.mark.parametrize(
    "more", [{}, {"balanced": True}, {"weighted": True}, {"augmentation": PAPER}]
)
def test_the_same_run_has_the_same_bits(pictures: Pictures, more: dict[str, object]) -> None:
    made = [fitted(pictures, whole(pictures, **more), 2, 6, 3).state_dict() for _ in range(2)]
    assert all(
        torch.equal(one, other) for one, other in zip(*(m.values() for m in made), strict=True)
    )
    another = fitted(pictures, whole(pictures, **more), 2, 6, 4).state_dict()
    assert not torch.equal(another["last.weight"], made[0]["last.weight"])


def test_synthetic_rows_come_from_the_synthetic_images() -> None:
    levels = np.stack([np.full((4, 4), n, np.uint8) for n in (0, 51, 102)])
    pictures = Pictures(levels[:2], np.array([0, 1]), levels[2:], np.array([1]))
    rows = pictures.rows(np.array([1]), np.array([0]))
    assert rows.tolist() == [1, 2]
    assert pictures.tensor(rows)[:, 0, 0, 0].tolist() == pytest.approx(
        [51 / 127.5 - 1, 102 / 127.5 - 1]
    )
    assert pictures.classes[rows].tolist() == [1, 1]


def test_batches_show_every_image_before_any_again() -> None:
    rows, classes = np.arange(10, 20), np.repeat([0, 1], [12, 8])
    order = _Order(rows, classes, False, np.random.default_rng(1))
    seen = Counter(np.concatenate([order.next(4) for _ in range(5)]).tolist())
    assert set(seen) == set(rows.tolist())
    assert set(seen.values()) == {2}


def test_oversampling_shows_the_classes_equally_often() -> None:
    classes = np.repeat([0, 1], [95, 5])
    order = _Order(np.arange(100), classes, True, np.random.default_rng(1))
    shown = classes[np.concatenate([order.next(64) for _ in range(40)])]
    assert 0.45 < shown.mean() < 0.55


def test_the_papers_augmentation_is_the_papers() -> None:
    assert Augmentation(rotation=30.0, crop=0.2, scale=0.1, flip=True) == PAPER
