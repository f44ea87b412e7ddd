"""A data folder that is being restored: no service starts on it."""

from __future__ import annotations

from pathlib import Path

from library.errors import Conflict

STAGING = ".restore"  # below the data folder, from the first byte to the last step


def refuse_half_restored(data_dir: Path) -> None:
    """Raises Conflict where a restore is under way or was broken off."""
    if (data_dir / STAGING).exists():
        raise Conflict(
            f"A restore into {str(data_dir)!r} has not ended.",
            field="SYNTHORAX_DATA_DIR",
            value=str(data_dir),
            remedy="Wait for it; if it was broken off, run the same `synthorax restore` again.",
        )
