"""A study's file, and what the study would cost."""

from __future__ import annotations

import json
import time
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from synthorax import Client, SynthoraxError
from synthorax.cli.costs import duration
from synthorax.cli.study_following import ready

_GIVE_UP = 900.0  # s; a light queue that is busy answers later


class Question(NamedTuple):
    """A dataset (its id or its folder) and the configuration of the study on it."""

    dataset: str | dict[str, str]
    config: dict[str, Any]


def read_question(path: Path, dataset: str | None) -> Question:
    """Read CONFIG.json or CONFIG.toml; `dataset` goes before the file's.

    Raises SynthoraxError.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise SynthoraxError(f"{str(path)!r} cannot be read ({error.strerror}).") from None
    except ValueError as error:  # of UTF-8, JSON and TOML alike
        form = "TOML" if path.suffix == ".toml" else "JSON"
        raise SynthoraxError(f"{str(path)!r} is no {form}: {error}.") from None
    if not isinstance(content, dict):
        raise SynthoraxError(f"{str(path)!r} holds no object.")
    named = dataset or content.pop("dataset", None)
    content.pop("dataset", None)
    if not isinstance(named, str | dict) or not named:
        raise SynthoraxError(
            f"{str(path)!r} names no dataset.",
            'Add "dataset": an id or a folder, or use --dataset.',
        )
    config = content.get("config", content)
    if not isinstance(config, dict) or (config is not content and len(content) > 1):
        raise SynthoraxError(
            f"{str(path)!r} holds more than dataset and config.",
            "Give the study's fields beside dataset, or all of them below config.",
        )
    return Question(named, config)


def cost_of(client: Client, question: Question, console: Console) -> dict[str, Any]:
    """Measured on the workers' machine; what is counted alone where that takes too long."""
    began = time.monotonic()

    def ask() -> dict[str, Any]:
        return client.studies.estimate(question.dataset, question.config)

    with console.status("Measuring how long this will take"):
        found = ready(client, ask)
        while found["status"] == "measuring" and time.monotonic() - began < _GIVE_UP:
            time.sleep(1)
            found = ask()
    return found


def sentence(found: dict[str, Any]) -> str:
    """How much a study is, and how long it takes."""
    much = (
        f"{_many(sum(found['units'].values()), 'unit')}: {_many(found['generators'], 'generator')} "
        f"and {_many(found['classifiers'], 'classifier')} are trained."
    )
    if found["status"] == "measured":
        time_ = f"About {duration(found['total_seconds'])} by one worker of each kind."
    elif found["status"] == "failed":
        time_ = f"How long it will take could not be measured: {found['reason']}"
    else:
        time_ = "How long it will take could not be measured: the worker is busy."
    lacks = "" if found["patients_known"] else (
        " The data set does not tell patients: each image counts as a patient of its own, and "
        "images of one patient may be on both sides."
    )  # fmt: skip
    return f"{much} {time_}{lacks}"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
