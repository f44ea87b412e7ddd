"""synthorax backup and restore."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.text import Text

from synthorax.cli.bars import progress_bar
from synthorax.cli.output import Json, console, emit


def backup(
    target: Annotated[str, typer.Argument(help="a new file, a folder, or - for stdout")],
    caches: Annotated[
        bool, typer.Option("--caches", help="also decoded images and features, made again else")
    ] = False,
    as_json: Json = False,
) -> None:
    """Copy the data folder and Redis into one file. The service may run meanwhile."""
    from synthorax.local.backup import PIPE
    from synthorax.local.backup import backup as run

    with _bar("copying") as told:
        made = run(target, caches, told)
    left_out = {
        "links_left_out": "links, which are not followed",
        "folders_in_place": "datasets' folders outside the data folder",
    }
    for name, words in left_out.items():
        if made[name]:
            shown = ", ".join(made[name][:5])
            console.print(Text.assemble(("Not in it", "yellow"), f": {words}: {shown}"))
    if target == PIPE:
        console.print(_told(made), highlight=False)
    else:
        emit(made, f"{made['file']}: {_told(made)}", as_json)


def restore(
    archive: Annotated[str, typer.Argument(help="what `synthorax backup` wrote, or - for stdin")],
    verify: Annotated[
        bool, typer.Option("--verify", help="check every byte of it, restore nothing")
    ] = False,
    as_json: Json = False,
) -> None:
    """Restore a backup into an empty data folder and an empty Redis. Stop the service first."""
    if verify:
        from synthorax.local.backup import verify as check

        with _bar("checking") as told:
            found = check(archive, told)
        emit(found, f"whole: {_told(found)}", as_json)
        return
    from synthorax.local.restore import restore as run

    with _bar("restoring") as told:
        done = run(archive, told)
    again = len(done["jobs_queued_again"])
    emit(done, f"restored: {_told(done)}; {again} jobs wait for a worker", as_json)


def _told(found: dict[str, Any]) -> str:
    names = ("versions", "reports", "datasets", "runs", "studies")
    counts = ", ".join(f"{found[name]} {name}" for name in names)
    size = f"{found['bytes'] / 2**20:,.1f} MiB"
    return f"of {found['created']}, {found['files']} files, {size}; {counts}, {found['keys']} keys"


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int | None], None]]:
    with progress_bar(console) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
