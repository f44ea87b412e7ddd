"""synthorax generate-jobs: up to ten million samples, made in shards by the service's workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from synthorax import Client, JobFailed
from synthorax.cli.bars import progress_bar
from synthorax.cli.output import Json, console, emit

commands = typer.Typer(no_args_is_help=True, help="Many samples as files, made by all workers.")

JobId = Annotated[str, typer.Argument(help="id of a generate job")]


@commands.command()
def new(
    count: Annotated[int, typer.Option("-n", "--count", help="1 to 10,000,000")],
    label: Annotated[
        list[str] | None, typer.Option(help="class; several take turns; drawn if left out")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="of the first; drawn if left out")] = None,
    model: Annotated[str | None, typer.Option(help="NAME or NAME@VERSION")] = None,
    truncation: Annotated[float, typer.Option(help="psi in (0, 1.5]")] = 1.0,
    format: Annotated[str, typer.Option(help="png, jpeg, webp or dicom")] = "png",
    container: Annotated[str, typer.Option(help="webdataset (tar) or zip")] = "webdataset",
    shard_images: Annotated[int, typer.Option(help="samples of a shard")] = 10_000,
    as_json: Json = False,
) -> None:
    """Queue a job; `fetch` brings its shards."""
    job = Client().generate_jobs.create(
        count,
        seed=seed,
        labels=label or None,
        model=model,
        truncation=truncation,
        format=format,
        container=container,
        shard_images=shard_images,
    )
    words = f"{job.id}: {count:,} samples of {job.record['model']}, seed {job.record['seed']}"
    emit(job.record, f"{words}\nsynthorax generate-jobs fetch {job.id}", as_json)


@commands.command(name="list")
def list_all(
    status: Annotated[str | None, typer.Option(help="only jobs in this state")] = None,
    count: Annotated[int, typer.Option("-n", "--count", help="1 to 200")] = 20,
    as_json: Json = False,
) -> None:
    """List jobs, newest first."""
    table = Table(Column("job", no_wrap=True), "state", "model", "samples", "created", box=None)
    jobs = Client().generate_jobs.list(status, count)
    for job in jobs:
        table.add_row(
            job.id, job.status, job.record["model"], _far(job.record), job.record["created_at"][:16]
        )
    emit([job.record for job in jobs], table, as_json)


@commands.command()
def show(job: JobId, as_json: Json = False) -> None:
    """Show one job: how far it is, and what it was asked for."""
    record = Client().generate_jobs.get(job).record
    table = Table(show_header=False, box=None)
    speed, left = record["progress"]["images_per_second"], record["progress"]["eta_seconds"]
    labels = record["labels"]
    rows = {
        "state": f"{record['status']}{f' ({_error(record)})' if record['error'] else ''}",
        "samples": _far(record),
        "shards": f"{record['progress']['shards']} of {record['shards']}",
        "speed": f"{speed:,.0f} a second, {left:,.0f} s to go" if speed and left else "-",
        "waiting": record["waiting"] or "-",
        "model": record["model"],
        "labels": ", ".join(labels) if labels else "drawn by the seeds",
        "first seed": str(record["seed"]),
        "truncation": f"{record['truncation']:g}",
        "files": f"{record['format']} in {record['container']}",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    emit(record, table, as_json)


@commands.command()
def fetch(
    job: JobId,
    output: Annotated[Path, typer.Option("-o", "--output", help="folder")] = Path("generated"),
    as_json: Json = False,
) -> None:
    """Bring a job's shards into a folder as they come; what is there already stays."""
    found = Client().generate_jobs.get(job)
    try:
        with _bar(job) as told:
            paths = found.download(output, told)
    except JobFailed as error:
        emit(error.record, f"{job} is {error.record['status']}: {error}", as_json)
        raise typer.Exit(1) from None
    words = f"{found.record['count']:,} samples in {len(paths)} shards in {output}/"
    value = {"output": str(output), "shards": len(paths), "images": found.record["count"]}
    emit(value, f"{words}, listed in manifest.json", as_json)


@commands.command()
def cancel(job: JobId, as_json: Json = False) -> None:
    """End a job; the shards that are there stay."""
    found = Client().generate_jobs.get(job).cancel()
    emit(found.record, f"{job} is {found.status}", as_json)


@commands.command()
def resume(job: JobId, as_json: Json = False) -> None:
    """Make what is missing of a cancelled or failed job."""
    found = Client().generate_jobs.get(job).resume()
    emit(found.record, f"{job} is {found.status}", as_json)


@commands.command()
def delete(job: JobId, as_json: Json = False) -> None:
    """Really delete an ended job and its shards."""
    Client().generate_jobs.get(job).delete()
    emit({"deleted": job}, f"{job} is deleted", as_json)


def _far(record: dict[str, Any]) -> str:
    return f"{record['progress']['images']:,} of {record['count']:,}"


def _error(record: dict[str, Any]) -> str:
    return str(record["error"].get("detail", ""))


@contextmanager
def _bar(job: str) -> Iterator[Callable[[dict[str, Any]], None]]:
    with progress_bar(console) as bar:
        task = bar.add_task(job, total=1.0)

        def told(record: dict[str, Any]) -> None:
            words = record["waiting"] or f"{job}  {_far(record)}"
            bar.update(task, completed=record["progress"]["fraction"], description=words)

        yield told
