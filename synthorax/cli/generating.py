"""Commands that make images, or tell what one is."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Annotated, Any

import typer

from synthorax import Client, NotAllowed, SynthoraxError
from synthorax.cli.bars import bytes_bar
from synthorax.cli.output import Json, console, emit
from synthorax.generating import drawn_seed
from synthorax.links import Link, origin, read_link

Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="folder (generated), or with --zip a file (generated.zip)"),
]
AsZip = Annotated[bool, typer.Option("--zip", help="one ZIP instead of a folder")]
Dicom = Annotated[bool, typer.Option("--dicom", help="DICOM files instead of PNG")]


def generate(
    label: Annotated[
        str | None, typer.Argument(help="class; drawn by the seed if left out")
    ] = None,
    count: Annotated[int, typer.Option("-n", "--count", help="1 to 100,000")] = 16,
    seed: Annotated[int | None, typer.Option(help="of the first; drawn if left out")] = None,
    model: Annotated[str | None, typer.Option(help="NAME or NAME@VERSION")] = None,
    truncation: Annotated[float, typer.Option(help="psi in (0, 1.5]")] = 1.0,
    reject: Annotated[
        bool, typer.Option("--reject-near-copies", help="replace what nearly copies training")
    ] = False,
    dicom: Dicom = False,
    as_zip: AsZip = False,
    output: Output = None,
    as_json: Json = False,
) -> None:
    """Write samples into class folders, with manifests that make each one again."""
    link = Link(model, label, False, count, seed, truncation)
    _write(Client(), link, reject, dicom, as_zip, output, as_json)


def open_link(
    link: Annotated[str, typer.Argument(help="address of the page, or of one sample")],
    dicom: Dicom = False,
    as_zip: AsZip = False,
    output: Output = None,
    as_json: Json = False,
) -> None:
    """Make the images of an address that somebody has copied from the page.

    Your key is sent to the service of SYNTHORAX_URL alone, wherever the address leads.
    """
    service, found = read_link(link)
    own = Client()
    if service is None or origin(service) == origin(own.url):
        _write(own, found, False, dicom, as_zip, output, as_json)
        return
    try:
        _write(Client(service, api_key=""), found, False, dicom, as_zip, output, as_json)
    except NotAllowed as refused:
        raise SynthoraxError(
            str(refused),
            f"Your key was not sent, as {service} is not the service of SYNTHORAX_URL ({own.url}). "
            "If it is meant for it, set SYNTHORAX_URL to that.",
        ) from None


def verify(
    picture: Annotated[Path, typer.Argument(help="PNG, JPEG, WebP or DICOM")],
    as_json: Json = False,
) -> None:
    """Say which sample a picture is; exit status 1 where it is none."""
    if not picture.is_file():
        raise SynthoraxError(f"There is no file {str(picture)!r}.")
    found = Client().verify(picture)
    sample = found.get("sample") or {}
    words = f"{found['verdict']}: {found['detail']}"
    if sample:
        words += (
            f"\n{sample['model']}, {sample['label'] or 'no class'}, seed {sample['seed']}, "
            f"truncation {sample['truncation']:g}"
        )
    emit(found, words, as_json)
    raise typer.Exit(0 if sample else 1)


def _write(
    client: Client,
    link: Link,
    reject: bool,
    dicom: bool,
    as_zip: bool,
    named: Path | None,
    as_json: bool,
) -> None:
    output = named or Path("generated.zip" if as_zip else "generated")
    if output.exists() and output.is_dir() == as_zip:
        what, wanted = ("folder", "file") if as_zip else ("file", "folder")
        raise SynthoraxError(f"{str(output)!r} is a {what}.", f"Name a {wanted} with -o.")
    model = link.model or client.models.active()["reference"]
    request: dict[str, Any] = {"model": model, "truncation": link.truncation}
    seed = drawn_seed(link.count) if link.seed is None else link.seed
    if link.each:
        labels = client.models.get(model)["labels"] or [None]
        request["items"] = [(label, seed + i) for label in labels for i in range(link.count)]
    else:
        request |= {"label": link.label, "count": link.count, "seed": seed}
    with tempfile.TemporaryDirectory(dir=_parent(output), prefix=".synthorax-") as temporary:
        archive = output if as_zip else Path(temporary) / "images.zip"
        with bytes_bar(console, "generating") as told:
            client.download(
                archive,
                format="dicom" if dicom else "png",
                reject_near_copies=reject,
                progress=told,
                **request,
            )
        with zipfile.ZipFile(archive) as content:
            names = [name for name in content.namelist() if not name.endswith("/")]
            images = [name for name in names if name.lower().endswith((".png", ".dcm"))]
            if not as_zip:
                content.extractall(Path(temporary) / "images")
                _moved(Path(temporary) / "images", names, output)
    value = {"output": str(output), "images": len(images), "seed": seed, "model": model}
    where = output if as_zip else f"{output}/, listed in manifest.csv"
    emit(value, f"{len(images)} samples of {model} in {where}; first seed {seed}", as_json)


def _parent(output: Path) -> Path:
    parent = output.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    return parent


def _moved(source: Path, names: list[str], output: Path) -> None:
    """Files into a folder that may hold others; the manifests come last."""
    for name in sorted(names, key=lambda name: name.startswith("manifest")):
        target = output / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source / name, target)
