"""Anybody's images, also those that were not made here: two or three folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from evaluation.images import Images, Subject
from evaluation.reading import largest_square, split_images
from evaluation.subjects import ALL, DELIVERY
from library.datasets.choices import resolve
from library.datasets.index import LEFT_OUT
from library.datasets.layout import recognise
from library.datasets.opened import Opened, open_dataset
from library.datasets.records import begin
from library.datasets.sources import FolderSource
from library.digest import digest_json
from library.errors import InvalidValue
from library.images import Fit

Tell = Callable[[str, float], None]


@dataclass(frozen=True)
class Folders:
    """real: unseen images, or train and test folders of them; fake; train: what the generator
    was trained on (None: the train folder of `real`, or not known)."""

    real: Path
    fake: Path
    train: Path | None = None
    resolution: int | None = None
    fit: Fit | None = None
    patient: str = "auto"


def folders_subject(folders: Folders, work: Path, tell: Tell) -> Subject:
    """Read them.  Raises InvalidValue for what cannot be compared, with the reason."""
    for path, field in ((folders.real, "real"), (folders.fake, "fake"), (folders.train, "train")):
        if path is not None:
            FolderSource(path, field)
    _refuse_same(folders)
    with ExitStack() as stack:

        def opened(path: Path, patient: str) -> Opened:
            def told(words: str, done: int, total: int) -> None:
                tell(f"{words} {path.name}", 0.02 * done / max(total, 1))

            for split in _splits(path):
                begin(work, path, resolve({"split": split, "patient": patient}))
                found = open_dataset(work, path, told)
                if split != "auto" or found.record["split_by"] == "given":
                    return stack.enter_context(found)
                found.__exit__()
            raise AssertionError("the last split is taken")

        real, fake = opened(folders.real, folders.patient), opened(folders.fake, "none")
        train = None if folders.train is None else opened(folders.train, folders.patient)
        held = _reference_split(real, train)
        fit, side = _size(folders, real, fake, train)
        labels, one = _labels(real, fake)
        cache = work / "decoded"

        def read(dataset: Opened, split: str, resolution: int = side) -> Images:
            return split_images(dataset, split, [] if one else labels, resolution, fit, cache)

        reference = read(real, held)
        if train is not None:
            seen = _apart(read(train, "train"), reference, same=False)
        elif held == "held_out":
            seen = _apart(read(real, "train"), reference, same=True)
        else:
            seen = None
        made = _with_duplicates(fake, read(fake, "train"), [] if one else labels)
        source = train if train is not None else real
        delivery = None
        if seen is not None and side < DELIVERY:
            large = read(source, "train", DELIVERY)
            large = Images(large.levels, large.classes, seen.groups, large.sha256)
            delivery = (large, read(real, held, DELIVERY))
        facts = _facts(folders, real, fake, train, held, fit, side)
        known = real.record["patients_by"] != "none"
        if train is not None:
            # Of two folders only a rule over names, the same for both, tells who is in both.
            known = False
    subject = Subject(
        tuple([ALL] if one else labels), made, reference, seen, known, delivery, None, facts
    )
    subject.check()
    return subject


def _splits(path: Path) -> tuple[str, ...]:
    """How to read a folder: as its folders say, as its table does, or as one whole."""
    paths = [entry.path for entry in FolderSource(path).entries()]
    tables = [name for name in paths if name.lower().endswith(".csv")]
    if recognise(set(paths) - set(tables)).kind == "splits":
        return ("given",)
    return ("auto", "none") if tables else ("none",)


def _refuse_same(folders: Folders) -> None:
    for one, other, names in (
        (folders.real, folders.fake, ("real", "fake")),
        (folders.real, folders.train, ("real", "train")),
        (folders.fake, folders.train, ("fake", "train")),
    ):
        if other is not None and one.resolve() == other.resolve():
            raise InvalidValue(
                f"{names[0]} and {names[1]} are the same folder.",
                field=names[1],
                value=str(other),
                remedy="Fakes are compared with real images that were held out from training.",
            )


def _reference_split(real: Opened, train: Opened | None) -> str:
    splits = {name for name, tally in real.record["splits"].items() if tally["images"]}
    if "held_out" in splits:
        return "held_out"
    if real.record["split_by"] == "given" and train is None:
        raise InvalidValue(
            "The real images have no test folder.",
            field="real",
            value=str(real.root),
            remedy="Give a folder of held-out images, or one with train and test.",
        )
    return "train"  # the whole folder, when it has no split


def _size(folders: Folders, real: Opened, fake: Opened, train: Opened | None) -> tuple[Fit, int]:
    """The fakes' own size, unless it is said; then how pictures become square must be said, too."""
    if folders.resolution is not None:
        if folders.fit is None:
            raise InvalidValue(
                "A resolution is given, and no rule by which pictures become square.",
                field="fit",
                remedy="Use --fit crop, pad or stretch.",
            )
        return folders.fit, folders.resolution
    side = largest_square(fake, ["train"])
    if folders.fit is not None:
        return folders.fit, side
    for dataset in (real, train):
        if dataset is None:
            continue
        for row in dataset.index.rows("COUNT(*) AS n", "WHERE width != height"):
            if row["n"]:
                raise InvalidValue(
                    f"{row['n']} pictures in {str(dataset.root)!r} are not square.",
                    field="fit",
                    value=row["n"],
                    remedy="Say how they become square, as the generator's training did: "
                    "--fit crop, pad or stretch.",
                )
    return "stretch", side


def _labels(real: Opened, fake: Opened) -> tuple[list[str], bool]:
    """The classes, and whether all is one class."""
    theirs, ours = sorted(fake.record["labels"]), sorted(real.record["labels"])
    if theirs == ours:
        return theirs, len(theirs) == 1
    if len(theirs) == 1:
        return theirs, True
    missing = sorted(set(theirs) - set(ours))
    if missing:
        raise InvalidValue(
            f"There are no real images of {', '.join(map(repr, missing))}.",
            field="fake",
            value=theirs,
            remedy=f"The real images have the classes {', '.join(ours)}; use the same names.",
        )
    return theirs, False


def _apart(train: Images, reference: Images, same: bool) -> Images:
    """Groups are numbered by dataset: of two datasets they must not seem to be shared."""
    if same:
        return train
    above = int(reference.groups.max(initial=0)) + 1
    return Images(train.levels, train.classes, train.groups + above, train.sha256)


def _with_duplicates(fake: Opened, images: Images, labels: Sequence[str]) -> Images:
    """Fakes that are the same file as another were left out; here they count."""
    place = {digest: i for i, digest in enumerate(images.sha256)}
    rows = list(range(len(images)))
    for row in fake.index.rows("sha256, label", "WHERE status = ?", LEFT_OUT):
        if row["sha256"] in place:
            rows.append(place[row["sha256"]])
    taken = images.taken(np.array(rows, np.int64))
    classes = taken.classes if labels else np.zeros(len(rows), np.int64)
    return Images(taken.levels, classes, np.arange(len(rows)), taken.sha256)


def _facts(
    folders: Folders, real: Opened, fake: Opened, train: Opened | None, held: str, fit: str,
    side: int,
) -> dict[str, Any]:  # fmt: skip
    record = real.record
    known = train is not None or held == "held_out"
    return {
        "model": None,
        "data": {
            "name": folders.real.name,
            "fingerprint": record["fingerprint"],
            "fakes": folders.fake.name,
            "fakes_fingerprint": fake.record["fingerprint"],
            "split_by": record["split_by"],
            "patients_by": record["patients_by"],
            "reference_splits": [held],
            "training_known": known,
            "training_verified": False,
            "duplicates_removed": record["duplicates"]["identical"],
        },
        "protocol": {
            "loader": {"fit": fit, "resize": "Pillow bicubic, antialiased", "levels": "8 bit grey"},
            "fakes_sha256": digest_json(
                sorted(
                    cast(str, row["sha256"])
                    for row in fake.index.rows("sha256", "WHERE sha256 IS NOT NULL")
                )
            ),
            "resolution": side,
        },
    }
