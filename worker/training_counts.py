"""The running job's numbers for Prometheus, from its trainer's events."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from worker import counts

_OF_METRIC = {
    "epoch": "epoch",
    "epochs": "epochs",
    "images_per_second": "images_per_second",
    "eta_seconds": "eta_seconds",
    "d_x": "d_x",
    "d_g_z1": "d_g_z",
}


def count(job: str, told: Mapping[str, Any]) -> None:
    """Take what an event says."""
    if told["type"] == "metric":
        for field, name in _OF_METRIC.items():
            counts.put(f"synthorax_training_{name}", told[field], job=job)
        counts.put("synthorax_training_kimg", told["images"] / 1000, job=job)
        for field, network in (("loss_d", "discriminator"), ("loss_g", "generator")):
            counts.put("synthorax_training_loss", told[field], job=job, network=network)
    elif told["type"] == "validation":
        counts.put("synthorax_training_kid", told["kid"], job=job)
    elif told["type"] == "checkpoint":
        counts.put("synthorax_training_checkpoint_timestamp_seconds", time.time(), job=job)
