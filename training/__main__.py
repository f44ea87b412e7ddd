"""python -m training run | cost | publish | figures | sample | fit

run      train what CONFIG.json asks for; one JSON event a line on stdout; run again to go on
cost     what a run will take on this machine, from half a minute of its steps
publish  put a run's generator into the model library
figures  the paper's figures 5, 6 and 7 from a run folder, as PNG and SVG
sample   a grid of samples of a published version, with torch
fit      the largest batch size that the memory holds, measured
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from library.errors import SynthoraxError
from library.logs import configure_child, log_failure
from library.requests import check_model_name, read_request
from library.runs import existing
from library.versions import ModelLibrary


def main() -> int:
    parser = argparse.ArgumentParser("python -m training", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="train, resume, publish")
    run.add_argument("config", type=Path, metavar="CONFIG.json")
    run.add_argument(
        "--lifeline", action="store_true", help="stop with a checkpoint when stdin ends"
    )
    run.add_argument("--processes", type=int, default=1, help="one a card, by torchrun")
    cost = commands.add_parser("cost", help="what a run will take on this machine")
    cost.add_argument("config", type=Path, metavar="CONFIG.json")
    cost.add_argument("--images", type=int, help="of the train split (looked up, if left out)")
    cost.add_argument("--classes", type=int, default=2, help="where --images is given")
    cost.add_argument("--seconds", type=float, default=30.0, help="to measure for")
    publish = commands.add_parser("publish", help="publish a run's generator")
    publish.add_argument("run", type=Path, metavar="RUN")
    publish.add_argument("--model", help="name to publish under (the run's own, if left out)")
    publish.add_argument("--library", type=Path, help="folder of models ({data_dir}/models)")
    publish.add_argument("--attribution", help="source and licence of the training data")
    publish.add_argument("--public", action="store_true", help="the training data are public")
    figures = commands.add_parser("figures", help="the paper's figures 5, 6 and 7")
    figures.add_argument("run", type=Path, metavar="RUN")
    sample = commands.add_parser("sample", help="a grid of samples of a version")
    sample.add_argument("version", help="NAME or NAME@VERSION")
    sample.add_argument("--data-dir", type=Path, default=_data_dir())
    sample.add_argument("--label", help="class (drawn from the seed, if left out)")
    sample.add_argument("--seed", type=int, default=0, help="seed of the first sample")
    sample.add_argument("--count", type=int, default=64)
    sample.add_argument("--truncation", type=float, default=1.0)
    sample.add_argument("-o", "--output", type=Path, default=Path("samples.png"))
    fit = commands.add_parser("fit", help="the largest batch size that the memory holds")
    fit.add_argument("config", type=Path, metavar="CONFIG.json")
    fit.add_argument("--memory-mb", type=int, default=0, help="MiB (what is free, if left out)")
    fit.add_argument("--batch-size", type=int, help="say what this one takes, in bytes")
    arguments = parser.parse_args()
    try:
        return {
            "run": _run,
            "cost": _cost,
            "publish": _publish,
            "figures": _figures,
            "sample": _sample,
            "fit": _fit,
        }[arguments.command](arguments)
    except SynthoraxError as error:
        if arguments.command == "run":
            event = {"type": "status", "status": "failed", "error": error.as_problem()}
            print(json.dumps(event), flush=True)  # noqa: T201  stdout is this command's answer
        log_failure("synthorax.trainer", error.title)
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1


def _data_dir() -> Path:
    return Path(os.environ.get("SYNTHORAX_DATA_DIR", "data")).absolute()


def _run(arguments: argparse.Namespace) -> int:
    request = read_request(arguments.config)
    if arguments.processes > 1:
        return _run_in_several(arguments, request.config.batch_size)
    from training.launch import leave_status
    from training.run import run  # torch: a wrong request is told before its seconds of loading
    from training.stopping import StopRequest

    # Of several processes the first alone reads what the supervisor says.
    lifeline = arguments.lifeline and os.environ.get("RANK", "0") == "0"
    code = run(request, StopRequest(lifeline))
    leave_status(code)
    _drop_what_cannot_be_written()
    return code


def _drop_what_cannot_be_written() -> None:
    """A log on a full disk must not change the exit status: Python makes it 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _run_in_several(arguments: argparse.Namespace, batch_size: int) -> int:
    from training.distributed import check_divides
    from training.launch import launch

    check_divides(arguments.processes, batch_size)
    return launch(arguments.config, arguments.processes, arguments.lifeline)


def _cost(arguments: argparse.Namespace) -> int:
    from library import cpus
    from library.datasets.opened import open_dataset
    from training.cost import cost
    from training.precision import choose_device, prepare

    request = read_request(arguments.config)
    config, images, classes = request.config, arguments.images, arguments.classes
    if images is None:
        with open_dataset(request.data_dir, request.dataset_named, lambda *_: None) as dataset:
            train = dataset.record["splits"]["train"]
        images, classes = train["images"], len(train["labels"])
    device = choose_device(os.environ.get("SYNTHORAX_TRAIN_DEVICE", "auto"))
    prepare(device, config.threads or cpus.available())
    print(json.dumps(cost(config, images, classes, device, arguments.seconds)))  # noqa: T201
    return 0


def _publish(arguments: argparse.Namespace) -> int:
    from dataclasses import replace

    from library.settings import from_environment
    from library.store.shared import open_store
    from training.publish import publish

    request = read_request(existing(arguments.run).request)
    if arguments.public:
        request = replace(request, private=False)
    settings = from_environment()
    store = open_store(replace(settings, data_dir=request.data_dir))
    if arguments.library or store is None:
        library = ModelLibrary(arguments.library or request.data_dir / "models")
    else:
        library = store.library()
    name = check_model_name(arguments.model or request.model)
    version = publish(request, name, library, arguments.attribution)
    print(f"{version.reference}  {version.path}")  # noqa: T201
    return 0


def _figures(arguments: argparse.Namespace) -> int:
    from training.figures import write_figures

    for path in write_figures(read_request(existing(arguments.run).request)):
        print(path)  # noqa: T201
    return 0


def _sample(arguments: argparse.Namespace) -> int:
    from library.atomic import write_bytes
    from library.images import grid
    from training.sampling import png, sample_version

    version = ModelLibrary(arguments.data_dir / "models").find(arguments.version)
    levels = sample_version(
        version, arguments.label, arguments.seed, arguments.count, arguments.truncation
    )
    write_bytes(arguments.output.absolute(), png(grid(levels, min(8, len(levels)))))
    print(arguments.output)  # noqa: T201
    return 0


def _fit(arguments: argparse.Namespace) -> int:
    from training.memory import fitting_batch, measure

    request = read_request(arguments.config)
    answer: dict[str, int | bool | None]
    if arguments.batch_size:
        device = os.environ.get("SYNTHORAX_TRAIN_DEVICE", "auto")
        answer = {"bytes": measure(request, arguments.batch_size, device)}
    else:
        limit = arguments.memory_mb * 2**20
        fits = fitting_batch(arguments.config, request.config, limit)
        answer = {"batch_size": fits or None}
        if fits is None:
            answer["measured"] = False  # it took too long: some size may fit
    print(json.dumps(answer))  # noqa: T201
    return 0


if __name__ == "__main__":
    configure_child("synthorax.trainer")
    sys.exit(main())
