"""Where commands write: data to stdout, as tables or as one JSON value; all else to stderr."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

# What is shown is data: brackets and colons in it are text.  A colour is a style of a Text.
console = Console(stderr=True, markup=False, emoji=False)
out = Console(markup=False, emoji=False)

Json = Annotated[bool, typer.Option("--json", help="one JSON value on stdout")]


def refuse(to: Console, message: object) -> None:
    """Say what went wrong."""
    to.print(Text.assemble(("error:", "red"), f" {message}"))


def emit(value: Any, shown: Any, as_json: bool) -> None:
    """A value as JSON, or what is shown of it: a table or a line."""
    if as_json:
        typer.echo(json.dumps(value, ensure_ascii=False))
    elif isinstance(shown, Table):
        out.print(shown)
    else:
        out.print(shown, highlight=False, soft_wrap=True)
