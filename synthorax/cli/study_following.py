"""A study on its way: a bar for each kind of unit, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from synthorax import Client, Conflict, JobFailed
from synthorax._sync.studies import Study
from synthorax.cli.bars import progress_bar
from synthorax.cli.output import console, emit

_WORDS = {
    "prepare": "images prepared",
    "generator": "generators trained",
    "runs": "sets of classifiers trained",
    "results": "results made",
}
T = TypeVar("T")


def ready(client: Client, ask: Callable[[], T]) -> T:
    """What `ask` answers, once its dataset is validated."""
    try:
        return ask()
    except Conflict as refused:
        named = [str(each["given"]) for each in refused.errors if each["field"] == "dataset"]
        if not named or client.datasets.get(named[0])["status"] != "validating":
            raise
    with console.status("Looking at the data set"):
        client.datasets.validated(named[0])
    return ask()


def follow(study: Study, as_json: bool) -> int:
    """A study to its end; the exit status: 0 when it has results (or Ctrl-C left it running)."""
    try:
        with progress_bar(console) as bar:
            tasks = {
                kind: bar.add_task(_WORDS[kind], total=1.0) for kind in study.progress["kinds"]
            }

            def told(record: dict[str, Any]) -> None:
                for kind, of_kind in record["progress"]["kinds"].items():
                    counted = (
                        f"{of_kind['done']} of {of_kind['total']} " if of_kind["total"] > 1 else ""
                    )
                    words = f"{counted}{_WORDS[kind]}"
                    bar.update(tasks[kind], completed=of_kind["fraction"], description=words)
                if record["waiting"]:
                    first = next(iter(tasks))
                    bar.update(tasks[first], description=record["waiting"])

            study.wait(told)
    except KeyboardInterrupt:
        console.print(f"{study.id} goes on. Follow it again: synthorax study watch {study.id}")
        return 0
    except JobFailed as error:
        words = f"{study.id} is {study.status}. {error if study.record['error'] else ''}".rstrip()
        console.print(words, highlight=False)
        console.print(f"What is done is kept: synthorax study resume {study.id}", highlight=False)
        if as_json:
            emit(study.record, "", True)
        return 1
    words = f"{verdict_of(study.record)}\nsynthorax study results {study.id} -o FOLDER"
    emit(study.record, words, as_json)
    return 0


def verdict_of(record: dict[str, Any]) -> str:
    found = record["verdict"]
    return "-" if found is None else f"{found['verdict'].capitalize()}. {found['text']}"
