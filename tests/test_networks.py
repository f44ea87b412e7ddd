"""The paper's networks: their layers, numbers, first weights and shapes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from library.config import resolve
from library.errors import Unusable
from training.networks import architecture_of, build_generator
from training.networks.dcgan import Discriminator, Generator, stage_channels
from training.seeds import seed_torch

RESOLUTIONS = (64, 128, 256, 512)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    seed_torch(1)


def test_the_paper_s_generator_has_fourteen_modules() -> None:
    main = list(Generator(64, 100, 64).main)
    assert len(main) == 14
    stages = [main[i : i + 3] for i in range(0, 12, 3)]
    inputs = 100
    for i, (convolution, norm, activation) in enumerate(stages):
        outputs = (512, 256, 128, 64)[i]
        assert isinstance(convolution, nn.ConvTranspose2d)
        assert (convolution.in_channels, convolution.out_channels) == (inputs, outputs)
        assert convolution.kernel_size == (4, 4)
        assert convolution.stride == ((1, 1) if i == 0 else (2, 2))
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.num_features == outputs
        assert isinstance(activation, nn.ReLU)
        inputs = outputs
    last, tanh = main[12:]
    assert isinstance(last, nn.ConvTranspose2d)
    assert (last.in_channels, last.out_channels) == (64, 1)
    assert isinstance(tanh, nn.Tanh)


def test_the_paper_s_generator_has_three_point_six_million_parameters() -> None:
    convolutions = 16 * (100 * 512 + 512 * 256 + 256 * 128 + 128 * 64 + 64 * 1)
    norms = 2 * (512 + 256 + 128 + 64)
    count = sum(p.numel() for p in Generator(64, 100, 64).parameters())
    assert count == convolutions + norms == 3_574_656


def test_the_discriminator_mirrors_the_generator() -> None:
    network = Discriminator(64, 64)
    convolutions = [m for m in network.main if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [64, 128, 256, 512]
    norms = [m for m in network.main if isinstance(m, nn.BatchNorm2d)]
    assert [n.num_features for n in norms] == [128, 256, 512]
    leaky = [m for m in network.main if isinstance(m, nn.LeakyReLU)]
    assert [m.negative_slope for m in leaky] == [0.2] * 4
    count = sum(p.numel() for p in network.parameters())
    assert count == 16 * (64 + 64 * 128 + 128 * 256 + 256 * 512 + 512) + 2 * (128 + 256 + 512)


@pytest.mark.parametrize(
    ("resolution", "channels"),
    [
        (64, [512, 256, 128, 64]),
        (128, [1024, 512, 256, 128, 64]),
        (256, [1024, 1024, 512, 256, 128, 64]),
        (512, [1024, 1024, 1024, 512, 256, 128, 64]),
    ],
)
def test_a_doubling_adds_a_stage_at_the_small_end(resolution: int, channels: list[int]) -> None:
    assert stage_channels(64, resolution) == channels


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize("classes", [0, 3])
def test_every_resolution_has_its_shapes(resolution: int, classes: int) -> None:
    generator = Generator(resolution, 10, 4, classes).eval()
    discriminator = Discriminator(resolution, 4, classes).eval()
    label = torch.tensor([0, 2]) if classes else None
    with torch.no_grad():
        images = generator(torch.randn(2, 10), label)
        logits = discriminator(images, label)
    assert images.shape == (2, 1, resolution, resolution)
    assert images.abs().max() <= 1
    assert images.std() > 0
    assert logits.shape == (2, 1)
    assert logits.isfinite().all()


@pytest.mark.parametrize("network", [Generator(64, 100, 64), Discriminator(64, 64)], ids=["g", "d"])
def test_weights_begin_as_in_dcgan(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            assert module.bias is None
            mean = 0.0
        elif isinstance(module, nn.BatchNorm2d):
            assert not module.bias.any()
            mean = 1.0
        else:
            continue
        # Five standard errors of a mean and of a standard deviation.
        count = module.weight.numel()
        assert abs(module.weight.mean().item() - mean) < 5 * 0.02 / math.sqrt(count)
        assert abs(module.weight.std().item() - 0.02) < 5 * 0.02 / math.sqrt(2 * count)


def test_the_same_seed_begins_with_the_same_weights() -> None:
    def weights(seed: int) -> torch.Tensor:
        seed_torch(seed)
        return nn.utils.parameters_to_vector(Generator(64, 10, 4, 2).parameters())

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_a_class_matters_and_must_be_given(network: str) -> None:
    if network == "generator":
        module: nn.Module = Generator(64, 10, 4, 2).eval()
        inputs = torch.randn(1, 10)
    else:
        module = Discriminator(64, 4, 2).eval()
        inputs = torch.randn(1, 1, 64, 64)
    one, other = (module(inputs, torch.tensor([label])) for label in (0, 1))
    assert not torch.equal(one, other)
    with pytest.raises(ValueError, match="needs labels"):
        module(inputs)


def test_without_classes_a_label_changes_nothing() -> None:
    generator = Generator(64, 10, 4).eval()
    z = torch.randn(1, 10)
    assert torch.equal(generator(z), generator(z, torch.tensor([1])))


def test_an_image_does_not_depend_on_its_neighbours() -> None:
    generator = Generator(64, 10, 4, 2).eval()
    z, label = torch.randn(5, 10), torch.tensor([0, 1, 0, 1, 1])
    with torch.no_grad():
        together = generator(z, label)
        for i in range(5):
            alone = generator(z[i : i + 1], label[i : i + 1])
            torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-6)


def test_an_architecture_builds_the_generator_it_describes() -> None:
    config = resolve("paper", {"generator_width": 8, "latent_dim": 20, "conditional": True})
    architecture = architecture_of(config, 3)
    generator = build_generator(architecture)
    assert isinstance(generator, Generator)
    assert (generator.latent_dim, generator.classes) == (20, 3)
    assert (
        stage_channels(8, 64)
        == [m.out_channels for m in generator.main if isinstance(m, nn.ConvTranspose2d)][:-1]
    )
    assert architecture_of(resolve("paper"), 3)["classes"] == 0


@pytest.mark.parametrize("family", ["stylegan", None, 3])
def test_an_unknown_family_is_refused(family: object) -> None:
    with pytest.raises(Unusable, match="is not known"):
        build_generator({"family": family})
