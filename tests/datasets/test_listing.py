"""What a folder seems to hold, before anything in it is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from library.datasets.layout import UNLABELLED, recognise
from library.datasets.listing import listing
from library.datasets.roots import within_roots
from library.datasets.sources import FolderSource
from library.errors import InvalidValue
from tests.sets import REAL, picture

# Folders


def test_the_tests_own_images_are_two_classes_of_twelve() -> None:
    assert listing(REAL).labels == {"NORMAL": 12, "PNEUMONIA": 12}


def test_a_missing_folder_is_named_with_its_field(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="There is no folder") as caught:
        listing(tmp_path / "nowhere", field="path")
    assert caught.value.field == "path"
    assert caught.value.value == str(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "\ud800"])
def test_what_cannot_be_a_folder_is_a_missing_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="There is no folder"):
        listing(tmp_path / name)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="There is no folder"):
        listing(picture(tmp_path / "x.png"))


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "NORMAL").mkdir()
    (tmp_path / "NORMAL" / "notes.txt").write_text("no picture")
    with pytest.raises(InvalidValue, match="holds no image"):
        listing(tmp_path)


def test_of_splits_the_files_for_training_count(tmp_path: Path) -> None:
    for i, name in enumerate(("train", "train", "test", "VAL")):
        picture(tmp_path / name / "NORMAL" / f"{i}.png", i)
    assert listing(tmp_path).labels == {"NORMAL": 2}


def test_hidden_files_are_not_seen(tmp_path: Path) -> None:
    picture(tmp_path / "NORMAL" / "x.png")
    picture(tmp_path / "NORMAL" / "._x.png")
    picture(tmp_path / "NORMAL" / ".thumbnails" / "x.png")
    picture(tmp_path / ".cache" / "x.png")
    (tmp_path / "NORMAL" / "Thumbs.db").write_bytes(b"x")
    assert [entry.path for entry in FolderSource(tmp_path).entries()] == ["NORMAL/x.png"]


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    reasons = {entry.path: entry.refused for entry in FolderSource(tmp_path).entries()}
    assert "pipe" in str(reasons["x.png"])
    assert "No such file" in str(reasons["gone.png"])


# Layouts


@pytest.mark.parametrize(
    ("paths", "root", "kind"),
    [
        (["NORMAL/a.png", "PNEUMONIA/b.png"], "", "classes"),
        (["set/NORMAL/a.png", "set/PNEUMONIA/b.png"], "set/", "classes"),
        (["a/b/train/N/x.png", "a/b/test/N/y.png"], "a/b/", "splits"),
        (["Train/N/x.png", "VAL/N/y.png"], "", "splits"),
        (["train/N/x.png"], "", "splits"),
        (["NORMAL/a.png"], "", "classes"),
        (["NORMAL/ward/2020/a.png", "NORMAL/b.png"], "", "classes"),
        (["a.png", "b.png"], "", "flat"),
        (["test/x.png", "NORMAL/x.png"], "", "classes"),
        (["set/a.png"], "", "classes"),
        ([], "", "flat"),
    ],
)
def test_layouts(paths: list[str], root: str, kind: str) -> None:
    found = recognise(paths)
    assert (found.root, found.kind) == (root, kind)
    assert recognise(reversed(paths)) == found


@pytest.mark.parametrize(
    ("paths", "path", "place"),
    [
        (["N/a", "P/b"], "N/deep/er/a", ("N", None)),
        (["N/a", "P/b"], "stray", (None, None)),
        (["s/N/a", "s/P/b"], "s/P/b", ("P", None)),
        (["train/N/a", "test/N/b"], "test/N/x/b", ("N", "held_out")),
        (["train/a", "val/b"], "val/b", (UNLABELLED, "validation")),
        (["train/N/a", "test/N/b"], "stray", (None, None)),
        (["a", "b"], "a", (UNLABELLED, None)),
    ],
)
def test_places(paths: list[str], path: str, place: tuple[str | None, str | None]) -> None:
    assert recognise(paths).place(path) == place


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


def test_a_missing_folder_under_a_root_is_left_for_listing_to_name(tmp_path: Path) -> None:
    for name in ("nowhere", "x" * 5000):
        with pytest.raises(InvalidValue, match="There is no folder"):
            listing(within_roots(name, [tmp_path]))


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
