"""One fuzzing run, in a process of its own: `… -m tests.fuzzing.program KIND DEPTH FOLDER -…`.

Guided by coverage (atheris, libFuzzer's options): inputs that reach new lines of the readers, of
Pillow's, pydicom's or zipfile's Python are kept and mutated on.  DEPTH `shallow` follows our own
readers alone, which starts sooner.  FOLDER keeps the seeds, what broke, and tally.json, which is
written again and again: libFuzzer ends without a last word.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections import Counter
from pathlib import Path

import atheris

_OURS, _THEIRS = ["library", "app"], ["PIL", "pydicom", "zipfile"]

with atheris.instrument_imports(include=_OURS if sys.argv[2] == "shallow" else _OURS + _THEIRS):
    import pydicom.pixels  # noqa: F401  imported late by the readers
    from PIL import Image

    from tests.fuzzing.checksums import mutated
    from tests.fuzzing.targets import TARGETS, Folder, seeds

MEMORY = 2 * 2**30  # bytes of addresses; a decoder of the service may have 4 GiB
WARM = 1000  # inputs, after which memory and descriptors are counted
_TOLD = 250  # inputs between two tallies


def rss() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    kind, folder, options = sys.argv[1], Path(sys.argv[3]), sys.argv[4:]
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, content in enumerate(seeds(kind)):
        (corpus / f"{number:03}").write_bytes(content)
    Image.init()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    target = TARGETS[kind](Folder(folder / "work"))
    outcomes: Counter[str] = Counter()
    tally: dict[str, object] = {}
    began = time.monotonic()

    def one(content: bytes) -> None:
        outcomes[target(content)] += 1
        count = outcomes.total()
        if count % _TOLD == 0:
            facts = {"rss": rss(), "descriptors": len(os.listdir("/proc/self/fd"))}
            if count <= WARM:
                tally["warm"] = facts
            tally["last"] = facts
            tally["seconds"] = time.monotonic() - began
            tally["outcomes"] = dict(outcomes)
            (folder / "tally.json").write_text(json.dumps(tally))

    found = [f"-artifact_prefix={folder}/", "-rss_limit_mb=0", "-max_len=65536"]
    atheris.Setup([sys.argv[0], str(corpus), *found, *options], one, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
