"""Units that are broken off anywhere, and synthetic images that are not what was thought."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from library.atomic import read_json
from library.errors import Conflict
from library.studies.folder import Study
from studies import generators
from tests.sets import picture
from tests.studies.small import PREPARED, RAN, TRAINED, begun, done, synthetic_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("interrupted")


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    return done(begun(folder), PREPARED, RAN)


PROBE: dict[str, Any] = {"classifiers": ["probe"], "primary_classifier": "probe"}


@pytest.mark.parametrize("labels", [("HEALTHY",), ("HEALTHY", "SHADOW")])
def test_synthetic_images_of_other_classes_alone_are_missed_positives(
    folder: Path, labels: tuple[str, ...]
) -> None:
    made = synthetic_folder(folder / "-".join(labels), labels=labels)
    given = {"generator": {"images": str(made)}, "synthetic_classes": ["HEALTHY"], **PROBE}
    other = done(begun(folder, f"{len(labels)}-classes", **given), PREPARED, RAN)
    spare = len(list((made / "SHADOW").glob("*")))
    said = read_json(other.unit_record(RAN))["synthetic"]
    assert said["SHADOW"] == spare
    assert said["HEALTHY"] == wanted(other)["HEALTHY"]  # none beside: who looks at them?
    with np.load(other.unit_arrays(RAN)) as found:
        shown = {name: found[name].shape for name in found.files if name.startswith("shortcut/")}
    assert shown == ({"shortcut/probe/real_synthetic@1": (1, spare)} if spare else {})


def wanted(study: Study) -> dict[str, int]:
    part = read_json(study.unit_record(PREPARED))["partitions"]["s1d0"]
    counts: dict[str, int] = part["train"]["labels"]
    return counts


def test_half_of_what_a_unit_had_made_is_made_again(folder: Path, study: Study) -> None:
    other = done(begun(folder, "torn"), PREPARED)
    other.parts(RAN).mkdir(parents=True)
    np.save(other.parts(RAN) / "classes.npy", np.zeros(3, np.int64))
    done(other, RAN)
    assert other.unit_arrays(RAN).read_bytes() == study.unit_arrays(RAN).read_bytes()


def test_runs_are_kept_until_their_unit_is_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = done(begun(folder, "late", **PROBE), PREPARED)
    with monkeypatch.context() as patched:
        patched.setattr("studies.working.write_json", _killed)
        with pytest.raises(KeyboardInterrupt):
            done(other, RAN)
    before = {path: path.stat().st_mtime_ns for path in other.parts(RAN).glob("*-[0-9].npz")}
    assert len(before) == 6
    with monkeypatch.context() as patched:
        patched.setattr("studies.runs.Material.predictions", _killed)  # none is trained again
        done(other, RAN)
    assert not other.parts(RAN).exists()


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_every_unit_draws_from_the_same_folder(folder: Path) -> None:
    made = synthetic_folder(folder / "growing")
    other = done(begun(folder, "growing-data", generator={"images": str(made)}), PREPARED)
    picture(made / "HEALTHY" / "another.png", 1)
    with pytest.raises(Conflict, match="no longer what it was"):
        done(other, RAN)


# A trainer that is killed, or finds another one at work, so often; then it trains.
FAILING = """
import os, sys
from pathlib import Path

path, code = Path({path!r}), {code}
left = int(path.read_text())
path.write_text(str(left - 1))
if left:
    os._exit(code)
from training.__main__ import main
sys.exit(main())
"""


def test_a_trainer_that_dies_ends_the_attempt_and_one_that_waits_does_not(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, left = tmp_path / "trainer.py", tmp_path / "left"
    monkeypatch.setattr(generators, "TRAINER", (str(script),))
    generator = {"preset": "quick", "config": {**TRAINED, "epochs": 1}}
    other = begun(folder, "failing", generator=generator, sizes=[0.5], resolution=64, **PROBE)
    unit = "generator-s0.5d0-g0"
    done(other, PREPARED)
    script.write_text(FAILING.format(path=str(left), code=-9 & 0xFF))
    left.write_text("1")
    with pytest.raises(generators.TrainerDied, match="ended with 247"):
        done(other, unit)
    script.write_text(FAILING.format(path=str(left), code=76))
    left.write_text("2")
    done(other, unit)
    assert read_json(other.unit_record(unit))["collapsed"] is None
