"""Validation against a plain loop, and its memory: python -m benchmarks.validation IMAGES [-n 5000]

The rival opens each file with Pillow in one process, makes it grey and square as the validation
does (the same decoder, the same resampling), and does nothing else.  Both take the same files, in
rounds by turns.  Memory is the peak of private memory of the whole process tree, for two sizes of a
set of small files.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from library.datasets.choices import Choices
from library.datasets.validation import validate
from library.decoding.look import THUMBNAIL
from library.memory import tree_bytes

_SUFFIXES = {".jpeg", ".jpg", ".png"}


def plain(files: list[Path]) -> float:
    """Seconds of a loop with Pillow alone."""
    began = time.perf_counter()
    for path in files:
        with Image.open(path) as image:
            grey = image.convert("L")
            side = max(grey.size)
            square = Image.new("L", (side, side))
            square.paste(grey, ((side - grey.width) // 2, (side - grey.height) // 2))
            size = (THUMBNAIL, THUMBNAIL)
            np.asarray(square.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0))
    return time.perf_counter() - began


def validation(root: Path, processes: int) -> tuple[float, float]:
    """Seconds of a whole validation, and of its reading alone."""
    reading = [0.0, 0.0]

    def progress(phase: str, done: int, total: int) -> None:
        if phase == "reading":
            reading[0] = reading[0] or time.perf_counter()
            if done == total:
                reading[1] = time.perf_counter()

    began = time.perf_counter()
    with TemporaryDirectory() as folder:
        validate(Path(folder), root, Choices(), progress, processes=processes)
    return time.perf_counter() - began, reading[1] - reading[0]


def _placed(path: Path, number: int, root: Path, side: int) -> Path:
    """The file by a link, or enlarged to a longer side of so many pixels, as detectors make it."""
    target = root / path.parent.name / f"{number}-{path.name}"
    target.parent.mkdir(exist_ok=True)
    if not side:
        target.symlink_to(path.resolve())
        return target
    with Image.open(path) as image:
        factor = side / max(image.size)
        size = (round(image.width * factor), round(image.height * factor * 0.8))
        large = image.convert("L").resize(size, Image.Resampling.BICUBIC)
    large.save(target, "JPEG", quality=90)
    return target


def speed(images: Path, count: int, processes: int, rounds: int, side: int) -> None:
    found = sorted(path for path in images.rglob("*") if path.suffix.lower() in _SUFFIXES)[:count]
    with TemporaryDirectory() as folder:
        root = Path(folder)
        with ProcessPoolExecutor() as pool:
            made = pool.map(_placed, found, range(len(found)), [root] * len(found),
                            [side] * len(found), chunksize=50)  # fmt: skip
            files = sorted(made)
        plain(files[:200])  # the disk's cache, for both
        rows = []
        for _ in range(rounds):
            rival = plain(files)
            whole, _ = validation(root, processes)
            rows.append((rival, whole))
    rivals = [rival for rival, _ in rows]
    ratios = [rival / whole for rival, whole in rows]
    print(f"| {len(files)} files | images/s (median of {rounds}) |")
    print("|---|---|")
    print(f"| plain Pillow loop, 1 process | {len(files) / statistics.median(rivals):,.0f} |")
    print(
        f"| validation, {processes} processes | "
        f"{len(files) / statistics.median(w for _, w in rows):,.0f} |"
    )
    print(f"| **ratio** (median; {min(ratios):.2f} to {max(ratios):.2f}) | "
          f"**{statistics.median(ratios):.2f}** |")  # fmt: skip


def memory(counts: list[int], processes: int) -> None:
    print("\n| small files | peak of the service's own process, MiB | with its decoders, MiB | s |")
    print("|---|---|---|---|")
    for count in counts:
        with TemporaryDirectory() as folder:
            root = Path(folder) / "set"
            random = np.random.default_rng(0)
            for i in range(count):
                if i % 10_000 == 0:
                    part = root / "AB"[i // 10_000 % 2] / f"{i // 10_000}"
                    part.mkdir(parents=True)
                levels = random.integers(0, 256, (16, 16), dtype=np.uint8)
                Image.fromarray(levels).resize((64, 64)).save(part / f"{i}.jpg")
            program = (
                "import sys; from pathlib import Path\n"
                "from library.datasets.validation import validate\n"
                "from library.datasets.choices import Choices\n"
                f"validate(Path({str(folder)!r}) / 'out', Path({str(root)!r}), Choices(), "
                f"processes={processes})\n"
            )
            began = time.perf_counter()
            with subprocess.Popen([sys.executable, "-c", program]) as process:
                own, tree = 0, 0
                while process.poll() is None:
                    tree = max(tree, tree_bytes(process.pid))
                    own = max(own, _own(process.pid))
                    time.sleep(0.05)
            if process.returncode:
                raise SystemExit("the validation failed")
            seconds = time.perf_counter() - began
        print(f"| {count:,} | {own / 2**20:.0f} | {tree / 2**20:.0f} | {seconds:.0f} |")


def _own(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return sum(
        int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("-n", "--count", type=int, default=5000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--side", type=int, default=0, help="enlarge to so many pixels; 0: as is")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", type=int, nargs="*", default=[10_000, 100_000])
    arguments = parser.parse_args()
    speed(arguments.images, arguments.count, arguments.processes, arguments.rounds, arguments.side)
    if arguments.small:
        memory(arguments.small, arguments.processes)


if __name__ == "__main__":
    main()
