"""One run from its request to its version: data, environment, loop, publish."""

from __future__ import annotations

import contextlib
import os
import traceback
from typing import Any

import torch

from features.extractors import FeatureCache, efficientnet_lite0
from library import cpus
from library.atomic import read_json, write_json
from library.config import RunConfig
from library.datasets.opened import open_dataset
from library.decoded import Decoded, decode
from library.errors import InvalidValue, SynthoraxError
from library.images import Fit
from library.private import check_alone
from library.requests import RunRequest, asked_again, read_request
from library.runs import FolderBusy, checkpoints
from library.versions import ModelLibrary
from training.ancestor import begin_from
from training.batches import Batches
from training.data import prepare_data
from training.distributed import Team, check_divides, join, local_device
from training.events import Events
from training.failures import MEASURING, is_lost_peer, is_out_of_memory, problem_of, what_fits
from training.health import of_real_images
from training.loop import Loop
from training.precision import Arithmetic, choose_device, environment, fastest, prepare
from training.privacy import Private, begin, throwaway
from training.publish import prepare_version, publish
from training.selection import Selection
from training.stopping import FOLDER_BUSY, RESUMABLE, StopRequest
from training.trainer import new_game, train_step

NO_VALIDATION = (
    "No class has 20 validation images: the best weights cannot be chosen, the last are published."
)
LOCK_SECONDS = 20.0  # an earlier trainer may be writing its last checkpoint


def run(request: RunRequest, stop: StopRequest) -> int:
    """Train (or go on training) and publish; returns the exit status.

    0: published, or handed over; 1: failed; RESUMABLE: stopped with a checkpoint; FOLDER_BUSY:
    nothing done.

    A run that was started before goes on as it was started, but for its number of epochs.
    """
    rank = int(os.environ.get("RANK", "0"))
    events = Events(request.run, request.job, heard=rank == 0)
    try:
        device = choose_device(os.environ.get("SYNTHORAX_TRAIN_DEVICE", "auto"))
        team = join(local_device(device))
        if not team.is_first:
            return _follow(request, local_device(device), team, events, stop)
        with request.run.lock(LOCK_SECONDS):
            return _locked(_started_before(request), local_device(device), team, events, stop)
    except FolderBusy as error:
        events.log(str(error), level="warning")
        return FOLDER_BUSY
    except Exception as error:
        if is_lost_peer(error):  # a death like any other: the next attempt goes on
            traceback.print_exc()
            return 1
        too_small = is_out_of_memory(error)
        if not too_small:
            problem = problem_of(error, request.run.path)
        if not isinstance(error, SynthoraxError):
            with contextlib.suppress(OSError):  # the log may lie on the disk that is full
                traceback.print_exc()
    if too_small:  # measured here, where the exception no longer holds the run's tensors
        events.log(MEASURING, level="warning")
        problem = what_fits(_started_before(request))
    events.emit("status", status="failed", error=problem.as_problem())
    return 1


def _started_before(request: RunRequest) -> RunRequest:
    if not request.run.request.is_file():
        request.write()
        return request
    before = read_request(request.run.request)
    again = asked_again(request, before)
    if again != before:
        again.write()
    return again


def _locked(
    request: RunRequest, device: torch.device, team: Team, events: Events, stop: StopRequest
) -> int:
    config = request.config
    check_divides(team.size, config.batch_size)
    check_alone(config, team.size)
    events.emit("status", status="running", phase="preparing", config=config.as_dict())
    data, validation = prepare_data(request, events)
    private = _private(request, data, events)
    if config.conditional and len(data.labels) < 2:
        raise InvalidValue(
            f"config.conditional is true, but the dataset has one class ({data.labels[0]!r}).",
            field="config.conditional",
            value=True,
            remedy="Give a folder with a sub-folder for each of two or more classes, "
            "or set config.conditional to false.",
        )
    arithmetic = _environment(request, data, device, team.size, events)
    team.wait()  # the others find everything prepared
    loop = _loop(request, data, device, team, arithmetic, events, stop, validation, private)
    events.emit("status", status="running", phase="training")
    done = loop.train()
    team.leave()
    if not done:
        events.emit("status", status="stopped", reason=stop.reason)
        return RESUMABLE
    epochs, early = loop.total_steps // loop.batches.steps_per_epoch, loop.finished_early
    del loop  # publishing reads the checkpoint, and needs memory of its own
    model = None
    if request.model is not None:
        events.emit("status", status="running", phase="publishing")
        library = ModelLibrary(request.data_dir / "models")
        if request.hand_over:
            prepare_version(request, request.model, library)
        else:
            model = publish(request, request.model, library).reference
    events.emit("status", status="succeeded", model=model, epochs=epochs, finished_early=early)
    return 0


def _follow(
    request: RunRequest, device: torch.device, team: Team, events: Events, stop: StopRequest
) -> int:
    """Train as another process than the first, which prepares, tells and publishes."""
    team.wait()
    request = _started_before(request)
    config, cache = request.config, request.data_dir / "decoded"
    fit: Fit = config.fit  # type: ignore[assignment]  # checked by library.config
    with open_dataset(request.data_dir, request.dataset_named, lambda *_: None) as dataset:
        data = decode(dataset, config.resolution, fit, cache)
    arithmetic = _environment(request, data, device, team.size, events)
    done = _loop(request, data, device, team, arithmetic, events, stop).train()
    team.leave()
    return 0 if done else RESUMABLE


def _loop(
    request: RunRequest,
    data: Decoded,
    device: torch.device,
    team: Team,
    arithmetic: Arithmetic,
    events: Events,
    stop: StopRequest,
    validation: Decoded | None = None,
    private: Private | None = None,
) -> Loop:
    config = request.config
    batches = Batches(data, config, device, team, private)
    planned = config.epochs * batches.steps_per_epoch * config.batch_size
    game = new_game(config, len(data.labels), device, arithmetic, team, planned, private)
    labels = data.labels if config.conditional else ()
    if config.fine_tune and not checkpoints(request.run.checkpoints):
        begun = begin_from(request, game, labels, data.fingerprint)
        if team.is_first:
            write_json(request.run.ancestor, begun.as_dict())
            judge = "its discriminator too" if begun.discriminator else "a new discriminator"
            differs = " ".join(begun.differs)
            events.log(f"Begins with {begun.model}, {judge}. {differs}".rstrip(), **begun.as_dict())
        game.head_start = begun.images
    elif request.run.ancestor.is_file():
        game.head_start = read_json(request.run.ancestor)["images"]
    real = of_real_images(data, game.generator.classes)

    def selection(counters: dict[str, Any]) -> Selection | None:
        if validation is None:
            return None
        cache = FeatureCache(efficientnet_lite0(), request.data_dir / "features")
        found = Selection(request.run, counters, validation, labels, cache)
        if found.possible:
            return found
        events.log(NO_VALIDATION, level="warning")
        return None

    return Loop(request.run, config, batches, game, arithmetic, events, stop, real, selection)


def _private(request: RunRequest, data: Decoded, events: Events) -> Private | None:
    """What a run with differential privacy is trained under; None for any other."""
    config = request.config
    if not config.privacy.active:
        return None
    private = begin(request.run, config, data)
    plan, steps = private.plan, config.epochs * (private.plan.images // config.batch_size)
    unit = "a patient" if plan.patients_known else "an image (patients are not known)"
    events.log(
        f"Noise multiplier {plan.noise_multiplier:.4g} at a sampling rate of {plan.rate:.4g}: "
        f"epsilon {plan.spent_of_patient(steps):.2f} of {unit} at delta {plan.delta:.2g} after "
        f"{steps} steps. {plan.images} images take part, {plan.left_out} are left out.",
        **plan.facts(steps),
    )
    return private


def _environment(
    request: RunRequest, data: Decoded, device: torch.device, processes: int, events: Events
) -> Arithmetic:
    """The arithmetic of this run: probed at its start, read again when it goes on."""
    config = request.config
    path = request.run.environment
    if path.is_file():
        kept: dict[str, Any] = read_json(path)
        prepare(device, kept["threads"], config.deterministic)
        began = (kept["device"], kept["torch"], kept.get("processes", 1))
        if began != (device.type, torch.__version__, processes):
            events.log(
                f"Started in {began[2]} process(es) on {began[0]} with torch {began[1]}, goes on "
                f"in {processes} on {device.type} with {torch.__version__}: the weights may "
                "differ in the last bits.",
                level="warning",
            )
        return Arithmetic(kept["precision"], kept["channels_last"])
    threads = config.threads or cpus.available()
    prepare(device, threads, config.deterministic)
    arithmetic, speeds = probe(config, data, device)
    found = environment(device, threads, arithmetic, speeds)
    write_json(path, {**found, "processes": processes})
    if speeds:
        measured = ", ".join(f"{name} {speed:g}" for name, speed in speeds.items())
        events.log(f"Images per second by arithmetic: {measured}.", speeds=speeds)
    return arithmetic


def probe(
    config: RunConfig, data: Decoded, device: torch.device
) -> tuple[Arithmetic, dict[str, float]]:
    """The fastest arithmetic for these networks on this device, and each one's images/s."""
    private = throwaway(config, len(data.images)) if config.privacy.active else None
    batches = Batches(data, config, device, private=private)

    def steps(arithmetic: Arithmetic) -> Any:
        game = new_game(config, len(data.labels), device, arithmetic, private=private)
        # Not the first step: with lazy penalties it is computed in float32 whatever is chosen.
        return lambda: train_step(game, batches.batch(1), config, arithmetic)

    return fastest(config, device, steps, config.epochs * batches.steps_per_epoch)
