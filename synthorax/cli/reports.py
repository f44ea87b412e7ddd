"""The commands about reports on versions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from synthorax import Client
from synthorax.cli.bars import progress_bar
from synthorax.cli.lights import COLOURS, show
from synthorax.cli.output import Json, console, emit, out, refuse

commands = typer.Typer(no_args_is_help=True, help="Evaluation reports on published versions.")

Model = Annotated[str, typer.Argument(help="NAME@VERSION")]


@commands.command()
def make(
    model: Model,
    dataset: Annotated[str | None, typer.Option(help="id; the version's own, if left out")] = None,
    count: Annotated[int, typer.Option(help="samples of each label, 200 to 10,000")] = 1000,
    seed: Annotated[int, typer.Option(help="of the first sample of each label")] = 0,
    wait: Annotated[bool, typer.Option(help="follow it to its end")] = True,
    as_json: Json = False,
) -> None:
    """Evaluate a version; Ctrl-C leaves it running."""
    client = Client()
    record = client.models.evaluate(model, dataset, count, seed)
    if not wait:
        emit(record, f"{record['id']} is {record['status']}", as_json)
        return
    try:
        with progress_bar(console) as bar:
            task = bar.add_task("queued", total=1.0)
            ended = client.models.report_ended(
                model,
                record["id"],
                lambda phase, done: bar.update(task, description=phase, completed=done),
            )
    except KeyboardInterrupt:
        console.print(f"{record['id']} goes on. See it: synthorax reports list {model}")
        raise typer.Exit(0) from None
    if ended["status"] != "complete":
        refuse(console, ended["error"]["detail"])
        raise typer.Exit(1)
    content = client.models.report(model, record["id"])
    if as_json:
        emit(content, "", True)
        return
    show(content, out)
    page = f"{client.url}{record['links']['self']}/report.html"
    out.print(f"Report: {page}", highlight=False, soft_wrap=True)


@commands.command(name="list")
def list_all(model: Model, as_json: Json = False) -> None:
    """Reports on a version, newest first."""
    table = Table("report", "status", "fidelity", "usefulness", "privacy")
    found = Client().models.reports(model)
    for record in found:
        lights = [record["lights"].get(n, "–") for n in ("fidelity", "usefulness", "privacy")]
        cells = [Text(light, COLOURS.get(light, "dim")) for light in lights]
        table.add_row(record["id"], record["status"], *cells)
    emit(found, table, as_json)


@commands.command(name="show")
def show_one(
    model: Model,
    report: Annotated[str, typer.Argument(help="id; the newest")] = "latest",
    as_json: Json = False,
) -> None:
    """Lights, why they are not green, and numbers with their floors."""
    content = Client().models.report(model, report)
    if as_json:
        emit(content, "", True)
        return
    show(content, out)


@commands.command()
def export(
    model: Model,
    report: Annotated[str, typer.Argument(help="id; the newest")] = "latest",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="a ZIP")] = None,
    as_json: Json = False,
) -> None:
    """Tables, figures, methods, checklist and images as a ZIP; nothing that shows patients."""
    path = output or Path(f"{model.replace('@', '-')}-report.zip")
    Client().models.export_report(model, path, report)
    emit({"output": str(path)}, f"{path}", as_json)


@commands.command()
def compare(one: Model, other: Model, as_json: Json = False) -> None:
    """Two versions by their newest reports, where those measured the same."""
    found = Client().models.compare(one, other)
    table = Table("class", "number", one, other, "floor", "better")
    for row in found["differences"]:
        numbers = (f"{row[k]:.4g}" for k in ("one", "other", "floor"))
        better = {"one": one, "other": other, "none": "within noise"}[row["better"]]
        table.add_row(row["label"], row["metric"], *numbers, better)
    emit(found, table, as_json)
