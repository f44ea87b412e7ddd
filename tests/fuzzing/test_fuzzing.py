"""Archives, images and DICOMs that nobody thought of: refused or read, and nothing else.

A finding is whatever makes the program end: an exception that is none of ours, a crash of a
library, an input that takes longer than a decoder may.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from library.decoding.pool import SECONDS
from tests.fuzzing.targets import TARGETS

pytest.importorskip("atheris", reason="atheris comes for Linux")

ROOT = Path(__file__).parent.parent.parent
SHORT_RUNS = 2500
LONG_SECONDS = 300
# Of a process from its thousandth input to its last.  libFuzzer keeps what reaches new lines.
GROWTH_MAX = 96 * 2**20  # bytes

every_reader = pytest.mark.parametrize("kind", TARGETS)


def fuzzed(kind: str, depth: str, folder: Path, *options: str) -> dict[str, Any]:
    """Run the program to its end; returns its tally."""
    bounds = [f"-timeout={SECONDS:.0f}", "-seed=1", "-verbosity=0"]
    command = [sys.executable, "-m", "tests.fuzzing.program", kind, depth, str(folder)]
    done = subprocess.run(
        [*command, *bounds, *options], cwd=ROOT, capture_output=True, text=True, errors="replace"
    )
    findings = [path.name for path in folder.iterdir() if path.name.startswith(
        ("crash-", "timeout-", "oom-", "slow-unit-", "leak-"))]  # fmt: skip
    assert done.returncode == 0, (findings, done.stderr[-3000:])
    assert not findings
    tally: dict[str, Any] = json.loads((folder / "tally.json").read_text())
    print(kind, json.dumps(tally))  # noqa: T201  for the table in docs/security.md
    return tally


def check(tally: dict[str, Any]) -> None:
    assert tally["outcomes"]["refused"]
    assert tally["outcomes"]["read"]
    assert tally["last"]["descriptors"] == tally["warm"]["descriptors"]
    assert tally["last"]["rss"] - tally["warm"]["rss"] <= GROWTH_MAX


@every_reader
def test_readers_refuse_or_read_whatever_comes(kind: str, tmp_path: Path) -> None:
    tally = fuzzed(kind, "shallow", tmp_path, f"-runs={SHORT_RUNS}")
    assert sum(tally["outcomes"].values()) >= SHORT_RUNS
    check(tally)


@pytest.mark.long
@every_reader
def test_readers_hold_for_minutes(kind: str, tmp_path: Path) -> None:
    check(fuzzed(kind, "deep", tmp_path, f"-max_total_time={LONG_SECONDS}"))
