"""synthorax keys: who may use the service of this machine's data folder."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from synthorax.cli.output import Json, console, emit

commands = typer.Typer(
    no_args_is_help=True,
    help="API keys of the service in SYNTHORAX_DATA_DIR. From the first one on, all need one.",
)
Name = Annotated[str, typer.Argument(help="whose it is: a person, a program")]
Scope = Annotated[str, typer.Option(help="generate; train: datasets and jobs, too; admin: all")]
Identity = Annotated[str, typer.Argument(help="ID, as `keys list` shows it")]


@commands.command()
def add(
    name: Name,
    scope: Scope = "generate",
    days: Annotated[float | None, typer.Option(min=0, help="until it ends")] = None,
    as_json: Json = False,
) -> None:
    """Make a key. It is shown once."""
    from synthorax.local import keys

    _tell(keys.add(name, scope, days), as_json)


@commands.command()
def new(name: Name, scope: Scope = "generate", as_json: Json = False) -> None:
    """Make a key for SYNTHORAX_API_KEYS, as containers have it; nothing is stored here."""
    from synthorax.local import keys

    made = keys.new(name, scope)
    emit(made, f"{made['key']}\nSYNTHORAX_API_KEYS={made['entry']}", as_json)
    console.print("The first is the key, shown once; the second is what the service is told.")


@commands.command(name="list")
def list_all(as_json: Json = False) -> None:
    """Every key, without its secret."""
    from synthorax.local import keys

    found = keys.all_keys()
    table = Table("id", "name", "scope", "made", "ends", "", box=None)
    for each in found:
        table.add_row(each["id"], each["name"], each["scope"], each["created"],
                      each["expires"] or "–", each["problem"] or "")  # fmt: skip
    emit(found, table, as_json)


@commands.command()
def revoke(key: Identity, as_json: Json = False) -> None:
    """Let a key in no more, within a second; its sessions end, too."""
    from synthorax.local import keys

    found = keys.revoke(key)
    emit(found, f"{found['id']} ({found['name']}) is let in no more", as_json)


@commands.command()
def rotate(
    key: Identity,
    hours: Annotated[float, typer.Option(min=0, help="for which the old one works")] = 24.0,
    as_json: Json = False,
) -> None:
    """Make a key in place of another, which ends after a while."""
    from synthorax.local import keys

    _tell(keys.rotate(key, hours), as_json)


def _tell(made: dict[str, Any], as_json: bool) -> None:
    emit(made, made["key"], as_json)
    console.print(f"The key {made['id']} of {made['name']} has the scope {made['scope']}. "
                  "It is shown this once.")  # fmt: skip
