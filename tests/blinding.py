"""Can a classifier tell real from synthetic by everything but the pixels?  By permutation."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 999
_PENALTY = 1.0
_FOLDS = 5


def of_file(content: bytes) -> list[float]:
    """What a PNG says beside its pixels: size, chunks, filters, how it was compressed."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    at, names, sizes, data, head = 8, b"", [], b"", b""
    while at < len(content):
        (size,), name = struct.unpack(">I", content[at : at + 4]), content[at + 4 : at + 8]
        body = content[at + 8 : at + 8 + size]
        names += name
        sizes.append(size)
        data += body if name == b"IDAT" else b""
        head += body if name == b"IHDR" else b""
        at += 12 + size
    width, height = struct.unpack(">II", head[:8])
    filters = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, width + 1)[:, 0]
    return [
        float(len(content)),
        float(len(sizes)),
        float(zlib.crc32(names)),
        float(sum(sizes) - len(data)),
        *map(float, head),
        float(len(data)),
        *map(float, data[:2]),
        float(data[2] & 7),  # of the first block: last, and how it is compressed
        float(filters.mean()),
        float(len(set(filters.tolist()))),
    ]


def of_answer(headers: Mapping[str, str], seconds: float) -> list[float]:
    """What the answer says: names, order and length of headers; the time that it took."""
    names = ",".join(headers)
    lengths = [len(value) for value in headers.values()]
    kept = {name: v for name, v in headers.items() if name not in ("date", "x-request-id")}
    return [
        float(zlib.crc32(names.encode())),
        float(zlib.crc32(repr(sorted(kept.items())).encode())),
        float(sum(lengths)),
        seconds,
        float(np.log(seconds)),
    ]


def of_place(place: int) -> list[float]:
    """Where in the order it stands."""
    return [float(place), float(place) ** 2, *(float(place % n) for n in (2, 3, 4, 8))]


def told(
    rows: Sequence[Sequence[float]], synthetic: Sequence[bool], items: Sequence[int], seed: int = 0
) -> tuple[float, float]:
    """AUROC of a ridge classifier, out of fold, and its p by permutation; folds are by item.

    Out-of-fold scores are linear in the answers, so each permutation is a fit of its own.
    """
    random = np.random.default_rng(seed)
    x = np.array(rows)
    x = (x - x.mean(0)) / np.maximum(x.std(0), 1e-9)
    ranks = x.argsort(0).argsort(0) / len(x) - 0.5  # ties as they come: no feature is lost by it
    x = np.concatenate([x, np.square(x).clip(max=9), ranks * (x.std(0) > 0)], 1)
    names, member = np.unique(items, return_inverse=True)
    fold = random.permutation(len(names))[member] % _FOLDS
    scores = np.zeros((len(x), len(x)))
    for i in range(_FOLDS):
        inside = fold == i
        known = x[~inside]
        inverse = np.linalg.inv(known.T @ known + _PENALTY * np.eye(x.shape[1]))
        scores[np.ix_(inside, ~inside)] = x[inside] @ inverse @ known.T
    truth = np.zeros(len(names), np.bool_)
    truth[member] = synthetic
    found = _area(scores, truth[member])
    others = [_area(scores, random.permutation(truth)[member]) for _ in range(PERMUTATIONS)]
    return found, (1 + sum(other >= found for other in others)) / (1 + PERMUTATIONS)


def _area(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    found = scores @ (truth - truth.mean())
    order = found.argsort(kind="stable")
    place = np.empty(len(found))
    place[order] = np.arange(1, len(found) + 1)
    _, same, counts = np.unique(found, return_inverse=True, return_counts=True)
    place = (np.bincount(same, place) / counts)[same]  # ties count half
    up = int(truth.sum())
    return float((place[truth].sum() - up * (up + 1) / 2) / (up * (len(truth) - up)))
