"""What the wheel alone does on a running service: python -I wheel_program.py URL FOLDER DATASET."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from synthorax import AsyncClient, Client, InvalidRequest, SynthoraxError

url, folder, dataset = sys.argv[1], Path(sys.argv[2]), sys.argv[3]


def refused(kind: type[SynthoraxError], call: Callable[[], object]) -> SynthoraxError:
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


with Client(url) as client:
    batch = client.generate("NORMAL", 3, seed=5, model="tiny@2")
    assert batch.images.shape == (3, 64, 64)
    assert client.verify(batch[0].png())["verdict"] == "exact"
    batch.save(folder / "batch")
    samples = client.samples({"NORMAL": 5}, seed=5, model="tiny@2", cache_dir=folder / "cache")
    for _ in range(2):
        assert (samples.fetch([0, 1, 2])[0] == batch.images).all()
    client.download(folder / "set.zip", "NORMAL", 3, 5, model="tiny@2")
    error = refused(InvalidRequest, lambda: client.generate("COVID"))
    assert isinstance(error, InvalidRequest)
    assert error.errors[0]["field"] == "label"
    config = {"epochs": 1, "batch_size": 8, "generator_width": 8, "discriminator_width": 8}
    job = client.train(dataset, "by-wheel", "quick", config, report=False).wait(progress=True)
    assert job.model == "by-wheel@1"
    # torch, pyarrow and the application are not here, and that is said.
    assert not any(map(importlib.util.find_spec, ("torch", "pyarrow", "app", "library")))
    hint = refused(SynthoraxError, lambda: client.dataset({"NORMAL": 5})).hint
    assert "synthorax[torch]" in str(hint)


async def twin() -> None:
    async with AsyncClient(url) as client:
        made = await client.generate("NORMAL", 3, seed=5, model="tiny@2")
        assert (made.images == batch.images).all()


asyncio.run(twin())


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-I", "-c", "from synthorax.cli import main; main()", *arguments]
    return subprocess.run(line, env={"SYNTHORAX_URL": url}, capture_output=True, text=True)


models = json.loads(command("models", "list", "--json").stdout)
assert "tiny@2" in [each["reference"] for each in models]
served = command("serve")
assert served.returncode == 1, served
assert "make run" in served.stderr, served.stderr
print("all is well")  # noqa: T201
