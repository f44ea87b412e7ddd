"""python -m studies run | work | cost | arms

run   a study from its configuration to its results, here, unit after unit; run again to go on
work  one unit of a study, as a child of a worker; one JSON event a line on stdout
cost  what a study will take on this machine, measured by some of its steps
arms  what each arm is trained on, as files, for a model of your own
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from library import disk
from library.errors import SynthoraxError
from library.logs import configure_child, log_failure


def main() -> int:
    parser = argparse.ArgumentParser("python -m studies", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="a whole study, here")
    run.add_argument("config", type=Path, metavar="CONFIG.json")
    run.add_argument("--data-dir", type=Path, default=Path("data"))
    run.add_argument("--dataset", help="id or folder, in place of the one that the file names")
    work = commands.add_parser("work", help="one unit")
    work.add_argument("study", type=Path, metavar="STUDY", help="its folder")
    work.add_argument("unit", help="its name")
    work.add_argument("--lifeline", action="store_true", help="end when stdin does")
    cost = commands.add_parser("cost", help="what a study will take")
    cost.add_argument("config", type=Path, metavar="CONFIG.json")
    cost.add_argument("--data-dir", type=Path, default=Path("data"))
    cost.add_argument("--dataset", help="id or folder, in place of the one that the file names")
    arms = commands.add_parser("arms", help="arm manifests and images, as arms.zip in its folder")
    arms.add_argument("study", type=Path, metavar="STUDY", help="its folder")
    arguments = parser.parse_args()
    try:
        if arguments.command == "run":
            return _run(arguments)
        if arguments.command == "work":
            return _work(arguments)
        return _cost(arguments) if arguments.command == "cost" else _arms(arguments)
    except SynthoraxError as error:
        return _failed(error)
    except OSError as error:
        problem = disk.as_problem(error, getattr(arguments, "data_dir", Path(".")))
        if problem is None:
            raise
        return _failed(problem)


def _failed(error: SynthoraxError) -> int:
    _tell({"type": "failed", "error": error.as_problem()})
    log_failure("synthorax.studies", error.title)
    print(f"error: {error}", file=sys.stderr)  # noqa: T201
    return 1


def _tell(event: dict[str, Any]) -> None:
    print(json.dumps(event), flush=True)  # noqa: T201  stdout is this command's answer


def _work(arguments: argparse.Namespace) -> int:
    from library.studies.folder import Study
    from studies.stopping import RESUMABLE, Stopped, Stopping
    from studies.working import Progress, do_unit

    stopping = Stopping(arguments.lifeline, [signal.SIGTERM])
    study = Study(arguments.study.absolute())
    try:
        do_unit(study, study.unit(arguments.unit), Progress(_tell), stopping)
    except Stopped:
        return RESUMABLE
    _tell({"type": "done"})
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from studies.generators import TrainerDied
    from studies.local import begin
    from studies.stopping import RESUMABLE, Stopped, Stopping
    from studies.working import Progress, do_unit

    stopping = Stopping(signals=[signal.SIGTERM, signal.SIGINT])
    study = begin(arguments.config, arguments.data_dir.absolute(), arguments.dataset)
    _tell({"type": "study", "id": study.id, "path": str(study.path)})
    try:
        while ready := study.ready():
            unit = ready[0]
            _tell({"type": "unit", "unit": unit.name})
            do_unit(study, unit, Progress(_tell), stopping)
    except Stopped:
        print("stopped: the same command goes on from here", file=sys.stderr)  # noqa: T201
        return RESUMABLE
    except TrainerDied as error:
        print(f"error: {error} The same command goes on from its checkpoint.", file=sys.stderr)  # noqa: T201
        return 1
    _tell({"type": "done", "results": str(study.results_path / "results.html")})
    return 0


def _cost(arguments: argparse.Namespace) -> int:
    from studies.cost import cost_of
    from studies.local import read_config

    asked = read_config(arguments.config, arguments.data_dir.absolute(), arguments.dataset)
    _tell({"type": "cost", **cost_of(*asked)})
    return 0


def _arms(arguments: argparse.Namespace) -> int:
    from library.studies.folder import Study
    from studies.exporting import write_arms

    path = write_arms(Study(arguments.study.absolute()))
    _tell({"type": "done", "path": str(path)})
    return 0


if __name__ == "__main__":
    configure_child("synthorax.studies")
    try:
        sys.exit(main())
    except Exception:
        traceback.print_exc()
        sys.exit(1)
