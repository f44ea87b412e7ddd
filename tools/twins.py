"""Makes the synchronous client of the asynchronous one: `python tools/twins.py [--check]`.

Every file of synthorax/_async but running.py becomes one of synthorax/_sync, by the words below.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "synthorax"
BY_HAND = ("running.py", "__init__.py")
HEAD = "# Made of _async/{name} by tools/twins.py; change that one.\n"
WORDS = [
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bhttpx\.AsyncClient\b", "httpx.Client"),
    (
        r"\bAsync(Client|Transport|(?:Generate)?Jobs?|(?:Reader)?Stud(?:y|ies)|LongWork|Models|Datasets|Iterator)\b",
        r"\1",
    ),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\b_async\b", "_sync"),
    (r"__aenter__", "__enter__"),
    (r"__aexit__", "__exit__"),
    (r"\baclose\b", "close"),
    (r"\baread\b", "read"),
    (r"\baiter_(lines|bytes)\b", r"iter_\1"),
]


def twin(source: str, name: str) -> str:
    """The synchronous text of an asynchronous module."""
    for pattern, replacement in WORDS:
        source = re.sub(pattern, replacement, source)
    made = HEAD.format(name=name) + source
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", name, "-"]
    formatted = subprocess.run(command, input=made, capture_output=True, text=True, check=True)
    command = [sys.executable, "-m", "ruff", "check", "--fix", "--quiet", "--select", "I"]
    command += ["--stdin-filename", str(ROOT / "_sync" / name), "-"]
    return subprocess.run(
        command, input=formatted.stdout, capture_output=True, text=True, check=True
    ).stdout


def main() -> int:
    wrong = []
    for path in sorted((ROOT / "_async").glob("*.py")):
        if path.name in BY_HAND:
            continue
        made, target = twin(path.read_text(), path.name), ROOT / "_sync" / path.name
        if "--check" in sys.argv:
            wrong += [] if target.is_file() and target.read_text() == made else [path.name]
        else:
            target.write_text(made)
    if wrong:
        print(f"{', '.join(wrong)}: run python tools/twins.py", file=sys.stderr)  # noqa: T201
    return len(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
