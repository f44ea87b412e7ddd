"""What images look like to a network: features, computed once an image and kept by digest.

`lite0` is built in.  Others (Inception, DINOv2, RAD-DINO, torchxrayvision, …) come as an ONNX file
that the operator provides, with a JSON file of the same name beside it:

    {"name": "dinov2", "side": 224, "channels": 3, "mean": [123.7, 116.3, 103.5],
     "std": [58.4, 57.1, 57.4], "output": "features"}

mean and std are in grey levels, 0…255; the output is (n, d).  Metrics carry the name: `kid_dinov2`.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from features import lite0
from features.sessions import session
from library.atomic import write_bytes
from library.digest import digest_file, digest_json
from library.errors import InvalidValue

Features = NDArray[np.float32]
Progress = Callable[[int, int], None]
_BATCH = 8  # measured: the fastest on two cores, and the same bits as any other
_SIDE_MAX = 4096
_NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,31}")


class Extractor:
    """Levels (n, r, r) uint8 -> features (n, d) float32.  The session starts when first needed."""

    def __init__(
        self, name: str, identity: str, side: int, load: Callable[[], bytes | str],
        channels: int = 1, mean: tuple[float, ...] = (0.0,), std: tuple[float, ...] = (1.0,),
        output: str = "features",
    ) -> None:  # fmt: skip
        self.name, self.identity, self.side = name, identity, side
        self._load, self._channels, self._output = load, channels, output
        self._mean = np.array(mean, np.float32).reshape(1, -1, 1, 1)
        self._std = np.array(std, np.float32).reshape(1, -1, 1, 1)
        self._session: Any = None

    def features(self, levels: NDArray[np.uint8], progress: Progress | None = None) -> Features:
        if self._session is None:
            self._session = session(self._load())
        name, found = self._session.get_inputs()[0].name, []
        for start in range(0, len(levels), _BATCH):
            batch = np.stack([self._sized(image) for image in levels[start : start + _BATCH]])
            greys = batch[:, None].repeat(self._channels, 1)
            greys = (greys - self._mean) / self._std
            found.append(self._session.run([self._output], {name: greys})[0])
            if progress:
                progress(min(start + _BATCH, len(levels)), len(levels))
        return np.concatenate(found) if found else np.zeros((0, 1), np.float32)

    def _sized(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        if image.shape != (self.side, self.side):
            resized = Image.fromarray(image).resize((self.side, self.side), _BICUBIC)
            image = np.asarray(resized)
        return image.astype(np.float32)


_BICUBIC = Image.Resampling.BICUBIC


def efficientnet_lite0() -> Extractor:
    def load() -> bytes:
        serialized: bytes = lite0.build(lite0.packaged_weights()).SerializeToString()
        return serialized

    identity = f"efficientnet-lite0/{lite0.SHA256[:12]}/{lite0.SIDE}px/gap"
    return Extractor("lite0", identity, lite0.SIDE, load)


def from_file(path: Path) -> Extractor:
    """An operator's ONNX file, tried on two images.

    Raises InvalidValue naming what is wrong with it or its JSON.
    """
    described = path.with_suffix(".json")
    try:
        facts = json.loads(described.read_text(encoding="utf-8"))
        name, side = facts["name"], facts["side"]
        channels = facts.get("channels", 3)
        mean = tuple(map(float, facts.get("mean", [0.0] * channels)))
        std = tuple(map(float, facts.get("std", [1.0] * channels)))
        output = str(facts.get("output", "features"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidValue(
            f"The extractor {path.name} is not described ({type(error).__name__}: {error}).",
            field="extractor",
            value=str(path),
            remedy=f"Put {described.name} beside it: name, side, channels, mean, std, output.",
        ) from None
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name == "lite0":
        raise InvalidValue(
            f"The extractor's name is {name!r}.",
            field="extractor",
            value=name,
            remedy="Use 1 to 32 of a-z, 0-9 and '_'; `lite0` is the built-in one.",
        )
    if channels not in (1, 3) or len(mean) != channels or len(std) != channels:
        raise InvalidValue(
            f"The extractor {name!r} has {channels!r} channels, {len(mean)} means and {len(std)} "
            "deviations.",
            field="extractor",
            value=channels,
            remedy="Give 1 or 3 channels, and as many means and deviations.",
        )
    if type(side) is not int or not 1 <= side <= _SIDE_MAX:
        raise InvalidValue(
            f"The side of the extractor {name!r} is {side!r}.",
            field="extractor",
            value=side,
            remedy=f"Give the pixels of its input: a whole number from 1 to {_SIDE_MAX}.",
        )
    if not all(map(math.isfinite, (*mean, *std))) or min(std) <= 0:
        raise InvalidValue(
            f"The extractor {name!r} has the means {list(mean)} and deviations {list(std)}.",
            field="extractor",
            value=list(std),
            remedy="Give finite numbers in grey levels, the deviations above 0.",
        )
    try:
        digest = digest_file(path)
    except OSError as error:
        raise InvalidValue(
            f"The extractor {str(path)!r} cannot be read ({error.strerror}).",
            field="extractor",
            value=str(path),
            remedy="Give the path of an ONNX file.",
        ) from None
    identity = f"{name}/{digest[:12]}/{side}px/{digest_json(facts)[:8]}"
    extractor = Extractor(name, identity, side, lambda: str(path), channels, mean, std, output)
    _try(extractor, path)
    return extractor


def _try(extractor: Extractor, path: Path) -> None:
    """Raises InvalidValue where two images of its side do not become finite features (2, d)."""
    side, wrong = extractor.side, ""
    levels = np.stack([np.full((side, side), level, np.uint8) for level in (0, 255)])
    try:
        found = extractor.features(levels)
    except Exception as error:  # ONNX Runtime's have no common class
        wrong = f"{type(error).__name__}: {str(error)[:300]}"
    else:
        if found.ndim != 2 or len(found) != 2:
            wrong = f"it gives an array {found.shape} for 2 images"
        elif not np.isfinite(found).all():
            wrong = "it gives what is no finite number"
    if wrong:
        raise InvalidValue(
            f"The extractor {extractor.name!r} cannot be used: {wrong}.",
            field="extractor",
            value=str(path),
            remedy="It must take any number of images, (n, channels, side, side) float32, and give "
            "(n, d) as the output that its JSON names.",
        )


class FeatureCache:
    """Features of arrays, kept in a folder by the digest of extractor and pixels."""

    def __init__(self, extractor: Extractor, folder: Path | None) -> None:
        self.extractor, self._folder = extractor, folder

    def features(self, levels: NDArray[np.uint8], progress: Progress | None = None) -> Features:
        if self._folder is None:
            return self.extractor.features(levels, progress)
        digest = hashlib.sha256(str(levels.shape).encode())
        for start in range(0, len(levels), 256):  # a memory map stays on the disk
            digest.update(np.ascontiguousarray(levels[start : start + 256]).tobytes())
        key = digest_json([self.extractor.identity, digest.hexdigest()])[:32]
        path = self._folder / f"{key}.npy"
        try:
            kept: Features = np.load(path)
            return kept
        except (OSError, ValueError):
            pass
        found = self.extractor.features(levels, progress)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_bytes(path, _npy(found))
        return found


def _npy(array: Features) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()
