"""What a step sees: which images, with which labels and latents."""

from __future__ import annotations

import pytest
import torch

from library.decoded import Decoded
from tests.training.games import CPU, tiny
from training.batches import Batches
from training.seeds import epoch_order

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_batch_is_a_function_of_its_step(data: Decoded) -> None:
    config = tiny()
    walked = Batches(data, config, CPU)
    batches = [walked.batch(step) for step in range(7)]
    for step in (6, 2, 5):
        alone = Batches(data, config, CPU).batch(step)
        for name in ("real", "labels", "z"):
            assert torch.equal(getattr(alone, name), getattr(batches[step], name)), name
    other = Batches(data, tiny(seed=8), CPU).batch(2)
    assert not torch.equal(other.real, batches[2].real)
    assert not torch.equal(other.z, batches[2].z)
    assert len({batch.z.numpy().tobytes() for batch in batches}) == 7


def test_an_epoch_shows_every_image_once_with_its_own_label(data: Decoded) -> None:
    batches = Batches(data, tiny(augmentation={}), CPU)
    assert batches.steps_per_epoch == 3
    known = {levels.tobytes(): int(c) for levels, c in zip(data.images, data.classes, strict=True)}
    for epoch in range(2):
        shown = {}
        for step in range(3 * epoch, 3 * epoch + 3):
            batch = batches.batch(step)
            assert batch.real.dtype == torch.float32
            assert batch.real.shape == (8, 1, 64, 64)
            assert batch.z.shape == (8, 100)
            levels = ((batch.real[:, 0] + 1) * 127.5).round().byte().numpy()
            for image, label in zip(levels, batch.labels.tolist(), strict=True):
                shown[image.tobytes()] = label
        assert shown == known


def test_the_last_incomplete_batch_is_not_shown(data: Decoded) -> None:
    batches = Batches(data, tiny(batch_size=10), CPU)
    assert batches.steps_per_epoch == 2
    assert torch.equal(batches.batch(2).labels, batches.classes[epoch_order(7, 1, 24)[:10]])
