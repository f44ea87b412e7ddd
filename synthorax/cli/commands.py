"""All commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synthorax import Client
from synthorax.cli import (
    backups,
    datasets,
    generate_jobs,
    generating,
    keys,
    models,
    reader_studies,
    reports,
    runs,
    studies,
)
from synthorax.cli.output import Json, console, emit, out
from synthorax.cli.training import train

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Seeded synthetic chest X-rays, and the generators that make them. Not for diagnosis.",
)
app.command()(generating.generate)
app.command(name="open")(generating.open_link)
app.command()(generating.verify)
app.command()(train)
app.add_typer(generate_jobs.commands, name="generate-jobs")
app.add_typer(runs.commands, name="runs")
app.add_typer(models.commands, name="models")
app.add_typer(datasets.commands, name="datasets")
app.add_typer(reports.commands, name="reports")
app.add_typer(reader_studies.commands, name="reader-study")
app.add_typer(studies.commands, name="study")
app.add_typer(keys.commands, name="keys")
app.command()(backups.backup)
app.command()(backups.restore)


@app.command()
def serve() -> None:
    """Run the service here: Redis-compatible server, workers and API. Ctrl-C stops them all."""
    from synthorax.local.serve import serve as run

    raise typer.Exit(run())


@app.command()
def worker(
    queue: Annotated[
        str,
        typer.Argument(
            help="training (one process a card), or light (data sets, reports, studies)"
        ),
    ] = "training",
) -> None:
    """Run one more worker here, on the Redis that SYNTHORAX_REDIS_URL names."""
    from synthorax.local.worker import work

    raise typer.Exit(work(queue))


@app.command()
def workers(as_json: Json = False) -> None:
    """List the workers that are connected, and what they do."""
    found = Client().workers()
    emit(found, runs.workers_table(found), as_json)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what is wrong with GPU, driver, torch, Redis, ports and disk, and the remedy."""
    from synthorax.local.doctor import doctor as run

    raise typer.Exit(run(out, as_json))


@app.command()
def evaluate(
    real: Annotated[Path, typer.Argument(help="held-out images, or train and test of them")],
    fake: Annotated[Path, typer.Argument(help="generated images, in folders of the same classes")],
    train: Annotated[
        Path | None, typer.Option(help="what the generator was trained on, if not in REAL")
    ] = None,
    resolution: Annotated[int | None, typer.Option(help="pixels; the fakes' own")] = None,
    fit: Annotated[str | None, typer.Option(help="crop, pad or stretch, to a square")] = None,
    patient: Annotated[str, typer.Option(help="how file names tell patients")] = "auto",
    extractor: Annotated[Path | None, typer.Option(help="an ONNX file of your own")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="folder")] = Path("report"),
    as_json: Json = False,
) -> None:
    """Report on anybody's images: fidelity, usefulness, privacy. Made here, without a service."""
    from synthorax.local.evaluate import evaluate as run

    given = {
        "--train": train, "--resolution": resolution, "--fit": fit, "--patient": patient,
        "--extractor": extractor, "--output": output,
    }  # fmt: skip
    options = [text for k, v in given.items() if v is not None for text in (k, str(v))]
    raise typer.Exit(run([str(real), str(fake), *options], out, console, as_json))


@app.command()
def repair(
    look: Annotated[bool, typer.Option("--look", help="say what is missing, change nothing")] = (
        False
    ),
    as_json: Json = False,
) -> None:
    """Rebuild job records from run folders, after Redis has lost them."""
    from synthorax.local.repair import repair as run

    raise typer.Exit(run(out, look, as_json))
