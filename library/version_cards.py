"""Whether a version's model.json can be used, and its files are those that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from library.latents import SCHEME

SCHEMA = 1
_REQUIRED = {
    "digest": str,
    "architecture": dict,
    "resolution": int,
    "labels": list,
    "label_frequencies": list,
    "files": dict,
}


def problem_of(card: Any, path: Path) -> str:
    """Why a version's folder with this model.json cannot be used; empty where it can."""
    if not isinstance(card, dict) or card.get("schema") != SCHEMA:
        return "model.json has a format that this version of Synthorax does not know"
    missing = [key for key in _REQUIRED if key not in card]
    if missing:
        return f"model.json lacks {', '.join(missing)}"
    if card.get("latents") != SCHEME:
        return f"its latents are {card.get('latents')!r}, and this version knows {SCHEME!r}"
    wrong = [key for key, kind in _REQUIRED.items() if not isinstance(card[key], kind)]
    if wrong:
        return f"model.json holds no proper {', '.join(wrong)}"
    if not isinstance(card["architecture"].get("latent_dim"), int):
        return "model.json holds no proper architecture.latent_dim"
    labels, frequencies = card["labels"], card["label_frequencies"]
    named = all(isinstance(label, str) for label in labels)
    counted = all(isinstance(frequency, int | float) for frequency in frequencies)
    if not named or not counted or len(labels) != len(frequencies):
        return "model.json holds no frequency for each label"
    if not card["files"]:
        return "model.json names no files"
    for name, file in card["files"].items():
        if not isinstance(file, dict) or not {"bytes", "sha256"} <= file.keys():
            return f"model.json does not say what {name} was when it was published"
        try:
            size = (path / name).stat().st_size
        except (OSError, ValueError):
            return f"{name} is missing"
        if size != file["bytes"]:
            return f"{name} has {size} bytes instead of {file['bytes']}"
    return ""
