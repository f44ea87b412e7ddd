"""Archives: what is in them, what damages do, and a kill at any moment."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from library.atomic import write_json
from library.backup import archive as archives
from library.backup.archive import Writer, read
from library.backup.contents import Contents, in_place
from library.backup.guard import refuse_half_restored
from library.datasets.choices import WHOLE
from library.datasets.records import begin_upload, change_record, folder_of
from library.errors import Conflict, SynthoraxError, Unusable
from synthorax.local.backup import backup
from synthorax.local.backup import verify as verify_archive
from synthorax.local.restore import restore
from tests.valkey import Server
from worker import dump, keys
from worker.jobs import JobStore

HEAD = {"synthorax": "0", "created": "2026-01-01T00:00:00+00:00", "keys": 0}
REQUEST: dict[str, Any] = {"model": "tiny", "preset": "quick", "config": {}, "dataset": {},
                           "metadata": {}}  # fmt: skip


def nothing(*_: Any) -> None:
    pass


def fill(data_dir: Path) -> None:
    """A data folder with a file of each sort, and what no backup holds."""
    kept = {
        "models/active.json": b'{"model": "tiny@1"}',
        "models/tiny/1/model.json": b"{}",
        "models/tiny/1/model.safetensors": bytes(range(256)) * 300,
        "reports/aa/rp-1.json": b"{}",
        "reports/aa/rp-1/report.json": b"{}",
        "runs/job-1/checkpoints/0000000010.safetensors": b"ten",
        "runs/job-1/checkpoints/0000000020.safetensors": b"twenty",
        "runs/job-1/metrics.jsonl": b'{"images": 1}\n',
        "reader-studies/rs-1/key.json": b"{}",
        "reader-studies/rs-1/items.bin": b"items",
        "reader-studies/rs-1/readers/rd-1.jsonl": b'{"event": "consent"}\n',
        "studies/st-1/study.json": b"{}",
        "studies/st-1/units/prepare.json": b"{}",
        "studies/st-1/generators/g/metrics.jsonl": b'{"images": 1}\n',
        "studies/st-1/generators/g/checkpoints/0000000010.safetensors": b"ten",
        "studies/st-1/work/images.npy": b"pixels",
        "images/\udcff\udcfe.png": b"a name that is no UTF-8",
        "images/empty": b"",
        "keys.json": b"{}",
        "audit.jsonl": b'{"time": 1}\n{"time": 2}\n',
    }  # fmt: skip
    left_out = (
        "redis/appendonly.aof", "decoded/a.npy", "features/a.npz", "exports/x.part", "serve.lock",
        "signing.key", "sessions-ended/0123",
        ".keys.json.lock", "runs/job-1/lock", "runs/job-1/job.lock",
        "runs/.deleted-job-2/request.json", "models/tiny/.job-3.abc.tmp/model.onnx",
        "reader-studies/rs-1/.lock", "reader-studies/rs-1/readers/.rd-1.lock",
        "reader-studies/.deleted-rs-2/key.json", "datasets/.incoming/x.zip", "datasets/.lock",
        "runs/job-1/checkpoints/.0030.ab.tmp",
    )  # fmt: skip
    for name, content in [*kept.items(), *((name, b"not kept") for name in left_out)]:
        path = data_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    dataset = {"content": "c-1", "status": "ready", "path": None}
    write_json(data_dir / "datasets" / "ds-1.json", dataset)
    folder = data_dir / "datasets" / "ds-1"
    (folder / "c-1").mkdir(parents=True)
    (folder / "c-1" / "index.sqlite").write_bytes(b"rows")
    (folder / "salt").write_bytes(b"salt")


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def packed(data_dir: Path, **options: Any) -> bytes:
    out = io.BytesIO()
    archive = Writer(out, HEAD)
    archive.add_bytes(archives.REDIS, b"")
    Contents(data_dir, **options).copy(archive)
    archive.finish()
    return out.getvalue()


def test_what_is_kept_comes_back_and_nothing_else(tmp_path: Path) -> None:
    fill(tmp_path / "data")
    found = read(io.BytesIO(packed(tmp_path / "data")), tmp_path / "back")
    back = tree(tmp_path / "back" / "data")
    assert b"not kept" not in back.values()
    there = {name: text for name, text in tree(tmp_path / "data").items() if text != b"not kept"}
    assert back == there
    assert {f"data/{name}" for name in back} | {archives.REDIS} == set(found.files)
    age = (tmp_path / "data/keys.json").stat().st_mtime
    assert (tmp_path / "back/data/keys.json").stat().st_mtime == pytest.approx(age, abs=1e-3)
    with_caches = read(io.BytesIO(packed(tmp_path / "data", with_caches=True)))
    assert with_caches.files.keys() - found.files.keys() == {
        "data/decoded/a.npy", "data/features/a.npz",
    }  # fmt: skip


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    long = b"x" * 200_000
    cases = {
        b"": b"",
        b"half": b"",
        b"one\n": b"one\n",
        b"one\nhalf": b"one\n",
        b"one\n" + long: b"one\n",
        long + b"\n" + long + b"\nhalf": long + b"\n" + long + b"\n",
    }
    for i, (content, expected) in enumerate(cases.items()):
        (tmp_path / f"{i}.jsonl").write_bytes(content)
        out = io.BytesIO()
        archive = Writer(out, HEAD)
        assert archive.add_file(tmp_path / f"{i}.jsonl", f"data/{i}.jsonl")
        archive.finish()
        read(io.BytesIO(out.getvalue()), tmp_path / "back")
        assert (tmp_path / "back" / "data" / f"{i}.jsonl").read_bytes() == expected


def test_links_lead_nowhere_but_from_the_top(tmp_path: Path) -> None:
    fill(tmp_path / "data")
    secret = tmp_path / "other-disk"
    secret.mkdir()
    (secret / "picture.png").write_bytes(b"elsewhere")
    (tmp_path / "data" / "images" / "link").symlink_to(secret)
    (tmp_path / "data" / "more").symlink_to(secret)
    out = io.BytesIO()
    archive = Writer(out, HEAD)
    contents = Contents(tmp_path / "data")
    contents.copy(archive)
    assert contents.links == ["images/link"]
    assert "data/more/picture.png" in archive.files
    assert not any(name.startswith("data/images/link") for name in archive.files)


class Meddling(Writer):
    """Does something once, when a file is about to be copied."""

    def __init__(self, out: io.BytesIO, name: str, do: Callable[[], object]) -> None:
        super().__init__(out, HEAD)
        self._at, self._do = name, do

    def add_file(self, path: Path, name: str) -> bool:
        if name == self._at:
            self._at = ""
            self._do()
        return super().add_file(path, name)


def meddled(tmp_path: Path, name: str, do: Callable[[], object]) -> dict[str, bytes]:
    """What a backup holds when something happens in its middle."""
    out = io.BytesIO()
    archive = Meddling(out, f"data/{name}", do)
    Contents(tmp_path / "data").copy(archive)
    archive.finish()
    read(io.BytesIO(out.getvalue()), tmp_path / "back")
    return tree(tmp_path / "back" / "data")


def test_what_is_deleted_meanwhile_is_not_in_it(tmp_path: Path) -> None:
    fill(tmp_path / "data")
    run = tmp_path / "data" / "runs" / "job-1"
    back = meddled(tmp_path, "runs/job-1/metrics.jsonl", lambda: shutil.rmtree(run))
    assert not any(name.startswith("runs/") for name in back)

    def delete_dataset() -> None:
        (tmp_path / "data/datasets/ds-1.json").unlink()
        shutil.rmtree(tmp_path / "data/datasets/ds-1")

    shutil.rmtree(tmp_path / "back")
    back = meddled(tmp_path, "datasets/ds-1/c-1/index.sqlite", delete_dataset)
    assert not any(name.startswith("datasets/") for name in back)


def test_a_dataset_that_is_validated_again_meanwhile_is_whole(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    fill(data_dir)
    begin_upload(data_dir, "ds-1", WHOLE, "a name")
    change_record(data_dir, "ds-1", {"content": "c-1", "status": "ready"})

    def validated() -> None:
        folder = folder_of(data_dir, "ds-1")
        os.rename(folder / "c-1", folder / "c-2")
        (folder / "c-2" / "index.sqlite").write_bytes(b"other rows")
        change_record(data_dir, "ds-1", {"content": "c-2"})

    back = meddled(tmp_path, "datasets/ds-1/c-1/index.sqlite", validated)
    assert json.loads(back["datasets/ds-1.json"])["content"] == "c-2"
    assert back["datasets/ds-1/c-2/index.sqlite"] == b"other rows"


def test_a_checkpoint_is_there_however_fast_they_come(tmp_path: Path) -> None:
    fill(tmp_path / "data")
    folder = tmp_path / "data" / "runs" / "job-1" / "checkpoints"

    def trained_on() -> None:
        for path in folder.glob("[0-9]*"):
            path.unlink()
        (folder / "0000000030.safetensors").write_bytes(b"thirty")

    back = meddled(tmp_path, "runs/job-1/checkpoints/0000000020.safetensors", trained_on)
    assert back["runs/job-1/checkpoints/0000000030.safetensors"] == b"thirty"


@pytest.mark.parametrize(
    "at", ["study.json", "units/prepare.json", "generators/g/metrics.jsonl", "work/images.npy"]
)
def test_what_a_unit_of_a_study_names_is_there(tmp_path: Path, at: str) -> None:
    """A unit that is done meanwhile is in the backup with all that it made, or not at all."""
    fill(tmp_path / "data")
    folder = tmp_path / "data" / "studies" / "st-1"

    def done() -> None:
        for name in ("partitions.npz", "generators/g/prepared/model.json", "work/more.npy"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"made")
        (folder / "units" / "generator-s1d0-g0.json").write_bytes(b"{}")

    back = meddled(tmp_path, f"studies/st-1/{at}", done)
    named = ("partitions.npz", "generators/g/prepared/model.json", "work/more.npy")
    is_done = "studies/st-1/units/generator-s1d0-g0.json" in back
    assert not is_done or all(f"studies/st-1/{name}" in back for name in named)
    assert is_done == (at in ("study.json", "units/prepare.json"))


def test_a_flipped_byte_is_refused_by_name(tmp_path: Path) -> None:
    fill(tmp_path / "data")
    whole = packed(tmp_path / "data")
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        members = tar.getmembers()
    refused = 0
    for member in members:
        for offset in {member.offset, member.offset_data, member.offset_data + member.size - 1}:
            if offset == member.offset_data + member.size:
                continue
            damaged = bytearray(whole)
            damaged[offset] ^= 1
            with pytest.raises(Unusable) as error:
                read(io.BytesIO(bytes(damaged)))
            if offset != member.offset and member.name.startswith("data/") and member.size:
                assert member.name in str(error.value)
                refused += 1
    assert refused > 10
    for length in range(0, len(whole) - 20_000, 5_119):  # cut short; the end is zeroes
        with pytest.raises(Unusable):
            read(io.BytesIO(whole[:length]))


@pytest.mark.parametrize(
    "name", ["../x", "data/../../x", "/etc/x", "data//x", "data/./x", "other", "data/"]
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    out = io.BytesIO()
    archive = Writer(out, HEAD)
    archive.add_bytes(name, b"content")
    archive.finish()
    with pytest.raises(Unusable):
        read(io.BytesIO(out.getvalue()), tmp_path / "back")
    assert not list(tmp_path.glob("**/x"))


def test_other_files_are_no_backups(tmp_path: Path) -> None:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("data/x"))
    for content in (b"", b"x" * 5000, plain.getvalue()):
        with pytest.raises(Unusable):
            read(io.BytesIO(content))
    link = io.BytesIO()
    archive = Writer(link, HEAD)
    member = tarfile.TarInfo("data/link")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc"
    archive._tar.addfile(member)
    archive.finish()
    with pytest.raises(Unusable, match="nothing that a backup holds"):
        read(io.BytesIO(link.getvalue()), tmp_path / "back")


# Redis


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("v")) as running:
        yield running


@pytest.fixture
def store(server: Server) -> JobStore:
    found = JobStore(server.client())
    found.redis.flushall()
    return found


def test_each_kind_of_key_comes_back(store: JobStore) -> None:
    client = store.redis
    job = store.create(REQUEST)["id"]
    long = "ü" * 1000
    client.set(keys.PREFIX + "one", long, px=600_000)
    client.rpush(keys.PREFIX + "many", *map(str, range(1200)))
    client.zadd(keys.PREFIX + "scores", {"a": 0.1, "b": 1e300, "c": float("inf")})
    client.sadd(keys.PREFIX + "set", "x", "y")
    client.set("somebody's", "own")
    passing = ("celery:training", "worker:w", "gpu:g", "sweep", "job:j:lease", "cost:c",
               "report:r:attempts")  # fmt: skip
    for name in passing:
        client.set(keys.PREFIX + name, "1")
    before = {e["key"]: e for e in dump.dump(client)}
    assert not set(passing) & set(before)
    client.delete(*client.keys(keys.PREFIX + "*"))
    lines = [json.dumps(each) for each in before.values()]
    dead = json.dumps({"key": "dead", "type": "string", "value": "x", "expires": 1})
    assert dump.load(client, [*lines, dead], "an identity") == len(before)
    after = {e["key"]: e for e in dump.dump(client)}
    assert after.keys() == before.keys()
    for name, entry in before.items():
        assert after[name]["value"] == entry["value"], name
        if entry["expires"] is None:
            assert after[name]["expires"] is None
        else:
            assert after[name]["expires"] == pytest.approx(entry["expires"], abs=5000)
    assert store.get(job)["status"] == "queued"
    assert client.get("somebody's") == "own"
    assert dump.load(client, lines, "an identity") == 0  # it is there
    with pytest.raises(Conflict, match="already"):
        dump.load(client, lines, "another identity")


def test_jobs_are_settled_whatever_was_read_when(store: JobStore) -> None:
    """The lists may be of another moment than the records."""
    client = store.redis
    made = {status: store.create(REQUEST)["id"] for status in
            ("queued", "running", "cancelling", "succeeded")}  # fmt: skip
    for status in ("running", "cancelling", "succeeded"):
        store.transition(made[status], ("queued",), "running")
    store.transition(made["cancelling"], ("running",), "cancelling")
    store.transition(made["succeeded"], ("running",), "succeeded")
    client.delete(keys.JOBS, keys.QUEUED, keys.RUNNING)
    client.sadd(keys.RUNNING, made["succeeded"], "job-gone")
    client.zadd(keys.QUEUED, {"job-gone": 1, made["succeeded"]: 2})
    assert set(dump.settle(store)) == {made["queued"], made["running"]}
    assert set(dump.settle(store)) == {made["queued"], made["running"]}  # twice is harmless
    now = {status: store.get(job) for status, job in made.items()}
    assert [now[status]["status"] for status in made] == [
        "queued", "queued", "cancelled", "succeeded",
    ]  # fmt: skip
    assert now["running"]["deaths"] == 0
    assert now["running"]["interrupted"]
    assert set(store.queued()) == {made["queued"], made["running"]}
    assert store.running() == []
    assert {each["id"] for each in store.page(None, 10)} == set(made.values())


# The commands


@pytest.fixture
def place(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a filled data folder; the settings name it and the server."""
    fill(tmp_path / "data")
    monkeypatch.setenv("SYNTHORAX_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SYNTHORAX_REDIS_URL", server.url)
    return tmp_path


def test_an_archive_is_never_written_over_or_into_the_data_folder(place: Path) -> None:
    made = backup(str(place / "a.tar"), False, nothing)
    before = (place / "a.tar").read_bytes()
    assert made["versions"] == made["reports"] == made["datasets"] == 1
    with pytest.raises(Conflict, match="there already"):
        backup(str(place / "a.tar"), False, nothing)
    assert (place / "a.tar").read_bytes() == before
    with pytest.raises(Conflict, match="lies in the data folder"):
        backup(str(place / "data"), False, nothing)
    with pytest.raises(SynthoraxError, match="could not be made"):
        backup(str(place / "nowhere" / "a.tar"), False, nothing)
    assert verify_archive(str(place / "a.tar"), nothing)["identity"] == made["identity"]


def test_an_archive_goes_through_a_pipe(place: Path, store: JobStore) -> None:
    store.create(REQUEST)
    command = [sys.executable, "-c", "from synthorax.cli import main; main()"]
    made = subprocess.run([*command, "backup", "-"], capture_output=True, check=True, cwd=place)
    assert b"1 versions" in made.stderr
    store.redis.flushall()
    environment = {**os.environ, "SYNTHORAX_DATA_DIR": str(place / "new")}
    back = subprocess.run(
        [*command, "restore", "-", "--json"],
        input=made.stdout, capture_output=True, check=True, env=environment,
    )  # fmt: skip
    assert json.loads(back.stdout)["versions"] == 1
    assert (place / "new/models/active.json").read_bytes() == b'{"model": "tiny@1"}'
    assert len(store.queued()) == 1


def test_datasets_in_place_are_told_of(tmp_path: Path) -> None:
    write_json_at = tmp_path / "datasets"
    write_json_at.mkdir()
    write_json(write_json_at / "ds-1.json", {"path": "/mnt/images"})
    write_json(write_json_at / "ds-2.json", {"path": None})
    write_json(write_json_at / "ds-3.json", {"path": str(tmp_path / "images" / "x")})
    assert in_place(tmp_path) == ["/mnt/images"]


def test_a_restore_that_is_refused_leaves_nothing(
    place: Path, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create(REQUEST)
    backup(str(place / "a.tar"), False, nothing)
    with pytest.raises(Conflict, match="is not empty"):
        restore(str(place / "a.tar"), nothing)
    monkeypatch.setenv("SYNTHORAX_DATA_DIR", str(place / "new"))
    with pytest.raises(Conflict, match="Redis holds keys"):
        restore(str(place / "a.tar"), nothing)
    store.redis.flushall()
    damaged = bytearray((place / "a.tar").read_bytes())
    damaged[damaged.index(b"twenty")] ^= 1
    (place / "b.tar").write_bytes(damaged)
    for check in (restore, verify_archive):
        with pytest.raises(Unusable, match="checkpoints/0000000020"):
            check(str(place / "b.tar"), nothing)
    assert tree(place / "new").keys() <= {"serve.lock"}
    assert store.redis.dbsize() == 0
    refuse_half_restored(place / "new")


# Killed between any two lines

WATCHED = ("library/backup/", "synthorax/local/backup.py", "synthorax/local/restore.py",
           "worker/dump.py")  # fmt: skip


def lines_run(do: Callable[[], object], die_at: int | None = None) -> int:
    """Do something in a child, which is killed at a line; how many there were, or -1."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        count = 0

        def line(_frame: FrameType, event: str, _: Any) -> Any:
            nonlocal count
            if event == "line":
                count += 1
                if count == die_at:
                    os.kill(os.getpid(), signal.SIGKILL)
            return line

        def call(frame: FrameType, _: str, __: Any) -> Any:
            return line if any(w in frame.f_code.co_filename for w in WATCHED) else None

        status = 1
        try:
            sys.settrace(call)
            do()
            sys.settrace(None)
            os.write(into, str(count).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(into)
    _, status = os.waitpid(child, 0)
    with open(out, "rb") as told:
        text = told.read()
    assert status == (0 if text else signal.SIGKILL), "it failed by itself"
    return int(text or -1)


def moments(total: int, count: int) -> Iterator[int]:
    """So many lines, spread over all, the first and the last with them."""
    return iter(sorted({1 + (total - 1) * i // (count - 1) for i in range(count)}))


def killed_backups(place: Path, count: int) -> None:
    total = lines_run(lambda: backup(str(place / "whole.tar"), False, nothing))
    (place / "out").mkdir()
    target = place / "out" / "a.tar"
    for at in moments(total, count):
        if lines_run(lambda: backup(str(target), False, nothing), at) > 0:
            break  # lines vary by a few
        if target.exists():
            verify_archive(str(target), nothing)
            target.unlink()
    backup(str(target), False, nothing)
    assert [path.name for path in (place / "out").iterdir()] == ["a.tar"]


def test_a_backup_that_is_killed_is_whole_or_not_there(place: Path, store: JobStore) -> None:
    store.create(REQUEST)
    killed_backups(place, 30)


@pytest.mark.long
def test_a_backup_that_is_killed_anywhere(place: Path, store: JobStore) -> None:
    store.create(REQUEST)
    killed_backups(place, 100_000)


def killed_restores(place: Path, store: JobStore, monkeypatch: Any, count: int) -> None:
    client = store.redis
    jobs = [store.create(REQUEST)["id"] for _ in range(2)]
    store.transition(jobs[0], ("queued",), "running")
    archive = str(place / "a.tar")
    backup(archive, False, nothing)
    new = place / "new"
    monkeypatch.setenv("SYNTHORAX_DATA_DIR", str(new))

    def fresh() -> None:
        shutil.rmtree(new, ignore_errors=True)
        client.flushall()

    def held() -> dict[str, Any]:
        return {e["key"]: e["type"] for e in dump.dump(client)}

    fresh()
    total = lines_run(lambda: restore(archive, nothing))
    whole, there = tree(new), held()
    assert there[f"job:{jobs[0]}"] == "hash"
    for at in moments(total, count):
        fresh()
        if lines_run(lambda: restore(archive, nothing), at) > 0:
            continue
        seen = {name.split("/")[0] for name in tree(new)} - {".restore", "serve.lock"}
        if seen - {".restored.tmp"} or held():
            # Something is to be seen: then all of it is, or no service starts.
            if not (new / ".restore").exists():
                assert whole.items() <= tree(new).items()
                assert held() == there
                continue
            with pytest.raises(Conflict, match="has not ended"):
                refuse_half_restored(new)
        restore(archive, nothing)
        found = tree(new)
        assert found.keys() == whole.keys(), at
        for name in found.keys() - {f"runs/{job}/job.json" for job in jobs}:
            assert found[name] == whole[name], (at, name)
        assert held() == there, at
        assert set(store.queued()) == set(jobs), at
        assert store.running() == []


def test_a_restore_that_is_killed_can_be_run_again(
    place: Path, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_restores(place, store, monkeypatch, 30)


@pytest.mark.long
def test_a_restore_that_is_killed_anywhere(
    place: Path, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_restores(place, store, monkeypatch, 100_000)
