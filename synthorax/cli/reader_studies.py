"""synthorax reader-study: can people tell a version's images from real ones?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.table import Column, Table

from synthorax import Client, SynthoraxError
from synthorax.cli.output import Json, emit

commands = typer.Typer(
    no_args_is_help=True, help="Can people tell synthetic images from real ones?"
)

StudyId = Annotated[str, typer.Argument(help="id of a reader study")]


@commands.command()
def new(
    model: Annotated[str | None, typer.Option(help="NAME or NAME@VERSION")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="id; its held-out images are shown. The model's own")
    ] = None,
    per_label: Annotated[int, typer.Option(help="images of each class and each kind")] = 25,
    label: Annotated[list[str] | None, typer.Option(help="class; several; all if left out")] = None,
    repeats: Annotated[int, typer.Option(help="images that a reader sees twice; even")] = 0,
    margin: Annotated[float, typer.Option(help="around 0.5, that counts as guessing")] = 0.1,
    seed: Annotated[int | None, typer.Option(help="of what is drawn")] = None,
    name: Annotated[str, typer.Option(help="title, which readers see")] = "Reader study",
    consent: Annotated[
        Path | None, typer.Option(help="text file that readers accept, instead of the usual")
    ] = None,
    real_images_may_be_shown: Annotated[
        bool, typer.Option(help="needed: readers see images of real patients, and may")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a study: as many held-out real as synthetic images of each class."""
    if not real_images_may_be_shown:
        raise typer.BadParameter(
            "Readers will see images of real patients. Say --real-images-may-be-shown if they may."
        )
    study = Client().reader_studies.create(
        model,
        dataset,
        per_label,
        real_images_may_be_shown=True,
        labels=label or None,
        repeats=repeats,
        margin=margin,
        seed=seed,
        name=name,
        consent=None if consent is None else _text(consent),
    )
    words = f"{study.id}: {study.record['items']} images, half of them from {study.record['model']}"
    emit(study.record, f"{words}\nsynthorax reader-study invite {study.id} NAME", as_json)


@commands.command(name="list")
def list_all(as_json: Json = False) -> None:
    """List studies, newest first."""
    table = Table(
        Column("study", no_wrap=True), "state", "model", "images", "readers", "created", box=None
    )
    studies = Client().reader_studies.list()
    for study in studies:
        done = sum(reader["finished_at"] is not None for reader in study.readers)
        record = study.record
        table.add_row(
            study.id, "closed" if study.closed else "open", record["model"], str(record["items"]),
            f"{done} of {len(study.readers)}", record["created_at"][:16],
        )  # fmt: skip
    emit([study.record for study in studies], table, as_json)


@commands.command()
def show(study: StudyId, as_json: Json = False) -> None:
    """Show one study: what was fixed, and how far each reader is."""
    record = Client().reader_studies.get(study).record
    design = record["design"]
    facts = Table(show_header=False, box=None)
    rows = {
        "state": "closed" if record["closed_at"] else "open",
        "title": design["name"],
        "model": record["model"],
        "real images": f"{record['dataset']['name']}, {record['patients'] or '?'} patients",
        "images": f"{record['items']}, {design['per_label']} of each class and kind",
        "seen twice": str(design["repeats"]),
        "guessing": f"0.5 +- {design['margin']:g}",
    }
    for name, value in rows.items():
        facts.add_row(name, value)
    readers = Table("reader", Column("id", no_wrap=True), "consent", "answers", "through", box=None)
    for each in record["readers"]:
        readers.add_row(
            each["name"], each["id"], (each["consented_at"] or "not yet")[:16],
            f"{each['answered']} of {each['total']}", (each["finished_at"] or "not yet")[:16],
        )  # fmt: skip
    emit(record, Group(facts, readers) if record["readers"] else facts, as_json)


@commands.command()
def invite(
    study: StudyId,
    name: Annotated[str, typer.Argument(help="of the reader, for you; a pseudonym will do")],
    as_json: Json = False,
) -> None:
    """Make a reader's link. It is shown this once: whoever has it answers as this reader."""
    link = Client().reader_studies.get(study).invite(name)
    emit({"name": name, "link": link}, link, as_json)


@commands.command()
def remove(
    study: StudyId,
    reader: Annotated[str, typer.Argument(help="id of the reader, which `show` tells")],
    as_json: Json = False,
) -> None:
    """Take a reader and their link back, before the close: their answers count no more."""
    found = Client().reader_studies.get(study).remove(reader)
    emit(found.record, f"{reader} is removed", as_json)


@commands.command()
def results(
    study: StudyId,
    csv: Annotated[Path | None, typer.Option(help="also save every answer here")] = None,
    images: Annotated[
        Path | None, typer.Option(help="also save images and key here (ZIP), once it is closed")
    ] = None,
    as_json: Json = False,
) -> None:
    """Results of the readers who are through, once the study is closed."""
    found = Client().reader_studies.get(study)
    answer = found.results()
    if csv is not None:
        found.save_csv(csv)
    if images is not None:
        found.save_images(images)
    table = Table("", "right", "synthetic found out", "real taken for real", box=None)
    rows = [(each["name"], each) for each in answer["readers"]]
    for name, each in [*rows, ("readers like these", answer)]:
        table.add_row(name, *map(_between, map(each.get, _SHARES)))
    through = f"{answer['readers_counted']} of {answer['readers_invited']} readers are through."
    if answer["closed_at"] is None:
        emit(answer, f"{through} The results come when the study is closed.", as_json)
        return
    verdict = answer["verdict"] or {"text": through}
    emit(answer, Group(table, verdict["text"], *answer["limits"]), as_json)


@commands.command()
def close(study: StudyId, as_json: Json = False) -> None:
    """Take no more answers, and give the verdict. It cannot be opened again."""
    found = Client().reader_studies.get(study).close()
    emit(found.record, f"{study} is closed", as_json)


@commands.command()
def delete(study: StudyId, as_json: Json = False) -> None:
    """Really delete a study: images, key, answers, consents."""
    Client().reader_studies.get(study).delete()
    emit({"deleted": study}, f"{study} is deleted", as_json)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SynthoraxError(f"{str(path)!r} is no text in UTF-8.") from None


_SHARES = ("accuracy", "sensitivity", "specificity")


def _between(estimate: dict[str, Any]) -> str:
    if estimate["value"] is None:
        return "-"
    low, high = estimate["interval"]
    return f"{100 * estimate['value']:.1f}% ({100 * low:.1f} to {100 * high:.1f})"
