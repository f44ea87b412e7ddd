"""Making a reader study: real images and samples of a version, through one pipeline.

Both are squares of the generator's side in 8-bit grey, masked as the dataset is, and written by
one encoder call; from there on nothing but the key knows which is which.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.asked import Asked
from app.dependencies import State
from app.engine.loaded import Loaded
from app.generate.levels import levels_of
from app.generate.samples import Listed
from library.datasets.index import ACCEPTED
from library.datasets.opened import Opened
from library.datasets.records import read_record
from library.datasets.withdrawal import withdrawn_files
from library.decoding.pool import Decoders
from library.errors import Busy, Conflict, InvalidValue, NotFound
from library.manifests import read_manifest
from library.reader_studies import files
from library.reader_studies.design import REAL, SYNTHETIC, Design, drawn_images, drawn_seeds
from library.reader_studies.folder import ReaderStudy, create
from library.reader_studies.forgetting import forget
from library.runs import run_folder
from library.versions import Version

SPLIT = "held_out"
_DECODERS, _SECONDS = 2, 20.0
_one = asyncio.Lock()  # study at a time: each decodes and samples


@dataclass(frozen=True)
class _Real:
    """Real images, class by class in the design's order."""

    levels: NDArray[np.uint8]  # (n, r, r)
    digests: list[str]  # of the files
    patients: int | None  # None: the dataset names none


async def make(
    state: State, design: Design, version: Version, dataset: str | None, asked: Asked
) -> ReaderStudy:
    """Draw, decode, sample and write a study.

    Raises InvalidValue for a dataset without enough held-out images, Conflict for one that is not
    ready, Busy while another study is made, and what sampling raises.
    """
    if _one.locked():
        raise Busy("Another reader study is being made.", remedy="Ask again in a moment.")
    async with _one:
        loaded = await state.pool.ensure(version)
        record = await asyncio.to_thread(_dataset, state, version, dataset)
        real = await asyncio.to_thread(_real, state, design, version, record)
        seeds = drawn_seeds(design)
        classes = [
            None if label is None else version.labels.index(label)
            for label in design.groups
            for _ in range(design.per_label)
        ]
        samples = Listed(seeds, classes)
        made = await levels_of(state.pool, loaded, samples, design.truncation)
        return await asyncio.to_thread(
            _written, state, design, loaded, record, real, seeds, _masked(state, record, made),
            asked,
        )  # fmt: skip


def _dataset(state: State, version: Version, named: str | None) -> dict[str, Any]:
    identity = named or version.card["dataset"].get("id")
    try:
        if identity is None:
            raise NotFound("none")
        return read_record(state.settings.data_dir, str(identity))
    except NotFound:
        if named is not None:
            raise
        raise Conflict(
            f"The dataset of {version.reference} is not on this server.",
            field="dataset",
            value=identity,
            remedy="Name one that holds real images which the version was not trained on.",
        ) from None


def _real(state: State, design: Design, version: Version, record: dict[str, Any]) -> _Real:
    random = np.random.default_rng([design.seed, 0])
    seen = _trained_on(state, version)
    with Opened(state.settings.data_dir, record) as opened:
        rows: list[Any] = []
        for label in design.groups:
            # Without classes: of all those that the version was trained on.
            wanted = [label] if label is not None else sorted(version.card["dataset"]["labels"])
            found = [row for row in _held_out(opened) if row["label"] in wanted]
            found = [row for row in found if row["sha256"] not in seen]
            patients = [row["grp"] for row in found]
            taken = {row["grp"] for row in rows}
            chosen = drawn_images(patients, design.per_label, random, taken)
            if chosen is None:
                raise InvalidValue(
                    f"The dataset {opened.identity} has {len(found)} held-out images"
                    f"{'' if label is None else f' of {label!r}'} that {version.reference} was not "
                    f"trained on, and {design.per_label} are asked for.",
                    field="per_label",
                    value=design.per_label,
                    remedy="Ask for fewer, or name a dataset whose split holds more out.",
                )
            rows += [found[i] for i in chosen]
        fit = version.card["training"]["config"]["fit"]
        levels = _decoded(opened, rows, version.resolution, fit)
        people = None if record["patients_by"] == "none" else len({row["grp"] for row in rows})
        return _Real(levels, [row["sha256"] for row in rows], people)


def _held_out(opened: Opened) -> list[Any]:
    where = "WHERE status = ? AND split = ? ORDER BY position"
    columns = "path, stored, label, sha256, grp"
    return list(opened.index.rows(columns, where, ACCEPTED, SPLIT))


def _trained_on(state: State, version: Version) -> set[str]:
    """Digests of the files that a version was trained on, where its run is here."""
    job = version.card.get("job")
    run = None if job is None else run_folder(state.settings.data_dir, str(job))
    if run is None or not run.files.is_file():
        return set()
    return {digest for _, digest in read_manifest(run.files).values()}


def _decoded(opened: Opened, rows: list[Any], side: int, fit: str) -> NDArray[np.uint8]:
    choices = opened.choices
    tasks = [
        {
            "do": "square",
            "path": os.fspath(opened.location(row)),
            "sha256": row["sha256"] if opened.root is not None else None,
            "resolution": side,
            "fit": fit,
            "window": opened.window,
            "mask": {"border": choices.border, "corner": choices.corner},
        }
        for row in rows
    ]
    levels = np.empty((len(rows), side, side), np.uint8)
    with Decoders(_DECODERS, seconds=_SECONDS) as decoders:
        for i, answer in enumerate(decoders.map(tasks)):
            if answer.refused is not None or not answer.blobs:
                raise Conflict(
                    f"A file of the dataset {opened.identity} is not what it was when it was "
                    "validated.",
                    field="dataset",
                    value=opened.identity,
                    remedy="Validate it again.",
                )
            levels[i] = np.frombuffer(answer.blobs[0], np.uint8).reshape(side, side)
    return levels


def _masked(state: State, record: dict[str, Any], levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Black where real images are: a generator's nearly black would give it away."""
    with Opened(state.settings.data_dir, record) as opened:
        mask = opened.choices.mask
    return np.stack([mask.applied(each) for each in levels]) if mask.active else levels


def _written(
    state: State, design: Design, loaded: Loaded, record: dict[str, Any], real: _Real,
    seeds: list[int], made: NDArray[np.uint8], asked: Asked,
) -> ReaderStudy:  # fmt: skip
    version, origin = loaded.version, loaded.origin(design.truncation)
    labels = [label for label in design.groups for _ in range(design.per_label)]
    key: list[dict[str, Any]] = [
        {"kind": REAL, "label": label, "file_sha256": digest}
        for label, digest in zip(labels, real.digests, strict=True)
    ]
    key += [
        {"kind": SYNTHETIC, "label": label, "seed": seed}
        for label, seed in zip(labels, seeds, strict=True)
    ]
    levels = np.concatenate([real.levels, made])
    # One call for all, in an order that tells nothing.
    order = np.random.default_rng(secrets.randbits(63)).permutation(len(key))
    images = [files.encode(levels[i]) for i in order]
    names = _names(len(key))
    content = {
        "design": design.as_dict(),
        "model": version.reference,
        "digest": version.digest,
        "resolution": version.resolution,
        "dataset": {name: record[name] for name in ("id", "name", "fingerprint")},
        "patients": real.patients,
        "unseen": _unseen(state, version, record),
        "asked": asked.digest,
    }
    engine = {
        "digest": origin.engine_digest,
        "backend": origin.backend,
        "precision": origin.precision,
    }
    items = [{"id": name, **key[i]} for name, i in zip(names, order, strict=True)]
    secret = {"engine": engine, "items": items}
    study = create(state.settings.data_dir, asked.identity, content, secret, images)
    # A patient may have withdrawn while it was made.
    if gone := withdrawn_files(state.settings.data_dir) & set(real.digests):
        forget(state.settings.data_dir, frozenset(gone))
    return study


def _names(count: int) -> list[str]:
    names: set[str] = set()
    while len(names) < count:
        names.add(secrets.token_hex(4))
    return list(names)


def _unseen(state: State, version: Version, record: dict[str, Any]) -> bool:
    """Whether it is known that the version was trained on none of the real images."""
    same = version.card["dataset"].get("fingerprint") == record["fingerprint"]
    return same or bool(_trained_on(state, version))
