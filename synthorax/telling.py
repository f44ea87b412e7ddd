"""A train job told as it goes: a bar in the terminal, or a function."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from synthorax.events import Event, LogEvent, MetricEvent, StatusEvent, ValidationEvent

if TYPE_CHECKING:
    from rich.console import Console


class Teller(AbstractContextManager["Teller"]):
    """Is told events; this one says nothing."""

    def tell(self, event: Event) -> None:
        """One event of a job."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


class Told(Teller):
    """Tells a function."""

    def __init__(self, told: Callable[[Event], None]) -> None:
        self._told = told

    def tell(self, event: Event) -> None:
        self._told(event)


class Lines(Teller):
    """A line on stderr for each epoch: where rich is not installed."""

    def tell(self, event: Event) -> None:
        if isinstance(event, MetricEvent) and event.scope == "epoch":
            print(f"epoch {event.epoch}/{event.epochs}  {numbers(event)}", file=sys.stderr)  # noqa: T201


class Bar(Teller):
    """A progress bar, the paper's five numbers, and what went wrong, on a rich console."""

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[numbers]}", markup=False),
            console=console or Console(stderr=True, markup=False, emoji=False),
        )
        self._task = self.bar.add_task("queued", total=1.0, numbers="")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.bar.stop()

    def tell(self, event: Event) -> None:
        if isinstance(event, MetricEvent):
            self.bar.update(
                self._task,
                description=f"epoch {event.epoch}/{event.epochs}",
                completed=event.fraction,
                numbers=numbers(event),
            )
        elif isinstance(event, StatusEvent):
            self.bar.update(self._task, description=event.phase or event.status)
        elif isinstance(event, ValidationEvent):
            best = "the best so far" if event.kid == event.best else f"best {event.best:.4f}"
            labels = ", ".join(f"{name} {kid:.4f}" for name, kid in event.by_label.items())
            self.bar.console.print(
                f"{event.images:,} images: KID on validation images {event.kid:.4f}, {best} "
                f"({labels})",
                highlight=False,
                markup=False,
            )
        elif isinstance(event, LogEvent) and event.level == "warning":
            self.bar.console.print(event.message, highlight=False, markup=False)


def numbers(event: MetricEvent) -> str:
    """The five numbers and the speed, in a line."""
    return (
        f"D {event.loss_d:.3f}  G {event.loss_g:.3f}  D(x) {event.d_x:.2f}  "
        f"D(G(z)) {event.d_g_z1:.2f}/{event.d_g_z2:.2f}  {event.images_per_second:.0f} img/s"
    )


def teller(progress: bool | Callable[[Event], None]) -> Teller:
    """What `progress` stands for."""
    if callable(progress):
        return Told(progress)
    if not progress:
        return Teller()
    try:
        return Bar()
    except ImportError:
        return Lines()
