"""What is decoded once: in the dataset's order, whole or absent, and only while it is the same."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from library.datasets.choices import resolve
from library.datasets.opened import open_dataset
from library.datasets.records import begin, dataset_id, read_record
from library.decoded import decode
from library.images import load_grey
from library.manifests import DatasetChanged
from tests.sets import REAL, decoded, picture

ROOT = Path(__file__).parent.parent.parent


def test_decoded_images_are_what_the_loader_gives(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    found = decoded(REAL, tmp_path, fit="pad", progress=lambda *how_far: told.append(how_far))
    assert told[-1] == (24, 24)
    assert found.labels == ("NORMAL", "PNEUMONIA")
    assert found.counts() == {"NORMAL": 12, "PNEUMONIA": 12}
    for (path, (label, _)), levels, number in zip(
        found.files.items(), found.images, found.classes, strict=True
    ):
        assert np.array_equal(levels, load_grey(REAL / path, 64, "pad"))
        assert found.labels[number] == label
    digests = [(label, digest) for label, digest in found.files.values()]
    assert digests == sorted(digests)


def test_masks_and_windows_of_the_dataset_are_used(tmp_path: Path) -> None:
    begin(tmp_path, REAL, resolve({"border": 0.1, "corner": 0.2, "split": "none"}))
    found = decoded(REAL, tmp_path)
    assert not found.images[:, :6].any()
    assert not found.images[:, -13:, :13].any()
    assert found.images[:, 30:34, 30:34].all()


def test_only_the_split_is_decoded(tmp_path: Path) -> None:
    begin(tmp_path, REAL, resolve({"validation": 0.2, "held_out": 0.2}))
    with open_dataset(tmp_path, REAL, lambda *_: None) as dataset:
        files = {
            split: set(decode(dataset, 8, "pad", tmp_path / "decoded", split=split).files)
            for split in ("train", "validation", "held_out")
        }
    assert sum(map(len, files.values())) == 24
    assert len(set().union(*files.values())) == 24
    assert all(files.values())


def test_a_second_decode_reads_what_the_first_wrote(tmp_path: Path) -> None:
    first = decoded(REAL, tmp_path)
    cache = tmp_path / "decoded"
    written = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert len(written) == 2
    told: list[int] = []
    second = decoded(REAL, tmp_path, progress=lambda done, _: told.append(done))
    assert not told
    assert np.array_equal(first.images, second.images)
    assert (first.labels, first.files) == (second.labels, second.files)
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == written


def test_content_resolution_and_fit_each_have_their_own_array(tmp_path: Path) -> None:
    root = tmp_path / "set"
    path = picture(root / "A" / "x.png", 10, (64, 80))
    first = decoded(root, tmp_path, 8).images.copy()
    assert decoded(root, tmp_path, 16).images.shape == (1, 16, 16)
    decoded(root, tmp_path, 8, "pad")
    picture(path, 200)
    assert not np.array_equal(decoded(root, tmp_path, 8).images, first)
    assert len(list((tmp_path / "decoded").glob("*.npy"))) == 4


def test_a_folder_that_changed_is_validated_again(tmp_path: Path) -> None:
    root = tmp_path / "set"
    picture(root / "A" / "x.png", 1)
    first = decoded(root, tmp_path)
    picture(root / "A" / "y.png", 2)
    second = decoded(root, tmp_path)
    assert len(second.images) == 2
    assert first.fingerprint != second.fingerprint
    (root / "A" / "x.png").unlink()
    assert set(decoded(root, tmp_path).files) == {"A/y.png"}


def test_a_file_that_changes_under_the_decoder_is_told(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for i in range(3):
        picture(root / "A" / f"{i}.png", i)
    with open_dataset(tmp_path, root, lambda *_: None) as dataset:
        picture(root / "A" / "1.png", 99)
        with pytest.raises(DatasetChanged, match="1 changed"):
            decode(dataset, 8, "pad", tmp_path / "decoded")
    assert not list((tmp_path / "decoded").glob("*.json"))


# A process that dies at the n-th call of os.replace, in validation or when it decodes.
KILLED = """
import os, signal, sys
from pathlib import Path
from tests.sets import REAL, decoded

calls, real = int(sys.argv[2]), os.replace

def replace(source, target):
    global calls
    calls -= 1
    if calls == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(source, target)

os.replace = replace
decoded(REAL, Path(sys.argv[1]))
"""


@pytest.mark.parametrize("calls", range(1, 7))
def test_a_kill_half_way_leaves_nothing_half(calls: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(calls)]
    ended = subprocess.run(command, cwd=ROOT, check=False)
    assert ended.returncode in (-signal.SIGKILL, 0)
    for array in (tmp_path / "decoded").glob("[!.]*.npy"):  # renamed in before its index
        assert np.load(array).shape == (24, 64, 64)
    after = decoded(REAL, tmp_path)
    undisturbed = decoded(REAL, tmp_path / "other")
    assert np.array_equal(after.images, undisturbed.images)
    assert after.classes.tolist() == undisturbed.classes.tolist()
    record: dict[str, Any] = read_record(tmp_path, dataset_id(REAL))
    folder = tmp_path / "datasets" / record["id"]
    assert [path.name for path in folder.glob("c-*")] == [record["content"]]
    assert not list(folder.glob(".*"))


def test_the_whole_set_may_move_and_is_the_same(tmp_path: Path) -> None:
    shutil.copytree(REAL, tmp_path / "moved")
    one, other = decoded(REAL, tmp_path / "1"), decoded(tmp_path / "moved", tmp_path / "2")
    assert np.array_equal(one.images, other.images)
    assert one.fingerprint == other.fingerprint
