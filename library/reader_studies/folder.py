"""Reader studies on the disk: one folder each, renamed into place when it is whole.

{data dir}/reader-studies/{id}/
    study.json            what was fixed: model, dataset, design, shape of the images; never changed
    key.json              which item is real (mode 0600); no reader is ever answered from it
    items.bin             the images' files, one after the other, all of one length (files.py)
    readers/{id}.json     a reader: name, digest of the link's secret, order of the items
    readers/{id}.jsonl    what the reader did: consent, answers, end (answers.py)
    removed/{id}.json     a reader who was removed, from readers/ (removal.py)
    access.jsonl          who opened what and when, by ids
    closed.json           no answer is taken any more
    withdrawn.json        items that a patient's withdrawal has made black

Beside them are .lock, held while a study is written, and until they are swept .making.*.tmp and
.deleted-*, of a making or a deletion that was interrupted (remove_left).

Items lie in an order of their own, drawn when the study was made; each reader has another.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from library.atomic import append_json, claim, new_folder, read_json, write_json
from library.errors import Busy, Conflict, NotFound, Unusable
from library.locks import hold, waiting
from library.reader_studies import files
from library.reader_studies.answers import Log, now
from library.reader_studies.design import order_for
from library.work_folders import read_if_there

SCHEMA = 1
IDENTITY = re.compile(r"rs-[0-9a-f]{16}")
READER = re.compile(r"rd-[0-9a-f]{8}")
TOKEN = re.compile(r"(rs-[0-9a-f]{16})\.(rd-[0-9a-f]{8})\.([0-9a-f]{64})")
READERS_MAX = 100


def new_identity() -> str:
    return f"rs-{secrets.token_hex(8)}"


@dataclass(frozen=True)
class Reader:
    """One reader of a study, as written when they were invited."""

    id: str
    name: str
    created_at: str
    sha256: str  # of the secret in the link
    order: tuple[int, ...]  # items, in the order of their showing
    second: frozenset[int]  # places at which an item is seen again

    @property
    def total(self) -> int:
        return len(self.order)

    def knows(self, secret: str) -> bool:
        return hmac.compare_digest(sha256(secret.encode()).hexdigest(), self.sha256)


@dataclass(frozen=True)
class ReaderStudy:
    """A study's folder.  Properties read the disk anew, but for what never changes."""

    path: Path

    @cached_property
    def record(self) -> dict[str, Any]:
        """study.json.  Raises NotFound when the study was deleted."""
        try:
            found: dict[str, Any] = read_json(self.path / "study.json")
        except FileNotFoundError:
            raise _missing(self.id) from None
        return found

    @property
    def id(self) -> str:
        return self.path.name

    @cached_property
    def key(self) -> list[dict[str, Any]]:
        """Of each item: id, kind, label, and seed or sha256 of the source file."""
        found: list[dict[str, Any]] = read_json(self.path / "key.json")["items"]
        return found

    @cached_property
    def engine(self) -> dict[str, Any]:
        """What made the synthetic images: digest, backend, precision."""
        found: dict[str, Any] = read_json(self.path / "key.json")["engine"]
        return found

    @property
    def closed_at(self) -> str | None:
        try:
            return str(read_json(self.path / "closed.json")["closed_at"])
        except FileNotFoundError:
            return None

    def close(self) -> None:
        """Take no more answers; once."""
        with waiting(self.path / ".lock"):
            if self.closed_at is None:
                write_json(self.path / "closed.json", {"closed_at": now()})

    def item(self, index: int) -> bytes:
        """An item's file.  Whatever it is, it is one read of as many bytes."""
        size = files.length(int(self.record["resolution"]))
        handle = os.open(self.path / "items.bin", os.O_RDONLY)
        try:
            return os.pread(handle, size, index * size)
        finally:
            os.close(handle)

    def invite(self, name: str) -> tuple[Reader, str]:
        """A new reader, and the token of their link, which is nowhere else.

        Raises Conflict for a closed study, Busy beyond READERS_MAX.
        """
        secret, identity = secrets.token_hex(32), f"rd-{secrets.token_hex(4)}"
        seed = secrets.randbits(63)
        kinds = [item["kind"] for item in self.key]
        random = np.random.default_rng(seed)
        order, second = order_for(kinds, int(self.record["design"]["repeats"]), random)
        content = {
            "schema": SCHEMA,
            "id": identity,
            "name": name,
            "created_at": now(),
            "sha256": sha256(secret.encode()).hexdigest(),
            "seed": seed,
            "order": order,
            "second": second,
        }
        with waiting(self.path / ".lock"):
            if self.closed_at is not None:
                raise Conflict(
                    f"The reader study {self.id} is closed.", remedy="Make a new one.", field="id"
                )
            if len(self.readers()) >= READERS_MAX:
                raise Busy(f"The reader study {self.id} has {READERS_MAX} readers.")
            write_json(self.path / "readers" / f"{identity}.json", content)
        return self.reader(identity), f"{self.id}.{identity}.{secret}"

    def reader(self, identity: str) -> Reader:
        """Raises NotFound."""
        path = self.path / "readers" / f"{identity}.json"
        found = read_if_there(path) if READER.fullmatch(identity) else None
        if found is None:
            raise NotFound(f"There is no reader {identity!r}.", field="reader", value=identity)
        return Reader(
            id=identity,
            name=found["name"],
            created_at=found["created_at"],
            sha256=found["sha256"],
            order=tuple(found["order"]),
            second=frozenset(found["second"]),
        )

    def readers(self) -> list[Reader]:
        """In the order of their invitation."""
        names = [path.stem for path in (self.path / "readers").glob("rd-*.json")]
        found = []
        for name in names:
            with suppress(NotFound):  # removed meanwhile
                found.append(self.reader(name))
        return sorted(found, key=lambda reader: (reader.created_at, reader.id))

    def log(self, reader: Reader) -> Log:
        path = self.path / "readers" / f"{reader.id}.jsonl"
        return Log(path, reader.total, self.closed_at)

    def opened(self, who: str, what: str, **about: Any) -> None:
        """A line in the access log; ids alone."""
        append_json(self.path / "access.jsonl", {"at": now(), "who": who, "what": what, **about})

    @property
    def withdrawn(self) -> list[int]:
        """Items that were made black."""
        try:
            found: list[int] = read_json(self.path / "withdrawn.json")["items"]
        except FileNotFoundError:
            return []
        return found


def root(data_dir: Path) -> Path:
    return data_dir / "reader-studies"


def create(
    data_dir: Path,
    identity: str,
    record: Mapping[str, Any],
    key: Mapping[str, Any],
    images: Sequence[bytes],
) -> ReaderStudy:
    """A new study, whole: its record, its key (items, engine), the items' files in that order.

    The study that has this id already is left as it is.
    """
    assert len({len(image) for image in images}) == 1
    final = root(data_dir) / identity
    final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with waiting(_lock(data_dir)), new_folder(final.parent, "making") as temporary:
        (temporary / "readers").mkdir(mode=0o700)
        with open(temporary / "items.bin", "xb") as file:
            file.writelines(images)
        write_json(temporary / "key.json", {"schema": SCHEMA, **key})
        (temporary / "key.json").chmod(0o600)
        content = {"schema": SCHEMA, "id": identity, "created_at": now(), **record}
        write_json(temporary / "study.json", content)
        claim(temporary, final)
    return ReaderStudy(final)


def find(data_dir: Path, identity: str) -> ReaderStudy:
    """Raises NotFound; Unusable for a study of another version of the program."""
    path = root(data_dir) / identity
    if not IDENTITY.fullmatch(identity) or not (path / "study.json").is_file():
        raise _missing(identity)
    study = ReaderStudy(path)
    if study.record.get("schema") != SCHEMA:
        raise Unusable(f"The reader study {identity!r} was made by another version of Synthorax.")
    return study


def by_token(data_dir: Path, token: str) -> tuple[ReaderStudy, Reader] | None:
    """The study and the reader of a link's token; None for one that is none of ours."""
    match = TOKEN.fullmatch(token)
    if match is None:
        return None
    try:
        study = find(data_dir, match[1])
        reader = study.reader(match[2])
    except (NotFound, Unusable):
        return None
    return (study, reader) if reader.knows(match[3]) else None


def studies(data_dir: Path) -> list[ReaderStudy]:
    """All that can be read, newest first."""
    found = []
    for path in root(data_dir).glob("rs-*"):
        try:
            found.append(find(data_dir, path.name))
        except (NotFound, Unusable, OSError, ValueError):
            continue
    return sorted(found, key=lambda study: (study.record["created_at"], study.id), reverse=True)


def remove(data_dir: Path, identity: str) -> None:
    """Really delete a study: images, key, answers, consents.  Raises NotFound."""
    study = find(data_dir, identity)
    gone = study.path.with_name(f".deleted-{identity}")
    os.rename(study.path, gone)
    shutil.rmtree(gone, ignore_errors=True)
    remove_left(data_dir)


def remove_left(data_dir: Path, wait: bool = False) -> None:
    """Remove what makings and deletions that were interrupted have left: unmarked real images.

    While a study is being written, nothing is removed; wait: until it is whole.
    """
    if not root(data_dir).is_dir():
        return
    if wait:
        with waiting(_lock(data_dir)):
            _remove_left(data_dir)
    elif (held := hold(_lock(data_dir))) is not None:
        try:
            _remove_left(data_dir)
        finally:
            os.close(held)


def _remove_left(data_dir: Path) -> None:
    for pattern in (".*.tmp", ".deleted-*"):
        for left in root(data_dir).glob(pattern):
            shutil.rmtree(left, ignore_errors=True)


def _lock(data_dir: Path) -> Path:
    return root(data_dir) / ".lock"


def _missing(identity: str) -> NotFound:
    return NotFound(
        f"There is no reader study {identity!r}.",
        field="id",
        value=identity,
        remedy="GET /reader-studies lists them.",
    )
