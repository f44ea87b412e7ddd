"""The Python client on a real service: images, sets of them, errors, and restarts in between."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import pickle
import shutil
import signal
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from synthorax import (
    AsyncClient,
    Client,
    Conflict,
    ConnectionFailed,
    EngineChanged,
    InvalidRequest,
    JobFailed,
    NotFound,
    SynthoraxError,
)
from synthorax.events import Event, MetricEvent, StatusEvent, parse_event
from synthorax.exports import write_parquet, write_webdataset
from synthorax.samples import SampleSet
from tests.service.conftest import IMAGES, TINY, Service, wait_until
from tests.sets import packed

MODEL = "tiny@2"
COUNTS = {"NORMAL": 30, "PNEUMONIA": 20}


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[Client]:
    with Client(service.url) as found:
        yield found


def test_a_batch_is_what_the_service_draws(service: Service, client: Client) -> None:
    batch = client.generate("NORMAL", 3, seed=5, model=MODEL, truncation=0.7)
    assert batch.images.shape == (3, 64, 64)
    assert batch.seeds.tolist() == [5, 6, 7]
    assert batch.labels == ["NORMAL"] * 3
    assert (batch.model, batch.truncation) == (MODEL, 0.7)
    answer = service.http.post(
        "/generate",
        json={"label": "NORMAL", "count": 3, "seed": 5, "model": MODEL, "truncation": 0.7},
    ).json()
    assert batch.digest == answer["model"]["digest"]
    assert batch.engine == answer["engine"]["digest"]
    for sample, told in zip(batch, answer["images"], strict=True):
        assert sample.sha256 == told["sha256"]
        with Image.open(io.BytesIO(service.http.get(sample.url).content)) as served:
            assert np.array_equal(np.asarray(served), sample.array)
        assert client.verify(sample.png())["sample"]["seed"] == sample.seed
    assert batch[1:].seeds.tolist() == [6, 7]
    assert batch[-1].seed == 7


def test_a_seed_that_is_not_given_is_drawn_here(client: Client) -> None:
    one, other = (client.generate(count=2, model=MODEL) for _ in range(2))
    assert one.seeds.tolist() != other.seeds.tolist()
    again = client.generate(seed=int(one.seeds[0]), count=2, model=MODEL)
    assert np.array_equal(again.images, one.images)


def test_items_have_their_own_seeds_and_classes(client: Client) -> None:
    items = [("PNEUMONIA", 9), ("NORMAL", 9), (None, 4)]
    batch = client.generate(items=items, model=MODEL)
    assert batch.seeds.tolist() == [9, 9, 4]
    assert batch.labels[:2] == ["PNEUMONIA", "NORMAL"]
    with pytest.raises(SynthoraxError, match="not both"):
        client.generate("NORMAL", items=items)


def test_more_than_an_answer_holds_comes_in_parts(client: Client) -> None:
    batch = client.generate("NORMAL", 4100, seed=1, model=MODEL)
    assert batch.seeds.tolist() == list(range(1, 4101))
    alone = client.generate("NORMAL", 1, seed=4100, model=MODEL)
    assert np.array_equal(batch.images[-1], alone.images[0])


def test_a_batch_is_kept_as_files(client: Client, tmp_path: Path) -> None:
    batch = client.generate("NORMAL", 3, seed=5, model=MODEL)
    manifest = batch.save(tmp_path / "files")
    with open(manifest, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, sample in zip(rows, batch, strict=True):
        with Image.open(tmp_path / "files" / row["file"]) as picture:
            assert np.array_equal(np.asarray(picture), sample.array)
            assert json.loads(picture.info["synthorax"])["seed"] == sample.seed
        assert row["sha256_of_pixels"] == sample.sha256
    with np.load(batch.save_npz(tmp_path / "batch.npz")) as arrays:
        assert np.array_equal(arrays["images"], batch.images)
    shown = batch._repr_html_()
    assert shown.count("<img") == 3
    assert "not for diagnostic use" in shown


def test_samples_come_as_dicom_datasets(client: Client) -> None:
    batch = client.generate("PNEUMONIA", 3, 5)
    found = client.dicom("PNEUMONIA", 3, 5)
    assert [each.SyntheticData for each in found] == ["YES"] * 3
    assert np.array_equal([each.pixel_array for each in found], batch.images)


def test_a_download_is_whole_or_not_there(client: Client, tmp_path: Path) -> None:
    told: list[int] = []
    path = client.download(
        tmp_path / "a" / "set.zip", "NORMAL", 20, 5, model=MODEL, progress=told.append
    )
    assert told[-1] == path.stat().st_size
    with pytest.raises(InvalidRequest):
        client.download(tmp_path / "b.zip", "COVID", 2, model=MODEL)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "set.zip"]


def test_a_refusal_names_field_value_and_remedy(client: Client) -> None:
    with pytest.raises(InvalidRequest) as refused:
        client.generate("COVID", model=MODEL)
    error = refused.value
    assert error.status_code == 422
    assert error.errors[0]["field"] == "label"
    assert error.errors[0]["given"] == "COVID"
    with pytest.raises(NotFound):
        client.models.get("nobody@1")
    with pytest.raises(NotFound):
        client.jobs.get("job-that-never-was")
    with Client("http://127.0.0.1:9") as nobody, pytest.raises(ConnectionFailed) as away:
        nobody.models.list()
    assert "synthorax serve" in str(away.value.hint)


def test_the_twin_draws_the_same(service: Service, client: Client) -> None:
    async def drawn() -> tuple[np.ndarray, list[int], int]:
        async with AsyncClient(service.url) as twin:
            batch = await twin.generate("NORMAL", 3, seed=5, model=MODEL)
            seeds: list[int] = []
            async for part in twin.stream("NORMAL", 7, batch_size=4, model=MODEL):
                seeds += part.seeds.tolist()
                if len(seeds) == 8:
                    break
            found = await twin.samples(COUNTS, seed=3, model=MODEL)
            return batch.images, seeds, len(found)

    images, seeds, size = asyncio.run(drawn())
    assert np.array_equal(images, client.generate("NORMAL", 3, seed=5, model=MODEL).images)
    assert seeds == list(range(7, 15))
    assert size == sum(COUNTS.values())


@pytest.fixture(scope="module")
def samples(client: Client) -> SampleSet:
    return client.samples(COUNTS, seed=100, model=MODEL)


@pytest.fixture(scope="module")
def every(samples: SampleSet) -> np.ndarray:
    return samples.fetch(range(len(samples)))[0]


def test_a_set_is_a_function_of_its_place(
    client: Client,
    samples: SampleSet,
    every: np.ndarray,
) -> None:
    assert samples.item(0) == ("NORMAL", 100)
    assert samples.item(30) == ("PNEUMONIA", 130)
    assert samples.targets == [0] * 30 + [1] * 20
    images, targets = samples.fetch([49, 0, 30, 0])
    assert np.array_equal(images, every[[49, 0, 30, 0]])
    assert targets.tolist() == [1, 0, 1, 0]
    alone = client.generate("PNEUMONIA", 1, seed=130, model=MODEL)
    assert np.array_equal(alone.images[0], every[30])
    parts = list(samples.batches(16, shuffle=1))
    assert [len(part) for part, _ in parts] == [16, 16, 16, 2]
    assert sum(int(t.sum()) for _, t in parts) == 20
    with pytest.raises(IndexError):
        samples.item(50)
    with pytest.raises(SynthoraxError, match="at least one image"):
        client.samples({"NORMAL": 0}, model=MODEL)


def test_classes_may_be_drawn_by_the_seeds(client: Client) -> None:
    drawn = client.samples(40, seed=1, model=MODEL)
    _, targets = drawn.fetch(range(40))
    assert drawn.classes == ["NORMAL", "PNEUMONIA"]
    wanted = client.generate(count=40, seed=1, model=MODEL).labels
    assert [drawn.classes[target] for target in targets] == wanted
    with pytest.raises(SynthoraxError, match="drawn by the seeds"):
        _ = drawn.targets


def test_what_lies_in_the_cache_is_not_asked_for_again(
    client: Client,
    every: np.ndarray,
    tmp_path: Path,
) -> None:
    cached = client.samples(COUNTS, seed=100, model=MODEL, cache_dir=tmp_path)
    assert np.array_equal(cached.fetch([3, 40])[0], every[[3, 40]])
    # Another object, as another process would have it, with no service behind it.
    alone: SampleSet = pickle.loads(pickle.dumps(cached))  # noqa: S301  ours
    alone._connection = ("http://127.0.0.1:9", None, 0.0)
    images, targets = alone.fetch([40, 3])
    assert np.array_equal(images, every[[40, 3]])
    assert targets.tolist() == [1, 0]
    with pytest.raises(ConnectionFailed):
        alone.fetch([4])
    # A row that was half written does not count as there.
    (path,) = tmp_path.rglob("images.u8")
    with open(path, "r+b") as file:
        file.seek(3 * 64 * 64 + 7)
        file.write(b"\x00\xff\x00\xff")
    assert np.array_equal(cached.fetch([3])[0][0], every[3])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache", [False, True])
def test_a_loader_yields_the_same_bytes_in_any_order(
    client: Client,
    every: np.ndarray,
    tmp_path: Path,
    workers: int,
    cache: bool,
) -> None:
    dataset = client.dataset(COUNTS, seed=100, model=MODEL, cache_dir=tmp_path if cache else None)
    assert dataset.class_to_idx == {"NORMAL": 0, "PNEUMONIA": 1}
    torch.manual_seed(1)
    order = torch.randperm(len(dataset)).tolist()
    loader = DataLoader(
        dataset, batch_size=8, sampler=order, num_workers=workers,
        multiprocessing_context="fork" if workers else None,
    )  # fmt: skip
    images = torch.cat([batch for batch, _ in loader])
    assert images.dtype == torch.float32
    assert images.shape == (50, 1, 64, 64)
    wanted = torch.from_numpy(every[order]).unsqueeze(1).float() / 255
    assert torch.equal(images, wanted)


def test_a_transform_is_given_a_picture(client: Client) -> None:
    dataset = client.dataset(
        COUNTS, seed=100, model=MODEL, transform=lambda picture: picture.size,
        target_transform=lambda target: -target,
    )  # fmt: skip
    assert dataset[30] == ((64, 64), -1)


def test_an_engine_that_changed_is_said(samples: SampleSet) -> None:
    other: SampleSet = pickle.loads(pickle.dumps(samples))  # noqa: S301  ours
    object.__setattr__(other.pinned, "engine", "0" * 64)
    with pytest.raises(EngineChanged, match="engine is another one"):
        other.fetch([0])


def test_shards_for_other_tools(
    samples: SampleSet,
    every: np.ndarray,
    tmp_path: Path,
) -> None:
    told: list[tuple[int, int]] = []
    paths = write_webdataset(samples, tmp_path / "web", 20, lambda *so: told.append(so))
    assert told == [(20, 50), (40, 50), (50, 50)]
    before = [path.read_bytes() for path in paths]
    paths[1].unlink()
    assert write_webdataset(samples, tmp_path / "web", 20) == paths
    assert [path.read_bytes() for path in paths] == before
    with tarfile.open(paths[2]) as archive:
        names = archive.getnames()
        picture = archive.extractfile("0000000000000149.png")
        target = archive.extractfile("0000000000000149.cls")
        assert picture is not None
        assert target is not None
        assert np.array_equal(np.asarray(Image.open(picture)), every[49])
        assert target.read() == b"1"
    assert len(names) == 30
    with pytest.raises(SynthoraxError, match="another export"):
        write_webdataset(samples, tmp_path / "web", 10)
    parquet = pytest.importorskip("pyarrow.parquet")
    (path,) = write_parquet(samples, tmp_path / "parquet", 50)
    table = parquet.read_table(path)
    assert table.column("seed").to_pylist() == list(range(100, 150))
    stored = table.column("image")[49].as_py()["bytes"]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(stored))), every[49])


def test_a_job_is_followed_by_its_events(client: Client, dataset: Path) -> None:
    told: list[Event] = []
    job = client.train(dataset, "followed", "quick", TINY)
    assert job.wait(progress=told.append).model == "followed@1"
    metrics = [event for event in told if isinstance(event, MetricEvent)]
    assert metrics[-1].fraction == 1
    assert [e.status for e in told if isinstance(e, StatusEvent)][-1] == "succeeded"
    assert len({event.id for event in told}) == len(told)
    again = client.jobs.get(job.id)
    assert again.ended
    assert [e.id for e in again.events(after=told[-2].id)] == [told[-1].id]
    assert [line["scope"] for line in job.history()] == [event.scope for event in metrics]
    assert job.id in {each.id for each in client.jobs.list("succeeded")}
    with pytest.raises(Conflict):
        job.finish()
    twin = job.clone(config={"epochs": 1, "seed": 9})
    assert twin.wait(timeout=300).record["cloned_from"] == job.id
    twin.delete()
    with pytest.raises(NotFound):
        twin.reload()


def test_a_job_that_ends_without_a_version_raises(client: Client, dataset: Path) -> None:
    job = client.train(dataset, "never", "quick", {**TINY, "epochs": 4000})
    with pytest.raises(TimeoutError, match="goes on"):
        job.wait(timeout=0)
    job.cancel()
    with pytest.raises(JobFailed) as failed:
        job.wait()
    assert failed.value.record["status"] == "cancelled"


def test_the_same_key_makes_one_job(client: Client, dataset: Path) -> None:
    jobs = [client.train(dataset, "once", "quick", TINY, key="the-same") for _ in range(2)]
    assert jobs[0].id == jobs[1].id
    jobs[0].wait()


def test_a_folder_elsewhere_and_a_zip_are_uploaded(client: Client, tmp_path: Path) -> None:
    elsewhere = Path(shutil.copytree(IMAGES, tmp_path / "elsewhere"))
    job = client.train(elsewhere, "uploaded", "quick", {**TINY, "epochs": 1})
    assert job.record["dataset"]["path"] is None
    assert job.wait().model == "uploaded@1"
    sent: list[tuple[int, int]] = []
    next((elsewhere / "NORMAL").iterdir()).unlink()  # the same content would be the same dataset
    archive = packed(elsewhere, tmp_path / "images.zip")
    found = client.datasets.add(archive, "by hand", progress=lambda *so: sent.append(so))
    assert (found["status"], found["name"]) == ("ready", "by hand")
    assert sent[-1] == (archive.stat().st_size,) * 2
    assert found["id"] in {each["id"] for each in client.datasets.list()}
    client.datasets.delete(found["id"])
    with pytest.raises(NotFound):
        client.datasets.get(found["id"])
    with pytest.raises(SynthoraxError, match="no folder and no ZIP"):
        client.datasets.upload(tmp_path / "nothing.zip")


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.long)]
)
def test_an_end_of_the_service_under_wait_and_under_a_loader(
    own_service: Service, dataset: Path, number: signal.Signals
) -> None:
    with Client(own_service.url) as client:
        _through_an_end(client, own_service, dataset, number)


def _through_an_end(
    client: Client, own_service: Service, dataset: Path, by: signal.Signals
) -> None:
    job = client.train(dataset, "through", "quick", {**TINY, "epochs": 60})
    told: list[Event] = []
    waiting = threading.Thread(target=lambda: job.wait(progress=told.append))
    waiting.start()
    loaded = client.dataset(COUNTS, seed=100, model="chest-xray-turbo@2")
    wanted = loaded.samples.fetch(range(50))[0]
    loader = DataLoader(
        loaded, batch_size=5, num_workers=2, prefetch_factor=1, multiprocessing_context="fork"
    )
    batches = []
    for number, (images, _) in enumerate(loader):
        batches.append(images)
        if number == 1:
            wait_until(lambda: any(isinstance(event, MetricEvent) for event in told))
            assert own_service.stop(by) == (0 if by == signal.SIGTERM else -by)
            starting = threading.Timer(2, own_service.start)
            starting.start()
    assert torch.equal(torch.cat(batches), torch.from_numpy(wanted).unsqueeze(1).float() / 255)
    starting.join()
    waiting.join(timeout=300)
    assert not waiting.is_alive()
    assert job.status == "succeeded"
    assert isinstance(told[-1], StatusEvent)


def test_what_a_newer_service_tells_is_kept() -> None:
    event = parse_event({"type": "novelty", "time": "now", "job": "j", "more": 1}, "5-0")
    assert (type(event), event.id, event.raw["more"]) == (Event, "5-0", 1)
    event = parse_event({"type": "sample", "time": "now", "job": "j", "epoch": 3, "more": 1})
    assert event.raw["more"] == 1
