"""A run folder at one moment, while its trainer goes on writing it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from library.atomic import write_json
from library.runs import CHECKPOINTS_LISTED, RunFolder
from library.store.folders import files_of

# What this machine alone has a use for: paths of its own, locks, words, what can be made again.
LOCAL = frozenset({"request.json", "trainer.log", "lock", "job.lock", "store.json"})
LOCAL_FOLDERS = frozenset({"figures", "prepared"})
_GROWS = "metrics.jsonl"
_TRIES = 20  # a trainer replaces a checkpoint now and then, not all the time


def snapshot(run: RunFolder, folder: Path) -> dict[str, Path]:
    """Link the files of a run folder into `folder`; each by its name.

    A checkpoint and what was measured up to it belong together: checkpoints come first, and the
    numbers, which only grow, after them.  Raises OSError.
    """
    for _ in range(_TRIES):
        try:
            return _linked(run, folder)
        except FileNotFoundError:  # a checkpoint that was just replaced by a newer one
            shutil.rmtree(folder, ignore_errors=True)
    return _linked(run, folder)


def _linked(run: RunFolder, folder: Path) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    names = [name for name in files_of(run.path) if _travels(name)]
    names.sort(key=lambda name: (name == _GROWS, not name.startswith("checkpoints/"), name))
    found = {}
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if name == _GROWS:
            numbers = run.metrics.read_bytes()
            path.write_bytes(numbers[: numbers.rfind(b"\n") + 1])  # whole lines
        else:
            _link(run.path / name, path)
        found[name] = path
    listed = folder / CHECKPOINTS_LISTED
    write_json(listed, RunFolder(folder).list_checkpoints())
    return {**found, CHECKPOINTS_LISTED: listed}


def _travels(name: str) -> bool:
    return name not in (*LOCAL, CHECKPOINTS_LISTED) and name.split("/")[0] not in LOCAL_FOLDERS


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # a disk without links
        shutil.copyfile(source, target)
