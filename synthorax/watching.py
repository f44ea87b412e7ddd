"""A train job in the terminal: a progress bar, the paper's five numbers, what went wrong."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from synthorax.client import Client

_ENDED = ("succeeded", "failed", "cancelled")


def watch(client: Client, job: str, console: Console) -> int:
    """Follow a job; returns the exit status: 0 when it succeeded (or Ctrl-C left it running)."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[numbers]}"),
        console=console,
    )
    ended: dict[str, Any] = {}
    try:
        with bar:
            task = bar.add_task("queued", total=1.0, numbers="")
            for event in client.events(job):
                _show(bar, task, event)
                if event["type"] == "status" and event["status"] in _ENDED:
                    ended = event
    except KeyboardInterrupt:
        console.print(f"{job} goes on. Follow it again: synthorax watch {job}")
        return 0
    _name_refused(client, job, console)
    if ended.get("status") == "succeeded":
        console.print(f"Published as {ended['model']}: synthorax generate --model {ended['model']}")
        return 0
    problem = ended.get("error") or {}
    console.print(f"{job} {ended.get('status', 'ended')}. {problem.get('detail', '')}".rstrip())
    return 1


def _show(bar: Progress, task: TaskID, event: dict[str, Any]) -> None:
    if event["type"] == "metric":
        numbers = (
            f"D {event['loss_d']:.3f}  G {event['loss_g']:.3f}  D(x) {event['d_x']:.2f}  "
            f"D(G(z)) {event['d_g_z1']:.2f}/{event['d_g_z2']:.2f}  "
            f"{event['images_per_second']:.0f} img/s"
        )
        title = f"epoch {event['epoch']}/{event['epochs']}"
        bar.update(task, description=title, completed=event["fraction"], numbers=numbers)
    elif event["type"] == "status":
        bar.update(task, description=event.get("phase") or event["status"])
    elif event["type"] == "validation":
        best = "the best so far" if event["kid"] == event["best"] else f"best {event['best']:.4f}"
        labels = ", ".join(f"{name} {kid:.4f}" for name, kid in event["by_label"].items())
        bar.console.print(
            f"{event['images']:,} images: KID on validation images {event['kid']:.4f}, {best} "
            f"({labels})",
            highlight=False,
        )
    elif event["type"] == "log" and event["level"] == "warning":
        bar.console.print(event["message"], highlight=False)


def _name_refused(client: Client, job: str, console: Console) -> None:
    """Name the files that were left out: they stand on the dataset's own route alone."""
    dataset = client.dataset(client.job(job)["dataset"]["id"])
    unused = [*dataset["refused"], *dataset["left_out"]]
    for file in unused[:20]:
        console.print(f"not used: {file['file']}: {file['reason']}", highlight=False)
    count = dataset["refused_count"] + dataset["left_out_count"]
    if count > 20:
        console.print(f"… and {count - 20} more")
