"""One run from its request to its version: data, environment, loop, publish."""

from __future__ import annotations

import os
import time
import traceback
from typing import Any

import torch

from library import cpus, datasets
from library.atomic import read_json, write_json
from library.config import RunConfig
from library.datasets import dataset_id, scan
from library.decoded import Decoded, decode
from library.errors import Conflict, InvalidValue, SynthoraxError
from library.images import Fit
from library.requests import RunRequest, read_request
from library.versions import ModelLibrary
from training.batches import Batches
from training.events import Events
from training.loop import Loop
from training.precision import Arithmetic, choose_device, environment, fastest, prepare
from training.publish import publish
from training.stopping import RESUMABLE, StopRequest
from training.trainer import new_game, train_step


class OutOfMemory(SynthoraxError):
    slug, title, status = "out-of-memory", "The device's memory is too small", 500


def run(request: RunRequest, stop: StopRequest) -> int:
    """Train (or go on training) and publish; returns the exit status 0, 1 or RESUMABLE.

    A run that was started before goes on with the configuration it was started with.
    """
    events = Events(request.run, request.job)
    try:
        with request.run.lock():
            return _locked(_started_before(request), events, stop)
    except SynthoraxError as error:
        events.emit("status", status="failed", error=error.as_problem())
    except (torch.OutOfMemoryError, MemoryError):
        size = request.config.batch_size
        problem = OutOfMemory(
            f"A batch of {size} images of {request.config.resolution} pixels does not fit.",
            field="config.batch_size",
            value=size,
            remedy=f"Train again with a batch size of {max(2, size // 2)}.",
        ).as_problem()
        events.emit("status", status="failed", error=problem)
    except Exception as error:
        problem = SynthoraxError(
            f"The trainer stopped with an unexpected {type(error).__name__}: {error}",
            remedy="The end of its log says where.",
        ).as_problem()
        events.emit("status", status="failed", error=problem)
        traceback.print_exc()
    return 1


def _started_before(request: RunRequest) -> RunRequest:
    if not request.run.request.is_file():
        request.write()
        return request
    return read_request(request.run.request)


def _locked(request: RunRequest, events: Events, stop: StopRequest) -> int:
    config = request.config
    events.emit("status", status="running", phase="preparing", config=config.as_dict())
    data = _decode(request, events)
    if config.conditional and len(data.labels) < 2:
        raise InvalidValue(
            f"config.conditional is true, but the dataset has one class ({data.labels[0]!r}).",
            field="config.conditional",
            value=True,
            remedy="Give a folder with a sub-folder for each of two or more classes, "
            "or set config.conditional to false.",
        )
    device = choose_device(os.environ.get("SYNTHORAX_TRAIN_DEVICE", "auto"))
    arithmetic = _environment(request, data, device, events)
    game = new_game(config, len(data.labels), device, arithmetic)
    batches = Batches(data, config, device)
    loop = Loop(request.run, config, batches, game, arithmetic, events, stop)
    events.emit("status", status="running", phase="training")
    if not loop.train():
        events.emit("status", status="stopped", reason=stop.reason)
        return RESUMABLE
    model = None
    if request.model is not None:
        events.emit("status", status="running", phase="publishing")
        library = ModelLibrary(request.data_dir / "models")
        model = publish(request, request.model, library).reference
    events.emit("status", status="succeeded", model=model)
    return 0


def _decode(request: RunRequest, events: Events) -> Decoded:
    told = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal told
        if done == total or time.monotonic() - told >= 1:
            told = time.monotonic()
            events.log(f"Decoded {done} of {total} images.", done=done, total=total)

    config = request.config
    fit: Fit = config.fit  # type: ignore[assignment]  # checked by library.config
    folder = scan(request.dataset)
    identity = request.dataset_id or dataset_id(folder.root)
    data = decode(folder, config.resolution, fit, request.data_dir / "decoded", progress)
    record = {
        "id": identity,
        "name": folder.root.name,
        "path": str(folder.root),
        "status": "ready" if len(data.images) else "failed",
        "fingerprint": data.fingerprint,
        "images": len(data.images),
        "labels": {label: {"images": n} for label, n in data.counts().items()},
        "refused": list(data.refused),
        "error": None,
    }
    datasets.write_record(request.data_dir, record)
    if request.run.dataset.is_file():
        began_with = read_json(request.run.dataset)["fingerprint"]
        if began_with != data.fingerprint:
            raise Conflict(
                f"The dataset {identity} has changed since this run began.",
                field="dataset.path",
                value=str(folder.root),
                remedy="Bring the folder back to what it was, or start a new run.",
            )
    if data.refused:
        # Names of files stay out of events: the dataset's own record has them.
        events.log(
            f"{len(data.refused)} of {len(folder.files)} files are no whole image and are left "
            f"out; the dataset {identity} lists them.",
            level="warning",
            refused=len(data.refused),
            dataset=identity,
        )
    if not len(data.images):
        raise InvalidValue(
            f"None of the {len(folder.files)} files in the dataset is a whole image.",
            field="dataset.path",
            value=str(folder.root),
            remedy=f"GET /datasets/{identity} says what is wrong with each.",
        )
    write_json(
        request.run.dataset,
        {
            "id": identity,
            "fingerprint": data.fingerprint,
            "images": len(data.images),
            "labels": data.counts(),
            "refused": len(data.refused),
        },
    )
    return data


def _environment(
    request: RunRequest, data: Decoded, device: torch.device, events: Events
) -> Arithmetic:
    """The arithmetic of this run: probed at its start, read again when it goes on."""
    config = request.config
    path = request.run.environment
    if path.is_file():
        kept: dict[str, Any] = read_json(path)
        prepare(device, kept["threads"])
        if (kept["device"], kept["torch"]) != (device.type, torch.__version__):
            events.log(
                f"Started on {kept['device']} with torch {kept['torch']}, goes on on "
                f"{device.type} with {torch.__version__}: the weights may differ in the last bits.",
                level="warning",
            )
        return Arithmetic(kept["precision"], kept["channels_last"])
    threads = config.threads or cpus.available()
    prepare(device, threads)
    arithmetic, speeds = probe(config, data, device)
    write_json(path, environment(device, threads, arithmetic, speeds))
    if speeds:
        measured = ", ".join(f"{name} {speed:g}" for name, speed in speeds.items())
        events.log(f"Images per second by arithmetic: {measured}.", speeds=speeds)
    return arithmetic


def probe(
    config: RunConfig, data: Decoded, device: torch.device
) -> tuple[Arithmetic, dict[str, float]]:
    """The fastest arithmetic for these networks on this device, and each one's images/s."""
    batches = Batches(data, config, device)

    def steps(arithmetic: Arithmetic) -> Any:
        game = new_game(config, len(data.labels), device, arithmetic)
        return lambda: train_step(game, batches.batch(0), config, arithmetic)

    return fastest(config, device, steps)
