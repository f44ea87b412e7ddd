"""synthorax study: does it help my classifier?  Fixed beforehand, then answered by many runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from synthorax import Client
from synthorax.cli.costs import duration
from synthorax.cli.output import Json, console, emit
from synthorax.cli.study_following import follow, ready, verdict_of
from synthorax.cli.study_questions import cost_of, read_question, sentence

commands = typer.Typer(no_args_is_help=True, help="Studies: does it help my classifier?")

StudyId = Annotated[str, typer.Argument(help="id of a study")]
Config = Annotated[Path, typer.Argument(help="JSON or TOML: dataset, and the study's fields")]
Dataset = Annotated[
    str | None, typer.Option(help="id, or a folder that the service may read; else as CONFIG says")
]


@commands.command()
def run(
    config: Config,
    dataset: Dataset = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="begin without asking")] = False,
    wait: Annotated[bool, typer.Option(help="follow it to its end")] = True,
    as_json: Json = False,
) -> None:
    """Say what a study costs, begin it and follow it; Ctrl-C leaves it running."""
    client, question = Client(), read_question(config, dataset)
    console.print(sentence(cost_of(client, question, console)), highlight=False)
    if not yes and not typer.confirm("Begin it?", err=True):
        raise typer.Exit(1)
    study = ready(client, lambda: client.studies.create(question.dataset, question.config))
    if not wait:
        emit(
            study.record, f"{study.id} is {study.status}: synthorax study show {study.id}", as_json
        )
        return
    console.print(f"{study.id}: {client.url}/ui/studies/{study.id}", highlight=False)
    raise typer.Exit(follow(study, as_json))


@commands.command()
def cost(config: Config, dataset: Dataset = None, as_json: Json = False) -> None:
    """Say how much a study is and how long it would take, measured where it would run."""
    found = cost_of(Client(), read_question(config, dataset), console)
    emit(found, sentence(found), as_json)


@commands.command(name="list")
def list_all(
    status: Annotated[str | None, typer.Option(help="only studies in this state")] = None,
    count: Annotated[int, typer.Option("-n", "--count", help="1 to 200")] = 20,
    as_json: Json = False,
) -> None:
    """List studies, newest first."""
    first = Column("study", no_wrap=True)
    table = Table(first, "state", "name", "data set", "done", "verdict", "created", box=None)
    found = Client().studies.list(status, count)
    for study in found:
        record = study.record
        table.add_row(
            study.id, study.status, record["name"] or "-", record["dataset"]["name"],
            f"{study.progress['fraction']:.0%}", (study.verdict or {}).get("verdict", "-"),
            record["created_at"][:16],
        )  # fmt: skip
    emit([study.record for study in found], table, as_json)


@commands.command()
def show(study: StudyId, as_json: Json = False) -> None:
    """Show one study: how far it is, and what came of it."""
    found = Client().studies.get(study)
    record, table = found.record, Table(show_header=False, box=None)
    left = found.progress["eta_seconds"]
    rows = {
        "state": f"{found.status}{f' ({_error(record)})' if record['error'] else ''}",
        "name": record["name"] or "-",
        "data set": f"{record['dataset']['name']} ({record['dataset']['id']})",
        "patients": "known" if record["patients_known"] else "not known: each image counts as one",
        "question": f"{record['config']['positive']} from the rest, {record['config']['kind']}",
        "done": f"{found.progress['fraction']:.0%}"
        + (f", about {duration(left)} to go" if left else ""),
        **{
            kind: f"{of_kind['done']} of {of_kind['total']}"
            for kind, of_kind in found.progress["kinds"].items()
        },
        "waiting": record["waiting"] or "-",
        "verdict": verdict_of(record),
        "your models": ", ".join(map(_score, record["scores"])) or "-",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    emit(record, table, as_json)


@commands.command()
def watch(study: StudyId, as_json: Json = False) -> None:
    """Follow a study to its end; Ctrl-C leaves it running."""
    raise typer.Exit(follow(Client().studies.get(study), as_json))


@commands.command()
def cancel(study: StudyId, as_json: Json = False) -> None:
    """End a study; what is done stays."""
    found = Client().studies.get(study).cancel()
    emit(found.record, f"{study} is {found.status}", as_json)


@commands.command()
def resume(study: StudyId, as_json: Json = False) -> None:
    """Do what is missing of a cancelled or failed study."""
    found = Client().studies.get(study).resume()
    emit(found.record, f"{study} is {found.status}", as_json)


@commands.command()
def delete(study: StudyId, as_json: Json = False) -> None:
    """Really delete an ended study and all that it made."""
    Client().studies.get(study).delete()
    emit({"deleted": study}, f"{study} is deleted", as_json)


@commands.command()
def results(
    study: StudyId,
    output: Annotated[Path, typer.Option("-o", "--output", help="folder")] = Path("study"),
    as_json: Json = False,
) -> None:
    """Bring the results into a folder: the page, numbers, tables, figures, methods."""
    found = Client().studies.get(study)
    found.download(output)
    words = f"{verdict_of(found.record)}\n{output}/results.html"
    emit({"output": str(output), "verdict": found.verdict}, words, as_json)


@commands.command()
def score(
    study: StudyId,
    predictions: Annotated[Path, typer.Argument(help="CSV, as README.txt in the arms says")],
    name: Annotated[str | None, typer.Option(help="of your model; the file's, if left out")] = None,
    as_json: Json = False,
) -> None:
    """Score a model of your own on the study's test images."""
    stem = "".join(c if c.isalnum() else "-" for c in predictions.stem.lower()).strip("-")
    chosen = name or stem
    found = Client().studies.get(study)
    with console.status("Making the results again with it"):
        found.score(predictions, chosen).wait()
    mine = next(each for each in found.record["scores"] if each["name"] == chosen)
    wrong = mine["error"]
    words = f"{chosen} is not scored: {wrong['detail']}" if wrong else f"{chosen} is in the results"
    emit(mine, f"{words}\nsynthorax study results {study} -o FOLDER", as_json)
    raise typer.Exit(1 if wrong else 0)


@commands.command()
def arms(
    study: StudyId,
    output: Annotated[Path, typer.Option("-o", "--output", help="ZIP")] = Path("arms.zip"),
    as_json: Json = False,
) -> None:
    """Bring what each arm is trained on, for a model of your own.  It holds images of patients."""
    with console.status("Making the archive"):
        Client().studies.get(study).arms(output)
    emit({"output": str(output)}, f"{output} holds images of patients: keep it safe", as_json)


def _error(record: dict[str, Any]) -> str:
    return str(record["error"].get("detail", ""))


def _score(score: dict[str, Any]) -> str:
    wrong = score["error"]
    return f"{score['name']} (not scored: {wrong['detail']})" if wrong else str(score["name"])
