"""From a finished run to a version in the model library."""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import onnx
import torch
from safetensors.torch import save_file
from torch import nn

from library import __version__
from library.ancestors import DISCRIMINATOR
from library.atomic import claim, new_folder, read_json, write_bytes, write_json
from library.config import RunConfig
from library.digest import digest_file, digest_version
from library.errors import Conflict
from library.latents import SCHEME
from library.requests import RunRequest
from library.runs import RunFolder
from library.version_states import HELD, WAITS
from library.versions import ModelLibrary, Version
from training.card import write_card
from training.checkpoints import State, load_checkpoint
from training.export import check, round_to_half, stored_tensors, to_onnx, weigh_labels
from training.networks import Generator, architecture_of
from training.precision import Arithmetic
from training.privacy import MEASURED_ON_IMAGES, Plan
from training.sampling import estimate_statistics, fixed_grid
from training.selection import load_best
from training.trainer import new_game

_OF_DATASET = (
    "id", "fingerprint", "images", "labels", "patients", "splits", "split_by", "patients_by",
    "choices",
)  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """A run's networks as they are published.

    counters: of the newest checkpoint; best: what chose the weights, None where they are its own;
    augmentation: the probability that it had come to, where it is adaptive.
    """

    generator: Generator
    discriminator: nn.Module
    counters: dict[str, Any]
    best: dict[str, Any] | None
    augmentation: float | None


def trained(request: RunRequest) -> Trained:
    """The networks of a run.  Raises Conflict when the run has no checkpoint."""
    run = request.run
    classes = len(read_json(run.dataset)["labels"]) if run.dataset.is_file() else 0
    game = new_game(request.config, classes, torch.device("cpu"), Arithmetic("float32", False))
    state = State(game.modules(), {}, {})
    path, _ = load_checkpoint(run.checkpoints, state)
    if path is None:
        raise Conflict(
            f"The run {run.path.name!r} has no checkpoint to publish.",
            remedy="Train it first: `python -m training run CONFIG.json`.",
        )
    best = None
    if request.config.choose == "best":
        best = load_best(run, state.counters, game.sampler, game.discriminator)
    reached = None if game.adaptive is None else round(game.adaptive.probability.item(), 4)
    return Trained(game.sampler, game.discriminator, state.counters, best, reached)


def publish(
    request: RunRequest,
    name: str,
    library: ModelLibrary,
    attribution: str | None = None,
) -> Version:
    """Publish a run's generator under a name, once for a job and step, once for the same weights.

    Weights are rounded to float16, batch norm's statistics estimated anew on the rounded
    weights, the ONNX file made and checked against torch.
    """
    run = request.run
    found = trained(request)
    made = _made(request, name, library, found)
    if made is None:
        with new_folder(library.folder / name, request.job or "") as folder:
            card = _fill(folder, request, name, library, attribution, found)
            existing = library.with_digest(name, card["digest"])
            made = existing or library.publish(name, folder, card)
    remember(run, made)
    return made


def prepare_version(request: RunRequest, name: str, library: ModelLibrary) -> None:
    """Leave what `publish` would publish in the run folder, without a number."""
    run, found = request.run, trained(request)
    with contextlib.suppress(OSError, ValueError, KeyError):
        if read_json(run.prepared / "model.json")["training"]["steps"] == found.counters["step"]:
            return  # a process that was killed had come so far
    with new_folder(run.path, "prepared") as folder:
        card = _fill(folder, request, name, library, None, found)
        write_json(folder / "model.json", card)
        shutil.rmtree(run.prepared, ignore_errors=True)
        claim(folder, run.prepared)


def _made(request: RunRequest, name: str, library: ModelLibrary, found: Trained) -> Version | None:
    """What a process that was killed had come to."""
    if request.job is None:
        return None
    return library.with_job(name, request.job, found.counters["step"])


def _fill(
    folder: Path,
    request: RunRequest,
    name: str,
    library: ModelLibrary,
    attribution: str | None,
    found: Trained,
) -> dict[str, Any]:
    """Everything but model.json, which is returned."""
    run, config = request.run, request.config
    generator, counters = found.generator, found.counters
    dataset = read_json(run.dataset)
    ancestry = _ancestry(run, library)
    private = request.private or any(each["private"] for each in ancestry)
    # A run that ended while labels were ramped in: as its samples were measured and shown.
    weigh_labels(generator, (found.best or counters).get("label_weight", 1.0))
    round_to_half(generator)
    estimate_statistics(generator)
    tensors = stored_tensors(generator)
    identity = {
        "architecture": architecture_of(config, len(dataset["labels"])),
        "labels": sorted(dataset["labels"]) if config.conditional else [],
        "label_frequencies": _frequencies(dataset, config) if config.conditional else [],
        "latents": SCHEME,
    }
    digest = digest_version(identity, {name: t.numpy() for name, t in tensors.items()})
    save_file(tensors, folder / "model.safetensors")
    onnx.save(to_onnx(generator), folder / "model.onnx")
    difference = check(generator, folder / "model.onnx")
    weights = [folder / "model.safetensors", folder / "model.onnx"]
    if not private:  # it leaks who was trained on, so that of private data stays in its run
        save_file(stored_tensors(found.discriminator), folder / DISCRIMINATOR)
        weights.append(folder / DISCRIMINATOR)
    write_bytes(folder / "samples.png", fixed_grid(generator))
    hidden = MEASURED_ON_IMAGES if config.privacy.active else ()
    from training.figures import loss_figure  # matplotlib: half a second of no trainer's start

    write_bytes(folder / "loss.png", loss_figure(run, counters, hidden))
    epochs = [
        {name: value for name, value in line.items() if name not in hidden}
        for line in run.read_metrics()
        if line["scope"] == "epoch"
    ]
    lines = "".join(json.dumps(line) + "\n" for line in epochs)
    write_bytes(folder / "metrics.jsonl", lines.encode())
    card = {
        "digest": digest,
        **identity,
        "resolution": config.resolution,
        "weights": "float16",
        "training": {
            "preset": request.preset,
            "config": config.as_dict(),
            "environment": read_json(run.environment),
            "steps": counters["step"],
            "images": counters["step"] * config.batch_size,
            "seconds": round(counters["seconds"], 1),
            "last_epoch": epochs[-1] if epochs else None,
            "chosen": found.best,
            "augmentation_probability": found.augmentation,
            "validation": [
                {"images": step * config.batch_size, "kid": kid, "by_label": by_label}
                for step, kid, by_label in counters.get("selection", {}).get("history", [])
            ],
        },
        "dataset": {key: dataset[key] for key in _OF_DATASET if key in dataset},
        "privacy": _spent(run, counters["step"]) if config.privacy.active else None,
        "onnx_check": {"max_difference": difference},
        "ancestry": ancestry,
        "job": request.job,
        "metadata": dict(request.metadata),
        "private": private,
        "attribution": attribution,
        "code_version": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": {path.name: _file(path) for path in weights},
    }
    write_card(folder / "CARD.md", name, card)
    if request.publish_if == "not_red":  # in place before the rename: never served unseen
        write_json(folder / HELD, {"reason": WAITS})
    return card


def _ancestry(run: RunFolder, library: ModelLibrary) -> list[dict[str, Any]]:
    """What the run began with, its nearest ancestor first."""
    if not run.ancestor.is_file():
        return []
    begun = read_json(run.ancestor)
    older = []
    for version in library.whole():
        if version.digest == begun["digest"]:
            older = version.card["ancestry"]
    return [begun, *older]


def _spent(run: RunFolder, steps: int) -> dict[str, Any]:
    return Plan(**read_json(run.privacy)).facts(steps)


def _frequencies(dataset: dict[str, Any], config: RunConfig) -> list[float]:
    counts = [dataset["labels"][label] for label in sorted(dataset["labels"])]
    if config.privacy.active:  # what a version draws must not tell how many had a disease
        counts = [1] * len(counts)
    return [count / sum(counts) for count in counts]


def _file(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": digest_file(path)}


def remember(run: RunFolder, version: Version) -> None:
    write_json(run.published, {"model": version.reference, "digest": version.digest})
