"""synthorax runs: train jobs."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Column, Table

from synthorax import Client, Job, JobFailed
from synthorax.cli.output import Json, console, emit
from synthorax.telling import Bar

commands = typer.Typer(no_args_is_help=True, help="Runs (train jobs): look, follow, end, go on.")

JobId = Annotated[str, typer.Argument(help="id of a run")]
Follow = Annotated[bool, typer.Option("--watch", help="follow until it ends")]
Epochs = Annotated[int | None, typer.Option(help="of the whole run")]


@commands.command(name="list")
def list_all(
    status: Annotated[str | None, typer.Option(help="only runs in this state")] = None,
    label: Annotated[str | None, typer.Option(help="only runs with this label")] = None,
    count: Annotated[int, typer.Option("-n", "--count", help="1 to 200")] = 20,
    as_json: Json = False,
) -> None:
    """List runs, newest first."""
    first = Column("run", no_wrap=True)
    table = Table(first, "state", "model", "epoch", "created", box=None)
    jobs = Client().jobs.list(status, label, count)
    for job in jobs:
        record = job.record
        table.add_row(job.id, _state(record), _model(record), _epoch(record),
                      record["created_at"][:16])  # fmt: skip
    emit([job.record for job in jobs], table, as_json)


@commands.command()
def show(job: JobId, as_json: Json = False) -> None:
    """Show one run: its state, its newest numbers and its settings."""
    record = Client().jobs.get(job).record
    table = Table(show_header=False, box=None)
    rows = {
        "state": _state(record),
        "model": _model(record),
        "epoch": _epoch(record),
        "preset": record["preset"],
        "dataset": record["dataset"]["id"],
        **{name: f"{value:.4g}" for name, value in (record["metrics"] or {}).items()
           if isinstance(value, int | float)},
        **{name: str(value) for name, value in record["config"].items()},
    }  # fmt: skip
    for name, value in rows.items():
        table.add_row(name.replace("_", " "), value)
    emit(record, table, as_json)


@commands.command(name="watch")
def watch(job: JobId, as_json: Json = False) -> None:
    """Follow a run until it ends. Ctrl-C leaves it running."""
    client = Client()
    raise typer.Exit(follow(client, client.jobs.get(job), as_json))


@commands.command()
def cancel(job: JobId, as_json: Json = False) -> None:
    """End a run; its newest checkpoint stays on disk."""
    found = Client().jobs.get(job).cancel()
    emit(found.record, f"{job} is {found.status}", as_json)


@commands.command()
def finish(job: JobId, follow: Follow = False, as_json: Json = False) -> None:
    """End a run after its epoch, and publish what there is then."""
    client = Client()
    found = client.jobs.get(job).finish()
    follow_or_tell(client, found, "finishes after this epoch", follow, as_json)


@commands.command()
def resume(
    job: JobId,
    epochs: Epochs = None,
    on_collapse: Annotated[str | None, typer.Option(help="stop or continue")] = None,
    follow: Follow = False,
    as_json: Json = False,
) -> None:
    """Go on with an ended run from its newest checkpoint."""
    client = Client()
    changes = {"epochs": epochs, "on_collapse": on_collapse}
    found = client.jobs.get(job).resume(**{n: v for n, v in changes.items() if v is not None})
    follow_or_tell(client, found, f"is {found.status}", follow, as_json)


@commands.command()
def clone(
    job: JobId,
    model: Annotated[str | None, typer.Option(help="name to publish under")] = None,
    epochs: Epochs = None,
    batch_size: Annotated[int | None, typer.Option()] = None,
    learning_rate: Annotated[float | None, typer.Option()] = None,
    seed: Annotated[int | None, typer.Option(help="of the run; as it was, if left out")] = None,
    follow: Follow = False,
    as_json: Json = False,
) -> None:
    """Queue a new run like another one, with changes."""
    client = Client()
    overrides = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    changes: dict[str, Any] = {
        "config": {name: value for name, value in overrides.items() if value is not None}
    }
    made = client.jobs.get(job).clone(**(changes if model is None else changes | {"model": model}))
    follow_or_tell(client, made, f"is {made.status}", follow, as_json)


@commands.command()
def delete(job: JobId, as_json: Json = False) -> None:
    """Forget an ended run and remove its folder; published versions stay."""
    Client().jobs.get(job).delete()
    emit({"deleted": job}, f"{job} is deleted", as_json)


def follow_or_tell(client: Client, job: Job, what: str, follows: bool, as_json: bool) -> None:
    """Say what a run does now and where it is seen, or follow it."""
    if not (as_json and follows):
        emit(job.record, f"{job.id} {what}: {job.url}", as_json)
    if follows:
        raise typer.Exit(follow(client, job, as_json))


def follow(client: Client, job: Job, as_json: bool = False) -> int:
    """A run to its end; the exit status: 0 when it succeeded (or Ctrl-C left it running)."""
    status = 0
    try:
        with Bar(console) as bar:
            for event in job.events():
                bar.tell(event)
        job.wait()
    except KeyboardInterrupt:
        console.print(f"{job.id} goes on. Follow it again: synthorax runs watch {job.id}")
        return 0
    except JobFailed as error:
        words = f"{job.id} {job.status}. {error if job.record['error'] else ''}".rstrip()
        console.print(words, highlight=False)
        status = 1
    _name_refused(client, job)
    if status == 0:
        console.print(f"Published as {job.model}: synthorax generate --model {job.model}")
    if as_json:
        emit(job.record, "", as_json)
    return status


def workers_table(found: list[dict[str, Any]]) -> Table:
    """Workers with their cards and jobs."""
    table = Table("worker", "queue", "card", "job", box=None)
    for worker in found:
        cards = ", ".join(
            f"{card['name']} ({card['memory_used']}/{card['memory_total']} MiB)"
            for card in worker["gpus"]
        )
        table.add_row(worker["name"], worker["queue"], cards or "CPU", worker["job"] or "")
    return table


def _name_refused(client: Client, job: Job) -> None:
    """Name the files that were left out: they stand on the dataset's own route alone."""
    dataset = client.datasets.get(job.record["dataset"]["id"])
    unused = [*dataset["refused"], *dataset["left_out"]]
    for file in unused[:20]:
        console.print(f"not used: {file['file']}: {file['reason']}", highlight=False)
    count = dataset["refused_count"] + dataset["left_out_count"]
    if count > 20:
        console.print(f"… and {count - 20} more")


def _state(job: dict[str, Any]) -> str:
    waiting = job["waiting"]
    return f"{job['status']}: {waiting['reason']}" if waiting else str(job["status"])


def _model(job: dict[str, Any]) -> str:
    return str(job["model"] or job["publish_as"])


def _epoch(job: dict[str, Any]) -> str:
    progress = job["progress"]
    return f"{progress['epoch']}/{progress['epochs']}" if progress else ""
