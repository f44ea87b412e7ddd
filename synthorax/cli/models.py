"""synthorax models: the library of a service."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Column, Table

from synthorax import Client
from synthorax.cli.lights import COLOURS
from synthorax.cli.output import Json, emit, out

commands = typer.Typer(no_args_is_help=True, help="Published versions: look, serve, compare.")

Model = Annotated[str, typer.Argument(help="NAME@VERSION")]


@commands.command(name="list")
def list_all(as_json: Json = False) -> None:
    """List every version, also those that cannot be used, with the reason."""
    found = Client().models.list()
    first = Column("version", no_wrap=True)
    table = Table(first, "pixels", "family", "classes", "images", "report", "", box=None)
    for each in found:
        if not each["usable"]:
            table.add_row(each["reference"], "", "", "", "", "", f"[red]{each['reason']}[/]")
            continue
        marks = [name for name in ("active", "private") if each.get(name)]
        table.add_row(
            each["reference"], str(each["resolution"]), each["family"],
            ", ".join(each["labels"]) or "–", f"{each['training']['images']:,}",
            _lights(each["report"]), ", ".join(marks),
        )  # fmt: skip
    emit(found, table, as_json)


@commands.command()
def show(model: Model, as_json: Json = False) -> None:
    """Show a version's card: what it is, how it was made, its limits."""
    client = Client()
    if as_json:
        emit(client.models.get(model), "", True)
        return
    from rich.markdown import Markdown

    out.print(Markdown(client.models.card(model)))


@commands.command()
def activate(model: Model, as_json: Json = False) -> None:
    """Serve a version where a request names none."""
    found = Client().models.activate(model)
    emit(found, f"{model} is served now", as_json)


def _lights(report: dict[str, Any] | None) -> str:
    if report is None:
        return "–"
    return " ".join(f"[{COLOURS.get(v, 'dim')}]●[/]" for v in report["lights"].values())
