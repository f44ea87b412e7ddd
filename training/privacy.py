"""Differential privacy of a run: which images take part, what it may spend, and its secret.

What the guarantee stands on (docs/training.md, "With differential privacy"):
- an image takes part in a step with one probability, independently of all others (Poisson);
- the noise, that choice and the latents beside the real images come from a secret of the run.  Who
  knows it can take the noise away again: it lies in the run folder and nowhere else;
- both are functions of (secret, step), so a step that is done again after a kill is the same step.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import os
import secrets
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from library.atomic import read_json, sync_folder, write_json
from library.config import RunConfig
from library.decoded import Decoded
from library.errors import Conflict, InvalidValue
from library.runs import RunFolder, checkpoints
from training.accountant import noise_for, opacus_there, spent, spent_of_patient

KEY_BYTES = 32
# What is measured of real images, or of latents whose labels are theirs: shown while a run trains,
# left out of what is published.
MEASURED_ON_IMAGES = ("loss_d", "d_x", "d_g_z1")
NOT_COVERED = (
    "the numbers of images and patients, of each label and split; the fingerprint of the files",
    "how the data were prepared: what was refused, which duplicates were left out, the split",
    "what the service shows of the discriminator while it trains (its loss, D(x)); it is not part "
    "of this version",
    "reports on this version and studies with it, which use real images",
    "other versions that were trained on the same patients: their budgets add up",
    "attacks on the rounding of floating-point noise (Mironov 2012)",
)


class Use(Enum):
    """What is drawn from the secret; uses never share numbers."""

    CHOICE = "choice"
    LATENTS = "latents"
    NOISE = "noise"


@dataclass(frozen=True)
class Secret:
    """The key of a run's noise.  Never in anything that leaves the run folder."""

    key: bytes

    def __repr__(self) -> str:
        return "Secret(…)"

    def generator(self, use: Use, step: int) -> np.random.Generator:
        """numpy's Philox, under a key of its own for (use, step).

        The keys are HMAC-SHA-256 of the secret: whoever found out one step's numbers would know
        nothing of another's.
        """
        about = f"{use.value} {step}".encode()
        digest = hmac.new(self.key, about, hashlib.sha256).digest()
        key = np.frombuffer(digest[:16], np.uint64)
        return np.random.Generator(np.random.Philox(key=key))


@dataclass(frozen=True)
class Plan:
    """What a run was begun with, and keeps when it goes on: privacy.json in its folder.

    delta: for which epsilon is said; images: that take part, left_out: that the cap excluded.
    """

    epsilon: float
    delta: float
    noise_multiplier: float
    clip_norm: float
    batch_size: int
    images: int
    left_out: int
    images_per_patient: int
    patients_known: bool

    @property
    def rate(self) -> float:
        """With which an image is in a step's batch."""
        return self.batch_size / self.images

    def spent(self, steps: int) -> float:
        """Epsilon of one image."""
        return spent(self.rate, self.noise_multiplier, steps, self.delta)

    def spent_of_patient(self, steps: int) -> float:
        return spent_of_patient(
            self.rate, self.noise_multiplier, steps, self.delta, self.images_per_patient
        )

    def facts(self, steps: int) -> dict[str, Any]:
        """What a version says of it.  Without the secret, whatever is added here."""
        of_patient = self.spent_of_patient(steps)
        return {
            "epsilon": _shown(self.spent(steps)),
            "delta": self.delta,
            "patient": {
                "epsilon": _shown(of_patient),
                "delta": self.delta,
                "images_at_most": self.images_per_patient,
            }
            if self.patients_known
            else None,
            "budget": self.epsilon,
            "accountant": "opacus.accountants.RDPAccountant",
            "opacus": opacus_there(),
            "noise_multiplier": self.noise_multiplier,
            "clip_norm": self.clip_norm,
            "sampling_rate": self.rate,
            "steps": steps,
            "images": self.images,
            "images_left_out": self.left_out,
            "not_covered": list(NOT_COVERED),
        }


@dataclass(frozen=True)
class Private:
    """A run's plan, its secret, and the rows of the images that take part."""

    plan: Plan
    secret: Secret
    rows: NDArray[np.int64]


def _shown(epsilon: float) -> float | None:
    """Rounded up: a guarantee that is rounded down is none."""
    return math.ceil(epsilon * 1e4) / 1e4 if math.isfinite(epsilon) else None


def participants(
    patients: Sequence[str | None], images: Sequence[str], at_most: int
) -> NDArray[np.int64]:
    """Rows of the images that take part: of each patient at most so many.

    Which ones is a function of the patient's own images (their digests, hashed), so that nobody
    else's presence changes it.  An image without a patient is one of its own.
    """
    own: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for row, (patient, digest) in enumerate(zip(patients, images, strict=True)):
        unit = f"image {row}" if patient is None else f"patient {patient}"
        rank = hashlib.sha256(f"takes part {digest}".encode()).hexdigest()
        own[unit].append((rank, row))
    chosen = [row for each in own.values() for _, row in sorted(each)[:at_most]]
    return np.sort(np.array(chosen, np.int64))


def begin(run: RunFolder, config: RunConfig, data: Decoded) -> Private:
    """The plan of a run, made at its start and kept; its secret, drawn likewise.

    Raises InvalidValue for a budget that the configuration cannot keep, Conflict for a run that is
    to go on beyond its budget, or whose secret is gone.
    """
    opacus_there()
    digests = [digest for _, digest in data.files.values()]
    patients = data.patients or (None,) * len(digests)
    rows = participants(patients, digests, config.privacy.images_per_patient)
    if run.privacy.is_file():
        plan = Plan(**read_json(run.privacy))
        if plan.images != len(rows):
            raise Conflict(
                f"The run began with {plan.images} images that take part, and there are "
                f"{len(rows)} now.",
                remedy="Train anew: a budget is counted for the images it began with.",
            )
    else:
        if not len(rows) >= config.batch_size:
            raise InvalidValue(
                f"config.batch_size is {config.batch_size}, but {len(rows)} images take part "
                f"(at most {config.privacy.images_per_patient} of a patient).",
                field="config.batch_size",
                value=config.batch_size,
                remedy=f"Use at most {len(rows)}, or a larger config.privacy.images_per_patient.",
            )
        known = all(patient is not None for patient in patients)
        plan = planned(config, len(rows), len(digests) - len(rows), known)
    _check(plan, config)
    secret = _kept_secret(run)
    write_json(run.privacy, asdict(plan))
    return Private(plan, secret, rows)


def planned(config: RunConfig, images: int, left_out: int = 0, known: bool = True) -> Plan:
    """The plan for so many images.  Raises InvalidValue where no noise is enough."""
    wanted = config.privacy
    of_one = wanted.images_per_patient if known else 1
    delta = wanted.delta or 1 / (10 * images)
    rate, steps = config.batch_size / images, config.epochs * (images // config.batch_size)
    noise = wanted.noise_multiplier or noise_for(wanted.epsilon, rate, steps, delta, of_one)
    if not math.isfinite(noise):
        raise InvalidValue(
            f"No noise keeps {steps} steps within epsilon {wanted.epsilon:g} at delta {delta:.2g}.",
            field="config.privacy.epsilon",
            value=wanted.epsilon,
            remedy="Use fewer epochs, a larger epsilon or a smaller images_per_patient.",
        )
    return Plan(
        wanted.epsilon, delta, noise, wanted.clip_norm, config.batch_size, images, left_out,
        of_one, known,
    )  # fmt: skip


def throwaway(config: RunConfig, images: int) -> Private:
    """For steps that are only timed, on throw-away networks: nothing of it is kept."""
    plan = Plan(
        config.privacy.epsilon, 1e-5, config.privacy.noise_multiplier or 1.0,
        config.privacy.clip_norm, min(config.batch_size, images), images, 0, 1, False,
    )  # fmt: skip
    return Private(plan, Secret(secrets.token_bytes(KEY_BYTES)), np.arange(images))


def _check(plan: Plan, config: RunConfig) -> None:
    """Raises Conflict where the planned epochs would spend more than the budget."""
    per_epoch = plan.images // plan.batch_size
    found = plan.spent_of_patient(config.epochs * per_epoch)
    if found <= plan.epsilon:
        return
    low, high = 0, config.epochs  # epochs that the budget pays for, and that it does not
    while high - low > 1:
        middle = (low + high) // 2
        within = plan.spent_of_patient(middle * per_epoch) <= plan.epsilon
        low, high = (middle, high) if within else (low, middle)
    raise Conflict(
        f"{config.epochs} epochs would spend epsilon {found:.2f}; the budget is {plan.epsilon:g}, "
        f"and with a noise multiplier of {plan.noise_multiplier:.3f} it is spent after {low}.",
        field="config.epochs",
        value=config.epochs,
        remedy=f"Use at most {low} epochs. More need more noise from the first step on: a new run.",
    )


def _kept_secret(run: RunFolder) -> Secret:
    """The run's secret; drawn, and on the disk, before its first step."""
    path = run.noise_key
    if path.is_file():
        path.chmod(0o600)  # one that came from another machine, say
        key = bytes.fromhex(path.read_text())
        if len(key) == KEY_BYTES:
            return Secret(key)
    if checkpoints(run.checkpoints):
        raise Conflict(
            f"The noise key of the run {run.path.name!r} is gone.",
            remedy="Publish its checkpoint as it is, or train anew: with another key the steps "
            "since that checkpoint would be other steps, and spend twice.",
        )
    key = secrets.token_bytes(KEY_BYTES)
    _write_private(path, key.hex().encode())
    return Secret(key)


def _write_private(path: Path, content: bytes) -> None:
    """Whole or not at all, and never readable for others."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, content)
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(temporary, path)
    sync_folder(path.parent)
