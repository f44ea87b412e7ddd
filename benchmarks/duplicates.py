"""How near-duplicates are told apart from other patients: python -m benchmarks.duplicates IMAGES

Every image is altered in each way, and the altered copy compared with it; beside that, all pairs of
different files.  A way counts as found where library.datasets.duplicates would group the pair.
"""

from __future__ import annotations

import argparse
import io
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from library.datasets.duplicates import HASH_DISTANCE, are_near
from library.decoding.look import difference_hash, signature

Levels = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("-n", "--count", type=int, default=3000)
    parser.add_argument("--altered", type=int, default=400)
    arguments = parser.parse_args()
    files = sorted(p for p in arguments.images.rglob("*") if p.suffix in (".jpeg", ".jpg", ".png"))
    random.Random(0).shuffle(files)
    unique = list({path.read_bytes(): path for path in files[: arguments.count]}.values())
    pictures = [Image.open(path).convert("L") for path in unique]
    hashes, signatures = _described(pictures)
    turned_hashes, turned = _described([ImageOps.mirror(picture) for picture in pictures])

    print(f"| altered copy of {min(arguments.altered, len(pictures))} images | bits apart, "
          "median / most | correlation, median / least | found |")  # fmt: skip
    print("|---|---|---|---|")
    for name, change in WAYS.items():
        some = pictures[: arguments.altered]
        changed_hashes, changed = _described([change(picture) for picture in some])
        bits = np.bitwise_count(changed_hashes ^ hashes[: len(some)]).sum(1)
        alike = (changed * signatures[: len(some)]).sum(1)
        mirrored_bits = np.bitwise_count(changed_hashes ^ turned_hashes[: len(some)]).sum(1)
        mirrored_alike = (changed * turned[: len(some)]).sum(1)
        found = _found(bits, alike) | _found(mirrored_bits, mirrored_alike)
        print(
            f"| {name} | {np.median(bits):.0f} / {bits.max()} | {np.median(alike):.4f} / "
            f"{alike.min():.4f} | {found.mean():.1%} |"
        )

    pairs = wrong = 0
    least, most = 256, -1.0
    for i in range(len(pictures) - 1):
        for theirs, greys in ((hashes, signatures), (turned_hashes, turned)):
            bits = np.bitwise_count(theirs[i + 1 :] ^ hashes[i]).sum(1)
            alike = greys[i + 1 :] @ signatures[i]
            near = bits <= HASH_DISTANCE  # no other can be grouped
            wrong += int(_found(bits[near], alike[near]).sum())
            least, most = min(least, int(bits.min())), max(most, float(alike.max()))
        pairs += len(pictures) - 1 - i
    print(
        f"\n{pairs:,} pairs of different files, as they are and mirrored: {wrong} grouped; at "
        f"least {least} bits apart, correlated at most {most:.4f}."
    )


def _described(pictures: list[Image.Image]) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
    small = [signature(picture) for picture in pictures]
    hashes = np.frombuffer(b"".join(difference_hash(s) for s in small), np.uint64).reshape(-1, 4)
    greys = np.stack([s.ravel().astype(np.float64) for s in small])
    greys -= greys.mean(1, keepdims=True)
    return hashes, greys / np.maximum(1e-9, np.linalg.norm(greys, axis=1, keepdims=True))


def _found(bits: NDArray[np.int64], alike: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.array([are_near(int(b), float(a)) for b, a in zip(bits, alike, strict=True)], bool)


def _jpeg(quality: int) -> Callable[[Image.Image], Image.Image]:
    def change(picture: Image.Image) -> Image.Image:
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=quality)
        return Image.open(out).convert("L")

    return change


def _scaled(factor: float) -> Callable[[Image.Image], Image.Image]:
    return lambda p: p.resize(
        (int(p.width * factor), int(p.height * factor)), Image.Resampling.BICUBIC
    )


def _cropped(share: float) -> Callable[[Image.Image], Image.Image]:
    def change(p: Image.Image) -> Image.Image:
        x, y = int(p.width * share), int(p.height * share)
        return p.crop((x, y, p.width - x, p.height - y))

    return change


def _stamped(picture: Image.Image) -> Image.Image:
    copy = picture.copy()
    side = picture.width // 8
    copy.paste(255, (side // 2, side // 2, side // 2 + side, side // 2 + side))
    return copy


def _noisy(picture: Image.Image) -> Image.Image:
    noise = np.random.default_rng(0).normal(0, 10, (picture.height, picture.width))
    return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))


WAYS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG, quality 30": _jpeg(30),
    "half the size": _scaled(0.5),
    "twice the size": _scaled(2),
    "brighter by 30%": lambda p: ImageEnhance.Brightness(p).enhance(1.3),
    "contrast 0.7": lambda p: ImageEnhance.Contrast(p).enhance(0.7),
    "gamma 0.7": lambda p: p.point(lambda v: int(255 * (v / 255) ** 0.7 + 0.5)),
    "equalised": ImageOps.equalize,
    "blur, sigma 2": lambda p: p.filter(ImageFilter.GaussianBlur(2)),
    "noise, sigma 10": _noisy,
    "a white square in a corner": _stamped,
    "1% cut off each side": _cropped(0.01),
    "2% cut off each side": _cropped(0.02),
    "turned by 1 degree": lambda p: p.rotate(1, Image.Resampling.BICUBIC),
    "turned by 3 degrees": lambda p: p.rotate(3, Image.Resampling.BICUBIC),
    "mirrored": ImageOps.mirror,
}


if __name__ == "__main__":
    main()
