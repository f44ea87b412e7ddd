"""What a version's folder says of its serving: retired for good, or held for its report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from library.atomic import read_json, write_json

if TYPE_CHECKING:
    from library.versions import Version

RETIRED = "retired.json"  # it is not served any more
HELD = "held.json"  # it is not served yet, until `release`
WAITS = "it waits for its report"  # why a version is held that has just been published


def retire(version: Version, reason: str, how: Literal["retire", "delete"] = "retire") -> None:
    """Never serve a version again; `delete` removes all but its name and the reason.

    Its number is never given to another one.
    """
    write_json(version.path / RETIRED, {"reason": reason, "digest": version.digest})
    if how == "delete":
        for file in version.path.iterdir():
            if file.name not in (RETIRED, "model.json"):
                file.unlink()


def hold(version: Version, reason: str) -> None:
    """Do not serve a version until it is released."""
    write_json(version.path / HELD, {"reason": reason})


def release(version: Version) -> None:
    (version.path / HELD).unlink(missing_ok=True)


def is_held(version: Version) -> bool:
    return (version.path / HELD).is_file()


def why_held(path: Path) -> str:
    """Why a version's folder is held; empty where it is not."""
    try:
        return str(read_json(path / HELD)["reason"])
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return f"it is held, and {HELD} does not say why"
