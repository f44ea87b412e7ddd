"""Settings from the environment, prefix SYNTHORAX_.  The one place that reads them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from library.errors import InvalidValue

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class Settings:
    """What an operator can set; `environment` says under which name."""

    host: str = "127.0.0.1"
    port: int = 8000
    data_dir: Path = field(default_factory=lambda: Path("data").absolute())
    dataset_roots: tuple[Path, ...] = ()  # folders below which a dataset may be named by its path
    redis_url: str = ""  # empty: `synthorax serve` starts its own
    device: str = "auto"  # auto | cpu | cuda | cuda:N, for generation
    train_device: str = "auto"
    allowed_hosts: tuple[str, ...] = ()  # more values of the Host header, beside loopback's
    trust_network: bool = False  # listen beyond loopback although there are no API keys
    queue_images: int = 4096  # images that may wait for the engine
    loaded_versions: int = 4  # versions held in memory at once

    @property
    def models(self) -> Path:
        return self.data_dir / "models"

    @property
    def uploads(self) -> Path:
        """The dataset root that always exists."""
        return self.data_dir / "images"

    @property
    def roots(self) -> tuple[Path, ...]:
        return (*self.dataset_roots, self.uploads)


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """Read SYNTHORAX_* variables.  Raises InvalidValue naming the variable."""
    env = os.environ if environment is None else environment

    def text(name: str, default: str) -> str:
        return env.get(f"SYNTHORAX_{name}", "").strip() or default

    def number(name: str, default: int, low: int, high: int) -> int:
        value = text(name, str(default))
        if not value.isdecimal() or not low <= int(value) <= high:
            raise InvalidValue(
                f"SYNTHORAX_{name} is {value!r}.",
                field=f"SYNTHORAX_{name}",
                value=value,
                remedy=f"Use a whole number from {low} to {high}.",
            )
        return int(value)

    def device(name: str) -> str:
        value = text(name, "auto")
        if not re.fullmatch("auto|cpu|cuda(:[0-9]+)?", value):
            raise InvalidValue(
                f"SYNTHORAX_{name} is {value!r}.",
                field=f"SYNTHORAX_{name}",
                value=value,
                remedy="Use auto, cpu, cuda or cuda:N.",
            )
        return value

    roots = tuple(Path(p).absolute() for p in text("DATASET_ROOTS", "").split(":") if p)
    settings = Settings(
        host=text("HOST", "127.0.0.1"),
        port=number("PORT", 8000, 1, 65535),
        data_dir=Path(text("DATA_DIR", "data")).absolute(),
        dataset_roots=roots,
        redis_url=text("REDIS_URL", ""),
        device=device("DEVICE"),
        train_device=device("TRAIN_DEVICE"),
        allowed_hosts=tuple(h for h in text("ALLOWED_HOSTS", "").replace(",", " ").split() if h),
        trust_network=text("TRUST_NETWORK", "0") == "1",
        queue_images=number("QUEUE_IMAGES", 4096, 1, 1_000_000),
        loaded_versions=number("LOADED_VERSIONS", 4, 1, 1000),
    )
    if settings.host not in LOOPBACK and not settings.trust_network:
        raise InvalidValue(
            f"SYNTHORAX_HOST is {settings.host!r}, beyond this machine, and there are no API keys.",
            field="SYNTHORAX_HOST",
            value=settings.host,
            remedy="Use 127.0.0.1; or, where only trusted machines can reach the port "
            "(a container, a firewalled network), set SYNTHORAX_TRUST_NETWORK=1.",
        )
    return settings
