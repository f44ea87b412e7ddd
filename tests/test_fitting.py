"""Which batch size fits: what is measured, what is counted beside it, and what is not known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from library.memory import out_of_memory
from library.requests import read_request
from tests.trainer import write_request
from training import __main__ as command
from training import memory
from training.batches import RESIDENT_BYTES_MAX, Batch, resident_bytes
from worker import child


def test_too_slow_to_measure_is_not_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_request(tmp_path, batch_size=64)
    config = read_request(path).config
    monkeypatch.setattr(memory, "_TRY_SECONDS", 0.01)
    with pytest.raises(memory.TooSlow):
        memory.peak(path, 2)
    assert memory.fitting_batch(path, config, 10**9) is None
    monkeypatch.setattr("sys.argv", ["training", "fit", str(path)])
    assert command.main() == 0
    assert json.loads(capsys.readouterr().out) == {"batch_size": None, "measured": False}
    told = out_of_memory(64, 128, "the memory", None)
    assert "try a batch of 32" in str(told)
    assert told.suggestion is None
    assert "No batch size fits" in str(out_of_memory(64, 128, "the memory", 0))
    assert out_of_memory(64, 128, "the memory", 8).suggestion == {"batch_size": 8}

    def slow_from(most: int) -> Any:
        def peak(_request: Path, size: int) -> int | None:
            if size > most:
                raise memory.TooSlow
            return size * 1000

        return peak

    for most, fits in ((2, 2), (16, 16), (64, 63)):  # what was measured before it was too slow
        monkeypatch.setattr(memory, "peak", slow_from(most))
        assert memory.fitting_batch(path, config, 10**6) == fits


@pytest.mark.parametrize(
    ("printed", "fits"),
    [
        ({"batch_size": 12}, 12),
        ({"batch_size": None}, 0),
        ({"batch_size": None, "measured": False}, None),
        ({}, None),
    ],
)
def test_a_worker_tells_them_apart(
    printed: dict[str, Any], fits: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "__init__.py").touch()
    (tmp_path / "training" / "__main__.py").write_text(f"print({json.dumps(printed)!r})")
    monkeypatch.setattr(child, "ROOT", tmp_path)
    assert child.batch_that_fits(tmp_path / "request.json", {}, 0) == fits


def test_the_dataset_on_a_card_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_request(tmp_path, batch_size=64, resolution=64)
    request = read_request(path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(memory, "peak", lambda _request, size: size * 2**20)
    found = []
    for images in (24, 2000):
        request.run.path.mkdir(parents=True, exist_ok=True)
        request.run.dataset.write_text(json.dumps({"images": images}))
        found.append(memory.fitting_batch(path, request.config, 40 * 2**20))
    assert found == [37, 30]  # 2,000 images of 64 pixels are 8 MiB
    too_many = RESIDENT_BYTES_MAX // 64**2 + 1
    assert resident_bytes(too_many, 64) == 0
    assert resident_bytes(too_many - 1, 64) == RESIDENT_BYTES_MAX
    request.run.dataset.unlink()
    assert memory._beside(path) == 24 * 64**2  # before a run the dataset itself is asked


def test_the_largest_private_step_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_request(tmp_path)
    content = json.loads(path.read_text())
    config = {"generator_width": 4, "discriminator_width": 4, "threads": 1, "seed": 1}
    path.write_text(json.dumps({**content, "preset": "dp", "config": config}))
    seen: list[Batch] = []

    class Seen(Exception):
        """Enough of the measurement."""

    def look(batch: Batch) -> None:
        seen.append(batch)
        raise Seen

    monkeypatch.setattr(memory, "stepper", lambda *_: look)
    with pytest.raises(Seen):
        memory.measure(read_request(path), 16, "cpu")
    assert len(seen[0].real) == 36  # 16 and five deviations of 4
    assert seen[0].asked is not None
    assert len(seen[0].asked[0]) == 16
