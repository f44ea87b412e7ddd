"""The paper's figures 5, 6 and 7 from a run folder, as PNG and SVG."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from library.atomic import write_bytes
from library.datasets.opened import open_dataset
from library.decoded import decode
from library.errors import Conflict
from library.images import Fit, grid
from library.requests import RunRequest
from library.runs import RunFolder
from training.seeds import Stream, generator

_DPI = 150
_EPOCHS_SHOWN = 6


def write_figures(request: RunRequest) -> list[Path]:
    """Write figure-5 (real beside synthetic), -6 (samples at epochs), -7 (losses), each twice.

    Raises Conflict when the run has not finished an epoch.
    """
    run = request.run
    if not run.sampled_epochs():
        raise Conflict(
            f"The run {run.path.name!r} has not finished an epoch yet.",
            remedy="Wait for its first epoch, then ask again.",
        )
    run.figures.mkdir(exist_ok=True, mode=0o700)
    made = {
        "figure-5-real-and-synthetic": real_and_synthetic(request),
        "figure-6-samples-by-epoch": samples_by_epoch(run, request.config.resolution),
        "figure-7-losses": losses_by_epoch(run),
    }
    paths = []
    for name, figure in made.items():
        for form in ("png", "svg"):
            paths.append(run.figures / f"{name}.{form}")
            write_bytes(paths[-1], _saved(figure, form))
    return paths


def real_and_synthetic(request: RunRequest) -> Figure:
    """64 real images, chosen by the run's seed, beside the last epoch's 64 samples."""
    run, config = request.run, request.config
    fit: Fit = config.fit  # type: ignore[assignment]  # checked by library.config
    with open_dataset(request.data_dir, request.dataset_named, lambda *_: None) as dataset:
        data = decode(dataset, config.resolution, fit, request.data_dir / "decoded")
    chosen = generator(config.seed, Stream.GRID).permutation(len(data.images))[:64]
    last = run.sampled_epochs()[-1]
    figure = Figure(figsize=(10, 5.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    _picture(left, grid(np.asarray(data.images[np.sort(chosen)]), 8), "Real")
    _picture(right, np.asarray(Image.open(run.sample(last))), f"Synthetic, epoch {last}")
    return figure


def samples_by_epoch(run: RunFolder, resolution: int) -> Figure:
    """The same 16 latents at up to six epochs, from the first to the last."""
    epochs = run.sampled_epochs()
    picks = np.unique(np.geomspace(1, len(epochs), _EPOCHS_SHOWN).round().astype(int) - 1)
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    axes = np.asarray(figure.subplots(2, 3)).ravel()
    side = 4 * (resolution + 2) - 2
    for axis in axes:
        axis.set_axis_off()
    for axis, pick in zip(axes, picks, strict=False):
        shown = np.asarray(Image.open(run.sample(epochs[pick])))[:side, :side]
        _picture(axis, shown, f"Epoch {epochs[pick]}")
    return figure


def loss_figure(
    run: RunFolder, counters: Mapping[str, Any] | None = None, hidden: Collection[str] = ()
) -> bytes:
    """losses_by_epoch as PNG."""
    return _saved(losses_by_epoch(run, counters, hidden), "png")


def losses_by_epoch(
    run: RunFolder, counters: Mapping[str, Any] | None = None, hidden: Collection[str] = ()
) -> Figure:
    """Losses of discriminator and generator, and D(x) and D(G(z)), over epochs.

    counters: of a checkpoint; the KID on validation images that it remembers is drawn below.
    hidden: measures that are not drawn.
    """
    lines = [line for line in run.read_metrics() if line["scope"] == "epoch"]
    epochs = [line["epoch"] for line in lines]
    history = (counters or {}).get("selection", {}).get("history", [])
    rows = 3 if history else 2
    figure = Figure(figsize=(9, 2.8 * rows), layout="constrained")
    losses, outputs, *more = figure.subplots(rows, 1, sharex=True)
    for axis, key, name, style in (
        (losses, "loss_d", "Loss_D", "-"),
        (losses, "loss_g", "Loss_G", "--"),
        (outputs, "d_x", "D(x)", "-"),
        (outputs, "d_g_z1", "D(G(z)) before D's update", "--"),
        (outputs, "d_g_z2", "D(G(z)) after it", ":"),
    ):
        if key in hidden:
            continue
        values = [line[key] for line in lines]
        marker = "o" if len(lines) == 1 else None
        axis.plot(epochs, values, style, label=name, linewidth=1.4, marker=marker)
    losses.set_ylabel("Loss")
    outputs.set(ylabel="Probability of “real”", ylim=(0, 1))
    for axis in more:
        at = [step / counters["steps_per_epoch"] for step, _, _ in history]  # type: ignore[index]
        for name in history[0][2]:
            values = [1000 * by_label[name] for _, _, by_label in history]
            axis.plot(at, values, "--", label=name or "all images", linewidth=1, marker=".")
        axis.plot(at, [1000 * kid for _, kid, _ in history], "-", label="mean", linewidth=1.4)
        axis.set(ylabel="KID × 1000, validation", yscale="log")
    for axis, place in ((losses, "upper right"), (outputs, "center right"),
                        *((axis, "upper right") for axis in more)):  # fmt: skip
        axis.grid(alpha=0.3)
        axis.legend(loc=place, frameon=False)
    (more[-1] if more else outputs).set_xlabel("Epoch")
    return figure


def _picture(axis: Axes, levels: NDArray[np.uint8], title: str) -> None:
    axis.imshow(levels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axis.set_title(title, fontsize=11)
    axis.set_axis_off()


def _saved(figure: Figure, form: str) -> bytes:
    """The same bytes for the same figure: without a date, and with ids from a fixed salt."""
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "synthorax"}):
        metadata = {"Date": None} if form == "svg" else None
        figure.savefig(buffer, format=form, dpi=_DPI, metadata=metadata)
    return buffer.getvalue()
