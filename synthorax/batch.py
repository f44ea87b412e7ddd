"""Samples as arrays and pictures, with what makes each one again."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from synthorax.whole_file import whole

SHOWN_MAX = 64  # pictures of a batch in a notebook
_MANIFEST = ("file", "model", "label", "seed", "truncation", "sha256_of_pixels")


@dataclass(frozen=True)
class Sample:
    """One generated image and what makes it again.  `array`: (H, W) uint8, 0 is black.

    Two are equal where the same makes them again: the array follows from it.
    """

    seed: int
    label: str | None
    array: NDArray[np.uint8] = field(compare=False)
    model: str
    truncation: float
    provenance: dict[str, Any] = field(repr=False, hash=False)
    service: str = field(repr=False, compare=False)

    @property
    def image(self) -> Image.Image:
        """As a grey Pillow image."""
        return Image.fromarray(self.array)

    @property
    def sha256(self) -> str:
        """Of the pixels, row by row."""
        return hashlib.sha256(np.ascontiguousarray(self.array).tobytes()).hexdigest()

    @property
    def url(self) -> str:
        """The sample's own address on the service."""
        label = "_" if self.label is None else quote(self.label, safe="")
        path = f"/models/{self.model}/samples/{label}/{self.seed}.png"
        return f"{self.service}{path}?truncation={self.truncation!r}"

    def png(self) -> bytes:
        """As a PNG file that says of itself what it is and what makes it again."""
        facts = {**self.provenance, "label": self.label, "seed": self.seed}
        about = PngImagePlugin.PngInfo()
        about.add_itxt("synthorax", json.dumps(facts, ensure_ascii=False))
        buffer = io.BytesIO()
        self.image.save(buffer, "PNG", pnginfo=about)
        return buffer.getvalue()

    def _repr_png_(self) -> bytes:
        return self.png()


@dataclass(frozen=True, eq=False)
class Batch(Sequence[Sample]):
    """Samples of one version by one engine.

    images (n, H, W) uint8; seeds (n,) uint64; labels: a class name or None of each.
    """

    images: NDArray[np.uint8]
    seeds: NDArray[np.uint64]
    labels: list[str | None]
    model: str
    digest: str
    engine: str
    truncation: float
    provenance: dict[str, Any] = field(repr=False)
    service: str = field(repr=False)
    rejected: int = 0  # near-copies of training images, with reject_near_copies

    @property
    def origin(self) -> tuple[str, str]:
        """Digests of the version and of the engine: what the pixels follow from, beside seeds."""
        return self.digest, self.engine

    def __len__(self) -> int:
        return len(self.images)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Batch: ...
    def __getitem__(self, index: int | slice) -> Sample | Batch:
        if isinstance(index, slice):
            return Batch(
                self.images[index], self.seeds[index], self.labels[index], self.model, self.digest,
                self.engine, self.truncation, self.provenance, self.service,
            )  # fmt: skip
        return Sample(
            int(self.seeds[index]), self.labels[index], self.images[index], self.model,
            self.truncation, self.provenance, self.service,
        )  # fmt: skip

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write PNG files in class folders, and manifest.csv; returns the manifest's path.

        A file is there whole or not at all; the manifest comes last.
        """
        root = Path(folder)
        rows = []
        for sample in self:
            kind = quote(sample.label, safe=" ") if sample.label is not None else "images"
            name = f"{kind}/{sample.seed}.png"
            _write(root / name, sample.png())
            rows.append((name, self.model, sample.label or "", sample.seed, self.truncation,
                         sample.sha256))  # fmt: skip
        table = io.StringIO(newline="")
        csv.writer(table).writerows([_MANIFEST, *rows])
        return _write(root / "manifest.csv", table.getvalue().encode())

    def save_npz(self, path: str | os.PathLike[str]) -> Path:
        """Write images, seeds, labels and provenance as one NumPy archive, read without pickle."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            images=self.images,
            seeds=self.seeds,
            labels=np.array([label or "" for label in self.labels]),
            provenance=np.array(json.dumps(self.provenance, ensure_ascii=False)),
        )
        return _write(Path(path), buffer.getvalue())

    def _repr_html_(self) -> str:
        def figure(sample: Sample) -> str:
            data = base64.b64encode(sample.png()).decode()
            name = html.escape(f"{sample.label or ''} {sample.seed}".strip())
            return (
                '<figure style="margin:0;display:inline-block;text-align:center">'
                f'<img src="data:image/png;base64,{data}" alt="Synthetic {name}" '
                'style="width:96px;image-rendering:pixelated;background:#000">'
                f'<figcaption style="font:11px monospace">{name}</figcaption></figure>'
            )

        figures = "".join(map(figure, self[:SHOWN_MAX]))
        more = f" (the first {SHOWN_MAX} of {len(self)})" if len(self) > SHOWN_MAX else ""
        words = f"{html.escape(self.model)}, synthetic, not for diagnostic use{more}"
        grid = f'<div style="display:flex;flex-wrap:wrap;gap:8px">{figures}</div>'
        return f'<div><p style="font:12px sans-serif">{words}</p>{grid}</div>'


def read_npz(content: bytes, service: str, rejected: int = 0) -> Batch:
    """The service's application/x-npz."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        provenance: dict[str, Any] = json.loads(str(arrays["provenance"]))
        return Batch(
            images=arrays["images"],
            seeds=arrays["seeds"],
            labels=[str(label) or None for label in arrays["labels"]],
            model=provenance["model"],
            digest=provenance["version_digest"],
            engine=provenance["engine_digest"],
            truncation=provenance["truncation"],
            provenance=provenance,
            service=service,
            rejected=rejected,
        )


def joined(parts: Sequence[Batch]) -> Batch:
    """Parts of one version and engine as one batch."""
    first = parts[0]
    return first if len(parts) == 1 else Batch(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.seeds for part in parts]),
        [label for part in parts for label in part.labels],
        first.model, first.digest, first.engine, first.truncation, first.provenance, first.service,
    )  # fmt: skip


def _write(path: Path, content: bytes) -> Path:
    with whole(path) as partial:
        partial.write_bytes(content)
    return path
