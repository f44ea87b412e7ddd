"""python -m app.train_jobs.tensorboard_file RUN JOB OUT.zip

A run's numbers and grids as TensorBoard reads them.  A program of its own: tensorboardX imports
torch where it finds it, and the service's process must not.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import RecordWriter

from library.runs import RunFolder

SCALARS = {
    "loss_d": "loss/discriminator",
    "loss_g": "loss/generator",
    "d_x": "discriminator/real",
    "d_g_z1": "discriminator/fake before its update",
    "d_g_z2": "discriminator/fake after its update",
    "images_per_second": "speed/images per second",
}


def main() -> None:
    """RUN JOB OUT.zip: `JOB/events.out.tfevents.JOB`; the step is the training step."""
    run, job, out = RunFolder(Path(sys.argv[1])), sys.argv[2], Path(sys.argv[3])
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"events.out.tfevents.{job}"
        writer = RecordWriter(str(path))
        for event in _events(run):
            writer.write(event.SerializeToString())
        writer.close()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(path, f"{job}/{path.name}")


def _events(run: RunFolder) -> Iterator[Event]:
    yield Event(file_version="brain.Event:2")
    for line in run.read_metrics():
        moment = datetime.fromisoformat(line["time"]).timestamp()
        suffix = "" if line["scope"] == "epoch" else " (steps)"
        summary = Summary()
        for name, tag in SCALARS.items():
            summary.value.add(tag=tag + suffix, simple_value=line[name])
        grid = run.sample(line["epoch"])
        if line["scope"] == "epoch" and grid.is_file():
            image = summary.value.add(tag="samples").image
            image.encoded_image_string = grid.read_bytes()
            image.colorspace = 1  # grey
        yield Event(wall_time=moment, step=line["step"], summary=summary)


if __name__ == "__main__":
    main()
