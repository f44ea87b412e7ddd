"""A client of the HTTP API."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT = httpx.Timeout(60.0, connect=5.0)  # s
_ID = re.compile(r"ds-[0-9a-f]{12}")  # of a dataset


class SynthoraxError(Exception):
    """The service refused, or cannot be reached.  `problem` is its RFC 9457 answer."""

    def __init__(self, message: str, problem: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.problem = problem or {}


@dataclass(frozen=True)
class Sample:
    """One generated image as PNG bytes, and what makes it again."""

    seed: int
    label: str | None
    sha256: str
    png: bytes


@dataclass(frozen=True)
class Batch:
    model: str
    digest: str
    engine: str
    samples: list[Sample]
    rejected: int = 0  # near-copies, with reject_near_copies


class Client:
    """Talks to a service at `url` (SYNTHORAX_URL, or http://127.0.0.1:8000).

    Methods raise SynthoraxError with the service's own words.
    """

    def __init__(self, url: str | None = None) -> None:
        self.url = (url or os.environ.get("SYNTHORAX_URL") or DEFAULT_URL).rstrip("/")
        self._http = httpx.Client(base_url=self.url, timeout=TIMEOUT)

    def close(self) -> None:
        """Close the connections; `with Client() as client` does it at the end of the block."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def generate(
        self,
        label: str | None = None,
        count: int = 1,
        seed: int | None = None,
        model: str | None = None,
        truncation: float = 1.0,
        reject_near_copies: bool = False,
    ) -> Batch:
        """`count` samples of a model, from `seed` on.

        reject_near_copies: those too near to a training image are replaced (and have other seeds).
        """
        body = {
            "model": model,
            "label": label,
            "count": count,
            "seed": seed,
            "truncation": truncation,
            "reject_near_copies": reject_near_copies,
        }
        answer = self.request("POST", "/generate", json=body)
        found = answer["model"]
        samples = [
            Sample(i["seed"], i["label"], i["sha256"], base64.b64decode(i["png"]))
            for i in answer["images"]
        ]
        reference = f"{found['name']}@{found['version']}"
        rejected = (answer.get("near_copies") or {}).get("rejected", 0)
        return Batch(reference, found["digest"], answer["engine"]["digest"], samples, rejected)

    def train(
        self,
        dataset: str,
        model: str,
        preset: str | None = None,
        config: dict[str, Any] | None = None,
        key: str | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Queue a train job on a dataset's id, or on a folder that the service can read in place.

        preset: one of GET /presets; None: the service's default.  key: an idempotency key; the
        same one makes no second job.  more: metadata, labels,
        priority, max_seconds, webhook, as POST /train-jobs takes them.
        """
        body = _train_body(dataset, model, preset, config, more)
        return self.request("POST", "/train-jobs", json=body, headers=_key(key))

    def estimate(
        self,
        dataset: str,
        preset: str | None = None,
        config: dict[str, Any] | None = None,
        seconds: float = 30.0,
    ) -> dict[str, Any]:
        """What a train job would take on the worker's machine, measured there for `seconds`.

        `status` is measuring at first: ask again.  Nothing is queued.
        """
        body = _train_body(dataset, "estimate", preset, config, {})
        return self.request("POST", f"/train-jobs/estimates?seconds={seconds:g}", json=body)

    def evaluate(
        self, model: str, dataset: str | None = None, count: int = 1000, seed: int = 0
    ) -> dict[str, Any]:
        """Queue a report on NAME@VERSION; its record.  dataset: the version's own, if left out."""
        body = {"dataset": dataset, "count": count, "seed": seed}
        return self.request("POST", f"/models/{model}/reports", json=body)

    def reports(self, model: str) -> list[dict[str, Any]]:
        """Records of the reports on NAME@VERSION, newest first."""
        found: list[dict[str, Any]] = self.request("GET", f"/models/{model}/reports")["data"]
        return found

    def report(self, model: str, report: str = "latest") -> dict[str, Any]:
        """report.json of a complete report."""
        return self.request("GET", f"/models/{model}/reports/{report}")

    def export_report(self, model: str, report: str, path: Path) -> None:
        """A report's tables, figures, words and images as a ZIP; there whole, or not at all."""
        address = f"/models/{model}/reports/{report}/exports.zip"
        partial = path.with_name(f".{path.name}.part")
        try:
            with self._http.stream("GET", address) as response, open(partial, "wb") as file:
                if response.is_error:
                    response.read()
                    raise _refusal(response)
                for part in response.iter_bytes():
                    file.write(part)
            partial.replace(path)
        except httpx.TransportError as error:
            raise SynthoraxError(
                f"The export broke off ({type(error).__name__}). Try again."
            ) from None
        finally:
            partial.unlink(missing_ok=True)

    def compare(self, one: str, other: str) -> dict[str, Any]:
        """The newest reports of two versions, number by number."""
        return self.request("GET", "/models/compare", params={"one": one, "other": other})

    def job(self, job: str) -> dict[str, Any]:
        return self.request("GET", f"/train-jobs/{job}")

    def jobs(
        self, status: str | None = None, label: str | None = None, limit: int = 50
    ) -> list[dict[str, Any]]:
        """Train jobs, newest first; at most 200."""
        given = {"status": status, "label": label, "limit": limit}
        params = {name: value for name, value in given.items() if value is not None}
        found: list[dict[str, Any]] = self.request("GET", "/train-jobs", params=params)["data"]
        return found

    def dataset(self, dataset: str) -> dict[str, Any]:
        return self.request("GET", f"/datasets/{dataset}")

    def datasets(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.request("GET", "/datasets")["data"]
        return found

    def register(
        self, path: str, name: str | None = None, choices: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Validate a folder that the service can read in place: nothing is copied."""
        body = {"path": path, "name": name, "choices": dict(choices or {})}
        return self.request("POST", "/datasets", json=body)

    def upload(
        self,
        archive: str | os.PathLike[str],
        name: str | None = None,
        choices: Mapping[str, Any] | None = None,
        progress: Callable[[int, int], None] = lambda _sent, _size: None,
    ) -> dict[str, Any]:
        """Send a ZIP to be validated.  `progress(sent, size)` is called as it goes, in bytes."""
        size = os.path.getsize(archive)

        def parts() -> Iterator[bytes]:
            sent = 0
            with open(archive, "rb") as file:
                while part := file.read(1 << 20):
                    yield part
                    sent += len(part)
                    progress(sent, size)

        named = name or os.path.splitext(os.path.basename(archive))[0]
        return self.request(
            "POST",
            "/datasets",
            params={"name": named, "choices": json.dumps(dict(choices or {}))},
            content=parts(),
            headers={"Content-Type": "application/zip", "Content-Length": str(size)},
            timeout=httpx.Timeout(60, read=600),
        )

    def delete_dataset(self, dataset: str) -> None:
        """Really delete a dataset; a folder in place stays."""
        self.request("DELETE", f"/datasets/{dataset}")

    def withdraw(self, **who: Any) -> dict[str, Any]:
        """Let a patient's images go, and what was made from them; the receipt.

        who: patient, or dataset and file; versions ("retire", "delete"); dry_run.
        """
        return self.request("POST", "/withdrawals", json=who)

    def cancel(self, job: str) -> dict[str, Any]:
        """End a job; a running one writes a checkpoint first."""
        return self.request("POST", f"/train-jobs/{job}/cancel")

    def finish(self, job: str) -> dict[str, Any]:
        """End a job after its epoch, and publish what there is then."""
        return self.request("POST", f"/train-jobs/{job}/finish")

    def resume(self, job: str, **changes: Any) -> dict[str, Any]:
        """Go on with an ended job; changes: epochs, on_collapse, max_seconds."""
        return self.request("POST", f"/train-jobs/{job}/resume", json=changes)

    def clone(self, job: str, key: str | None = None, **changes: Any) -> dict[str, Any]:
        """A new job like another; changes: config, model, dataset, metadata, labels, …"""
        path = f"/train-jobs/{job}/clone"
        return self.request("POST", path, json=changes, headers=_key(key))

    def delete(self, job: str) -> None:
        """Forget an ended job and remove its run folder; a published version stays."""
        self.request("DELETE", f"/train-jobs/{job}")

    def workers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.request("GET", "/workers")["data"]
        return found

    def events(self, job: str) -> Iterator[dict[str, Any]]:
        """Events of a job from its start, live until it has ended; reconnects by itself."""
        last = ""
        while True:
            headers = {"Accept": "text/event-stream"}
            if last:
                headers["Last-Event-ID"] = last
            try:
                address = f"/train-jobs/{job}/events"
                with self._http.stream("GET", address, headers=headers) as response:
                    if response.is_error:
                        response.read()
                        raise _refusal(response)
                    for identity, event in _messages(response.iter_lines()):
                        last = identity or last
                        yield event
            except httpx.TransportError:
                pass  # the next connection goes on after `last`
            if self.job(job)["finished_at"] is not None:
                return

    def request(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        """One call; every answer of the service is a JSON object, or nothing ({})."""
        try:
            response = self._http.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise SynthoraxError(
                f"No Synthorax answers at {self.url} ({type(error).__name__}). Start it with "
                "`synthorax serve`, or set SYNTHORAX_URL."
            ) from None
        if response.is_error:
            raise _refusal(response)
        answer: dict[str, Any] = response.json() if response.content else {}
        return answer


def _train_body(
    dataset: str, model: str, preset: str | None, config: dict[str, Any] | None, more: Any
) -> dict[str, Any]:
    return {
        "dataset": dataset if _ID.fullmatch(dataset) else {"path": dataset},
        "model": model,
        "preset": preset,
        "config": config or {},
        **more,
    }


def _key(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Idempotency-Key": key}


def _messages(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Server-sent events as (id, data); a message ends at its empty line."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            yield fields.get("id", ""), json.loads(fields["data"])
            fields = {}
        else:  # a comment keeps the connection alive
            fields = {}


def _refusal(response: httpx.Response) -> SynthoraxError:
    try:
        problem = response.json()
        return SynthoraxError(problem["detail"], problem)
    except (ValueError, KeyError, TypeError):
        return SynthoraxError(f"The service answered {response.status_code}.")
