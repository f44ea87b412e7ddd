"""python -m evaluation version NAME@VERSION | folders REAL FAKE

version  a report on a published version: fidelity, usefulness, privacy
folders  a report on anybody's images, against real ones that were held out

One JSON event a line on stdout: progress, then report or failed.
"""

from __future__ import annotations

import argparse
import json
import os

# Matrices here are small: threads that wait for one another cost more than they give, and tenfold
# beside a training job.  Said before numpy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import logging
import secrets
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from library import disk
from library.atomic import read_json
from library.errors import SynthoraxError
from library.logs import configure_child, log_failure
from library.reports import reports_root
from library.versions import ModelLibrary

logger = logging.getLogger("synthorax.evaluation")

RESUMABLE = 75  # exit status: stopped, run again
_TELL_SECONDS = 0.2


def main() -> int:
    parser = argparse.ArgumentParser("python -m evaluation", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    version = commands.add_parser("version", help="a published version")
    version.add_argument("version", metavar="NAME@VERSION")
    version.add_argument("--data-dir", type=Path, default=Path("data"))
    version.add_argument("--report", help="id of the report (drawn, if left out)")
    version.add_argument("--dataset", help="id of a dataset (the version's own, if left out)")
    version.add_argument("--count", type=int, default=1000, help="images of each label")
    version.add_argument("--lifeline", action="store_true", help="end when stdin does")
    folders = commands.add_parser("folders", help="anybody's images")
    folders.add_argument("real", type=Path, help="held-out images, or train and test of them")
    folders.add_argument("fake", type=Path)
    folders.add_argument("--train", type=Path, help="what the generator was trained on")
    folders.add_argument("--resolution", type=int, help="pixels (the fakes' own, if left out)")
    folders.add_argument("--fit", choices=("crop", "pad", "stretch"), help="to a square")
    folders.add_argument("--patient", default="auto", help="how file names tell patients")
    folders.add_argument("-o", "--output", type=Path, default=Path("report"))
    folders.add_argument("--work", type=Path, help="folder for decoded images and features")
    version.add_argument("--seed", type=int, default=0, help="of the first sample")
    for command in (version, folders):
        command.add_argument("--extractor", type=Path, help="an ONNX file (EfficientNet-Lite0)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    if getattr(arguments, "lifeline", False):
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        return _version(arguments) if arguments.command == "version" else _folders(arguments)
    except SynthoraxError as error:
        return _failed(error)
    except OSError as error:
        problem = disk.as_problem(error, getattr(arguments, "data_dir", Path(".")))
        if problem is None:
            raise
        return _failed(problem)


def _failed(error: SynthoraxError) -> int:
    _tell({"type": "failed", "error": error.as_problem()})
    log_failure("synthorax.evaluation", error.title)
    print(f"error: {error}", file=sys.stderr)  # noqa: T201
    return 1


def _tell(event: dict[str, Any]) -> None:
    print(json.dumps(event), flush=True)  # noqa: T201  stdout is this command's answer


def _stop(*_: object) -> NoReturn:
    os._exit(RESUMABLE)  # nothing is in place before the rename, and all of it after


def _end_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    os._exit(RESUMABLE)


class _Progress:
    def __init__(self) -> None:
        self._told, self._words = 0.0, ""

    def __call__(self, words: str, fraction: float) -> None:
        if words == self._words and time.monotonic() - self._told < _TELL_SECONDS:
            return
        if words != self._words:
            logger.info("%s", words)
        self._told, self._words = time.monotonic(), words
        _tell({"type": "progress", "phase": words, "fraction": round(fraction, 4)})


def _version(arguments: argparse.Namespace) -> int:
    data_dir: Path = arguments.data_dir.absolute()
    library = ModelLibrary(data_dir / "models")
    version = library.find_held(arguments.version)  # also what waits for this report
    identity = arguments.report or f"rp-{secrets.token_hex(6)}"
    final = reports_root(data_dir) / version.digest / identity
    if not (final / "report.json").is_file():
        # numpy, onnxruntime and matplotlib take a second, which a wrong name need not wait for
        from evaluation.report import evaluate
        from evaluation.subjects import version_subject
        from evaluation.writing import write_report

        told = _Progress()
        count, seed = arguments.count, arguments.seed
        subject = version_subject(version, data_dir, arguments.dataset, count, seed, told)
        cache, protocol = _cache(arguments, data_dir / "features"), _protocol()
        write_report(evaluate(subject, cache, protocol, identity, told), final, identity)
    lights = read_json(final / "report.json")["lights"]
    _tell({"type": "report", "report": identity, "path": str(final), "lights": lights})
    logger.info("report complete", extra={"model": version.reference, "lights": lights})
    return 0


def _folders(arguments: argparse.Namespace) -> int:
    from evaluation.folders import Folders, folders_subject
    from evaluation.report import evaluate
    from evaluation.writing import write_report
    from library.errors import Conflict

    output: Path = arguments.output.absolute()
    if output.exists():
        raise Conflict(
            f"{str(output)!r} is there already.",
            field="output",
            value=str(output),
            remedy="Name a folder that is to be made: --output FOLDER.",
        )
    work = (arguments.work or Path.home() / ".cache" / "synthorax").absolute()
    folders = Folders(
        arguments.real.absolute(), arguments.fake.absolute(),
        None if arguments.train is None else arguments.train.absolute(),
        arguments.resolution, arguments.fit, arguments.patient,
    )  # fmt: skip
    told = _Progress()
    subject = folders_subject(folders, work, told)
    identity = f"rp-{secrets.token_hex(6)}"
    report = evaluate(subject, _cache(arguments, work / "features"), _protocol(), identity, told)
    write_report(report, output, identity)
    _tell({"type": "report", "report": identity, "path": str(output),
           "lights": report.content["lights"]})  # fmt: skip
    return 0


def _cache(arguments: argparse.Namespace, folder: Path) -> Any:
    from features.extractors import FeatureCache, efficientnet_lite0, from_file

    chosen = arguments.extractor
    return FeatureCache(efficientnet_lite0() if chosen is None else from_file(chosen), folder)


def _protocol() -> Any:
    from evaluation.images import Protocol

    return Protocol()


if __name__ == "__main__":
    configure_child("synthorax.evaluation")
    try:
        sys.exit(main())
    except Exception:
        traceback.print_exc()
        sys.exit(1)
