"""`synthorax datasets export`: real images as a generator's would lie there, on this machine.

Resolution, fit, filter and grey depth are those that the generator was trained with, so that real
and synthetic images differ in nothing but what they show.
"""

from __future__ import annotations

import csv
import io
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image
from rich.console import Console

from synthorax.cli.bars import progress_bar
from synthorax.errors import SynthoraxError

SPLITS = ("train", "validation", "held_out")
_MANIFEST = ("file", "label", "split", "group", "sha256_of_pixels")


def export(
    dataset: str, like: str, output: Path, splits: tuple[str, ...], errors: Console
) -> dict[str, Any]:
    """Write SPLIT/CLASS/NUMBER.png and manifest.csv; counts by split.

    `group` is one number for a patient (and near-duplicates); no name of a file or person leaves.
    Raises SynthoraxError where the dataset or the version is not there.
    """
    from evaluation.reading import split_images
    from library import errors as library
    from library.atomic import write_bytes
    from library.datasets.opened import Opened
    from library.datasets.records import read_record
    from library.settings import from_environment
    from library.versions import ModelLibrary

    try:
        settings = from_environment()
        version = ModelLibrary(settings.models).find(like)
        choices = version.card["dataset"].get("choices") or {}
        rows: list[tuple[Any, ...]] = []
        with (
            Opened(settings.data_dir, read_record(settings.data_dir, dataset)) as opened,
            progress_bar(errors) as bar,
        ):
            fit = choices.get("fit", opened.choices.fit)
            labels = sorted(opened.record["labels"])
            task = bar.add_task("reading", total=None)
            for split in splits:
                images = split_images(
                    opened, split, labels, version.resolution, fit, settings.data_dir / "decoded",
                    lambda done, total: bar.update(task, completed=done, total=total),
                )  # fmt: skip
                for i, levels in enumerate(images.levels):
                    label = labels[images.classes[i]]
                    name = f"{split}/{quote(label, safe=' ')}/{i:06d}.png"
                    picture = io.BytesIO()
                    Image.fromarray(levels).save(picture, "PNG")
                    (output / name).parent.mkdir(parents=True, exist_ok=True)
                    write_bytes(output / name, picture.getvalue())
                    pixels = sha256(levels.tobytes()).hexdigest()
                    rows.append((name, label, split, int(images.groups[i]), pixels))
                    bar.update(task, description=f"writing {split}", completed=i + 1,
                               total=len(images))  # fmt: skip
        table = io.StringIO(newline="")
        csv.writer(table).writerows([_MANIFEST, *rows])
        write_bytes(output / "manifest.csv", table.getvalue().encode())
    except library.SynthoraxError as error:
        raise SynthoraxError(error.detail, error.remedy) from None
    counts = {split: sum(row[2] == split for row in rows) for split in splits}
    return {"output": str(output), "like": version.reference, "resolution": version.resolution,
            "fit": fit, "images": counts}  # fmt: skip
