"""The commands about train jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from synthorax.client import Client
from synthorax.costs import tell_cost
from synthorax.watching import watch

commands = typer.Typer()
console = Console(stderr=True)
out = Console()

JobId = Annotated[str, typer.Argument(help="id of a train job")]
Follow = Annotated[bool, typer.Option("--watch", help="follow until it ends")]
Epochs = Annotated[int | None, typer.Option(help="of the whole run")]


@commands.command()
def train(
    dataset: Annotated[
        str, typer.Argument(help="id of a dataset, or a folder: one sub-folder per class")
    ],
    model: Annotated[str | None, typer.Option(help="name to publish under")] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="quick, turbo, lite, flagship, paper, …; left out: the best here"),
    ] = None,
    fine_tune: Annotated[
        str | None, typer.Option(help="NAME@VERSION to begin with, instead of from nothing")
    ] = None,
    epochs: Annotated[int | None, typer.Option()] = None,
    batch_size: Annotated[int | None, typer.Option()] = None,
    seed: Annotated[int | None, typer.Option(help="of the run; drawn if left out")] = None,
    conditional: Annotated[
        bool | None, typer.Option("--conditional/--unconditional", help="draw each class")
    ] = None,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="evaluate the version afterwards")
    ] = True,
    not_red: Annotated[
        bool, typer.Option("--publish-if-not-red", help="hold it back until no light is red")
    ] = False,
    estimate: Annotated[
        bool, typer.Option("--estimate/--no-estimate", help="measure first how long it will take")
    ] = True,
    follow: Follow = False,
) -> None:
    """Train a generator on a dataset, or on a folder of images in place: nothing is uploaded."""
    overrides = {
        "epochs": epochs,
        "batch_size": batch_size,
        "seed": seed,
        "conditional": conditional,
        "fine_tune": fine_tune,
    }
    config = {name: value for name, value in overrides.items() if value is not None}
    client = Client()
    folder = Path(dataset).resolve()
    named = str(folder) if folder.is_dir() or not dataset.startswith("ds-") else dataset
    name = model or "".join(c if c.isalnum() else "-" for c in folder.name.lower())
    publish_if = "not_red" if not_red else "any"
    if estimate:
        tell_cost(client, named, preset, config, console)
    job = client.train(named, name, preset, config, report=report, publish_if=publish_if)
    _queued(client, job["id"], f"is {job['status']}", follow)


@commands.command(name="watch")
def watch_job(job: JobId) -> None:
    """Follow a train job until it ends. Ctrl-C leaves it running."""
    raise typer.Exit(watch(Client(), job, console))


@commands.command()
def cancel(job: JobId) -> None:
    """End a train job; its newest checkpoint stays on disk."""
    out.print(f"{job} is {Client().cancel(job)['status']}")


@commands.command()
def finish(job: JobId, follow: Follow = False) -> None:
    """End a train job after its epoch, and publish what there is then."""
    client = Client()
    client.finish(job)
    _queued(client, job, "finishes after this epoch", follow)


@commands.command()
def resume(
    job: JobId,
    epochs: Epochs = None,
    on_collapse: Annotated[str | None, typer.Option(help="stop or continue")] = None,
    follow: Follow = False,
) -> None:
    """Go on with an ended train job from its newest checkpoint."""
    client = Client()
    changes = {"epochs": epochs, "on_collapse": on_collapse}
    found = client.resume(job, **{n: v for n, v in changes.items() if v is not None})
    _queued(client, job, f"is {found['status']}", follow)


@commands.command()
def clone(
    job: JobId,
    model: Annotated[str | None, typer.Option(help="name to publish under")] = None,
    epochs: Epochs = None,
    batch_size: Annotated[int | None, typer.Option()] = None,
    learning_rate: Annotated[float | None, typer.Option()] = None,
    seed: Annotated[int | None, typer.Option(help="of the run; as it was, if left out")] = None,
    follow: Follow = False,
) -> None:
    """Queue a new train job like another one, with changes."""
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
    made = client.clone(job, **(changes if model is None else {**changes, "model": model}))
    _queued(client, made["id"], f"is {made['status']}", follow)


@commands.command()
def delete(job: JobId) -> None:
    """Forget an ended train job and remove its run folder; published versions stay."""
    Client().delete(job)
    out.print(f"{job} is deleted")


@commands.command()
def jobs(
    status: Annotated[str | None, typer.Option(help="only jobs in this state")] = None,
    label: Annotated[str | None, typer.Option(help="only jobs with this label")] = None,
    count: Annotated[int, typer.Option("-n", "--count", help="1 to 200")] = 20,
) -> None:
    """List train jobs, newest first."""
    table = Table("job", "state", "model", "epoch", "created", box=None)
    for job in Client().jobs(status, label, count):
        table.add_row(job["id"], _state(job), _model(job), _epoch(job), job["created_at"][:16])
    out.print(table)


@commands.command()
def workers() -> None:
    """List the workers that are connected, and what they do."""
    table = Table("worker", "queue", "card", "job", box=None)
    for worker in Client().workers():
        cards = ", ".join(
            f"{card['name']} ({card['memory_used']}/{card['memory_total']} MiB)"
            for card in worker["gpus"]
        )
        table.add_row(worker["name"], worker["queue"], cards or "CPU", worker["job"] or "")
    out.print(table)


def _queued(client: Client, job: str, what: str, follow: bool) -> None:
    out.print(f"{job} {what}: {client.url}/ui/runs/{job}")
    if follow:
        raise typer.Exit(watch(client, job, console))


def _state(job: dict[str, Any]) -> str:
    waiting = job["waiting"]
    return f"{job['status']}: {waiting['reason']}" if waiting else str(job["status"])


def _model(job: dict[str, Any]) -> str:
    return str(job["model"] or job["publish_as"])


def _epoch(job: dict[str, Any]) -> str:
    progress = job["progress"]
    return f"{progress['epoch']}/{progress['epochs']}" if progress else ""
