"""Begin with the networks of a published version, its labels mapped by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from library.ancestors import DISCRIMINATOR, find_ancestor
from library.errors import InvalidValue
from library.requests import RunRequest
from library.runs import run_folder
from library.versions import ModelLibrary, Version
from training.checkpoints import checkpoint_of
from training.selection import best_weights
from training.trainer import Game


@dataclass
class Begun:
    """What a run began with, as its version's card tells it."""

    model: str
    digest: str
    private: bool
    discriminator: bool
    labels: dict[str, str | None]  # of this run -> the ancestor's whose weights it began with
    differs: list[str] = field(default_factory=list)  # sentences
    tensors_new: int = 0
    images: int = 0  # that its discriminator had been shown, where that is begun with, too

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


def begin_from(
    request: RunRequest, game: Game, labels: tuple[str, ...], fingerprint: str = ""
) -> Begun:
    """Load generator, average and discriminator of `config.fine_tune` into a new game.

    labels: of this run by class index, empty without classes.  A class that the ancestor does not
    have begins with the mean of those it has.  fingerprint: of this run's dataset.  Raises
    InvalidValue when nothing fits, or when the run's differential privacy would be void.
    """
    version = find_ancestor(ModelLibrary(request.data_dir / "models"), request.config.fine_tune)
    if request.config.privacy.active:
        _check_public(version, fingerprint)
    tensors = load_file(version.path / "model.safetensors")
    old = list(version.labels)
    mapped = {name: name if name in old else None for name in labels}
    begun = Begun(
        version.reference,
        version.digest,
        version.private,
        False,
        mapped,
        _differences(request, version),
    )
    rows = [old.index(name) if name in old else None for name in labels]
    begun.tensors_new = _load(game.generator, tensors, rows, len(old))
    if begun.tensors_new == len(game.generator.state_dict()):
        raise InvalidValue(
            f"No weight of {version.reference} fits into this run's generator.",
            field="config.fine_tune",
            value=request.config.fine_tune,
            remedy="Use its family and widths, and its resolution or (family flagship) twice it.",
        )
    if game.average is not None:
        game.average.load_state_dict(game.generator.state_dict())
    judge: dict[str, Tensor] = {}
    try:
        judge = _discriminator_of(version, request)
    except (SafetensorError, OSError) as error:
        begun.differs.append(
            f"The ancestor's discriminator cannot be read ({type(error).__name__})."
        )
    if judge:
        begun.tensors_new += _load(game.discriminator, judge, rows, len(old))
        begun.discriminator = True
        older = sum(each.get("images", 0) for each in version.card["ancestry"])
        begun.images = int(version.card["training"]["images"]) + older
    if not old and labels:
        begun.differs.append("The ancestor has no classes: they are learnt from nothing.")
    for name, mine in mapped.items():
        if old and mine is None:
            begun.differs.append(f"The ancestor has no class {name!r}: it begins as their mean.")
    return begun


def _check_public(version: Version, fingerprint: str) -> None:
    """Weights that have seen these patients without noise would bring them along."""
    same = version.card["dataset"].get("fingerprint") == fingerprint
    older = any(each["private"] for each in version.card["ancestry"])
    if version.private or older or same:
        why = "was trained on these images" if same else "was trained on private data"
        raise InvalidValue(
            f"{version.reference} {why}, and config.privacy is on: the guarantee would be void.",
            field="config.fine_tune",
            value=version.reference,
            remedy="Begin with a version of other, public data, or from nothing.",
        )


def _differences(request: RunRequest, version: Version) -> list[str]:
    trained, config = version.card["training"]["config"], request.config
    found = []
    for name in ("resolution", "fit"):
        if name in trained and trained[name] != getattr(config, name):
            found.append(
                f"config.{name} is {getattr(config, name)!r}, the ancestor's was {trained[name]!r}."
            )
    return found


def _discriminator_of(version: Version, request: RunRequest) -> dict[str, Tensor]:
    """Beside the version, or in the run folder that made it on this server; empty: in neither.

    Of the step whose generator was published: one that has learnt since knows its samples.
    """
    beside = version.path / DISCRIMINATOR
    if beside.is_file():
        return load_file(beside)
    job, training = version.card.get("job"), version.card["training"]
    if not job:
        return {}
    run = run_folder(request.data_dir, job)
    chosen = training.get("chosen")
    path = (
        best_weights(run, chosen["step"])
        if chosen
        else checkpoint_of(run.checkpoints, training["steps"])
    )
    if not path.is_file():  # the run has gone on, or is gone
        return {}
    with safe_open(path, framework="pt") as file:
        prefix = "discriminator."
        names = [key for key in file.keys() if key.startswith(prefix)]
        return {key[len(prefix) :]: file.get_tensor(key) for key in names}


@torch.no_grad()
def _load(
    network: nn.Module, tensors: dict[str, Tensor], rows: list[int | None], classes: int
) -> int:
    """Copy what fits by name and shape; class embeddings row by row.  Returns what stayed new."""
    new = 0
    for name, mine in network.state_dict().items():
        theirs = tensors.get(name)
        if name.endswith("num_batches_tracked"):
            continue
        if theirs is None:
            new += 1
        elif "embedding" in name and mine.ndim == 2 and rows and len(theirs) == classes:
            if theirs.shape[1:] != mine.shape[1:]:
                new += 1
                continue
            table = theirs.float()
            mean = table.mean(0)
            mine.copy_(torch.stack([mean if row is None else table[row] for row in rows]))
        elif theirs.shape == mine.shape:
            mine.copy_(theirs.to(mine.dtype))
        else:
            new += 1
    return new
