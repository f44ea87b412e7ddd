"""synthorax train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synthorax import Client
from synthorax.cli.costs import tell_cost
from synthorax.cli.output import Json, console
from synthorax.cli.runs import Follow, follow_or_tell


def train(
    dataset: Annotated[
        str, typer.Argument(help="id of a dataset, or a folder or ZIP: one sub-folder per class")
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
    as_json: Json = False,
) -> None:
    """Train a generator on a dataset, or on a folder of images in place.

    A folder that the service cannot read, and a ZIP, are uploaded first.
    """
    overrides = {
        "epochs": epochs,
        "batch_size": batch_size,
        "seed": seed,
        "conditional": conditional,
        "fine_tune": fine_tune,
    }
    config = {name: value for name, value in overrides.items() if value is not None}
    client = Client()
    stem = Path(dataset).resolve().stem.lower()
    name = model or "".join(c if c.isalnum() else "-" for c in stem)
    publish_if = "not_red" if not_red else "any"
    if estimate:
        tell_cost(client, dataset, preset, config, console)
    job = client.train(dataset, name, preset, config, report=report, publish_if=publish_if)
    follow_or_tell(client, job, f"is {job.status}", follow, as_json)
