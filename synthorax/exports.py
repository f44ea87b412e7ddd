"""Large sets as files that other tools read: WebDataset shards, Parquet for Hugging Face datasets.

A shard is there whole or not at all, and one that is there is not made again: a broken export goes
on.  The same set gives the same bytes.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from synthorax.errors import SynthoraxError
from synthorax.samples import SampleSet
from synthorax.whole_file import whole

SHARD = 2000  # images of a shard
_PART = 256  # images of a request
_ABOUT = "dataset.json"

Told = Callable[[int, int], None]


def write_webdataset(
    samples: SampleSet,
    folder: str | os.PathLike[str],
    shard: int = SHARD,
    progress: Told | None = None,
) -> list[Path]:
    """Tar shards: SEED.png, SEED.cls (the target) and SEED.json (what makes it again).

    progress(images done, all).  Raises SynthoraxError where the folder holds another set.
    """

    def write(path: Path, first: int, last: int) -> None:
        with tarfile.open(path, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for index, png, target in _pictures(samples, first, last):
                label, seed = samples.item(index)
                facts = {**_origin(samples), "label": label, "seed": seed}
                for suffix, content in (
                    ("png", png),
                    ("cls", str(target).encode()),
                    ("json", json.dumps(facts, sort_keys=True).encode()),
                ):
                    member = tarfile.TarInfo(f"{seed:016d}.{suffix}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))

    return _sharded(samples, Path(folder), "tar", shard, write, progress)


def write_parquet(
    samples: SampleSet,
    folder: str | os.PathLike[str],
    shard: int = SHARD,
    progress: Told | None = None,
) -> list[Path]:
    """Parquet files with the columns image, label and seed, as Hugging Face datasets types them.

    `datasets.load_dataset("parquet", data_files=…)` decodes the images and knows the classes.
    Needs pyarrow (`pip install synthorax[parquet]`).  progress and errors as write_webdataset.
    """
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ModuleNotFoundError:
        raise SynthoraxError(
            "Parquet needs pyarrow, which is not installed.", "pip install 'synthorax[parquet]'"
        ) from None
    names = samples.classes or ["none"]
    features = {
        "image": {"_type": "Image"},
        "label": {"names": names, "_type": "ClassLabel"},
        "seed": {"dtype": "int64", "_type": "Value"},
    }
    picture = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    schema = arrow.schema(
        [("image", picture), ("label", arrow.int64()), ("seed", arrow.int64())],
        metadata={
            "huggingface": json.dumps({"info": {"features": features}}),
            "synthorax": json.dumps(_origin(samples), sort_keys=True),
        },
    )

    def write(path: Path, first: int, last: int) -> None:
        rows: dict[str, list[Any]] = {"image": [], "label": [], "seed": []}
        for index, png, target in _pictures(samples, first, last):
            seed = samples.item(index)[1]
            rows["image"].append({"bytes": png, "path": f"{seed}.png"})
            rows["label"].append(target)
            rows["seed"].append(seed)
        parquet.write_table(arrow.table(rows, schema=schema), path)

    return _sharded(samples, Path(folder), "parquet", shard, write, progress)


def _origin(samples: SampleSet) -> dict[str, Any]:
    return {"synthetic": True, "classes": samples.classes, **samples.identity}


def _pictures(samples: SampleSet, first: int, last: int) -> Iterator[tuple[int, bytes, int]]:
    """Place, PNG and target of samples first … last - 1."""
    for start in range(first, last, _PART):
        indices = range(start, min(start + _PART, last))
        images, targets = samples.fetch(indices)
        for index, image, target in zip(indices, images, targets.tolist(), strict=True):
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "PNG")
            yield index, buffer.getvalue(), target


def _sharded(
    samples: SampleSet,
    folder: Path,
    suffix: str,
    shard: int,
    write: Callable[[Path, int, int], None],
    progress: Told | None,
) -> list[Path]:
    if shard < 1:
        raise SynthoraxError(f"shard is {shard}: give at least 1 image.")
    about = json.dumps({**_origin(samples), "shard": shard, "format": suffix}, sort_keys=True)
    told = folder / _ABOUT
    if told.exists() and told.read_text() != about:
        raise SynthoraxError(
            f"{folder} holds another export.", f"Name another folder, or delete {told}."
        )
    with whole(told) as partial:
        partial.write_text(about)
    made = []
    starts = range(0, len(samples), shard)
    for number, first in enumerate(starts):
        last = min(first + shard, len(samples))
        path = folder / f"synthetic-{number:05d}-of-{len(starts):05d}.{suffix}"
        if not path.exists():
            with whole(path) as partial:
                write(partial, first, last)
        made.append(path)
        if progress:
            progress(last, len(samples))
    return made
