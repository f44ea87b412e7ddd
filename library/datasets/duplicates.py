"""The same picture more than once: the same bytes, or nearly the same pixels."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from library import cpus
from library.datasets.index import ACCEPTED, LEFT_OUT, Index
from library.decoding.look import HASH_SIDE, SIGNATURE

# Chosen between pictures of different patients and altered copies: benchmarks/duplicates.py.
HASH_DISTANCE = 24  # of 256 bits: above it two pictures are not compared further
CORRELATION = 0.98  # of the 32 x 32 means, from which two pictures are nearly the same
SURELY, ROUGHLY = 10, 0.7  # bits up to which a rough correlation will do: one was painted over
_BLOCK, _BLOCKS = 256, 8  # hashes compared with so many times as many: as caches like it
_ORDER = {"held_out": 0, "validation": 1, "train": 2, None: 3}


def leave_out_identical(index: Index) -> int:
    """Keep one of the files with the same bytes; returns how many are left out.

    Where their labels differ none is kept, since one of them must be wrong.  The one that is kept
    has the split that is held out most, and every patient of theirs is one (see `identical`).
    """
    reasons = []
    repeated = index.query(
        "SELECT sha256 FROM files WHERE status = ? GROUP BY sha256 HAVING COUNT(*) > 1", ACCEPTED
    )
    for found in list(repeated):
        rows = list(
            index.rows(
                "id, path, label, given",
                "WHERE sha256 = ? AND status = ? ORDER BY path",
                found["sha256"],
                ACCEPTED,
            )
        )
        labels = sorted({str(row["label"]) for row in rows})
        if len(labels) > 1:
            reason = f"the same file stands under several labels ({', '.join(labels)})"
            reasons += [(reason, row["id"]) for row in rows]
            continue
        rows.sort(key=lambda row: _ORDER[row["given"]])
        reasons += [("is the same file as another one", row["id"]) for row in rows[1:]]
    index.set_status(LEFT_OUT, reasons)
    return len(reasons)


def find_near(index: Index) -> int:
    """Write pairs of accepted pictures that are nearly the same into the index; their number.

    By their difference hashes and the correlation of their signatures, as they are and mirrored.
    """
    count = index.one("SELECT COUNT(*) FROM files WHERE status = ?", ACCEPTED)
    ids = np.zeros(count, np.int64)
    hashes = np.zeros((count, 4), np.uint64)
    rows = index.pictures("id, hash", "WHERE status = ? ORDER BY id", ACCEPTED)
    for i, row in enumerate(rows):
        ids[i] = row["id"]
        hashes[i] = np.frombuffer(row["hash"], np.uint64)
    mirrored = mirrored_hashes(hashes)
    found: dict[tuple[int, int], float] = {}
    for others, step in ((hashes, 1), (mirrored, -1)):
        for one, other, distance in _close(hashes, others):
            first, second = int(ids[one]), int(ids[other])
            theirs = _signature(index, second)[:, ::step]
            correlation = _correlation(_signature(index, first), theirs)
            if are_near(distance, correlation):
                pair = (first, second)
                found[pair] = max(correlation, found.get(pair, -1.0))
    for (first, second), correlation in sorted(found.items()):
        index.execute("INSERT INTO near VALUES (?, ?, ?)", first, second, round(correlation, 5))
    return len(found)


def mirrored_hashes(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Difference hashes (n, 4) of the mirrored pictures: each line backwards, and the other way."""
    found = np.empty_like(hashes)
    for start in range(0, len(hashes), _BLOCK):
        part = np.ascontiguousarray(hashes[start : start + _BLOCK]).view(np.uint8)
        lines = np.unpackbits(part, axis=1).reshape(len(part), HASH_SIDE, HASH_SIDE)
        turned = np.packbits(1 - lines[:, :, ::-1], axis=None)
        found[start : start + _BLOCK] = turned.view(np.uint64).reshape(-1, 4)
    return found


def are_near(distance: int, correlation: float) -> bool:
    """Whether two pictures are one: bits by which their hashes differ, Pearson's correlation."""
    alike = distance <= HASH_DISTANCE and correlation >= CORRELATION
    return alike or (distance <= SURELY and correlation >= ROUGHLY)


def _close(
    hashes: NDArray[np.uint64], others: NDArray[np.uint64]
) -> Iterator[tuple[int, int, int]]:
    """Pairs (i < j) where a hash and one of the others differ in at most HASH_DISTANCE bits."""
    count, threads = len(hashes), cpus.available()

    def of_block(start: int) -> list[tuple[int, int, int]]:
        found = []
        block = hashes[start : start + _BLOCK]
        for other in range(start, count, _BLOCKS * _BLOCK):
            rest = others[other : other + _BLOCKS * _BLOCK]
            distance = np.bitwise_count(block[:, 0, None] ^ rest[None, :, 0]).astype(np.uint16)
            for word in range(1, 4):
                distance += np.bitwise_count(block[:, word, None] ^ rest[None, :, word])
            for i, j in np.argwhere(distance <= HASH_DISTANCE):
                if start + i < other + j:
                    found.append((start + int(i), other + int(j), int(distance[i, j])))
        return found

    starts = iter(range(0, count, _BLOCK))
    with ThreadPoolExecutor(threads) as pool:  # numpy lets others run while it counts bits
        while part := list(islice(starts, 8 * threads)):
            for found in pool.map(of_block, part):
                yield from found


def _signature(index: Index, identity: int) -> NDArray[np.uint8]:
    blob = index.one("SELECT signature FROM pictures WHERE id = ?", identity)
    return np.frombuffer(blob, np.uint8).reshape(SIGNATURE, SIGNATURE)


def _correlation(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Pearson's, of two signatures; pictures of one grey are nearly the same as nothing."""
    a = one.ravel().astype(np.float64)
    b = other.ravel().astype(np.float64)
    a -= a.mean()
    b -= b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale else 0.0
