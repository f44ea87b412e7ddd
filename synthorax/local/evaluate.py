"""`synthorax evaluate`: a report on anybody's images, made here, without a service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from synthorax.cli.bars import progress_bar
from synthorax.cli.lights import show
from synthorax.cli.output import refuse

_ROOT = Path(__file__).resolve().parent.parent.parent


def evaluate(arguments: Sequence[str], out: Console, errors: Console, as_json: bool = False) -> int:
    """Run `python -m evaluation folders` with these arguments; its exit status."""
    command = [sys.executable, "-m", "evaluation", "folders", *arguments]
    last: dict[str, Any] = {}
    with (
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
        ) as process,
        progress_bar(errors) as bar,
    ):  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        task = bar.add_task("Reading", total=1.0)
        for line in process.stdout:
            last = json.loads(line)
            if last["type"] == "progress":
                bar.update(task, description=last["phase"], completed=last["fraction"])
        words = process.stderr.read()
    if process.returncode or last.get("type") != "report":
        detail = last["error"]["detail"] if last.get("type") == "failed" else words.strip()[-2000:]
        refuse(errors, detail)
        return process.returncode or 1
    folder = Path(last["path"])
    content = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    if as_json:
        out.print_json(data=content, indent=None)
        return 0
    show(content, out)
    out.print(f"Report: {folder / 'report.html'}", highlight=False, soft_wrap=True)
    if (folder / "operator").is_dir():
        out.print(
            "Closest pairs, which show patients: "
            f"{folder / 'operator' / 'pairs.html'}", highlight=False, soft_wrap=True,
        )  # fmt: skip
    return 0
