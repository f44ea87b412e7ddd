"""ZIP answers: read by zipfile and by `unzip`, whatever the classes are called."""

from __future__ import annotations

import csv
import gc
import hashlib
import io
import json
import shutil
import struct
import subprocess
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from app.formats.archive import COLUMNS, ZipForm
from app.formats.encoding import FILE_FORMATS, Encoded
from app.formats.zipping import Entry, ZipWriter
from library.identity import Identity, Origin
from library.latents import SEED_MAX

ORIGIN = Origin("chest@1", "a" * 64, "b" * 64, "torch", "bfloat16", 0.7)
CARD = b"# chest@1\n"
BESIDE = {"manifest.csv", "manifest.jsonl"}
PNG = FILE_FORMATS["png"]

# Two that become one on every system, two on some; what would leave the folder; what is no text.
HOSTILE = [
    None, "", " ", ".", "..", "../../x", "/etc/x", "a/b", "a\\b", "a:b", "a_b", "C:x", "ä", "胸部",
    "samples", 'say "x"', "a,b", "line\nfeed", "carriage\rreturn", "tab\t", "x.", "x ", "x", "x-2",
    "\udc80", "\udcff", "\x7f", "-", "~", "$HOME", "%00", "<>|?*", "=1+1", "🫁", "a\u0301", "á",
]  # fmt: skip
WINDOWS = ["CON", "con", "Aux", "NUL.txt", "COM1", "LPT9.x"]
labels = st.none() | st.text(st.characters(exclude_categories=[]), max_size=12)
labels |= st.sampled_from(HOSTILE)

needs_unzip = pytest.mark.skipif(shutil.which("unzip") is None, reason="no unzip here")


def noise(count: int, side: int = 4, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side), np.uint8)


def parts_of(samples: Sequence[Identity], lengths: Sequence[int]) -> Iterator[slice]:
    start = 0
    for length in (*lengths, len(samples)):
        if start < len(samples):
            yield slice(start, min(start + length, len(samples)))
        start += length


def archive(
    samples: Sequence[Identity],
    levels: NDArray[np.uint8],
    lengths: Sequence[int] = (),
    card: bytes | None = CARD,
    repeats: bool = False,
) -> bytes:
    """The whole answer, its PNGs made in parts."""
    form = ZipForm(ORIGIN, PNG, card, repeats)
    body = [form.head()]
    for part in parts_of(samples, lengths):
        files = PNG.encoder()(levels[part], samples[part])
        body.append(form.chunk(Encoded(part.start, samples[part], levels[part], files)))
    return b"".join((*body, *form.tail()))


def opened(content: bytes) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(content))


def of_labels(*found: str | None) -> list[Identity]:
    return [Identity(ORIGIN, label, seed) for seed, label in enumerate(found)]


def rows_of(content: bytes) -> list[dict[str, Any]]:
    text = opened(content).read("manifest.jsonl").decode()
    return [json.loads(line) for line in text.split("\n")[:-1]]


def folders_of(content: bytes) -> dict[str | None, str]:
    return {row["label"]: row["file"].rpartition("/")[0] for row in rows_of(content)}


def check(content: bytes, samples: Sequence[Identity], levels: NDArray[np.uint8]) -> None:
    """Everything that an archive promises."""
    with opened(content) as read:
        assert read.testzip() is None
        names = read.namelist()
        assert len(set(names)) == len(names) == len(samples) + 3
        assert set(names) - {row["file"] for row in rows_of(content)} == {*BESIDE, "CARD.md"}
        assert read.read("CARD.md") == CARD
        rows = rows_of(content)
        assert len(rows) == len(samples)
        for row, sample, image in zip(rows, samples, levels, strict=True):
            assert row == {
                "file": row["file"],
                "label": sample.label,
                "seed": sample.seed,
                "truncation": 0.7,
                "sha256": hashlib.sha256(image).hexdigest(),
                "model": "chest@1",
                "version_digest": "a" * 64,
                "engine_digest": "b" * 64,
            }
            with Image.open(io.BytesIO(read.read(row["file"])), formats=["PNG"]) as file:
                assert np.array_equal(np.asarray(file), image)
            folder, _, name = row["file"].rpartition("/")
            assert folder not in ("", ".", "..")
            assert "/" not in folder
            assert "\\" not in folder
            assert str(sample.seed) in name
        # The same rows as CSV, where no label is an empty cell and lone surrogates are escaped.
        text = read.read("manifest.csv").decode()
        found = list(csv.reader(io.StringIO(text, newline="")))
        assert found[0] == list(COLUMNS)
        wanted = [["" if row[c] is None else str(row[c]) for c in COLUMNS] for row in rows]
        assert found[1:] == [
            [cell.encode(errors="backslashreplace").decode() for cell in row] for row in wanted
        ]


@settings(max_examples=60)
@given(found=st.lists(labels, min_size=1, max_size=12), lengths=st.lists(st.integers(1, 5)))
def test_files_and_manifests_agree(found: list[str | None], lengths: list[int]) -> None:
    samples, levels = of_labels(*found), noise(len(found))
    check(archive(samples, levels, lengths), samples, levels)


def test_every_hostile_class_has_a_folder_of_its_own() -> None:
    samples, levels = of_labels(*HOSTILE, *HOSTILE), noise(2 * len(HOSTILE))
    content = archive(samples, levels)
    check(content, samples, levels)
    folders = folders_of(content)
    assert len(folders) == len(set(folders.values())) == len(HOSTILE)


@pytest.mark.parametrize("first", ["x", "samples", "a:b", "a_b"])
@pytest.mark.parametrize("second", ["x-2", "", "a_b", "a?b", "x"])
def test_folders_that_would_be_one_are_two(first: str, second: str) -> None:
    folders = folders_of(archive(of_labels(first, second, "x", "x."), noise(4)))
    assert len(set(folders.values())) == len({first, second, "x", "x."})


def test_folders_that_differ_in_case_alone_are_two_on_every_system() -> None:
    """Windows and macOS would put both classes into one folder."""
    folders = folders_of(archive(of_labels("Normal", "NORMAL", "normal-2"), noise(3)))
    assert len({folder.casefold() for folder in folders.values()}) == 3


@pytest.mark.parametrize("label", WINDOWS)
def test_no_folder_is_a_device_of_windows(label: str) -> None:
    (folder,) = folders_of(archive(of_labels(label), noise(1))).values()
    devices = {"CON", "PRN", "AUX", "NUL"} | {f"{n}{i}" for n in ("COM", "LPT") for i in range(10)}
    assert folder.partition(".")[0].rstrip().upper() not in devices


@pytest.mark.parametrize("label", ["\udc80", "a\udcffb", "a\ud800"])
def test_what_is_no_text_becomes_a_name_that_windows_takes(label: str) -> None:
    (folder,) = folders_of(archive(of_labels(label), noise(1))).values()
    assert not set(folder) & set('<>:"/\\|?*')


@pytest.mark.parametrize("label", ["CARD.md", "manifest.csv", "manifest.jsonl", "card.MD"])
def test_no_folder_takes_the_name_of_a_file(label: str) -> None:
    (folder,) = folders_of(archive(of_labels(label), noise(1))).values()
    assert folder.casefold() not in {"card.md", "manifest.csv", "manifest.jsonl"}


def test_the_same_sample_twice_is_two_files() -> None:
    samples = of_labels("NORMAL", "NORMAL", "OTHER")
    samples = [*samples, samples[0], samples[0]._replace(label="OTHER"), samples[0]]
    levels = noise(len(samples))
    check(archive(samples, levels, [2], repeats=True), samples, levels)


@given(lengths=st.lists(st.integers(1, 9), max_size=9), repeats=st.booleans())
def test_the_same_bytes_however_it_was_cut(lengths: list[int], repeats: bool) -> None:
    samples, levels = of_labels(*["a", None, "b"] * 8), noise(24)
    whole = archive(samples, levels, repeats=repeats)
    assert archive(samples, levels, lengths, repeats=repeats) == whole


def test_without_a_card_there_is_none() -> None:
    assert set(opened(archive(of_labels("a"), noise(1), card=None)).namelist()) == {
        "a/0.png", *BESIDE,
    }  # fmt: skip


def test_the_largest_seed_is_told_exactly() -> None:
    samples, levels = [Identity(ORIGIN, None, SEED_MAX)], noise(1)
    check(archive(samples, levels), samples, levels)


@needs_unzip
@pytest.mark.parametrize("repeats", [False, True])
def test_unzip_takes_it_apart(tmp_path: Path, repeats: bool) -> None:
    names = [label for label in HOSTILE if label is None or label.isprintable()]
    samples, levels = of_labels(*names), noise(len(names))
    path = tmp_path / "answer.zip"
    path.write_bytes(archive(samples, levels, [3, 5], repeats=repeats))
    subprocess.run(["unzip", "-tq", path], check=True, capture_output=True)
    subprocess.run(["unzip", "-q", path, "-d", "out"], check=True, cwd=tmp_path)
    # Nothing outside, and as many files as there should be.
    assert set(tmp_path.iterdir()) == {path, tmp_path / "out"}
    files = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert len(files) == len(samples) + 3


# Beyond the limits of 16 and 32 bits


@pytest.mark.parametrize("entries", [65_535, 65_536, 66_000])
def test_many_files_are_found_again(tmp_path: Path, entries: int) -> None:
    count = entries - len(BESIDE)
    form = ZipForm(ORIGIN, PNG, None, False)
    path = tmp_path / "many.zip"
    with open(path, "wb") as file:
        for part in parts_of(range(count), [4096] * (count // 4096)):  # type: ignore[arg-type]
            samples = [Identity(ORIGIN, f"class {i % 3}", i) for i in range(part.start, part.stop)]
            files = [b"%d" % sample.seed for sample in samples]
            levels = np.zeros((len(samples), 1, 1), np.uint8)
            file.write(form.chunk(Encoded(part.start, samples, levels, files)))
        file.writelines(form.tail())
    with zipfile.ZipFile(path) as read:
        found = read.namelist()
        assert len(set(found)) == len(found) == entries
        for i in (0, 1, 65_000, count - 1):
            assert read.read(f"class {i % 3}/{i}.png") == b"%d" % i
        assert read.read("manifest.jsonl").count(b"\n") == count
        ends = Counter(name.partition("/")[0] for name in found)
        assert ends["class 0"] == -(-count // 3)
    if shutil.which("unzip") is not None:
        subprocess.run(["unzip", "-tqq", path], check=True, capture_output=True)


# The last offsets that 32 bits hold; 2**32 - 1 itself means: look in the ZIP64 fields.
@pytest.mark.parametrize("offset", [2**32 - 2, 2**32 - 1, 2**32, 2**32 + 12345, 2**40])
def test_an_offset_beyond_4_gib_is_in_zip64_fields(tmp_path: Path, offset: int) -> None:
    writer = ZipWriter()
    first, early = writer.file(b"early", b"1")
    writer.offset = offset
    second, late = writer.file(b"late", b"22")
    start = writer.offset
    directory = b"".join(writer.directory([first, second], 2))
    assert writer.offset == start + len(directory)

    wide = offset >= 2**32 - 1
    at = directory.index(b"PK\x01\x02", 4)  # the second entry
    version, size, told = (
        struct.unpack_from("<H", directory, at + 6)[0],
        struct.unpack_from("<H", directory, at + 30)[0],
        struct.unpack_from("<I", directory, at + 42)[0],
    )
    extra = directory[at + 46 + len(b"late") :][:size]
    assert (told, extra) == (
        (2**32 - 1, struct.pack("<HHQ", 1, 8, offset)) if wide else (offset, b"")
    )
    assert version == (45 if wide else 20)
    assert struct.unpack_from("<H", directory, 30)[0] == 0  # the first needs none
    end = directory.index(b"PK\x06\x06")
    assert struct.unpack_from("<IQHHIIQQQQ", directory, end)[6:] == (2, 2, end, start)
    assert struct.unpack_from("<IIQI", directory, end + 56) == (0x07064B50, 0, start + end, 1)
    assert struct.unpack("<IHHHHIIH", directory[end + 76 :]) == (
        0x06054B50, 0, 0, 2, 2, end, 2**32 - 1, 0,
    )  # fmt: skip

    # A file with a hole between its two files is read by others' programs.
    path = tmp_path / "sparse.zip"
    with open(path, "wb") as file:
        file.write(early)
        file.seek(offset)
        file.write(late + directory)
    with zipfile.ZipFile(path) as read:
        assert (read.read("early"), read.read("late")) == (b"1", b"22")


@pytest.mark.parametrize("start", [2**32 - 2, 2**32 - 1, 2**32])
def test_a_directory_at_the_limit_is_found(start: int) -> None:
    writer = ZipWriter()
    writer.offset = start
    directory = b"".join(writer.directory([Entry(b"x", 0, 0, 0, 0)], 1))
    told = struct.unpack_from("<I", directory, len(directory) - 6)[0]
    assert told == min(start, 2**32 - 1)
    assert (b"PK\x06\x06" in directory) == (told == 2**32 - 1)


def test_the_archive_keeps_no_image() -> None:
    form = ZipForm(ORIGIN, PNG, CARD, False)
    form.head()
    images = 4000

    def feed(start: int) -> None:
        samples = [Identity(ORIGIN, "NORMAL", i) for i in range(start, start + 100)]
        files = [bytes(5000) for _ in samples]
        form.chunk(Encoded(start, samples, np.zeros((100, 64, 64), np.uint8), files))

    feed(0)
    gc.collect()
    tracemalloc.start()
    try:
        for start in range(100, 100 + images, 100):
            feed(start)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 32 * images < kept <= 100 * images  # bytes; a SHA-256 alone is 32
