"""Datasets in place: what is found, its fingerprint, the roots, and what is decoded once."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from library.datasets import (
    UNLABELLED,
    File,
    dataset_id,
    list_records,
    read_record,
    register,
    scan,
    update_record,
    validate_again,
    within_roots,
)
from library.decoded import decode
from library.errors import InvalidValue, NotFound
from library.images import load_grey
from library.manifests import fingerprint, manifest
from library.validation import validate

ROOT = Path(__file__).parent.parent
REAL = Path(__file__).parent / "data" / "chest_xray"


def picture(path: Path, level: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), level).save(path)
    return path


# scan


def test_the_tests_own_images_are_two_classes_of_twelve() -> None:
    folder = scan(REAL)
    assert folder.labels == ("NORMAL", "PNEUMONIA")
    assert folder.counts() == {"NORMAL": 12, "PNEUMONIA": 12}


def test_a_missing_folder_is_named_with_its_field(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="There is no folder") as caught:
        scan(tmp_path / "nowhere", field="path")
    assert caught.value.field == "path"
    assert caught.value.value == str(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "\ud800"])
def test_what_cannot_be_a_folder_is_a_missing_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="There is no folder"):
        scan(tmp_path / name)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="There is no folder"):
        scan(picture(tmp_path / "x.png"))


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "NORMAL").mkdir()
    (tmp_path / "NORMAL" / "notes.txt").write_text("no picture")
    with pytest.raises(InvalidValue, match="holds no PNG or JPEG"):
        scan(tmp_path)


@pytest.mark.parametrize("names", [("train", "test"), ("Train", "VAL", "test"), ("validation",)])
def test_a_set_of_splits_is_refused_and_one_is_suggested(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    for name in names:
        picture(tmp_path / name / "NORMAL" / "x.png")
    with pytest.raises(InvalidValue, match="holds splits") as caught:
        scan(tmp_path)
    suggested = str(caught.value.remedy).split("'")[1]
    assert scan(Path(suggested)).labels == ("NORMAL",)


def test_a_class_beside_a_folder_named_like_a_split_is_a_class(tmp_path: Path) -> None:
    picture(tmp_path / "test" / "x.png")
    picture(tmp_path / "NORMAL" / "x.png")
    assert scan(tmp_path).labels == ("NORMAL", "test")


def test_images_without_classes_are_unlabelled(tmp_path: Path) -> None:
    picture(tmp_path / "b.png")
    picture(tmp_path / "a.jpg")
    assert scan(tmp_path).files == (File("a.jpg", UNLABELLED), File("b.png", UNLABELLED))


def test_nested_folders_belong_to_the_class_above_them(tmp_path: Path) -> None:
    picture(tmp_path / "NORMAL" / "ward" / "2020" / "x.png")
    picture(tmp_path / "NORMAL" / "y.JPEG")
    assert scan(tmp_path).files == (
        File("NORMAL/ward/2020/x.png", "NORMAL"),
        File("NORMAL/y.JPEG", "NORMAL"),
    )


def test_hidden_files_and_folders_and_other_suffixes_are_not_seen(tmp_path: Path) -> None:
    picture(tmp_path / "NORMAL" / "x.png")
    picture(tmp_path / "NORMAL" / "._x.png")
    picture(tmp_path / "NORMAL" / ".thumbnails" / "x.png")
    picture(tmp_path / ".cache" / "x.png")
    picture(tmp_path / "NORMAL" / "x.gif")
    picture(tmp_path / "stray.png")  # beside the classes: it has no label
    assert scan(tmp_path).files == (File("NORMAL/x.png", "NORMAL"),)


names = st.text("aAbZ09 -!", min_size=1, max_size=3).filter(lambda n: n.strip() == n)


@settings(max_examples=30)
@given(
    paths=st.lists(st.tuples(names, names), min_size=1, max_size=8, unique=True),
    shuffle=st.randoms(use_true_random=False),
)
def test_the_order_is_sorted_whatever_the_order_of_creation(
    tmp_path_factory: pytest.TempPathFactory,
    paths: list[tuple[str, str]],
    shuffle: random.Random,
) -> None:
    root, again = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    for level, (label, name) in enumerate(paths):
        picture(root / label / f"{name}.png", level * 20)
    shuffled = list(enumerate(paths))
    shuffle.shuffle(shuffled)
    for level, (label, name) in shuffled:
        picture(again / label / f"{name}.png", level * 20)
    folder = scan(root)
    assert list(folder.files) == sorted(folder.files, key=lambda f: (f.label, f.path))
    assert folder.files == scan(again).files
    assert fingerprint(manifest(folder)) == fingerprint(manifest(scan(again)))
    decoded = decode(folder, 8, "crop", root / ".cache")
    expected = sorted((label, f"{name}.png", i * 20) for i, (label, name) in enumerate(paths))
    assert decoded.images[:, 0, 0].tolist() == [level for _, _, level in expected]
    shown = [decoded.labels[c] for c in decoded.classes]
    assert shown == [label for label, _, _ in expected]


# fingerprint


def test_a_fingerprint_names_content_labels_and_names(tmp_path: Path) -> None:
    def named(**levels: int) -> str:
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, level in levels.items():
            picture(root / f"{name.replace('_', '/')}.png", level)
        return fingerprint(manifest(scan(root)))

    first = named(A_x=1, B_y=2)
    assert named(A_x=1, B_y=2) == first
    others = [
        named(A_x=1, B_y=3),
        named(A_x=1, B_z=2),
        named(A_x=1, C_y=2),
        named(A_x=1),
        named(A_x=2, B_y=1),
    ]
    assert len({first, *others}) == 6


def test_touching_a_file_does_not_change_the_fingerprint(tmp_path: Path) -> None:
    path = picture(tmp_path / "A" / "x.png")
    before = fingerprint(manifest(scan(tmp_path)))
    os.utime(path, (1, 1))
    assert fingerprint(manifest(scan(tmp_path))) == before


def test_names_that_are_not_utf8_are_names(tmp_path: Path) -> None:
    picture(tmp_path / "A" / "x.png")
    odd = os.fsencode(tmp_path / "A") + b"/caf\xe9.png"
    with open(odd, "wb") as file:
        file.write(b"no picture")
    decoded = decode(scan(tmp_path), 8, "crop", tmp_path / ".cache")
    assert len(decoded.images) == 1
    # Shown in JSON, where a lone surrogate would break the answer.
    assert [r["file"] for r in decoded.refused] == ["A/caf\\udce9.png"]
    os.rename(odd, os.fsencode(tmp_path / "A") + b"/caf\xe8.png")
    assert fingerprint(manifest(scan(tmp_path))) != decoded.fingerprint


# within_roots


def test_a_folder_is_found_by_its_name_under_any_root(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one / "a", two / "b"):
        folder.mkdir(parents=True)
    assert within_roots("a", [one, two]) == one / "a"
    assert within_roots("b", [one, two]) == two / "b"
    assert within_roots(str(two / "b"), [one, two]) == two / "b"
    assert within_roots(str(one), [one, two]) == one


@pytest.mark.parametrize(
    "path",
    ["..", "../secret", "a/../../secret", "/", "/etc", "a\0b", "\ud800", "{outside}",
     "{root}/../secret", "{root}-beside", "out", "{root}/out", "out/deeper"],
)  # fmt: skip
def test_nothing_outside_the_roots_is_reached(path: str, tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "secret"
    for folder in (root / "a", outside / "deeper", tmp_path / "root-beside"):
        folder.mkdir(parents=True)
    (root / "out").symlink_to(outside)
    path = path.replace("{root}", str(root)).replace("{outside}", str(outside))
    with pytest.raises(InvalidValue, match="not under a dataset root") as caught:
        within_roots(path, [root], field="path")
    assert caught.value.field == "path"
    assert str(root) in str(caught.value.remedy)


def test_without_roots_nothing_is_allowed(tmp_path: Path) -> None:
    for path in ("a", str(tmp_path)):
        with pytest.raises(InvalidValue, match="none is configured"):
            within_roots(path, [])


def test_a_root_that_is_itself_a_symlink_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real" / "a").mkdir(parents=True)
    (tmp_path / "root").symlink_to(tmp_path / "real")
    assert within_roots("a", [tmp_path / "root"]) == tmp_path / "real" / "a"


def test_a_missing_folder_under_a_root_is_left_for_scan_to_name(tmp_path: Path) -> None:
    for name in ("nowhere", "x" * 5000):
        with pytest.raises(InvalidValue, match="There is no folder"):
            scan(within_roots(name, [tmp_path]))


@given(parts=st.lists(st.sampled_from(["..", ".", "a", "b", "up", ""]), min_size=1, max_size=8))
def test_whatever_is_returned_is_really_inside(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str]
) -> None:
    base = tmp_path_factory.getbasetemp() / "inside"
    root = base / "root"
    if not base.exists():
        (root / "a" / "b").mkdir(parents=True)
        (root / "a" / "up").symlink_to(base)
    try:
        found = within_roots("/".join(parts).lstrip("/"), [root])
    except InvalidValue:
        return
    assert Path(os.path.realpath(found)).is_relative_to(os.path.realpath(root))


# The decoded cache


def broken_set(root: Path) -> Path:
    picture(root / "A" / "1.png", 10)
    (root / "A" / "2.png").write_text("no picture")
    picture(root / "B" / "3.png", 30)
    (root / "B" / "4.jpg").write_bytes(b"")
    (root / "B" / "5.png").symlink_to(root / "gone.png")
    picture(root / "B" / "6.png", 60)
    return root


def test_refused_files_are_named_and_left_out(tmp_path: Path) -> None:
    decoded = decode(scan(broken_set(tmp_path / "set")), 8, "crop", tmp_path / "cache")
    assert [r["file"] for r in decoded.refused] == ["A/2.png", "B/4.jpg", "B/5.png"]
    assert all(r["reason"] for r in decoded.refused)
    assert decoded.images[:, 0, 0].tolist() == [10, 30, 60]
    assert decoded.classes.tolist() == [0, 1, 1]
    assert decoded.counts() == {"A": 1, "B": 2}


def test_a_class_of_refused_files_is_no_class(tmp_path: Path) -> None:
    picture(tmp_path / "set" / "B" / "x.png")
    (tmp_path / "set" / "A").mkdir()
    (tmp_path / "set" / "A" / "x.png").write_text("no picture")
    decoded = decode(scan(tmp_path / "set"), 8, "crop", tmp_path / "cache")
    assert decoded.labels == ("B",)
    assert decoded.classes.tolist() == [0]


def test_a_set_without_one_whole_image_is_empty(tmp_path: Path) -> None:
    (tmp_path / "set" / "A").mkdir(parents=True)
    (tmp_path / "set" / "A" / "x.png").write_text("no picture")
    for _ in range(2):
        decoded = decode(scan(tmp_path / "set"), 8, "crop", tmp_path / "cache")
        assert decoded.images.shape == (0, 8, 8)
        assert decoded.labels == ()
        assert len(decoded.refused) == 1


def test_decoded_images_are_what_the_loader_gives(tmp_path: Path) -> None:
    folder = scan(REAL)
    told: list[tuple[int, int]] = []
    decoded = decode(folder, 64, "pad", tmp_path, lambda done, total: told.append((done, total)))
    assert told[-1] == (24, 24)
    for file, levels in zip(folder.files, decoded.images, strict=True):
        assert np.array_equal(levels, load_grey(REAL / file.path, 64, "pad"))


def test_a_second_decode_reads_what_the_first_wrote(tmp_path: Path) -> None:
    broken = broken_set(tmp_path / "set")
    first = decode(scan(broken), 8, "crop", tmp_path / "cache")
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert len(written) == 2
    told: list[int] = []
    second = decode(scan(broken), 8, "crop", tmp_path / "cache", lambda done, _: told.append(done))
    assert not told
    assert np.array_equal(first.images, second.images)
    assert (first.labels, first.refused) == (second.labels, second.refused)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()} == written


def test_content_resolution_and_fit_each_have_their_own_array(tmp_path: Path) -> None:
    path = picture(tmp_path / "set" / "A" / "x.png", 10)
    cache = tmp_path / "cache"
    decode(scan(tmp_path / "set"), 8, "crop", cache)
    assert decode(scan(tmp_path / "set"), 16, "crop", cache).images.shape == (1, 16, 16)
    decode(scan(tmp_path / "set"), 8, "pad", cache)
    picture(path, 200)
    assert decode(scan(tmp_path / "set"), 8, "crop", cache).images[0, 0, 0] == 200
    assert len(list(cache.glob("*.npy"))) == 4


# A decoder that dies at the n-th call of os.replace or, for 0, when it has decoded everything.
KILLED = """
import os, signal, sys
from pathlib import Path
from library.datasets import scan
from library.decoded import decode

calls, real = int(sys.argv[3]), os.replace

def replace(source, target):
    global calls
    calls -= 1
    if calls == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(source, target)

def progress(done, total):
    if calls == 0:
        os.kill(os.getpid(), signal.SIGKILL)

os.replace = replace
decode(scan(Path(sys.argv[1])), 64, "crop", Path(sys.argv[2]), progress)
"""


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_a_decoder_killed_half_way_leaves_no_half_array(calls: int, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    command = [sys.executable, "-c", KILLED, str(REAL), str(cache), str(calls)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert not list(cache.glob("*.json"))
    for array in cache.glob("[!.]*.npy"):  # renamed in before its index: whole, if it is there
        assert np.load(array).shape == (24, 64, 64)
    after = decode(scan(REAL), 64, "crop", cache)
    undisturbed = decode(scan(REAL), 64, "crop", tmp_path / "other")
    assert np.array_equal(after.images, undisturbed.images)
    assert after.classes.tolist() == undisturbed.classes.tolist()


# Records


def test_a_record_is_kept_when_the_folder_is_registered_again(tmp_path: Path) -> None:
    folder = scan(REAL)
    record = register(tmp_path, folder)
    assert record["status"] == "validating"
    assert record["labels"] == {"NORMAL": {"images": 12}, "PNEUMONIA": {"images": 12}}
    update_record(tmp_path, record["id"], {"status": "ready"})
    assert register(tmp_path, folder)["status"] == "ready"
    assert read_record(tmp_path, dataset_id(REAL))["status"] == "ready"
    assert [r["id"] for r in list_records(tmp_path)] == [dataset_id(REAL)]


def test_writers_of_a_record_keep_each_others_fields(tmp_path: Path) -> None:
    identity = register(tmp_path, scan(REAL))["id"]

    def write(number: int) -> None:
        update_record(tmp_path, identity, {f"field-{number}": number})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    record = read_record(tmp_path, identity)
    assert [record[f"field-{number}"] for number in range(40)] == list(range(40))


def test_a_dataset_keeps_its_name_when_it_is_validated_again(tmp_path: Path) -> None:
    folder = scan(REAL)
    assert validate_again(tmp_path, folder, "mine")["name"] == "mine"
    update_record(tmp_path, dataset_id(REAL), {"status": "ready", "refused": [{"file": "x"}]})
    again = validate_again(tmp_path, folder)
    assert (again["name"], again["status"], again["refused"]) == ("mine", "validating", [])


def test_validation_reads_as_the_trainer_does(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    shutil.copytree(REAL, folder)
    whole = next((folder / "NORMAL").iterdir()).read_bytes()
    (folder / "NORMAL" / "half.jpeg").write_bytes(whole[: len(whole) // 2])
    (folder / "PNEUMONIA" / "text.png").write_text("text")
    told: list[tuple[int, int]] = []
    found = validate(scan(folder), lambda done, total: told.append((done, total)))
    decoded = decode(scan(folder), 64, "crop", tmp_path / "cache")
    assert found["status"] == "ready"
    assert found["images"] == len(decoded.images) == 24
    assert found["fingerprint"] == decoded.fingerprint
    assert found["refused"] == list(decoded.refused)
    assert {label: n["images"] for label, n in found["labels"].items()} == decoded.counts()
    assert (told[0], told[-1]) == ((0, 26), (26, 26))


@pytest.mark.parametrize("identity", ["ds-0", "", "../runs/x", "ds/../../x", "."])
def test_an_id_that_is_none_finds_nothing(identity: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_record(tmp_path, identity)
