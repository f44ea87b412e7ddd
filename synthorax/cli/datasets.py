"""The commands about datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from synthorax import Client, SynthoraxError
from synthorax.cli.bars import progress_bar
from synthorax.cli.findings import show
from synthorax.cli.output import Json, console, emit, out

commands = typer.Typer(
    no_args_is_help=True, help="Datasets: make them, look at them, let patients go."
)
DatasetId = Annotated[str, typer.Argument(help="id of a dataset")]
Choose = Annotated[
    list[str] | None,
    typer.Option("--choose", metavar="NAME=VALUE", help="e.g. fit=crop; `choices` lists all"),
]


@commands.command()
def add(
    source: Annotated[Path, typer.Argument(help="a folder (used in place) or a ZIP (uploaded)")],
    name: Annotated[str | None, typer.Option(help="as it is shown")] = None,
    choose: Choose = None,
    as_json: Json = False,
) -> None:
    """Make a dataset of a folder in place, or upload a ZIP; shows what was found."""
    client, choices = Client(), chosen(choose)
    with progress_bar(console) as bar:
        if source.is_dir():
            found = client.datasets.register(str(source.resolve()), name, choices)
        elif source.is_file():
            task = bar.add_task("sending", total=1)
            found = client.datasets.upload(
                source, name, choices, lambda sent, size: bar.update(task, completed=sent / size)
            )
            bar.remove_task(task)
        else:
            raise SynthoraxError(f"There is no folder and no ZIP {str(source)!r}.")
        task = bar.add_task("validating", total=None)

        def told(record: dict[str, Any]) -> None:
            if (far := record["progress"]) is not None:
                total = far["total"] or None
                bar.update(task, description=far["phase"], completed=far["done"], total=total)

        try:
            found = client.datasets.validated(found["id"], told)
        except SynthoraxError:
            _unused(client.datasets.get(found["id"]))
            raise
    if not as_json:
        show(found, out)
    emit(found, f"{found['id']}  {client.url}/datasets/{found['id']}/report.html", as_json)


@commands.command(name="list")
def list_all(as_json: Json = False) -> None:
    """List datasets, and folders that train jobs have named."""
    table = Table("dataset", "state", "images", "patients", "labels", "name", box=None)
    found = Client().datasets.list()
    for each in found:
        patients = "?" if each["patients"] is None else str(each["patients"])
        table.add_row(
            each["id"], each["status"], str(each["images"]), patients,
            ", ".join(each["labels"]), each["name"],
        )  # fmt: skip
    emit(found, table, as_json)


@commands.command(name="show")
def show_one(dataset: DatasetId, as_json: Json = False) -> None:
    """Show what was found in a dataset."""
    found = Client().datasets.get(dataset)
    if as_json:
        emit(found, "", True)
        return
    if found["status"] != "ready":
        out.print(f"{dataset} is {found['status']}")
        _unused(found)
        return
    show(found, out)


@commands.command()
def choices(as_json: Json = False) -> None:
    """List what can be chosen, and the patterns of public sets' file names."""
    answer = Client().datasets.choices()
    if as_json:
        emit(answer, "", True)
        return
    table = Table("choice", "default", "allowed", "meaning", box=None)
    for each in answer["choices"]:
        allowed = each["allowed"]
        if isinstance(allowed, dict):
            allowed = f"{allowed['least']:g} to {allowed['most']:g}"
        elif isinstance(allowed, list):
            allowed = ", ".join(str(value) for value in allowed)
        table.add_row(each["name"], json.dumps(each["default"]), allowed, each["help"])
    out.print(table)
    patterns = Table("pattern", "for file names like", "source", box=None)
    for each in answer["patterns"]:
        patterns.add_row(each["name"], each["example"], each["source"])
    out.print(patterns)


@commands.command()
def inspect(
    source: Annotated[Path, typer.Argument(help="a folder or a ZIP")],
    output: Annotated[Path | None, typer.Option("-o", help="HTML report")] = None,
    choose: Choose = None,
) -> None:
    """Validate a folder or a ZIP here, without a service; writes an HTML report."""
    from synthorax.local.inspect import inspect as run

    raise typer.Exit(run(source, output, chosen(choose), out, console))


@commands.command()
def export(
    dataset: DatasetId,
    like: Annotated[
        str, typer.Option(help="NAME@VERSION whose geometry, filter and depth to take")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="folder")] = Path("real"),
    split: Annotated[
        list[str] | None, typer.Option(help="train, validation or held_out; all if left out")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write real images as the generator's lie there, on the machine of the service."""
    from synthorax.local.export_real import SPLITS
    from synthorax.local.export_real import export as run

    wanted = tuple(split or SPLITS)
    if unknown := [name for name in wanted if name not in SPLITS]:
        raise SynthoraxError(f"There is no split {unknown[0]!r}.", f"Name {', '.join(SPLITS)}.")
    told = run(dataset, like, output, wanted, console)
    parts = ", ".join(f"{name} {n:,}" for name, n in told["images"].items())
    words = f"{told['resolution']} px, fit {told['fit']}, like {told['like']}: {parts}; {output}/"
    emit(told, words, as_json)


@commands.command()
def delete(dataset: DatasetId, as_json: Json = False) -> None:
    """Really delete a dataset; a folder in place stays."""
    Client().datasets.delete(dataset)
    emit({"deleted": dataset}, f"{dataset} is deleted", as_json)


@commands.command()
def withdraw(
    patient: Annotated[
        str | None, typer.Argument(help="id, as in the DICOMs, the table or the file names")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="with --file, where no id is known")] = None,
    file: Annotated[str | None, typer.Option(help="one of the patient's files")] = None,
    versions: Annotated[str, typer.Option(help="retire or delete")] = "retire",
    yes: Annotated[bool, typer.Option("--yes", help="do it; else it is only listed")] = False,
    as_json: Json = False,
) -> None:
    """Let a patient's images go, and what was made from them. Lists first; --yes does it."""
    who = {"patient": patient, "dataset": dataset, "file": file}
    given = {name: value for name, value in who.items() if value is not None}
    answer = Client().datasets.withdraw(**given, versions=versions, dry_run=not yes)
    if as_json:
        emit(answer, "", True)
        return
    table = Table("what", "which", box=None)
    for name in (
        "datasets", "in_place", "runs", "checkpoints", "versions", "reports", "studies", "caches",
        "reader_studies", "generated",
    ):  # fmt: skip
        value: Any = answer.get(name)
        if isinstance(value, dict):
            value = ", ".join(f"{key} ({n} images)" for key, n in value.items())
        elif isinstance(value, list):
            value = ", ".join(value)
        table.add_row(name.replace("_", " "), str(value or "none"))
    out.print(table)
    if not yes:
        out.print("Nothing has changed. Add --yes to let it go.")
    elif answer["in_place"]:
        out.print("Their source files lie in your own folders: delete them there.")
    if yes:
        out.print(f"Receipt: {answer['id']}")


def chosen(given: list[str] | None) -> dict[str, Any]:
    """NAME=VALUE options as choices; a value that is JSON is taken as such."""
    found: dict[str, Any] = {}
    for each in given or []:
        name, equals, value = each.partition("=")
        if not equals:
            raise SynthoraxError(f"--choose {each!r} is not NAME=VALUE, for example fit=crop.")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _unused(found: dict[str, Any]) -> None:
    for file in [*found["refused"], *found["left_out"]][:20]:
        console.print(f"{file['file']}: {file['reason']}", highlight=False)
