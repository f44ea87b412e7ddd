"""synthorax models: the library of a service."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Column, Table
from rich.text import Text

from synthorax import Client
from synthorax.cli.bars import bytes_bar, progress_bar
from synthorax.cli.lights import COLOURS
from synthorax.cli.output import Json, console, emit, out

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
            table.add_row(each["reference"], "", "", "", "", "", Text(each["reason"], "red"))
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


@commands.command()
def export(
    model: Model,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="NAME-VERSION.synthorax, if left out")
    ] = None,
    approval: Annotated[
        str | None, typer.Option(help="of a private version: who lets it go, and why")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a version as one file, to be brought to another service."""
    with bytes_bar(console, "exporting") as told:
        path = Client().models.export(model, output, approval, told)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    value = {"file": str(path), "sha256": digest, "bytes": path.stat().st_size}
    emit(value, f"{path}  SHA-256 {digest}", as_json)


@commands.command()
def push(
    model: Model,
    repository: Annotated[str, typer.Argument(help="hf://OWNER/REPO; made if it is not there")],
    approval: Annotated[
        str | None, typer.Option(help="of a private version: who lets it go, and why")
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="a repository that is made is for everybody")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring a version to a Hugging Face hub, with its card; HF_TOKEN says who you are."""
    with bytes_bar(console, "fetching") as told:
        found = Client().models.push(model, repository, approval, public, told)
    emit(found, f"{found['url']}  commit {found['commit']}", as_json)


@commands.command(name="import")
def bring(
    source: Annotated[str, typer.Argument(help="a file, an https address, hf://OWNER/REPO/FILE")],
    name: Annotated[str | None, typer.Option(help="to publish under; as it was, if left out")] = (
        None
    ),
    sha256: Annotated[str | None, typer.Option(help="of the file; needed for an address")] = None,
    as_json: Json = False,
) -> None:
    """Publish an exported version here, its digests checked."""
    with progress_bar(console) as bar:
        task = bar.add_task("sending", total=1)
        found = Client().models.bring(
            source, name, sha256, lambda sent, size: bar.update(task, completed=sent / size)
        )
    emit(found, f"{found['reference']} is here; synthorax models activate {found['reference']}",
         as_json)  # fmt: skip


def _lights(report: dict[str, Any] | None) -> Text:
    if report is None:
        return Text("–")
    lights = [Text("●", COLOURS.get(v, "dim")) for v in report["lights"].values()]
    return Text(" ").join(lights)
