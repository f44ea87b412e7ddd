"""What a generator becomes: statistics over latents, ONNX that equals torch, samples."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import nn

from library.latents import latents
from training.export import TOLERANCE, ExportDiffers, check, round_to_half, to_onnx
from training.networks.dcgan import Generator
from training.sampling import estimate_statistics, fixed_grid, sample
from training.seeds import seed_torch

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("classes", [0, 3])
def test_onnx_equals_torch(classes: int, tmp_path: Path) -> None:
    seed_torch(5)
    generator = Generator(128, 20, 4, classes)
    round_to_half(generator)
    estimate_statistics(generator, 64)
    path = tmp_path / "model.onnx"
    onnx.save(to_onnx(generator), path)
    assert check(generator, path) <= TOLERANCE
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["z", *(["label"] if classes else [])]
    for count in (1, 5):
        z, label = latents(range(100, 100 + count), 20), np.arange(count) % max(classes, 1)
        (images,) = session.run(["images"], {"z": z, "label": label} if classes else {"z": z})
        with torch.no_grad():
            expected = generator(torch.from_numpy(z), torch.from_numpy(label)).numpy()
        assert images.shape == (count, 1, 128, 128)
        assert np.abs(images - expected).max() <= TOLERANCE
    assert expected.std() > 0.01


def test_an_export_that_differs_is_not_published(tmp_path: Path) -> None:
    seed_torch(5)
    generator = Generator(64, 20, 4)
    round_to_half(generator)
    estimate_statistics(generator, 64)
    onnx.save(to_onnx(generator), tmp_path / "model.onnx")
    with torch.no_grad():
        generator.state_dict()["main.3.weight"].mul_(1.01)
    with pytest.raises(ExportDiffers):
        check(generator, tmp_path / "model.onnx")


def test_statistics_are_means_over_the_latents() -> None:
    seed_torch(5)
    generator = Generator(64, 20, 4)
    first, norm = generator.main[0], generator.main[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    grad: list[bool] = []
    generator.register_forward_hook(lambda *_: grad.append(torch.is_grad_enabled()))
    estimate_statistics(generator, 256, chunk=128)
    assert grad == [False, False]  # a graph of each chunk would be most of what publishing takes
    with torch.no_grad():
        columns = first(torch.from_numpy(latents(range(256), 20))[:, :, None, None])
    torch.testing.assert_close(norm.running_mean, columns.mean((0, 2, 3)), rtol=0, atol=1e-5)
    torch.testing.assert_close(norm.running_var, columns.var((0, 2, 3)), rtol=0.02, atol=1e-5)
    assert norm.momentum == 0.1
    assert not generator.training


def test_samples_do_not_depend_on_their_neighbours_or_the_mode() -> None:
    seed_torch(5)
    generator = Generator(64, 20, 4, 2).train()
    many = sample(generator, range(20), [i % 2 for i in range(20)])
    assert generator.training
    assert np.abs(many[13:14].astype(int) - sample(generator, [13], [1])).max() <= 1
    grid = np.asarray(Image.open(io.BytesIO(fixed_grid(generator, 4))))
    assert np.array_equal(grid[:64, :64], many[0])
