"""What `python -m evaluation version` promises to its callers, without any evaluation.

python fake_evaluation.py MODE version NAME@VERSION --data-dir DIR --report ID … --lifeline
MODE: lights as JSON; or hang, die, refuse.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from library.atomic import claim, new_folder, write_json
from library.reports import reports_root
from library.versions import ModelLibrary

RESUMABLE = 75


def tell(**event: Any) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def end(*_: object) -> None:
    os._exit(RESUMABLE)


def lifeline() -> None:
    while sys.stdin.read(1):
        pass
    end()


def main(mode: str, reference: str, data_dir: Path, report: str) -> int:
    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=lifeline, daemon=True).start()
    tell(type="progress", phase="drawing samples", fraction=0.25)
    if mode == "hang":
        while True:
            signal.pause()
    if mode == "die":
        sys.stderr.write("Killed by its own hand\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "refuse":
        problem = {"title": "A value is not allowed", "detail": "The dataset has no held-out image"}
        tell(type="failed", error=problem)
        return 1
    lights = json.loads(mode)
    version = ModelLibrary(data_dir / "models").find_held(reference)
    root = reports_root(data_dir) / version.digest
    with new_folder(root, report) as folder:
        write_json(folder / "report.json", {"schema": 1, "id": report, "lights": lights})
        claim(folder, root / report)
    tell(type="report", report=report, lights=lights)
    return 0


if __name__ == "__main__":
    _, mode, _, reference, *options = sys.argv
    given = dict(zip(options[::2], options[1::2], strict=False))
    sys.exit(main(mode, reference, Path(given["--data-dir"]), given["--report"]))
