"""Units of a study: what they write, that a kill changes nothing, and what they refuse."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from library.atomic import read_json
from library.errors import Conflict, InvalidValue
from library.manifests import read_manifest
from library.runs import RunFolder
from library.studies.folder import Study
from library.versions import ModelLibrary
from studies import generators, network
from studies.exporting import write_arms
from studies.local import begin
from studies.runs import run_unit
from studies.stopping import Stopped, Stopping
from studies.synthetic import check_version
from tests.evaluation.pictures import LABELS
from tests.studies.small import PREPARED, RAN, TRAINED, begun, done, request, work

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studies")


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    return done(begun(folder), PREPARED, RAN)


def test_what_was_prepared_is_what_is_read(study: Study) -> None:
    said = read_json(study.unit_record(PREPARED))
    part = said["partitions"]["s1d0"]
    with np.load(study.partitions) as kept:
        assert said["images"] == len(kept["classes"])
        for name in ("train", "test"):
            rows = kept[f"{name}/s1d0"]
            counts = np.bincount(kept["classes"][rows]).tolist()
            assert list(part[name]["labels"].values()) == counts
            assert part[name]["patients"] == len(np.unique(kept["groups"][rows]))
    assert part["train"]["patients"] == 56
    assert part["test"]["patients"] == 28


def test_a_unit_of_runs_has_every_arm_and_seed(study: Study) -> None:
    tested = read_json(study.unit_record(PREPARED))["partitions"]["s1d0"]["test"]["images"]
    with np.load(study.unit_arrays(RAN)) as found:
        shapes = {name: found[name].shape for name in found.files}
        scores = found["network/real_synthetic@1"]
    assert shapes["network/real"] == shapes["network/pretrained@1"] == (2, tested)
    assert shapes["probe/duplicates@1"] == (2, tested)
    assert shapes["probe/real"] == (1, tested)
    assert "probe/pretrained@1" not in shapes
    assert shapes["shortcut/network/one_class@1"][0] == 2
    assert (0 <= scores).all()
    assert (scores <= 1).all()
    assert not np.array_equal(scores[0], scores[1])
    assert not (study.work / "partial" / RAN).exists()


def test_a_unit_that_is_killed_and_done_again_ends_in_the_same_bytes(
    folder: Path, study: Study
) -> None:
    other = done(begun(folder, "killed"), PREPARED)
    assert other.id == study.id
    folder_of_runs = other.work / "partial" / RAN
    for runs in (0, 4):  # so many are done when it is killed
        process = work(other, RAN)
        while len(list(folder_of_runs.glob("*-[0-9].npz"))) < runs or not folder_of_runs.is_dir():
            assert process.poll() is None
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        _closed(process)
        assert not other.unit_record(RAN).is_file()
    done(other, RAN)
    assert other.unit_arrays(RAN).read_bytes() == study.unit_arrays(RAN).read_bytes()
    assert other.partitions.read_bytes() == study.partitions.read_bytes()


@pytest.mark.parametrize("processes", [0, 2])
def test_a_turn_ends_with_the_runs_at_hand_and_loses_none(
    folder: Path, study: Study, processes: int
) -> None:
    other = done(begun(folder, f"turn-{processes}"), PREPARED)
    read, write = os.pipe()
    stopping, phases = Stopping(), list[str]()
    listener = threading.Thread(target=stopping.listen, args=(read,))
    listener.start()

    def tell(phase: str, _: float) -> None:
        phases.append(phase)
        if phase == "Classifiers":
            os.write(write, b"turn\n")

    with pytest.raises(Stopped):
        run_unit(other, other.unit(RAN), tell, stopping, processes=processes)
    kept = {path.name for path in (other.work / "partial" / RAN).glob("*-[0-9].npz")}
    assert 0 < len(kept) < 18
    assert not other.unit_record(RAN).is_file()
    done(other, RAN)
    assert other.unit_arrays(RAN).read_bytes() == study.unit_arrays(RAN).read_bytes()
    os.close(write)
    listener.join()
    os.close(read)


def _closed(process: subprocess.Popen[bytes]) -> None:
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()


def test_a_unit_ends_with_its_lifeline(folder: Path) -> None:
    other = done(begun(folder, "lifeline", steps_min=100_000), PREPARED)
    process = work(other, RAN)
    assert process.stdin is not None
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["type"] == "progress":
            break
    process.stdin.close()
    assert process.wait(60) == 75
    _closed(process)
    assert not other.unit_record(RAN).is_file()


def test_what_a_kill_has_left_half_written_is_removed(folder: Path) -> None:
    other = begun(folder, "half")
    for path in (other.unit_record(PREPARED), other.unit_arrays(PREPARED), other.partitions):
        path.with_name(f".{path.name}.0a1b2c3d.tmp").write_text("{")
    done(other, PREPARED)
    assert not list(other.path.rglob(".*.tmp"))


def test_what_was_killed_late_is_removed_in_the_end(study: Study) -> None:
    late = study.unit_arrays(RAN).with_name(f".{RAN}.npz.0a1b2c3d.tmp")
    late.write_text("{")
    before = study.unit_arrays(RAN).read_bytes()
    study.clear(study.unit("results"))
    assert not late.exists()
    assert study.unit_arrays(RAN).read_bytes() == before


def test_no_two_units_begin_their_networks_alike(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a start does to an arm would be in every draw, and look like the arm's own."""
    other = begun(folder, "seeds", generators=2, arms=["real", "duplicates", "real_synthetic"])
    seen: dict[str, list[int]] = {}
    fitted = network.fitted

    def noted(pictures: Any, given: Any, classes: int, _: int, seed: int) -> Any:
        seen.setdefault(unit, []).append(seed)
        return fitted(pictures, given, classes, 1, seed)

    monkeypatch.setattr("studies.network.fitted", noted)
    done(other, PREPARED)
    for unit in (RAN, "runs-s1d0-g1"):
        done(other, unit)
    arms_and_seeds = {RAN: (3, 2), "runs-s1d0-g1": (1, 2)}  # a real arm is trained once
    for unit, (arms, seeds) in arms_and_seeds.items():
        assert len(seen[unit]) == arms * seeds
        assert len(set(seen[unit])) == seeds
    assert not set(seen[RAN]) & set(seen["runs-s1d0-g1"])


def test_a_generator_is_trained_on_its_partition_alone(folder: Path) -> None:
    small = {"epochs": 1, "batch_size": 16, "generator_width": 4, "discriminator_width": 4}
    generator = {"preset": "quick", "config": small}
    changes = {"resolution": 64, "sizes": [0.5], "classifiers": ["probe"]}
    other = begun(folder, "trained", generator=generator, primary_classifier="probe", **changes)
    done(other, PREPARED, "generator-s0.5d0-g0")
    run = RunFolder(other.generator("generator-s0.5d0-g0"))
    with np.load(other.partitions) as kept:
        rows = {name: kept[f"{name}/s0.5d0"] for name in ("train", "test")}
        digests = {n: {d.decode() for d in kept["sha256"][r]} for n, r in rows.items()}
    seen = {digest for _, digest in read_manifest(run.files).values()}
    assert seen == digests["train"]
    assert not seen & digests["test"]
    assert not list((other.data_dir / "models").glob("study*"))  # its versions are nobody else's
    done(other, "runs-s0.5d0-g0")
    said = read_json(other.unit_record("runs-s0.5d0-g0"))["synthetic"]
    counts = read_json(other.unit_record(PREPARED))["partitions"]["s0.5d0"]["train"]["labels"]
    assert all(said[label] >= count for label, count in counts.items())


# A trainer whose samples are thought to look alike from the sixth epoch on.
COLLAPSING = """
import sys
from training import health
from training.__main__ import main

look = health.Health.look

def looked(self, d_x, d_g_z, varieties, steps):
    alike = self._counters["step"] // steps > 5
    health.VARIED, health.THIN = (-1.0, 10.0) if alike else (10.0, -1.0)
    return look(self, d_x, d_g_z, varieties, steps)

health.Health.look = looked
sys.exit(main())
"""


def test_a_collapsed_generator_is_used_as_it_was_before_wherever_its_checkpoints_are(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trainer.py").write_text(COLLAPSING)
    monkeypatch.setattr(generators, "TRAINER", (str(tmp_path / "trainer.py"),))
    said = []
    for every in (0, 4):  # no checkpoint from before the signs; one of the fourth epoch
        config = {**TRAINED, "epochs": 20, "checkpoint_every_epochs": every, "batch_size": 16}
        generator = {"preset": "quick", "config": config}
        other = begun(folder, f"alike{every}", generator=generator, sizes=[0.5], resolution=64)
        done(other, PREPARED, "generator-s0.5d0-g0")
        said.append(read_json(other.unit_record("generator-s0.5d0-g0")))
    one, two = said
    assert one["steps"] % 5 == 0
    assert one["images"] == one["steps"] * 16
    assert one["collapsed"] == one["images"] // 5 * 8  # three epochs of signs
    names = ("digest", "images", "steps", "collapsed")
    assert [two[name] for name in names] == [one[name] for name in names]


def test_the_order_of_units_is_what_they_need(study: Study, folder: Path) -> None:
    assert [unit.name for unit in study.ready()] == ["results"]
    assert [unit.name for unit in begun(folder, "fresh").ready()] == [PREPARED]


def test_a_dataset_that_has_changed_is_not_studied_on(folder: Path) -> None:
    root = folder / "changing"
    other = begun(root, "data")
    victim = next((root / "real" / "train" / "SHADOW").iterdir())
    shutil.copy(next((root / "real" / "train" / "HEALTHY").iterdir()), victim)
    with pytest.raises(Conflict, match="no longer what this study was made for"):
        done(other, PREPARED)


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"ratio": 5.0}, "config.generator.images", "are needed"),
        ({"resolution": 128}, "config.resolution", "synthetic image has 64 pixels"),
        ({"positive": "NOBODY"}, "config.positive", "no images of 'NOBODY'"),
        ({"test": "validation"}, "config.test", "no validation images"),
        ({"synthetic_classes": list(LABELS)}, "config.synthetic_classes", "every class that takes"),
        ({"generator": {"model": "chest-xray-turbo@2"}}, "config.generator.model", "on another"),
    ],
)
def test_what_cannot_be_studied_is_said(
    folder: Path, changes: dict[str, object], field: str, words: str
) -> None:
    with pytest.raises(InvalidValue, match=words) as told:
        done(begun(folder, "wrong", **changes), PREPARED, RAN)
    assert told.value.field == field


def test_a_version_of_other_classes_cannot_stand(study: Study) -> None:
    version = ModelLibrary(study.data_dir / "models").find("chest-xray-turbo@2")
    with pytest.raises(InvalidValue, match="draws NORMAL, PNEUMONIA, and not HEALTHY, SHADOW"):
        check_version(study, version, LABELS)


def test_real_images_are_not_taken_for_synthetic_ones(folder: Path) -> None:
    copied = folder / "copied"
    shutil.copytree(folder / "real" / "train", copied, dirs_exist_ok=True)
    with pytest.raises(InvalidValue, match="are files of the real dataset"):
        done(begun(folder, "copies", generator={"images": str(copied)}), PREPARED, RAN)


def test_arms_are_files_for_a_model_of_ones_own(study: Study) -> None:
    said = read_json(study.unit_record(PREPARED))
    with zipfile.ZipFile(write_arms(study)) as archive:
        names = set(archive.namelist())

        def table(name: str) -> list[dict[str, str]]:
            return list(csv.DictReader(io.StringIO(archive.read(name).decode())))

        train = table("train/s1d0-g0.real_synthetic@1.csv")
        test = table("test/s1d0.csv")
        first = table("train/s1d0-g0.pretrained@1.csv")
        assert {line["file"] for line in train} <= names
        real = [line for line in train if line["file"].startswith("real/")]
        counts = said["partitions"]["s1d0"]["train"]["labels"]
        for label, count in counts.items():
            assert sum(line["label"] == label for line in real) == count
            assert sum(line["label"] == label for line in train) == 2 * count
        assert len(test) == said["partitions"]["s1d0"]["test"]["images"]
        assert not {line["file"] for line in test} & {line["file"] for line in train}
        assert sum(line["when"] == "first" for line in first) == len(real)
        assert b"not for diagnosis" in archive.read(
            next(name for name in sorted(names) if name.startswith("synthetic/"))
        )


def test_the_same_request_is_the_same_study(folder: Path) -> None:
    assert begun(folder, "again").id == begun(folder, "again").id
    assert begun(folder, "again", seed=6).id != begun(folder, "again").id
    path = request(folder)
    content = json.loads(path.read_text())
    del content["config"]["seed"]
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidValue, match="seed is missing"):
        begin(path, folder / "again")


def test_the_cost_is_of_the_dataset_that_the_command_names(folder: Path) -> None:
    path = request(folder)
    asked = json.loads(path.read_text())
    path.write_text(json.dumps({"config": asked["config"]}))
    command = [sys.executable, "-m", "studies", "cost", str(path)]
    command += ["--data-dir", str(folder / "data")]
    nameless = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert nameless.returncode == 1
    assert "dataset is None" in nameless.stderr
    named = [*command, "--dataset", asked["dataset"]["path"]]
    cost = json.loads(subprocess.check_output(named, cwd=ROOT))
    assert cost["classifier_runs"] == 6 * 2 + 6  # a probe has one seed but for duplicates
    assert cost["total_seconds"] > 0
