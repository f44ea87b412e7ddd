"""The command line: `synthorax`.  Needs `pip install synthorax[cli]`."""

from __future__ import annotations

import sys

_TERMINAL = ("typer", "rich")


def main() -> None:
    """Run a command.  Exit status 0: done; 1: it failed; 2: it was called wrongly."""
    try:
        from synthorax.cli.commands import app
    except ModuleNotFoundError as error:
        if error.name not in _TERMINAL:
            raise
        sys.exit(f"The command line needs {error.name}: pip install 'synthorax[cli]'")
    from synthorax.cli.output import console, refuse
    from synthorax.errors import SynthoraxError

    try:
        app()
    except SynthoraxError as error:
        refuse(console, error)
        if error.hint and error.hint not in str(error):
            console.print(error.hint, highlight=False)
        sys.exit(1)
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing == "synthorax":
            raise
        refuse(
            console,
            f"This command runs a part of the service itself, and {missing} is not installed. "
            "Run it from the repository (make run) or in the container image.",
        )
        sys.exit(1)
    except OSError as error:  # of a file that was named, or of the disk
        named = f"{str(error.filename)!r}: " if error.filename else ""
        refuse(console, f"{named}{error.strerror or error}.")
        sys.exit(1)
    except Exception as error:
        # Local commands raise the service's own errors; only they import them.
        library = sys.modules.get("library.errors")
        if library is None or not isinstance(error, library.SynthoraxError):
            raise
        refuse(console, error)
        sys.exit(1)
