"""The model library: what is listed, why something cannot be used, and how numbers are claimed."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from library.atomic import new_folder
from library.digest import digest_file, digest_version
from library.errors import InvalidValue, NotFound, Unusable
from library.latents import SCHEME
from library.versions import Broken, ModelLibrary, Version, label_index


def publish(library: ModelLibrary, name: str = "chest", weights: bytes = b"weights") -> Version:
    """A version with all that the library looks at; the library never opens the weights."""
    with new_folder(library.folder / name) as folder:
        (folder / "model.safetensors").write_bytes(weights)
        sha256 = digest_file(folder / "model.safetensors")
        card = {
            "digest": sha256,
            "architecture": {"family": "dcgan", "latent_dim": 100},
            "resolution": 64,
            "labels": ["NORMAL", "PNEUMONIA"],
            "label_frequencies": [0.25, 0.75],
            "latents": SCHEME,
            "files": {"model.safetensors": {"bytes": len(weights), "sha256": sha256}},
        }
        return library.publish(name, folder, card)


@pytest.fixture
def library(tmp_path: Path) -> ModelLibrary:
    return ModelLibrary(tmp_path / "models", bundled=None)


def edit(version: Version, **changes: Any) -> None:
    path = version.path / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def reason(library: ModelLibrary, name: str = "chest") -> str:
    """Why the only version cannot be used: listed, and told by `find`."""
    (found,) = [v for v in library.versions() if v.name == name]
    assert isinstance(found, Broken)
    with pytest.raises(Unusable) as caught:
        library.find(name)
    assert found.reason in str(caught.value)
    return found.reason


# Published


def test_a_version_is_read_as_it_was_published(library: ModelLibrary) -> None:
    published = publish(library)
    (read,) = library.versions()
    assert read == published
    assert published.reference == "chest@1"
    assert published.path == library.folder / "chest" / "1"
    assert (published.resolution, published.latent_dim) == (64, 100)
    assert published.labels == ["NORMAL", "PNEUMONIA"]
    assert published.label_frequencies == [0.25, 0.75]
    assert published.private
    published.verify()
    assert [path.name for path in (library.folder / "chest").iterdir()] == ["1"]


def test_versions_are_listed_by_name_and_newest_first(library: ModelLibrary) -> None:
    for name in ("b", "a", "b"):
        publish(library, name)
    for _ in range(9):
        publish(library, "a")
    listed = [(v.name, v.version) for v in library.versions()]
    assert listed == [*(("a", n) for n in range(10, 0, -1)), ("b", 2), ("b", 1)]


def test_a_name_means_its_newest_usable_version(library: ModelLibrary) -> None:
    first, second, third = (publish(library) for _ in range(3))
    assert library.find("chest") == third
    assert library.find("chest@2") == second
    edit(third, schema=99)
    assert library.find("chest") == second
    with pytest.raises(Unusable):
        library.find("chest@3")
    assert library.find("chest@1") == first


@pytest.mark.parametrize(
    "reference", ["other", "chest@9", "chest@0", "chest@01", "chest@", "", "@1", "../chest", "ché"]
)
def test_what_is_not_there_is_named_beside_what_is(reference: str, library: ModelLibrary) -> None:
    publish(library)
    with pytest.raises(NotFound, match="models here are: chest"):
        library.find(reference)


def test_an_empty_library_says_how_to_get_a_model(library: ModelLibrary) -> None:
    assert library.versions() == []
    for reference in (None, "chest"):
        with pytest.raises(NotFound, match=r"[Tt]rain one"):
            library.find(reference)


def test_bundled_versions_are_read_in_place_and_numbers_go_on_from_them(tmp_path: Path) -> None:
    bundled = ModelLibrary(tmp_path / "bundled", bundled=None)
    shipped = publish(bundled)
    library = ModelLibrary(tmp_path / "models", bundled=tmp_path / "bundled")
    assert library.find("chest") == shipped
    mine = publish(library)
    assert mine.reference == "chest@2"
    assert mine.path.parent == tmp_path / "models" / "chest"
    assert [v.version for v in library.versions()] == [2, 1]


def test_a_label_is_an_index_or_refused_with_those_there_are(library: ModelLibrary) -> None:
    version = publish(library)
    assert label_index(version, "PNEUMONIA") == 1
    assert label_index(version, None) is None
    with pytest.raises(InvalidValue, match="NORMAL, PNEUMONIA"):
        label_index(version, "normal")
    edit(version, labels=[], label_frequencies=[])
    with pytest.raises(InvalidValue, match="without classes"):
        label_index(library.find("chest"), "NORMAL")


# Active


def test_the_active_version_is_the_operator_s_choice(library: ModelLibrary) -> None:
    publish(library, "a")
    publish(library, "b")
    assert library.active() == "a@1"  # none chosen: the first that is usable
    library.activate("b")
    assert library.active() == "b@1"
    assert ModelLibrary(library.folder, bundled=None).find(None).reference == "b@1"
    with pytest.raises(NotFound):
        library.activate("c")
    assert library.active() == "b@1"


def test_generation_survives_an_active_version_that_is_gone(library: ModelLibrary) -> None:
    publish(library, "a")
    publish(library, "b")
    library.activate("b")
    shutil.rmtree(library.folder / "b")
    assert library.find(None).reference == "a@1"


def test_a_broken_version_cannot_be_activated(library: ModelLibrary) -> None:
    publish(library, "a")
    edit(publish(library, "b"), schema=99)
    with pytest.raises(Unusable):
        library.activate("b")
    assert library.find(None).reference == "a@1"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null", '{"model": }', "\0"])
def test_a_damaged_choice_is_no_choice(content: str, library: ModelLibrary) -> None:
    publish(library)
    (library.folder / "active.json").write_text(content)
    assert library.find(None).reference == "chest@1"


def test_the_bundled_choice_counts_until_there_is_another(tmp_path: Path) -> None:
    bundled = ModelLibrary(tmp_path / "bundled", bundled=None)
    publish(bundled, "a")
    publish(bundled, "b")
    bundled.activate("b")
    library = ModelLibrary(tmp_path / "models", bundled=tmp_path / "bundled")
    assert library.find(None).reference == "b@1"
    library.activate("a")
    assert library.find(None).reference == "a@1"
    assert bundled.find(None).reference == "b@1"


# Broken


def test_a_version_without_its_card_is_broken(library: ModelLibrary) -> None:
    (publish(library).path / "model.json").unlink()
    assert reason(library) == "model.json is missing"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"schema": 1', b"\xff\xfe\x00", b"[" * 100_000, b"1" * 5000],
    ids=lambda c: str(c)[:14],
)
def test_a_card_that_is_no_json_is_broken(content: bytes, library: ModelLibrary) -> None:
    (publish(library).path / "model.json").write_bytes(content)
    assert reason(library).startswith("model.json cannot be read")


@pytest.mark.parametrize("content", ["null", "[]", '"x"', "{}", '{"schema": 2}'])
def test_a_card_of_another_format_is_broken(content: str, library: ModelLibrary) -> None:
    (publish(library).path / "model.json").write_text(content)
    assert "format that this version of Synthorax does not know" in reason(library)


@pytest.mark.parametrize("key", ["digest", "architecture", "resolution", "labels", "files"])
def test_a_card_that_lacks_something_says_what(key: str, library: ModelLibrary) -> None:
    path = publish(library).path / "model.json"
    card = json.loads(path.read_text())
    del card[key]
    path.write_text(json.dumps(card))
    assert reason(library) == f"model.json lacks {key}"


def test_unknown_latents_are_not_drawn_as_if_they_were_known(library: ModelLibrary) -> None:
    edit(publish(library), latents="philox-2")
    assert "philox-2" in reason(library)


def test_a_half_copied_version_is_broken(library: ModelLibrary) -> None:
    version = publish(library)
    weights = version.path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert reason(library) == "model.safetensors has 6 bytes instead of 7"
    weights.unlink()
    assert reason(library) == "model.safetensors is missing"


def test_one_broken_version_hides_no_other(library: ModelLibrary) -> None:
    edit(publish(library, "a"), schema=99)
    publish(library, "b")
    (library.folder / "stray.txt").write_text("x")
    (library.folder / "b" / "notes").mkdir()
    (library.folder / "b" / "²").mkdir()
    (library.folder / "b" / "007").mkdir()
    assert [(type(v), v.name, v.version) for v in library.versions()] == [
        (Broken, "a", 1),
        (Version, "b", 1),
    ]
    assert library.find(None).name == "b"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


@settings(max_examples=150)
@given(data=st.data())
def test_whatever_a_card_holds_it_is_listed_and_never_raises(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    base = tmp_path_factory.getbasetemp() / "cards"
    library = ModelLibrary(base, bundled=None)
    path = base / "chest" / "1" / "model.json"
    whole = path.with_name("whole")
    if not base.exists():
        publish(library)
        whole.write_bytes(path.read_bytes())
    card = json.loads(whole.read_text())
    place: Any = card
    while True:
        key = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    if data.draw(st.booleans()):
        place[key] = data.draw(json_values)
    else:
        place[data.draw(st.text(max_size=5))] = place.pop(key)
    path.write_text(json.dumps(card))
    (listed,) = library.versions()
    if isinstance(listed, Broken):
        assert listed.reason
        return
    # What is not broken has everything that the service reads.
    assert isinstance(listed.digest, str)
    assert isinstance(listed.resolution, int)
    assert isinstance(listed.latent_dim, int)
    assert len(listed.labels) == len(listed.label_frequencies)
    assert isinstance(listed.private, bool)
    try:
        listed.verify()
    except Unusable as error:
        told = str(error)
    else:
        told = "SHA-256"
    assert "SHA-256" in told


# verify


def test_a_flipped_bit_is_detected(library: ModelLibrary) -> None:
    version = publish(library, weights=bytes(range(256)) * 40)
    version.verify()
    path = version.path / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    assert isinstance(library.versions()[0], Version)  # listing does not read the weights
    with pytest.raises(Unusable, match="SHA-256 differs"):
        version.verify()


def test_weights_that_vanish_are_detected(library: ModelLibrary) -> None:
    version = publish(library)
    (version.path / "model.safetensors").unlink()
    with pytest.raises(Unusable, match="not the file that was published"):
        version.verify()


# Numbers


def test_numbers_claimed_at_once_are_all_different(library: ModelLibrary) -> None:
    count = 12
    start = threading.Barrier(count)
    claimed: list[Version] = []

    def race(number: int) -> None:
        start.wait()
        claimed.append(publish(library, weights=b"%d" % number))

    threads = [threading.Thread(target=race, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(version.version for version in claimed) == list(range(1, count + 1))
    for version in claimed:
        assert library.find(version.reference) == version
        version.verify()


def _publish_many(folder: str, count: int) -> None:
    for _ in range(count):
        publish(ModelLibrary(Path(folder), bundled=None))


def test_processes_do_not_take_each_other_s_numbers(library: ModelLibrary) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_publish_many, args=(str(library.folder), 8)) for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert [v.version for v in library.versions()] == list(range(16, 0, -1))
    assert all(isinstance(v, Version) for v in library.versions())


def test_a_number_that_something_else_holds_is_passed_over(library: ModelLibrary) -> None:
    (library.folder / "chest").mkdir(parents=True)
    (library.folder / "chest" / "1").write_text("a file, not a version")
    (library.folder / "chest" / "4").mkdir()
    assert publish(library).reference == "chest@5"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_passed_over(library: ModelLibrary) -> None:
    locked = publish(library).path
    locked.chmod(0)
    assert publish(library).reference == "chest@2"
    assert [v.version for v in library.versions()] == [2]
    locked.chmod(0o700)


def test_a_version_is_found_by_its_digest(library: ModelLibrary) -> None:
    version = publish(library)
    publish(library, weights=b"others")
    assert library.with_digest("chest", version.digest) == version
    assert library.with_digest("other", version.digest) is None
    assert library.with_digest("chest", "0" * 64) is None


# Digests


def test_a_digest_is_of_content_not_of_its_order() -> None:
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(3, np.float16)
    first = digest_version({"x": 1, "y": 2}, {"a": a, "b": b})
    assert digest_version({"y": 2, "x": 1}, {"b": b.copy(), "a": np.asfortranarray(a)}) == first
    flipped = a.copy()
    flipped[1, 2] = np.nextafter(flipped[1, 2], np.float32(9))
    others = [
        digest_version({"x": 1, "y": 3}, {"a": a, "b": b}),
        digest_version({"x": 1, "y": 2}, {"a": flipped, "b": b}),
        digest_version({"x": 1, "y": 2}, {"a": a.reshape(3, 2), "b": b}),
        digest_version({"x": 1, "y": 2}, {"a": a.view(np.int32), "b": b}),
        digest_version({"x": 1, "y": 2}, {"a": a, "c": b}),
        digest_version({"x": 1, "y": 2}, {"a": a}),
    ]
    assert len({first, *others}) == 7


@given(
    st.dictionaries(st.text(max_size=3), st.lists(st.integers(0, 255), max_size=4), max_size=3),
    st.dictionaries(st.text(max_size=3), st.lists(st.integers(0, 255), max_size=4), max_size=3),
)
def test_two_sets_of_tensors_have_one_digest_only_when_they_are_equal(
    one: dict[str, list[int]], two: dict[str, list[int]]
) -> None:
    def digest(tensors: dict[str, list[int]]) -> str:
        return digest_version({}, {k: np.array(v, np.uint8) for k, v in tensors.items()})

    assert (digest(one) == digest(two)) == (one == two)
