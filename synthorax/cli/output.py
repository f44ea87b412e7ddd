"""Where commands write: data to stdout, as tables or as one JSON value; all else to stderr."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

console = Console(stderr=True)
out = Console()

Json = Annotated[bool, typer.Option("--json", help="one JSON value on stdout")]


def emit(value: Any, shown: Any, as_json: bool) -> None:
    """A value as JSON, or what is shown of it: a table or a line."""
    if as_json:
        typer.echo(json.dumps(value, ensure_ascii=False))
    elif isinstance(shown, Table):
        out.print(shown)
    else:
        out.print(shown, highlight=False, soft_wrap=True)
