"""Predictions of a model of the user's own: from a CSV file to runs beside the study's.

    partition,generator,arm,ratio,seed,image,score
    s1d0,0,real_synthetic,1,0,1842,0.913

One line for each test image of each run: partition, generator, arm and ratio as in the list of
training images that was handed out (generator and ratio are empty where the arm has none), seed
counts the user's own repetitions, image is the row in the study's table of images, score the higher
the more likely positive.  Lines may come in any order.  Where all scores are probabilities, Brier
score and calibration are told as well.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from library.errors import InvalidValue
from library.studies.config import WITH_SYNTHETIC, YOURS
from library.studies.units import generators_of, partitions
from studies.predictions import WITH_RATIO, Arm, Place, Predictions, Runs, as_named, places

COLUMNS = ("partition", "generator", "arm", "ratio", "seed", "image", "score")
_SHOWN = 5  # of missing things, in a message


@dataclass
class _Run:
    """Scores of one run by image, and the line that each came from."""

    scores: dict[int, float] = field(default_factory=dict)
    lines: dict[int, int] = field(default_factory=dict)


Key = tuple[Arm, Place, int]


def add(predictions: Predictions, path: Path) -> None:
    """Put the scores of one file among the study's runs.  Raises InvalidValue."""
    runs, large = scored(predictions, f"{YOURS}:{path.stem}", path.read_bytes(), path.name)
    predictions.runs.update(runs)
    predictions.large.update(large)


def scored(
    predictions: Predictions, classifier: str, content: bytes, file: str
) -> tuple[Runs, Runs]:
    """Runs of the test images, and of the large test's where these were scored too.

    Raises InvalidValue naming the line, what it holds and what to do.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong(
            file, None, f"is not UTF-8 (byte {error.start})", "Save it as UTF-8."
        ) from None
    found: dict[Key, _Run] = {}
    for line, row in _rows(text, file):
        key, image, score = _read(predictions, classifier, row, line, file)
        run = found.setdefault(key, _Run())
        if image in run.scores:
            said = f"scores image {image} again: line {run.lines[image]} has it in the same run"
            raise _wrong(file, line, said, "Keep one of them, or give another seed.", image)
        run.scores[image], run.lines[image] = score, line
    return _whole(predictions, classifier, found, file)


def _rows(text: str, file: str) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if sorted(header) != sorted(COLUMNS):
            said = f"has the columns {', '.join(header) or '(none)'}"
            raise _wrong(file, 1, said, f"Its first line is: {','.join(COLUMNS)}", header)
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                said = f"has {len(row)} fields"
                raise _wrong(file, reader.line_num, said, f"Give {len(header)}.", ",".join(row))
            values = (value.strip() for value in row)
            yield reader.line_num, dict(zip(header, values, strict=True))
    except csv.Error as error:
        said = f"is not CSV ({error})"
        raise _wrong(file, reader.line_num, said, "Separate by commas.") from None


def _read(
    predictions: Predictions, classifier: str, row: dict[str, str], line: int, file: str
) -> tuple[Key, int, float]:
    config = predictions.config

    def wrong(column: str, remedy: str) -> InvalidValue:
        return _wrong(file, line, f"has the {column} {row[column]!r}", remedy, row[column])

    known = {each.name: each for each in partitions(config)}
    if row["partition"] not in known:
        raise wrong("partition", f"Use one of: {', '.join(known)}.")
    partition = known[row["partition"]]
    if row["arm"] not in config.arms:
        raise wrong("arm", f"Use one of: {', '.join(config.arms)}.")
    numbers = list(generators_of(config, partition))
    generator = numbers[0]
    if row["arm"] in WITH_SYNTHETIC or row["generator"]:
        generator = _whole_number(row["generator"], -1)
        allowed = numbers if row["arm"] in WITH_SYNTHETIC else numbers[:1]
        if generator not in allowed:
            raise wrong("generator", f"Use one of: {', '.join(map(str, allowed))}.")
    ratio = None
    if row["arm"] in WITH_RATIO:
        ratio = as_named(_number(row["ratio"]))
        if ratio not in map(as_named, config.ratios):
            raise wrong("ratio", f"Use one of: {', '.join(f'{k:g}' for k in config.ratios)}.")
    elif row["ratio"]:
        raise wrong("ratio", f"Leave it empty: the arm {row['arm']} has none.")
    seed = _whole_number(row["seed"], -1)
    if seed < 0:
        raise wrong("seed", "Give a whole number from 0.")
    image, score = _whole_number(row["image"], -1), _number(row["score"])
    if not 0 <= image < len(predictions.classes):
        raise wrong("image", f"Give a whole number from 0 to {len(predictions.classes) - 1}.")
    if not math.isfinite(score):
        raise wrong("score", "Give a number.")
    return (Arm(classifier, row["arm"], ratio), (partition.name, generator), seed), image, score


def _whole(
    predictions: Predictions, classifier: str, found: dict[Key, _Run], file: str
) -> tuple[Runs, Runs]:
    """Runs as arrays, once nothing is missing and nothing is too much."""
    runs: Runs = {}
    large: Runs = {}
    for (arm, place, seed), run in sorted(found.items(), key=lambda item: _order(item[0])):
        said = f"{_named(arm)}, partition {place[0]}, generator {place[1]}, seed {seed}"
        rows = predictions.tests[place[0]]
        far = predictions.large_rows if _large_given(predictions, run) else rows[:0]
        wanted = np.concatenate([rows, far])
        if extra := sorted(set(run.scores) - set(wanted.tolist())):
            shown = f"scores image {extra[0]}, which {said} is not tested on"
            raise _wrong(file, run.lines[extra[0]], shown, "Leave it out.", extra[0])
        missing = [int(row) for row in wanted if int(row) not in run.scores]
        if missing:
            remedy = f"Score all {len(wanted)} images that it is tested on."
            shown = f"lacks {len(missing)} images of {said}: {_listed(missing)}"
            raise _wrong(file, None, shown, remedy, missing[:_SHOWN])
        for rows_of, kept in ((rows, runs), (far, large)):
            if len(rows_of):
                scores = np.array([[run.scores[int(row)] for row in rows_of]])
                before = kept.setdefault(arm, {})
                before[place] = (
                    np.concatenate([before[place], scores]) if place in before else scores
                )
    _complete(predictions, classifier, runs, file)
    return runs, {arm: of for arm, of in large.items() if of.keys() == runs[arm].keys()}


def _complete(predictions: Predictions, classifier: str, runs: Runs, file: str) -> None:
    """The primary contrast's arms are there, and each arm has all its runs at a size."""
    config = predictions.config
    primary = [
        Arm(classifier, name, as_named(config.ratio)) for name in ("duplicates", "real_synthetic")
    ]
    for arm in [*primary, *runs]:
        given = runs.get(arm, {})
        for size in config.sizes:
            wanted = list(places(config, arm.name, predictions.partitions(size)))
            missing = [place for place in wanted if place not in given]
            needed = arm in primary and size == config.sizes[0]
            if missing and (needed or len(missing) < len(wanted)):
                shown = ", ".join(f"{name} with generator {n}" for name, n in missing[:_SHOWN])
                said = f"lacks runs of {_named(arm)}: {shown}"
                raise _wrong(file, None, said, "Score these runs as well.", shown)
        counts = {place: len(scores) for place, scores in given.items()}
        if len(set(counts.values())) > 1:
            most = max(counts.values())
            place = next(place for place, count in counts.items() if count < most)
            said = f"has {counts[place]} seeds of {_named(arm)}, partition {place[0]}, not {most}"
            raise _wrong(
                file, None, said, "Give every run of an arm the same seeds.", counts[place]
            )


def _large_given(predictions: Predictions, run: _Run) -> bool:
    return any(int(row) in run.scores for row in predictions.large_rows)


def _order(key: Key) -> tuple[Any, ...]:
    arm, place, seed = key
    return arm.name, arm.ratio or 0.0, place, seed


def _named(arm: Arm) -> str:
    return arm.key.partition("/")[2]


def _listed(images: list[int]) -> str:
    shown = ", ".join(map(str, images[:_SHOWN]))
    return shown + (", …" if len(images) > _SHOWN else "")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _whole_number(text: str, otherwise: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else otherwise


def _wrong(file: str, line: int | None, said: str, remedy: str, value: Any = None) -> InvalidValue:
    where = file if line is None else f"{file}, line {line},"
    return InvalidValue(f"{where} {said}.", field="scores", value=value, remedy=remedy)
