"""What each arm is trained on, as files: for a model of the user's own.

arms.zip
    README.txt              how to use the rest
    images.csv              image, file, label, patient group: of all real images
    real/{image}.png        through the study's one loader: all the same size and depth
    synthetic/{unit}/{n}.png
    train/{unit}.{arm}.csv  file, label: what to train on; arms that show the same files share one
    test/{partition}.csv    image, file: what to predict, without labels
    predictions.csv         the header of what `study score` takes
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from evaluation.images import Rows
from library.atomic import new_folder, read_json, sync_folder
from library.errors import Conflict
from library.studies.config import ARMS
from library.studies.folder import Study
from library.studies.runs import Run, runs
from library.studies.units import PREPARE, RUNS, Unit, runs_without_synthetic
from studies.arms import shown, wanted_of_each
from studies.preparing import levels_path, read_parts
from studies.synthetic import synthetic_images

COLUMNS = ("partition", "generator", "arm", "ratio", "seed", "image", "score")
# Arms that show the files of `real`, only in another way: how is for whoever trains.
AS_REAL = ("augmented", "weighted", "oversampled")
MARK = "Synthetic chest X-ray, made by a generative model; not for diagnosis."
_TIME = (1980, 1, 1, 0, 0, 0)
_README = """\
What each arm of a study is trained on, for a model of your own.

Train two models or more (seeds 0, 1, ...) on each file of train/, {unit}.{arm}.csv, with the same
budget for each: the same number of steps. Of one alone how far another would be off is not known,
and is taken from the arms that it is held against. Begin the arms of a unit alike and no two units:
what one random start does would be in all of them, and look like an arm's own.
The arms %(as_real)s use the file of `real`: augment, weigh or oversample in your training. In
train/, `when` says which images of the arm `pretrained` come in the first half of the training.
Predict every image of test/{partition}.csv: the probability of %(positive)s. Patients of a
test file are in none of its partition's training files.
Write predictions.csv, a line an image, with the columns
%(columns)s
(generator: the number behind -g of the unit; ratio: the number behind @, empty where there is
none), and send it with `synthorax study score`. What is left out is not compared.

real/ holds images of patients: keep this archive where the data set may be kept.
The images of synthetic/ are synthetic; not for diagnosis.
"""


def write_arms(study: Study) -> Path:
    """Make arms.zip in the study's folder; its path.  Raises Conflict before its runs are done."""
    final = study.path / "arms.zip"
    if final.is_file():
        return final
    wanted = [unit for unit in study.units if unit.kind == RUNS]
    if missing := [unit.name for unit in wanted if unit.name not in study.done()]:
        raise Conflict(
            f"{len(missing)} units of the study {study.id} are not done.",
            field="id",
            value=study.id,
            remedy="Its arms are known once it has succeeded.",
        )
    with new_folder(study.path, "arms") as folder:
        path = folder / final.name
        with zipfile.ZipFile(path, "w") as archive:
            _write(_Archive(archive), study, wanted)
        path.rename(final)
        sync_folder(study.path)
    return final


class _Archive:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def text(self, name: str, text: str) -> None:
        info = zipfile.ZipInfo(name, _TIME)
        self._archive.writestr(info, text, zipfile.ZIP_DEFLATED)

    def table(self, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        self.text(name, out.getvalue())

    def picture(self, name: str, levels: NDArray[np.uint8], mark: str | None = None) -> None:
        out, said = io.BytesIO(), PngInfo()
        if mark is not None:
            said.add_text("Comment", mark)
        Image.fromarray(np.ascontiguousarray(levels)).save(out, "PNG", pnginfo=said)
        self._archive.writestr(zipfile.ZipInfo(name, _TIME), out.getvalue())


def _write(archive: _Archive, study: Study, wanted: list[Unit]) -> None:
    prepared = read_json(study.unit_record(PREPARE))
    labels, positive = prepared["labels"], int(prepared["positive"])
    with np.load(study.partitions) as kept:
        classes, groups = kept["classes"], kept["groups"]
    archive.text(
        "README.txt",
        _README
        % {
            "as_real": ", ".join(AS_REAL),
            "positive": labels[positive],
            "columns": ",".join(COLUMNS),
        },
    )
    archive.table("predictions.csv", COLUMNS, [])
    levels = np.load(levels_path(study), mmap_mode="r")
    for row, picture in enumerate(levels):
        archive.picture(_real(row), picture)
    header = ("image", "file", "label", "patient_group")
    rows = (
        (i, _real(i), labels[c], g) for i, (c, g) in enumerate(zip(classes, groups, strict=True))
    )
    archive.table("images.csv", header, rows)
    for partition in dict.fromkeys(unit.partition for unit in wanted):
        assert partition is not None
        test = read_parts(study, partition).test
        archive.table(f"test/{partition}.csv", ("image", "file"), ((i, _real(i)) for i in test))
    for unit in wanted:
        _write_unit(archive, study, unit, classes, labels)


def _write_unit(
    archive: _Archive, study: Study, unit: Unit, classes: Rows, labels: list[str]
) -> None:
    assert unit.partition is not None
    parts = read_parts(study, unit.partition)
    counts = wanted_of_each(study.config, labels, np.bincount(classes[parts.train]))
    made = synthetic_images(study, unit, labels, counts, np.zeros_like(counts))
    name = unit.name.removeprefix(f"{RUNS}-")
    for i, picture in enumerate(made.levels):
        archive.picture(_made(name, i), picture, MARK)

    def lines(real: Rows, synthetic: Rows) -> Iterable[tuple[str, str]]:
        yield from ((_real(i), labels[classes[i]]) for i in real)
        yield from ((_made(name, i), labels[made.classes[i]]) for i in synthetic)

    for run in _kinds(study, unit):
        given = shown(run, study.config, labels, parts, classes, made.classes)
        ratio = "" if run.ratio is None else f"@{run.ratio:g}"
        rows = [(*line, "") for line in lines(given.real, given.synthetic)]
        if given.first is not None:
            rows = [(*line, "first") for line in lines(*given.first)] + rows
        path = f"train/{name}.{run.arm}{ratio}.csv"
        archive.table(path, ("file", "label", "when"), rows)


def _kinds(study: Study, unit: Unit) -> list[Run]:
    """One run of each arm and ratio whose files differ from those of `real`."""
    with_real = runs_without_synthetic(study.config, unit)
    found = {run.key: run for run in reversed(runs(study.config, with_real))}
    kinds = {(run.arm, run.ratio): run for run in found.values() if run.arm not in AS_REAL}
    return sorted(kinds.values(), key=lambda run: list(ARMS).index(run.arm))


def _real(row: int) -> str:
    return f"real/{row:06d}.png"


def _made(unit: str, number: int) -> str:
    return f"synthetic/{unit}/{number:06d}.png"
