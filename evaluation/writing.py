"""A report's folder: written beside its place, renamed into it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evaluation.card import card
from evaluation.exports import claim, tables
from evaluation.methods import methods
from evaluation.page import html
from evaluation.plots import figures
from evaluation.report import Report
from evaluation.thumbnails import thumbnails
from library import near_copies
from library.atomic import claim as claim_folder
from library.atomic import new_folder
from library.images import grid
from library.reports import COPIES, OPERATOR

GRID = 64  # images of each label, in the order of their seeds, nothing picked
_COLUMNS = 16


def write_report(report: Report, final: Path, owner: str) -> None:
    """Write everything and rename it into place; what is there already stays."""
    if (final / "report.json").is_file():
        return
    content = report.content
    with new_folder(final.parent, owner) as folder:
        made = figures(content)
        grids = _grids(report)
        _write(folder / "report.html", html(content, made, grids))
        _write(folder / "CARD.md", card(content))
        _write(folder / "methods.md", methods(content))
        _write(folder / "claim.md", claim(content))
        for name, text in tables(content).items():
            _write(folder / "tables" / name, text)
        for name, picture in made.items():
            _write(folder / "figures" / name, picture)
        for label, picture in grids.items():
            _write(folder / "samples" / f"grid-{_file_name(label)}.png", picture)
        _frozen(report, folder / "samples")
        if report.subject.train is not None:
            _operator(report, folder / OPERATOR)
        # Last, so that what has it is whole.
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        _write(folder / "report.json", text)
        claim_folder(folder, final)


def _write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def _file_name(label: str) -> str:
    kept = "".join(c if c.isalnum() or c in "-_" else "_" for c in label)
    return kept if kept == label else f"{kept}-{hashlib.sha256(label.encode()).hexdigest()[:6]}"


def _grids(report: Report) -> dict[str, bytes]:
    fakes = report.subject.fakes
    return {
        label: _png(grid(fakes.levels[fakes.rows(index)[:GRID]], _COLUMNS))
        for index, label in enumerate(report.subject.labels)
    }


def _frozen(report: Report, folder: Path) -> None:
    """The first images of each label as files, and the digest of every one's pixels."""
    fakes, lines = report.subject.fakes, []
    first = (report.content["protocol"].get("seeds") or [None])[0]
    for index, label in enumerate(report.subject.labels):
        for place, row in enumerate(fakes.rows(index)):
            levels = fakes.levels[row]
            line: dict[str, Any] = {"label": label, "index": place}
            if first is not None:
                line["seed"] = first + place
            line["sha256"] = hashlib.sha256(np.ascontiguousarray(levels).tobytes()).hexdigest()
            if place < GRID:
                line["file"] = f"{_file_name(label)}/{place:05d}.png"
                _write(folder / line["file"], _png(levels))
            lines.append(json.dumps(line, ensure_ascii=False))
    _write(folder / "manifest.jsonl", "\n".join(lines) + "\n")


def _png(levels: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(levels)).save(out, "PNG")
    return out.getvalue()


def _operator(report: Report, folder: Path) -> None:
    """The closest pairs, and what the generation filter compares with: both show patients."""
    train = report.subject.train
    assert train is not None
    _write(folder / "pairs.html", _pairs(report))
    bars = [each.bar_correlation for each in report.measurements.copies.values()]
    small, bar = thumbnails(train.levels), min(bars)
    unseen = near_copies.NearCopies(small, bar).nearest(report.subject.reference.levels)
    near_copies.write(folder / COPIES, small, bar, int(train.levels.shape[1]), unseen)


def _pairs(report: Report) -> str:
    subject = report.subject
    assert subject.train is not None
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Closest pairs</title>",
        "<style>body{font:15px system-ui;max-width:64rem;margin:2rem auto;padding:0 1rem}"
        "figure{display:inline-block;margin:.5rem}img{width:7rem;image-rendering:auto}"
        "figcaption{font-size:.8rem}</style><h1>Closest pairs</h1>",
        "<p><strong>This page shows images of patients: it is for the operator of this server "
        "alone.</strong> Left the generated image, right the training image nearest to it.</p>",
    ]
    for index, label in enumerate(subject.labels):
        fakes = subject.fakes.levels[subject.fakes.rows(index)]
        real = subject.train.levels[subject.train.rows(index)]
        parts.append(f"<h2>{escape(label)}</h2>")
        for pair in report.measurements.copies[label].pairs:
            parts.append(
                f"<figure>{_image(fakes[pair['fake']])} {_image(real[pair['train']])}"
                f"<figcaption>by {pair['detector']}: correlation {pair['correlation']:.4f}, "
                f"distance {pair['distance']:.3f}</figcaption></figure>"
            )
    return "\n".join([*parts, "</html>\n"])


def _image(levels: NDArray[np.uint8]) -> str:
    encoded = base64.b64encode(_png(levels)).decode()
    return f"<img alt='' src='data:image/png;base64,{encoded}'>"
