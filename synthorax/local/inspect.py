"""`synthorax datasets inspect`: validate here, without a service, and write a report."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from synthorax.cli.bars import progress_bar
from synthorax.cli.findings import show
from synthorax.cli.output import refuse


def inspect(
    source: Path, output: Path | None, choices: dict[str, Any], out: Console, errors: Console
) -> int:
    """Validate a folder or a ZIP; the exit status: 1 when it cannot be a dataset."""
    from library.atomic import write_bytes
    from library.datasets.choices import resolve
    from library.datasets.report import html
    from library.datasets.validation import EmptyDataset, validate
    from library.errors import InvalidValue, SynthoraxError

    path = (output or Path(f"{source.resolve().stem}-dataset.html")).absolute()
    try:
        if not source.exists():
            raise InvalidValue(f"There is no folder and no ZIP {str(source)!r}.")
        resolved = resolve(choices)
        with TemporaryDirectory(prefix="synthorax-") as folder, progress_bar(errors) as bar:
            task = bar.add_task("listing", total=None)

            def progress(phase: str, done: int, total: int) -> None:
                bar.update(task, description=phase, completed=done, total=total or None)

            fields = validate(Path(folder), source, resolved, progress)
            record = {"name": source.resolve().name, "choices": resolved.as_dict(), **fields}
            write_bytes(path, html(record, Path(folder) / fields["content"]).encode())
    except SynthoraxError as error:
        if isinstance(error, EmptyDataset):
            for file in [*error.told["refused"], *error.told["left_out"]][:20]:
                errors.print(f"{file['file']}: {file['reason']}", highlight=False)
        refuse(errors, error)
        return 1
    show(record, out)
    out.print(f"Report: {path}", highlight=False)
    return 0
