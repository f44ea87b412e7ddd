"""synthorax: generate, train, and run the service on this machine."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from synthorax.client import Client, SynthoraxError
from synthorax.datasets import commands as datasets
from synthorax.reports import commands as reports
from synthorax.train_jobs import commands as train_jobs

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
    truncation: Annotated[float, typer.Option(help="psi in (0, 1.5]")] = 1.0,
    reject: Annotated[
        bool, typer.Option("--reject-near-copies", help="replace what nearly copies training")
    ] = False,
    output: Annotated[Path, typer.Option("-o", "--output", help="folder")] = Path("generated"),
) -> None:
    """Write samples as PNG files, with a manifest that makes each one again."""
    batch = Client().generate(label, count, seed, model, truncation, reject)
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
    if reject:
        out.print(f"{batch.rejected} near-copies were rejected; the others are not private by that")


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
) -> None:
    """Report on anybody's images: fidelity, usefulness, privacy. Made here, without a service."""
    from synthorax.local.evaluate import evaluate as run

    given = {
        "--train": train, "--resolution": resolution, "--fit": fit, "--patient": patient,
        "--extractor": extractor, "--output": output,
    }  # fmt: skip
    options = [text for k, v in given.items() if v is not None for text in (k, str(v))]
    raise typer.Exit(run([str(real), str(fake), *options], out, console))


@app.command()
def repair(
    look: Annotated[bool, typer.Option("--look", help="say what is missing, change nothing")] = (
        False
    ),
) -> None:
    """Rebuild job records from run folders, after Redis has lost them."""
    from synthorax.local.repair import repair as run

    raise typer.Exit(run(out, look))


app.add_typer(train_jobs)
app.add_typer(datasets, name="datasets")
app.add_typer(reports, name="reports")


def main() -> None:
    try:
        app()
    except SynthoraxError as error:
        console.print(f"[red]error:[/red] {error}", highlight=False)
        sys.exit(1)
