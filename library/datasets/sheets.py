"""Pictures of a dataset: before and after the loader, thumbnails, and the augmentation."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from library.augmentation import DRAWS, maps, moved
from library.config import Augmentation
from library.datasets.index import ACCEPTED, Index
from library.decoding.pool import Decoders
from library.images import Mask

SIDE = 256  # pixels of a picture on a sheet
_GAP, _LINE, _MARGIN = 8, 16, 16
_PAPER, _INK, _FRAME = 18, 235, 70  # greys
PAPER_AUGMENTATION = Augmentation(rotation=30.0, crop=0.1, scale=0.1, flip=True)

Locate = Callable[[Any], Path]


@dataclass(frozen=True)
class View:
    """How a picture is made square: what a sheet shows."""

    resolution: int
    fit: str
    window: str
    mask: Mask

    def __str__(self) -> str:
        parts = [f"{self.resolution} px", f"fit {self.fit}", f"window {self.window}"]
        if self.mask.border:
            parts.append(f"border {self.mask.border:g}")
        if self.mask.corner:
            parts.append(f"corners {self.mask.corner:g}")
        return ", ".join(parts)


def chosen(index: Index, count: int, seed: int = 0) -> list[Any]:
    """Rows of accepted images by a hash of the seed, from each label in turn."""
    rows = index.rows("id, label, sha256", "WHERE status = ?", ACCEPTED)
    by: dict[str, list[tuple[str, int]]] = {}
    for row in rows:
        order = hashlib.sha256(f"{seed}:{row['sha256']}".encode()).hexdigest()
        found = by.setdefault(row["label"], [])
        found.append((order, row["id"]))
        if len(found) > 4 * count:
            found.sort()
            del found[count:]
    ranked = [
        (rank, label, identity)
        for label, found in by.items()
        for rank, (_, identity) in enumerate(sorted(found)[:count])
    ]
    wanted = sorted(identity for _, _, identity in sorted(ranked)[:count])
    places = ", ".join("?" * len(wanted))
    columns = "id, path, stored, label, kind, depth, width, height, inverted"
    return list(index.rows(columns, f"WHERE id IN ({places}) ORDER BY label, id", *wanted))


def before_after(
    rows: Sequence[Any], locate: Locate, view: View, decoders: Decoders, before: str = "stored"
) -> bytes:
    """Pairs as a PNG: each file as a plain viewer shows it, and as the generator will see it.

    before: the window of the left pictures.
    """
    befores = _squares(rows, locate, View(SIDE, "pad", before, Mask()), decoders)
    afters = _squares(rows, locate, view, decoders)
    columns = 2
    lines = -(-len(rows) // columns)
    pair = 2 * SIDE + _GAP
    width = 2 * _MARGIN + columns * pair + (columns - 1) * 3 * _GAP
    height = 2 * _MARGIN + 2 * _LINE + lines * (SIDE + _LINE + 2 * _GAP)
    sheet = Image.new("L", (width, height), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    draw.text((_MARGIN, _MARGIN), f"Left: as the file lies there. Right: {view}", _INK, font)
    for i, row in enumerate(rows):
        left = _MARGIN + (i % columns) * (pair + 3 * _GAP)
        top = _MARGIN + 2 * _LINE + (i // columns) * (SIDE + _LINE + 2 * _GAP)
        left_one, right_one = befores[i], afters[i]
        if left_one is not None:
            sheet.paste(_unpadded(left_one, row), (left, top))
        if right_one is not None:
            shown = Image.fromarray(right_one).resize((SIDE, SIDE), Image.Resampling.NEAREST)
            sheet.paste(shown, (left + SIDE + _GAP, top))
        for start in (left, left + SIDE + _GAP):
            draw.rectangle((start - 1, top - 1, start + SIDE, top + SIDE), outline=_FRAME)
        inverted = ", says inverted" if row["inverted"] else ""
        caption = (
            f"{row['label'][:24]}   {row['width']}x{row['height']} {row['kind']} "
            f"{row['depth']} bit{inverted}"
        )
        draw.text((left, top + SIDE + 3), caption, _INK, font)
    return _png(sheet)


def augmented(
    rows: Sequence[Any],
    locate: Locate,
    view: View,
    decoders: Decoders,
    rule: Augmentation = PAPER_AUGMENTATION,
    seed: int = 0,
) -> bytes:
    """The paper's figure 2 as a PNG: each picture, each kind of change alone, and all together."""
    pictures = _squares(rows, locate, view, decoders)
    alone = [
        (f.name, Augmentation(**{f.name: getattr(rule, f.name)}))
        for f in fields(Augmentation)
        if getattr(rule, f.name)
    ]
    kinds = [("original", Augmentation()), *alone, ("together", rule)]
    random = np.random.Generator(np.random.Philox(seed))
    width = 2 * _MARGIN + len(kinds) * (SIDE + _GAP) - _GAP
    height = 2 * _MARGIN + 2 * _LINE + len(rows) * (SIDE + _GAP) - _GAP
    sheet = Image.new("L", (width, height), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for column, (name, part) in enumerate(kinds):
        left = _MARGIN + column * (SIDE + _GAP)
        draw.text((left, _MARGIN), _named(name, part), _INK, font)
        for line, picture in enumerate(pictures):
            numbers = random.random((1, DRAWS))  # nosec B311 # NumPy
            if name == "flip":
                numbers[0, 3] = 0.0  # half of the images stay as they are
            if picture is None:
                continue
            changed = moved(picture, maps(part, numbers)[0]) if part.active else picture
            shown = Image.fromarray(changed).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            sheet.paste(shown, (left, _MARGIN + 2 * _LINE + line * (SIDE + _GAP)))
    return _png(sheet)


def contact(thumbnails: Sequence[bytes], columns: int = 12) -> bytes:
    """Thumbnails (JPEG) as one mosaic, row by row, as a PNG."""
    pictures = [np.asarray(Image.open(io.BytesIO(blob))) for blob in thumbnails]
    if not pictures:
        return _png(Image.new("L", (1, 1), _PAPER))
    side, gap = len(pictures[0]), 2
    columns = min(columns, len(pictures))
    lines = -(-len(pictures) // columns)
    sheet = Image.new("L", (columns * (side + gap) - gap, lines * (side + gap) - gap), _PAPER)
    for i, picture in enumerate(pictures):
        place = ((i % columns) * (side + gap), (i // columns) * (side + gap))
        sheet.paste(Image.fromarray(picture), place)
    return _png(sheet)


def _squares(
    rows: Sequence[Any], locate: Locate, view: View, decoders: Decoders
) -> list[NDArray[np.uint8] | None]:
    """Each row's picture as (r, r); None for one that cannot be read any more."""
    tasks = [
        {
            "do": "square",
            "path": os.fspath(locate(row)),
            "resolution": view.resolution,
            "fit": view.fit,
            "window": view.window,
            "mask": {"border": view.mask.border, "corner": view.mask.corner},
        }
        for row in rows
    ]
    shape = (view.resolution, view.resolution)
    return [
        np.frombuffer(answer.blobs[0], np.uint8).reshape(shape) if answer.blobs else None
        for answer in decoders.map(tasks)
    ]


def _unpadded(levels: NDArray[np.uint8], row: Any) -> Image.Image:
    """A padded picture on grey, so that its own edges can be told from what was added."""
    square = Image.new("L", (SIDE, SIDE), _FRAME)
    longest = max(row["width"], row["height"])
    width = max(1, round(SIDE * row["width"] / longest))
    height = max(1, round(SIDE * row["height"] / longest))
    left, top = (SIDE - width) // 2, (SIDE - height) // 2
    square.paste(Image.fromarray(levels).crop((left, top, left + width, top + height)), (left, top))
    return square


def _named(name: str, rule: Augmentation) -> str:
    amount = {
        "rotation": f" ±{rule.rotation:g}°",
        "crop": f" up to {rule.crop:.0%}",
        "scale": f" ±{rule.scale:.0%}",
    }.get(name, "")
    return f"{name}{amount}"


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", optimize=False)
    return out.getvalue()
