"""synthorax: generate, train, and run the service on this machine."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from synthorax.client import Client, SynthoraxError
from synthorax.watching import watch

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Seeded synthetic chest X-rays, and the generators that make them. Not for diagnosis.",
)
console = Console(stderr=True)
out = Console()


@app.command()
def serve() -> None:
    """Run the service here: Redis-compatible server, worker and API. Ctrl-C stops all three."""
    from synthorax.local.serve import serve as run

    raise typer.Exit(run())


@app.command()
def doctor() -> None:
    """Say what is wrong with GPU, driver, torch, Redis, ports and disk, and the remedy."""
    from synthorax.local.doctor import doctor as run

    raise typer.Exit(run(out))


@app.command()
def generate(
    label: Annotated[
        str | None, typer.Argument(help="class; drawn by the seed if left out")
    ] = None,
    count: Annotated[int, typer.Option("-n", "--count", help="1 to 256")] = 16,
    seed: Annotated[int | None, typer.Option(help="of the first; drawn if left out")] = None,
    model: Annotated[str | None, typer.Option(help="NAME or NAME@VERSION")] = None,
    truncation: Annotated[float, typer.Option(help="psi in (0, 1]")] = 1.0,
    output: Annotated[Path, typer.Option("-o", "--output", help="folder")] = Path("generated"),
) -> None:
    """Write samples as PNG files, with a manifest that makes each one again."""
    batch = Client().generate(label, count, seed, model, truncation)
    output.mkdir(parents=True, exist_ok=True)
    rows = []
    for sample in batch.samples:
        name = f"{sample.label or 'sample'}-{sample.seed}.png"
        (output / name).write_bytes(sample.png)
        rows.append([name, batch.model, sample.label or "", sample.seed, truncation, sample.sha256])
    with open(output / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "model", "label", "seed", "truncation", "sha256_of_pixels"])
        writer.writerows(rows)
    out.print(f"{len(rows)} samples of {batch.model} in {output}/, listed in manifest.csv")


@app.command()
def train(
    folder: Annotated[Path, typer.Argument(help="one sub-folder of images per class")],
    model: Annotated[str | None, typer.Option(help="name to publish under")] = None,
    preset: Annotated[str, typer.Option(help="quick, paper, paper-lr-0.002, paper-beta-0.55")] = (
        "quick"
    ),
    epochs: Annotated[int | None, typer.Option()] = None,
    batch_size: Annotated[int | None, typer.Option()] = None,
    seed: Annotated[int | None, typer.Option(help="of the run; drawn if left out")] = None,
    conditional: Annotated[
        bool | None, typer.Option("--conditional/--unconditional", help="draw each class")
    ] = None,
    follow: Annotated[bool, typer.Option("--watch", help="follow until it ends")] = False,
) -> None:
    """Train a generator on a folder of images, in place: nothing is uploaded."""
    overrides = {
        "epochs": epochs,
        "batch_size": batch_size,
        "seed": seed,
        "conditional": conditional,
    }
    config = {name: value for name, value in overrides.items() if value is not None}
    client = Client()
    name = model or "".join(c if c.isalnum() else "-" for c in folder.resolve().name.lower())
    job = client.train(str(folder.resolve()), name, preset, config)
    out.print(f"{job['id']} is {job['status']}: {client.url}/ui/runs/{job['id']}")
    if follow:
        raise typer.Exit(watch(client, job["id"], console))


@app.command(name="watch")
def watch_job(job: Annotated[str, typer.Argument(help="id of a train job")]) -> None:
    """Follow a train job until it ends. Ctrl-C leaves it running."""
    raise typer.Exit(watch(Client(), job, console))


@app.command()
def cancel(job: Annotated[str, typer.Argument(help="id of a train job")]) -> None:
    """End a train job; its newest checkpoint stays on disk."""
    out.print(f"{job} is {Client().cancel(job)['status']}")


def main() -> None:
    try:
        app()
    except SynthoraxError as error:
        console.print(f"[red]error:[/red] {error}", highlight=False)
        sys.exit(1)
