"""What was found in a dataset, as tables with small charts in the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_BLOCKS = " ▁▂▃▄▅▆▇█"
_REASONS, _NAMES = 12, 5  # shown


def show(found: dict[str, Any], out: Console) -> None:
    """A dataset's record: splits, greys, what is not used, duplicates, outliers, confounders."""
    name = (str(found["name"]), "bold")
    out.print(Text.assemble(name, f"  fingerprint {found['fingerprint'][:16]}…"))
    _splits(found, out)
    _greys(found, out)
    _unused(found, out)
    duplicates = found["duplicates"]
    out.print(
        f"Duplicates: {duplicates['identical']} identical (left out), "
        f"{duplicates['near_images']} nearly the same (kept in one split)"
    )
    flags = ", ".join(f"{name} {n}" for name, n in found["outliers"].items() if n)
    out.print(f"Outliers: {flags or 'none'}")
    _confounders(found, out)
    for warning in warnings(found):
        out.print(Text(warning, "yellow"))


def warnings(found: dict[str, Any]) -> list[str]:
    """What a reviewer would ask about."""
    told = []
    if found["patients"] is None:
        told.append(
            "Patients are not known: that one is in two splits cannot be excluded. "
            "Give a table with a patient column, or --choose patient=PATTERN."
        )
    if "held_out" not in found["splits"]:
        told.append("No image is held out: fidelity and copying cannot be judged on new images.")
    table = found["table"]
    if table and table["unmatched_rows"]:
        some = ", ".join(table["unmatched"][:_NAMES])
        told.append(f"{table['unmatched_rows']} rows of {table['name']} have no file: {some} …")
    if table and table["files_without_row"]:
        told.append(f"{table['files_without_row']} files have no row in {table['name']}.")
    return told


def _splits(found: dict[str, Any], out: Console) -> None:
    labels = list(found["labels"])
    table = Table("split", "images", "patients", *labels, box=None)
    for split, tally in found["splits"].items():
        table.add_row(
            split.replace("_", "-"),
            str(tally["images"]),
            _known(tally["patients"]),
            *(str(tally["labels"].get(label, 0)) for label in labels),
        )
    counts = (str(found["labels"][label]["images"]) for label in labels)
    table.add_row("all", str(found["images"]), _known(found["patients"]), *counts)
    out.print(table)
    out.print(f"Split: {found['split_by']}; patients by {found['patients_by']}", highlight=False)


def _greys(found: dict[str, Any], out: Console) -> None:
    """Histograms of grey levels, and sizes."""
    table = Table("label", "greys, black to white", box=None)
    for label, heights in found["statistics"]["histograms"].items():
        most = max(max(heights), 1e-9)
        line = "".join(_BLOCKS[round(height / most * (len(_BLOCKS) - 1))] for height in heights)
        table.add_row(label, line)
    out.print(table)
    shapes = found["statistics"]
    widths, heights = shapes["widths"], shapes["heights"]
    kinds = ", ".join(f"{kind} {n}" for kind, n in shapes["formats"].items())
    depths = ", ".join(f"{n} of {depth} bit" for depth, n in shapes["depths"].items())
    out.print(
        f"{kinds}; {depths}; {widths['min']:g} to {widths['max']:g} wide, "
        f"{heights['min']:g} to {heights['max']:g} high",
        highlight=False,
    )


def _unused(found: dict[str, Any], out: Console) -> None:
    for status, words in (("refused", "cannot be read"), ("left_out", "are not used")):
        if not found[f"{status}_count"]:
            continue
        table = Table(f"{found[f'{status}_count']} files {words}", "files", box=None)
        for reason, n in list(found[f"{status}_reasons"].items())[:_REASONS]:
            table.add_row(reason, str(n))
        out.print(table)
        for file in found[status][:_NAMES]:
            out.print(f"  {file['file']}: {file['reason']}", highlight=False)
        if found[f"{status}_count"] > _NAMES:
            out.print(f"  … and {found[f'{status}_count'] - _NAMES} more")


def _confounders(found: dict[str, Any], out: Console) -> None:
    for name, values in found["statistics"]["covariates"].items():
        labels = sorted({label for tally in values.values() for label in tally})
        table = Table(name, *labels, box=None)
        for value, tally in values.items():
            table.add_row(value, *(str(tally.get(label, 0)) for label in labels))
        out.print(table)


def _known(count: int | None) -> str:
    return "?" if count is None else str(count)
