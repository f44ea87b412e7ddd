"""A dataset as one HTML page that stands alone: what was found, with its pictures."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from library.datasets.index import ACCEPTED, NAME, Index
from library.datasets.outliers import FLAGS
from library.datasets.sheets import contact
from library.datasets.validation import SHEET

_LISTED = 200  # files a table
_THUMBNAILS = 96
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bar: #5b8def; --soft: #8881 }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: 0 } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse; margin: .6rem 0 } caption { text-align: left; opacity: .75 }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
img { max-width: 100%; border-radius: 4px } code { font-size: .85em; overflow-wrap: anywhere }
.bar { background: var(--bar); height: .7rem; border-radius: 2px; min-width: 1px }
.warn { border-left: 4px solid #d97706; padding: .4rem .8rem; background: var(--soft) }
svg { background: var(--soft); border-radius: 4px } details { margin: .6rem 0 }
"""


def html(record: Mapping[str, Any], content: Path) -> str:
    """The page of a dataset's record, whose content lies in a folder."""
    with Index(content / NAME) as index:
        thumbnails = [
            row["thumbnail"]
            for row in index.pictures(
                "thumbnail", "WHERE status = ? ORDER BY sha256 LIMIT ?", ACCEPTED, _THUMBNAILS
            )
        ]
        flagged = [
            row["thumbnail"]
            for row in index.pictures(
                "thumbnail", "WHERE flags != '' AND status = ? ORDER BY flags, id LIMIT 24",
                ACCEPTED,
            )
        ]  # fmt: skip
    name = escape(record["name"])
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{name} — dataset</title>",
        "<meta name=viewport content='width=device-width'>",
        f"<style>{_STYLE}</style><h1>{name}</h1>",
        f"<p>{record['images']:,} images{_patients(record['patients'])}, "
        f"fingerprint <code>{record['fingerprint']}</code></p>",
        _warnings(record),
        "<h2>What the generator will see</h2>",
        _picture((content / SHEET).read_bytes(), "Files before and after the loader"),
        "<h2>Labels and splits</h2>",
        _splits(record),
        "<h2>Files that are not used</h2>",
        _reasons(record),
        "<h2>Duplicates</h2>",
        _duplicates(record),
        "<h2>Outliers</h2>",
        _outliers(record),
        _picture(contact(flagged), "Flagged images") if flagged else "",
        "<h2>Greys by label</h2>",
        _histograms(record["statistics"]["histograms"]),
        "<h2>Sizes and formats</h2>",
        _shapes(record["statistics"]),
        _table_text(record),
        _covariates(record["statistics"]["covariates"]),
        "<h2>Images</h2>",
        _picture(contact(thumbnails), f"{len(thumbnails)} of the images, by a hash"),
        "<h2>Choices</h2>",
        _rows(("choice", "value"), ((k, _plain(v)) for k, v in record["choices"].items())),
        "<p>This page shows images of patients: it stays where they may be seen.</p></html>",
    ]
    return "\n".join(parts)


def _warnings(record: Mapping[str, Any]) -> str:
    found = []
    if record["patients"] is None:
        found.append(
            "Patients are not known: that one is in two splits cannot be excluded. Give a table "
            "with a patient column, or a pattern of the file names."
        )
    if "held_out" not in record["splits"]:
        found.append("No image is held out: fidelity and copying cannot be judged on new images.")
    table = record["table"]
    if table and (table["unmatched_rows"] or table["files_without_row"]):
        found.append(
            f"The table has {table['unmatched_rows']} rows without a file, and "
            f"{table['files_without_row']} files have no row."
        )
    return "".join(f"<p class=warn>{escape(text)}</p>" for text in found)


def _splits(record: Mapping[str, Any]) -> str:
    labels = list(record["labels"])
    header = ("split", "images", "patients", *labels)
    rows = [
        (
            split.replace("_", "-"),
            tally["images"],
            _known(tally["patients"]),
            *(tally["labels"].get(label, 0) for label in labels),
        )
        for split, tally in record["splits"].items()
    ]
    total = (
        "all", record["images"], _known(record["patients"]),
        *(record["labels"][label]["images"] for label in labels),
    )  # fmt: skip
    how = {
        "given": "as the folders or the table give it; what would leak is left out",
        "random": "by whole patients and near-duplicates, each label by its fractions",
        "none": "everything is for training",
    }[record["split_by"]]
    return (
        _rows(header, [*rows, total])
        + f"<p>Split: {how}. Patients by: <code>{escape(record['patients_by'])}</code>.</p>"
    )


def _reasons(record: Mapping[str, Any]) -> str:
    parts = []
    for status, words in (
        ("refused", "cannot be read"),
        ("left_out", "can be read, and are not used"),
    ):
        count = record[f"{status}_count"]
        parts.append(f"<p>{count:,} {words}.</p>")
        if not count:
            continue
        tally = record[f"{status}_reasons"].items()
        parts.append(_rows(("reason", "files"), tally))
        files = ((f["file"], f["reason"]) for f in record[status][:_LISTED])
        parts.append(
            f"<details><summary>Names of the first {min(count, _LISTED)}</summary>"
            f"{_rows(('file', 'reason'), files)}</details>"
        )
    return "".join(parts)


def _duplicates(record: Mapping[str, Any]) -> str:
    found = record["duplicates"]
    text = (
        f"<p>{found['identical']:,} files are the same as another one, and left out. "
        f"{found['near_images']:,} images are nearly the same as another ({found['near_pairs']:,} "
        "pairs): they are kept, never in two splits.</p>"
    )
    if not found["near"]:
        return text
    rows = ((*pair["files"], f"{pair['correlation']:.4f}") for pair in found["near"][:_LISTED])
    table = _rows(("one", "other", "correlation"), rows)
    return f"{text}<details><summary>Pairs</summary>{table}</details>"


def _outliers(record: Mapping[str, Any]) -> str:
    return _rows(
        ("flag", "images", "meaning"),
        ((name, record["outliers"].get(name, 0), text) for name, text in FLAGS.items()),
    )


def _histograms(found: Mapping[str, Sequence[float]]) -> str:
    """The mean histogram of each label, as one small chart each."""
    charts = []
    for label, heights in found.items():
        most = max(max(heights), 1e-9)
        bars = "".join(
            f"<rect x={8 * i} y={100 - 96 * height / most:.1f} width=7 "
            f"height={96 * height / most:.1f} fill=var(--bar) />"
            for i, height in enumerate(heights)
        )
        charts.append(
            f"<figure style='display:inline-block;margin:0 1rem 1rem 0'><svg width=256 height=100 "
            f"role=img aria-label='Histogram of {escape(label)}'>{bars}</svg>"
            f"<figcaption>{escape(label)}, black to white</figcaption></figure>"
        )
    return "".join(charts)


def _shapes(statistics: Mapping[str, Any]) -> str:
    names = ("min", "q1", "median", "q3", "max")
    sizes = (
        (title, *(f"{statistics[key].get(n, 0):g}" for n in names))
        for title, key in (("width", "widths"), ("height", "heights"), ("aspect", "aspects"))
    )
    kinds = _bars(statistics["formats"]) + _bars(
        {f"{depth} bit": n for depth, n in statistics["depths"].items()}
    )
    return _rows(("pixels", *names), sizes) + kinds


def _table_text(record: Mapping[str, Any]) -> str:
    table = record["table"]
    if not table:
        return ""
    unmatched = ", ".join(table["unmatched"][:50])
    return (
        "<h2>Table</h2>"
        + _rows(
            ("", ""),
            (
                ("file", table["name"]),
                ("joined by", f"{table['key']['column']} ({table['key']['by']})"),
                ("rows", table["rows"]),
                ("rows with a file", table["matched"]),
                ("files without a row", table["files_without_row"]),
            ),
        )
        + (f"<p>Rows without a file: {escape(unmatched)}</p>" if unmatched else "")
    )


def _covariates(found: Mapping[str, Mapping[str, Mapping[str, int]]]) -> str:
    parts = ["<h2>Possible confounders</h2>"] if found else []
    for name, values in found.items():
        labels = sorted({label for tally in values.values() for label in tally})
        rows = ((value, *(tally.get(label, 0) for label in labels)) for value, tally in
                values.items())  # fmt: skip
        parts.append(_rows((name, *labels), rows))
    return "".join(parts)


def _bars(tally: Mapping[str, int]) -> str:
    most = max(tally.values(), default=1)
    rows = "".join(
        f"<tr><td>{escape(str(name))}<td class=n>{n:,}"
        f"<td><div class=bar style='width:{max(1, round(200 * n / most))}px'></div>"
        for name, n in tally.items()
    )
    return f"<table>{rows}</table>"


def _rows(header: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    head = "".join(f"<th>{escape(str(cell))}" for cell in header)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td class=n>{cell:,}" if isinstance(cell, int) else f"<td>{escape(str(cell))}"
            for cell in row
        )
        for row in rows
    )
    return f"<table><tr>{head}{body}</table>"


def _picture(content: bytes, text: str) -> str:
    encoded = base64.b64encode(content).decode()
    return f"<p><img alt='{escape(text)}' src='data:image/png;base64,{encoded}'></p>"


def _patients(count: int | None) -> str:
    return "" if count is None else f" of {count:,} patients"


def _known(count: int | None) -> int | str:
    return "not known" if count is None else count


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "—" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
