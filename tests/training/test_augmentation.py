"""Augmentation: its bounds, what comes from outside, and that seed and step decide it."""

from __future__ import annotations

import math

import pytest
import torch

from library.config import Augmentation
from training.augment import affine, augment

pytestmark = pytest.mark.usefixtures("one_thread")


def test_augmentation_that_is_off_is_the_identity() -> None:
    maps = affine(Augmentation(), 1, 2, 5)
    assert torch.equal(maps, torch.tensor([[1.0, 0, 0], [0, 1, 0]]).expand(5, 2, 3))
    images = torch.rand(5, 1, 64, 64) * 2 - 1
    torch.testing.assert_close(augment(images, maps), images, rtol=0, atol=1e-4)


def test_rotations_are_within_their_degrees_and_fill_them() -> None:
    maps = affine(Augmentation(rotation=30), 1, 0, 2000).double()
    left = maps[:, :, :2]
    degrees = torch.rad2deg(torch.atan2(left[:, 1, 0], left[:, 0, 0]))
    assert degrees.abs().max() <= 30 + 1e-4
    assert degrees.min() < -29
    assert degrees.max() > 29
    assert abs(degrees.mean()) < 5 * 30 / math.sqrt(3 * 2000)
    # Nothing but a rotation: orthogonal, determinant 1, no shift.
    identity = torch.eye(2, dtype=torch.float64).expand(2000, 2, 2)
    torch.testing.assert_close(left @ left.transpose(1, 2), identity, rtol=0, atol=1e-6)
    assert (torch.linalg.det(left) > 0).all()
    assert not maps[:, :, 2].any()


def test_a_quarter_turn_turns_the_picture() -> None:
    images = torch.rand(1, 1, 8, 8) * 2 - 1
    quarter = torch.tensor([[[0.0, -1, 0], [1, 0, 0]]])
    turned = augment(images, quarter)
    torch.testing.assert_close(turned, torch.rot90(images, 1, (2, 3)), rtol=0, atol=1e-5)


def test_what_comes_from_outside_is_black() -> None:
    white = torch.ones(8, 1, 64, 64)
    turned = augment(white, affine(Augmentation(rotation=30), 3, 0, 8))
    assert turned.min() >= -1
    assert turned.max() <= 1 + 1e-6
    assert (turned[:, :, 20:44, 20:44] > 1 - 1e-5).all()
    corners = turned[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert torch.equal(corners.amax(1), torch.full((8,), -1.0))


def test_crop_and_scale_stay_within_their_bounds() -> None:
    crop = affine(Augmentation(crop=0.2), 1, 0, 2000)
    side, shift = crop[:, 0, 0], crop[:, :, 2]
    assert side.min() >= 0.8 - 1e-6
    assert side.max() <= 1
    assert side.min() < 0.81
    # The window lies inside the picture.
    assert (shift.abs() <= (1 - side)[:, None] + 1e-6).all()
    scale = 1 / affine(Augmentation(scale=0.1), 1, 0, 2000)[:, 0, 0]
    assert scale.min() >= 0.9 - 1e-6
    assert scale.max() <= 1.1 + 1e-6
    assert scale.max() - scale.min() > 0.19


def test_half_of_the_pictures_are_mirrored() -> None:
    mirrored = affine(Augmentation(flip=True), 1, 0, 2000)[:, 0, 0]
    assert set(mirrored.tolist()) == {-1, 1}
    assert abs(mirrored.mean()) < 5 / math.sqrt(2000)
    images = torch.rand(1, 1, 8, 8)
    flipped = augment(images, torch.tensor([[[-1.0, 0, 0], [0, 1, 0]]]))
    torch.testing.assert_close(flipped, images.flip(3), rtol=0, atol=1e-5)


def test_augmentation_is_a_function_of_seed_and_step() -> None:
    rule = Augmentation(rotation=30, crop=0.1, scale=0.1, flip=True)
    first = affine(rule, 7, 4, 16)
    assert torch.equal(affine(rule, 7, 4, 16), first)
    assert not torch.equal(affine(rule, 7, 5, 16), first)
    assert not torch.equal(affine(rule, 8, 4, 16), first)
    # Switching one kind off leaves the draws of the others alone.
    less = affine(Augmentation(rotation=30), 7, 4, 16)
    angles = [torch.atan2(m[:, 1, 1], m[:, 0, 1]) for m in (first, less)]
    torch.testing.assert_close(*angles)
