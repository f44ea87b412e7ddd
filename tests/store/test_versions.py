"""The model library of two machines over one bucket, by a real S3 server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from library.atomic import new_folder, read_json
from library.digest import digest_file
from library.errors import NotFound, Unavailable
from library.latents import SCHEME
from library.settings import Settings
from library.store.bucket import BucketObjects
from library.store.objects import StoreAway
from library.store.shared import Store, open_store
from library.version_states import HELD, hold, release, retire
from library.versions import Broken, ModelLibrary, Version
from tests.store.bucket import BUCKET

Machine = Callable[[str], Store]


def published(
    library: ModelLibrary, weights: bytes, job: str | None = None, held: bool = False
) -> Version:
    with new_folder(library.folder / "chest") as folder:
        (folder / "model.safetensors").write_bytes(weights)
        sha256 = digest_file(folder / "model.safetensors")
        card: dict[str, Any] = {
            "digest": sha256,
            "architecture": {"family": "dcgan", "latent_dim": 100},
            "resolution": 64,
            "labels": [],
            "label_frequencies": [],
            "latents": SCHEME,
            "job": job,
            "training": {"steps": 5},
            "files": {"model.safetensors": {"bytes": len(weights), "sha256": sha256}},
        }
        if held:
            (folder / HELD).write_text('{"reason": "it waits"}')
        return library.publish("chest", folder, card)


def library_of(store: Store) -> ModelLibrary:
    return ModelLibrary(store.versions._folder, bundled=None, shared=store.versions)


def test_what_one_publishes_the_other_has(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    first = published(library_of(here), b"one")
    assert there.refresh()
    found = library_of(there).find("chest@1")
    found.verify()
    assert found.path != first.path
    for name in ("model.json", "model.safetensors"):
        assert (found.path / name).read_bytes() == (first.path / name).read_bytes()
    assert published(library_of(there), b"two").version == 2
    assert published(library_of(here), b"three").version == 3
    assert not there.refresh() or library_of(there).find("chest").version == 3
    # The same weights, or the same step of the same job, are one version everywhere.
    assert published(library_of(there), b"one").reference == "chest@1"
    assert published(library_of(here), b"four", job="job-4").version == 4
    assert published(library_of(there), b"other weights", job="job-4").version == 4


def test_the_choice_of_one_is_followed_by_the_other(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    for weights in (b"one", b"two"):
        published(library_of(here), weights)
    there.refresh()
    library_of(there).activate("chest@1")
    here.refresh()
    assert library_of(here).active() == "chest@1"


def test_held_and_retired_are_the_same_everywhere(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    version = published(library_of(here), b"one", held=True)
    there.refresh()
    (listed,) = library_of(there).versions()
    assert isinstance(listed, Broken)
    assert listed.reason == "it waits"
    release(version)
    here.versions.tell("chest", 1)
    there.refresh()
    other = library_of(there).find("chest@1")
    hold(other, "its report is red")
    there.versions.tell("chest", 1)
    here.refresh()
    (listed,) = library_of(here).versions()
    assert isinstance(listed, Broken)
    assert listed.reason == "its report is red"
    retire(version, "a patient withdrew", "delete")
    here.versions.tell("chest", 1)
    there.refresh()
    assert {path.name for path in other.path.iterdir()} == {"model.json", "retired.json"}
    late = machine("late")
    late.refresh()
    assert not (library_of(late).folder / "chest" / "1" / "model.safetensors").exists()
    (listed,) = library_of(late).versions()
    assert isinstance(listed, Broken)
    assert "a patient withdrew" in listed.reason
    # Nor do the weights lie in the bucket any more; the number is never another's.
    kept = json.loads(here.objects.read("state/models/chest/1.json"))["files"]
    assert list(here.objects.list("files/models/")) == [kept["model.json"]["object"]]
    assert published(library_of(late), b"new").version == 2


@pytest.mark.parametrize("how", ["cut short", "another byte", "gone", "no manifest"])
def test_a_version_that_was_meddled_with_is_never_served(machine: Machine, how: str) -> None:
    here, there = machine("here"), machine("there")
    published(library_of(here), b"the weights")
    key = "state/models/chest/1.json"
    if how != "no manifest":
        files = json.loads(here.objects.read(key))["files"]
        key = files["model.safetensors"]["object"]
    if how == "gone":
        here.objects.remove([key])
    else:
        here.objects.write(key, b"the weight" if how == "cut short" else b"the w?ights")
    published(library_of(here), b"good") if how != "no manifest" else None
    there.refresh()
    with pytest.raises(NotFound):
        library_of(there).find("chest@1")
    assert key in there.versions.damaged["chest@1"]
    if how != "no manifest":
        assert library_of(there).find("chest").version == 2  # the rest goes on
    assert not list(library_of(there).folder.glob("chest/.*"))


def test_what_a_folder_had_before_is_given(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    published(ModelLibrary(here.versions._folder, bundled=None), b"of before")
    published(ModelLibrary(there.versions._folder, bundled=None), b"of another")
    assert here.versions.adopt(library_of(here)) == []
    assert there.versions.adopt(library_of(there)) == ["chest@1"]  # which is another's by now
    assert published(library_of(here), b"new").version == 2


def test_publishes_at_once_get_numbers_of_their_own(machine: Machine) -> None:
    stores = [machine(f"machine-{i}") for i in range(3)]
    gate = threading.Barrier(len(stores))

    def publish(number: int) -> None:
        gate.wait()
        for each in range(2):
            published(library_of(stores[number]), f"{number} {each}".encode())

    with ThreadPoolExecutor(len(stores)) as pool:
        list(pool.map(publish, range(len(stores))))
    last = machine("last")
    last.refresh()
    found = library_of(last).whole()
    assert sorted(version.version for version in found) == list(range(1, 7))
    assert len({version.digest for version in found}) == 6
    for store in stores:  # each has its own under the numbers that all know them by
        for version in library_of(store).whole():
            assert version.digest == library_of(last).find(version.reference).digest


def test_without_the_store_nothing_is_published_by_halves(tmp_path: Path) -> None:
    store = open_store(Settings(data_dir=tmp_path / "data", store=f"file://{tmp_path}/gone"))
    assert store is not None
    with pytest.raises(StoreAway):
        published(library_of(store), b"one")
    assert library_of(store).versions() == []
    (tmp_path / "gone").mkdir()
    version = published(library_of(store), b"one")
    store_away = tmp_path / "gone"
    store_away.rename(tmp_path / "away")
    with pytest.raises(StoreAway):
        library_of(store).activate("chest@1")
    assert not (version.path.parent.parent / "active.json").exists()
    assert read_json(version.path / "model.json")["version"] == 1


def test_a_bucket_that_lets_two_claim_one_number_is_refused(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a bucket that does not know If-None-Match: it puts whatever comes."""
    here = machine("here")

    def create(key: str, content: bytes) -> bool:
        here.objects.write(key, content)
        return True

    monkeypatch.setattr(here.objects, "create", create)
    with pytest.raises(Unavailable, match="two create the same object"):
        published(library_of(here), b"one")
    assert here.objects.list("state/") == {}
    assert library_of(here).versions() == []


def test_a_bucket_that_deletes_nothing_is_told_of(machine: Machine) -> None:
    """It answers 200 and names what it has refused: what was withdrawn would stay."""
    here, there = machine("here"), machine("there")
    published(library_of(here), b"one")
    key = "files/models/chest/x"
    for name in (key, f"{key}y"):
        here.objects.write(name, b"")
    policy = json.dumps({
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": "*",
        },
    })  # fmt: skip
    assert isinstance(here.objects, BucketObjects)
    asked = here.objects._files.call_s3
    asked("put_bucket_policy", Bucket=BUCKET, Policy=policy)
    try:
        with pytest.raises(StoreAway, match=rf"does not delete .*{key} \(AccessDenied\), and 1"):
            here.objects.remove([key, f"{key}y"])
        with pytest.raises(StoreAway, match="does not delete"):
            published(library_of(there), b"two")
    finally:
        asked("delete_bucket_policy", Bucket=BUCKET)
    assert key in here.objects.list("files/models/")
    here.objects.remove([key, f"{key}y", "files/models/chest/never-there"])
    here.objects.remove([])
    assert not {key, f"{key}y"} & here.objects.list("files/models/").keys()
