"""The command line: `synthorax`.  Needs `pip install synthorax[cli]`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run a command.  Exit status 0: done; 1: it failed; 2: it was called wrongly."""
    try:
        from synthorax.cli.commands import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.exit(f"The command line needs {error.name}: pip install 'synthorax[cli]'")
    from synthorax.cli.output import console
    from synthorax.errors import SynthoraxError

    try:
        app()
    except SynthoraxError as error:
        console.print(f"[red]error:[/red] {error}", highlight=False)
        if error.hint and error.hint not in str(error):
            console.print(error.hint, highlight=False, markup=False)
        sys.exit(1)
