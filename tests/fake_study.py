"""What `python -m studies` promises to its callers, without any training or testing.

python -m tests.fake_study MODES work STUDY_FOLDER UNIT --lifeline
python -m tests.fake_study MODES cost CONFIG.json --data-dir DIR
python -m tests.fake_study MODES arms STUDY_FOLDER
MODES: JSON, by the kind of a unit: hang, die, refuse, slow, begin (further on each time, and die);
"disk": seconds that each write to it takes.
What a unit leaves depends on the study, the unit and what was there before it, on nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from library.atomic import claim, new_folder, read_json, write_bytes, write_json
from library.datasets.records import read_record
from library.studies.counts import units_by_kind
from library.studies.folder import Study, create, new_identity, root
from library.studies.resolving import resolve
from library.studies.units import TURN, Unit
from tests.studies.contents import content

RESUMABLE = 75
FIGURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="720" height="200" role="img">'
    '<rect width="720" height="200" fill="#fff"/>'
    '<path d="M360 20v160" stroke="#888"/><path d="M300 60h180" stroke="#222" stroke-width="3"/>'
    '<circle cx="390" cy="60" r="6"/><text x="20" y="64">network, real and synthetic</text></svg>'
)


def command(**modes: str) -> Callable[[Study, Unit], list[str]]:
    """For a worker: this program in the place of the real one."""
    words = [*start(**modes), "work"]
    return lambda study, unit: [*words, str(study.path), unit.name, "--lifeline"]


def start(**modes: str) -> tuple[str, ...]:
    """What stands in the place of `python -m studies`."""
    return (sys.executable, "-m", "tests.fake_study", json.dumps(modes))


def results(study: Study) -> dict[str, Any]:
    """results.json of a study, with numbers out of the air."""
    config = study.config
    made = content("inconclusive", config.kind, positive=config.positive)
    named = {"study": study.id, "name": config.name, "config": config.as_dict()}
    return {**made, **named, "large_test": None}


def write_results(study: Study) -> None:
    """As the last unit does: in one step, with what is wrong of a score beside it."""
    for path in study.scores:
        if not path.read_text().startswith("image,"):
            error = {"title": "A value is not allowed", "detail": f"{path.stem} has no images."}
            write_json(path.with_suffix(".error.json"), error)
    final = study.results_path
    with new_folder(study.path) as folder:
        write_json(folder / "results.json", results(study))
        for name, content in (
            ("results.html", "<!doctype html><title>Study</title><h1>Study</h1>"),
            ("methods.md", "# Methods\n"),
            ("tables/contrasts.csv", "classifier,arm,difference\nnetwork,real_synthetic,0.021\n"),
            ("tables/contrasts.tex", "\\begin{tabular}{ll}\\end{tabular}\n"),
            ("figures/primary.svg", FIGURE),
        ):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(content)
        claim(folder, final)


def do(study: Study, unit: Unit) -> None:
    study.clear(unit)
    before = [study.unit_record(name).read_bytes() for name in sorted(unit.after)]
    if unit.name == "results":
        write_results(study)
        return
    text = b"".join([json.dumps(study.record["config"]).encode(), unit.name.encode(), *before])
    digest = hashlib.sha256(text).hexdigest()
    write_bytes(study.unit_arrays(unit.name), digest.encode())
    write_json(study.unit_record(unit.name), {"unit": unit.name, "digest": digest, "seconds": 0.1})


def finished(data_dir: Path, dataset: str) -> Study:
    """A study that has succeeded, there as a whole or not at all: no worker takes it up."""
    config = resolve({"positive": "PNEUMONIA", "generators": 2, "seed": 3, "name": "prepared"})
    record = {"dataset": dataset, "fingerprint": "f" * 64, "config": config.as_dict()}
    made = create(data_dir / ".making", new_identity(), record)
    for unit in made.units:
        if unit.name != "results":
            do(made, unit)
    from studies.writing import write_results as write  # with torch; its figures take seconds

    write(results(made), {}, made.results_path, made.id)
    root(data_dir).mkdir(exist_ok=True)
    return Study(made.path.rename(root(data_dir) / made.id))


def tell(**event: Any) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def end(*_: object) -> None:
    os._exit(RESUMABLE)


def lifeline() -> None:
    for line in sys.stdin:
        if line == f"{TURN}\n":
            break
    end()


def further(study: Study, unit: Unit) -> float:
    """A checkpoint: how far this attempt comes."""
    path = study.path / "work" / f"{unit.name}.json"
    path.parent.mkdir(exist_ok=True)
    far = float(read_json(path)["far"]) + 0.2 if path.is_file() else 0.2
    write_json(path, {"far": far})
    return far


def cost(path: Path, data_dir: Path) -> None:
    """Ten seconds for each unit but the last."""
    asked = read_json(path)
    assert asked.keys() == {"dataset", "config"}
    read_record(data_dir, asked["dataset"])
    counted = units_by_kind(resolve(asked["config"]))
    each = {"prepare": 10.0, "generator_each": 10.0, "runs_each": 10.0, "results": 1.0}
    total = 10.0 * (sum(counted.values()) - 1) + 1.0
    tell(type="cost", seconds=each, units=counted, total_seconds=total)


def make_arms(study: Study) -> None:
    part = study.path / ".arms.zip.tmp"
    with zipfile.ZipFile(part, "w") as archive:
        archive.writestr("README.txt", "One folder for each arm.")
    part.replace(study.path / "arms.zip")


def slow_disk(seconds: float) -> None:
    """A kill then comes in the middle of a write."""
    fsync = os.fsync

    def slow(handle: int) -> None:
        time.sleep(seconds)
        fsync(handle)

    os.fsync = slow  # type: ignore[assignment]


def main(modes: dict[str, str], path: Path, name: str) -> int:
    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=lifeline, daemon=True).start()
    study = Study(path)
    unit = study.unit(name)
    mode = modes.get(unit.kind)
    tell(type="progress", phase="reading images", fraction=0.0)
    if mode == "hang":
        while True:
            signal.pause()
    if mode == "die" or (mode == "begin" and (far := further(study, unit)) < 1.0):
        if mode == "begin":
            tell(type="progress", phase="training", fraction=far)
        sys.stderr.write("Killed by its own hand\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "refuse":
        problem = {"title": "A value is not allowed", "detail": "There are too few patients."}
        tell(type="failed", error=problem)
        return 1
    if mode == "slow":
        time.sleep(0.3)
    if "disk" in modes:
        slow_disk(float(modes["disk"]))
    do(study, unit)
    tell(type="done")
    return 0


if __name__ == "__main__":
    _, given, asked, where, *more = sys.argv
    if asked == "work":
        sys.exit(main(json.loads(given), Path(where), more[0]))
    elif asked == "cost":
        cost(Path(where), Path(more[1]))
    else:
        make_arms(Study(Path(where)))
