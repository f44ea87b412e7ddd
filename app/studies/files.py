"""What a study gives and takes as files: its results, a model's predictions, the arms' images."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from pathlib import Path
from typing import Any

from celery import Celery

from app.studies.shown import newest_results
from library.atomic import read_json, write_bytes
from library.errors import Conflict, InvalidValue, NotFound
from library.studies.folder import Study
from library.studies.units import RUNS
from worker.jobs import JobStore, reaching_redis
from worker.queue import enqueue_arms
from worker.study_arms import ARMS, is_made

SCORES_MOST = 50  # models of your own, a study
SCORE_NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
FILE_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,99}$"
MEDIA_TYPES = {
    ".csv": "text/csv; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".tex": "application/x-tex",
}
_HEAD = re.compile(r"[^\r\n]+\r?\n")


def results(study: Study) -> Path:
    """The folder of the newest results.  Raises Conflict before there are any."""
    found = newest_results(study)
    if found is None:
        raise Conflict(
            f"The study {study.id!r} is {study.status}: it has no results yet.",
            field="id",
            value=study.id,
            remedy="Its last unit makes them: GET /studies/{id} says how far it is.",
        )
    return found


def result(study: Study, name: str) -> tuple[Path, str]:
    """A file of the results and its media type.  Raises NotFound, Conflict."""
    folder = results(study)
    path = folder / name
    kind = MEDIA_TYPES.get(path.suffix)
    if kind is None or not path.is_file():
        there = sorted(p.name for p in path.parent.glob("[!.]*.*")) if path.parent.is_dir() else []
        raise NotFound(
            f"The results of {study.id} have no {name}.",
            field="name",
            value=Path(name).name,
            remedy=f"There are: {', '.join(there)}." if there else None,
        )
    return path, kind


def add_score(study: Study, name: str, body: bytes) -> None:
    """Take predictions of a model of the user's own; the results are made again with them.

    A name is taken again when what was wrong with it is known.  Raises InvalidValue, Conflict.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidValue(
            f"The body is no UTF-8 (byte {error.start}).", field="body",
            remedy="Send a CSV file in UTF-8.",
        ) from None  # fmt: skip
    if "\0" in text or not _HEAD.match(text):
        raise InvalidValue(
            "The body is no CSV with a line of names and a line for each image.", field="body",
            remedy="Send the predictions as the study's arms.zip describes them.",
        )  # fmt: skip
    path = study.path / "scores" / f"{name}.csv"
    wrong = path.with_suffix(".error.json")
    is_new = not path.exists()
    if study.status != "succeeded" and (is_new or study.status != "failed"):
        raise Conflict(
            f"The study {study.id!r} is {study.status}.", field="id", value=study.id,
            remedy="Predictions are scored when it has succeeded: wait for its results.",
        )  # fmt: skip
    if is_new and len(study.scores) >= SCORES_MOST:
        raise Conflict(
            f"The study {study.id!r} has {SCORES_MOST} models of yours already.",
            field="name", value=name, remedy="Make another study with the same configuration.",
        )  # fmt: skip
    if not is_new and study.status == "succeeded" and not wrong.exists():
        raise Conflict(
            f"The study {study.id!r} has scored a model {name!r} already.",
            field="name", value=name, remedy="Give this one another name.",
        )  # fmt: skip
    path.parent.mkdir(exist_ok=True, mode=0o700)
    if not is_new:  # as many scores as before: their results go, and are made again
        _drop(study.results_path)
    write_bytes(path, text.encode())
    wrong.unlink(missing_ok=True)
    study.unfinish()


def _drop(results: Path) -> None:
    gone = results.with_name(f".{results.name}.{secrets.token_hex(4)}.old")
    if results.exists():
        os.rename(results, gone)
    for left in results.parent.glob(".results-*.old"):
        shutil.rmtree(left, ignore_errors=True)


def arms(study: Study, store: JobStore, celery: Celery) -> Path | None:
    """The archive of what the arms are trained on; None: it is being made.

    Raises Conflict before all runs are done, and once with what went wrong the last time.
    """
    path = study.path / "arms.zip"
    if path.is_file():
        return path
    done = study.done()
    left = [u.name for u in study.units if u.kind == RUNS and u.name not in done]
    if left:
        raise Conflict(
            f"The study {study.id!r} has {len(left)} units of runs to do yet.",
            field="id", value=study.id,
            remedy="Its arms are known when all of them are done.",
        )  # fmt: skip
    failed = study.path / f"{ARMS}.error.json"
    try:
        problem: dict[str, Any] = read_json(failed)
    except FileNotFoundError:
        with reaching_redis():
            if not is_made(study, store.redis):
                enqueue_arms(celery, study.record)
        return None
    failed.unlink(missing_ok=True)  # who asks again tries again
    raise Conflict(f"The arms could not be made: {problem['detail']}", field="id", value=study.id)
