"""The client itself."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from synthorax._async.datasets import AsyncDatasets, Named
from synthorax._async.generate_jobs import AsyncGenerateJobs
from synthorax._async.jobs import AsyncJob, AsyncJobs, idempotent
from synthorax._async.models import AsyncModels
from synthorax._async.reader_studies import AsyncReaderStudies
from synthorax._async.running import blocking
from synthorax._async.saving import save_stream
from synthorax._async.studies import AsyncStudies
from synthorax._async.transport import AsyncTransport
from synthorax.batch import Batch, joined, read_npz
from synthorax.dicoms import read_dicoms
from synthorax.errors import InvalidRequest, SynthoraxError
from synthorax.generating import (
    Item,
    body_of,
    check_engine,
    drawn_seed,
    media_type,
    parts_of,
    rejected_of,
)
from synthorax.retries import PATIENCE
from synthorax.samples import Counts, Pinned, SampleSet

if TYPE_CHECKING:
    from PIL.Image import Image
    from pydicom import Dataset

    from synthorax.torch_dataset import SyntheticDataset

DEFAULT_URL = "http://127.0.0.1:8000"


class AsyncClient:
    """Talks to a service.

    url: SYNTHORAX_URL, or http://127.0.0.1:8000.  api_key: SYNTHORAX_API_KEY; "" sends none, as
    for an address that somebody else has given.  patience: seconds for which a service that has
    answered before is waited for when it is away or busy; one that has never answered is given up
    after a second.

    Nothing that is sent again can change what is made: images follow from their seeds, which are
    chosen here where none is given, and jobs have idempotency keys.  Methods raise the errors of
    synthorax.errors, and OSError for a file here that cannot be read or written.
    """

    def __init__(
        self, url: str | None = None, api_key: str | None = None, patience: float = PATIENCE
    ) -> None:
        self.url = (url or os.environ.get("SYNTHORAX_URL") or DEFAULT_URL).rstrip("/")
        self._key = os.environ.get("SYNTHORAX_API_KEY", "") if api_key is None else api_key
        self._transport = AsyncTransport(self.url, self._key, patience)
        self.models = AsyncModels(self._transport)
        self.datasets = AsyncDatasets(self._transport)
        self.jobs = AsyncJobs(self._transport)
        self.generate_jobs = AsyncGenerateJobs(self._transport)
        self.reader_studies = AsyncReaderStudies(self._transport)
        self.studies = AsyncStudies(self._transport, self.datasets)

    async def aclose(self) -> None:
        """Close the connections; `async with` does it at the end of the block."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def is_known(self) -> None:
        """Wait with full patience from the first call on: the service is known to be there."""
        self._transport.reached = True

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    async def generate(
        self,
        label: str | None = None,
        count: int = 1,
        seed: int | None = None,
        *,
        model: str | None = None,
        truncation: float = 1.0,
        items: Sequence[Item] | None = None,
        reject_near_copies: bool = False,
    ) -> Batch:
        """Samples of a version, in memory.

        label: a class; None: drawn from each seed.  Sample i has seed + i; a seed that is left out
        is drawn.  model: name or name@version; None: the active one.  truncation: psi in (0, 1.5].
        items: (label, seed) of each image instead.  reject_near_copies: those too near to a
        training image are replaced by others, with other seeds; at most 4,096.

        Any number is asked for in parts of 4,096, which one engine must have made: EngineChanged
        else.
        """
        body = body_of(label, count, seed, model, truncation, items)
        if reject_near_copies:
            return await self._part({**body, "reject_near_copies": True})
        parts: list[Batch] = []
        for part in parts_of(body):
            parts.append(await self._part({**part, "model": parts[0].model} if parts else part))
            check_engine(parts[0].origin, parts[-1].origin)
        return joined(parts)

    async def _part(self, body: dict[str, Any]) -> Batch:
        response = await self._transport.send(
            "POST",
            "/generate",
            json=body,
            headers={"Accept": "application/x-npz, application/problem+json"},
            repeatable=True,
        )
        if response.headers.get("content-type") != "application/x-npz":
            raise self._transport.stranger(response)
        rejected = rejected_of(response.headers.get("synthorax-near-copies"))
        return read_npz(response.content, self.url, rejected)

    async def stream(
        self,
        label: str | None = None,
        seed: int | None = None,
        *,
        batch_size: int = 64,
        model: str | None = None,
        truncation: float = 1.0,
    ) -> AsyncIterator[Batch]:
        """Batches without end, one seed after the other; of a known size: `samples`."""
        at = drawn_seed(2**30) if seed is None else seed
        began: tuple[str, str] | None = None
        while True:
            batch = await self.generate(label, batch_size, at, model=model, truncation=truncation)
            check_engine(began or batch.origin, batch.origin)
            began, model, at = batch.origin, batch.model, at + batch_size
            yield batch

    async def download(
        self,
        path: str | os.PathLike[str],
        label: str | None = None,
        count: int = 1,
        seed: int | None = None,
        *,
        model: str | None = None,
        truncation: float = 1.0,
        items: Sequence[Item] | None = None,
        format: str = "png",
        reject_near_copies: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> Path:
        """Samples as a ZIP in class folders, with two manifests; up to 100,000, never in memory.

        format: png, jpeg, webp or dicom.  progress(bytes so far).  The file is there whole or not
        at all; an answer that broke off is asked for again.
        """
        body = body_of(label, count, seed, model, truncation, items)
        if model is None:  # what is active may change between two attempts
            body["model"] = (await self.models.active())["reference"]
        if reject_near_copies:
            body["reject_near_copies"] = True
        return await save_stream(
            self._transport,
            "POST",
            "/generate",
            Path(path),
            progress,
            json={**body, "format": format},
            headers={"Accept": "application/zip, application/problem+json"},
        )

    async def dicom(
        self,
        label: str | None = None,
        count: int = 1,
        seed: int | None = None,
        *,
        model: str | None = None,
        truncation: float = 1.0,
        items: Sequence[Item] | None = None,
    ) -> list[Dataset]:
        """Samples as pydicom datasets (Secondary Capture, marked as synthetic), in memory.

        Needs pydicom (`pip install synthorax[dicom]`).  The rest as for `generate`.
        """
        with tempfile.TemporaryDirectory(prefix="synthorax-") as folder:
            path = await self.download(
                Path(folder) / "set.zip", label, count, seed,
                model=model, truncation=truncation, items=items, format="dicom",
            )  # fmt: skip
            found: list[Dataset] = await blocking(read_dicoms, path)
        return found

    async def samples(
        self,
        counts: Counts,
        seed: int = 0,
        *,
        model: str | None = None,
        truncation: float = 1.0,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> SampleSet:
        """A set of samples as NumPy arrays, made as they are asked for.

        counts: {"NORMAL": 5000, "PNEUMONIA": 5000}, or a number, whose classes the seeds draw by
        their frequencies in training.  cache_dir: a folder where images stay.
        """
        labels = list(counts) if isinstance(counts, Mapping) else [None]
        found = await self.generate(items=[(label, seed) for label in labels], model=model)
        card = await self.models.get(found.model)
        height, width = found.images.shape[1:]
        pinned = Pinned(
            found.model, found.digest, found.engine, height, width, tuple(card["labels"])
        )
        connection = (self.url, self._key, self._transport.patience)
        return SampleSet(pinned, counts, seed, truncation, connection, cache_dir)

    async def dataset(
        self,
        counts: Counts,
        seed: int = 0,
        *,
        model: str | None = None,
        truncation: float = 1.0,
        cache_dir: str | os.PathLike[str] | None = None,
        transform: Callable[[Image], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> SyntheticDataset:
        """The same as a torch Dataset, map-style; needs torch (`pip install synthorax[torch]`)."""
        try:
            from synthorax.torch_dataset import SyntheticDataset
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            raise SynthoraxError(
                "A torch Dataset needs torch, which is not installed.",
                "pip install 'synthorax[torch]', or take Client.samples for NumPy arrays.",
            ) from None
        samples = await self.samples(
            counts, seed, model=model, truncation=truncation, cache_dir=cache_dir
        )
        return SyntheticDataset(samples, transform, target_transform)

    async def verify(self, image: str | os.PathLike[str] | bytes) -> dict[str, Any]:
        """Which sample a picture is: exact, within rounding, or unknown (`verdict`, `sample`)."""
        content = image if isinstance(image, bytes) else Path(image).read_bytes()
        return await self._transport.json(
            "POST",
            "/verify",
            content=content,
            headers={"Content-Type": media_type(content)},
            repeatable=True,
        )

    async def train(
        self,
        dataset: Named,
        model: str,
        preset: str | None = None,
        config: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        **more: Any,
    ) -> AsyncJob:
        """Queue a train job, whose version will be published as `model`.

        dataset: an id, whose train split is used; a folder with a sub-folder per class, all of
        which is used, in place where the service may read it; or a ZIP, which is uploaded.
        preset: one of GET /presets; None: the service's default.  config: overrides of it, for
        example {"epochs": 20}.  key: an idempotency key; the same one makes no second job.
        more: metadata, labels, priority, max_seconds, webhook, report, publish_if.
        """
        body = {"model": model, "preset": preset, "config": dict(config or {}), **more}
        made = await self._on_dataset("/train-jobs", dataset, body, **idempotent(key))
        return AsyncJob(self._transport, made)

    async def estimate(
        self,
        dataset: Named,
        preset: str | None = None,
        config: Mapping[str, Any] | None = None,
        seconds: float = 30.0,
    ) -> dict[str, Any]:
        """What a train job would take on the worker's machine, measured there for `seconds`.

        `status` is measuring at first: ask again.  Nothing is queued.
        """
        body = {"model": "estimate", "preset": preset, "config": dict(config or {})}
        address = f"/train-jobs/estimates?seconds={seconds:g}"
        return await self._on_dataset(address, dataset, body, repeatable=True)

    async def _on_dataset(
        self, address: str, dataset: Named, body: dict[str, Any], **arguments: Any
    ) -> dict[str, Any]:
        """POST something about a dataset; a folder that is refused in place is uploaded."""
        named = await self.datasets.named(dataset)
        try:
            return await self._transport.json(
                "POST", address, json={**body, "dataset": named}, **arguments
            )
        except InvalidRequest as refused:
            named = await self.datasets.named(dataset, refused)
        return await self._transport.json(
            "POST", address, json={**body, "dataset": named}, **arguments
        )

    async def presets(self) -> list[dict[str, Any]]:
        """The presets, with their configurations."""
        found: list[dict[str, Any]] = (await self._transport.json("GET", "/presets"))["data"]
        return found

    async def workers(self) -> list[dict[str, Any]]:
        """Who is there to train."""
        found: list[dict[str, Any]] = (await self._transport.json("GET", "/workers"))["data"]
        return found

    async def ready(self) -> dict[str, Any]:
        """GET /health/ready: whether the service can generate and train.  Raises Busy if not."""
        return await self._transport.json("GET", "/health/ready", repeatable=False)
