"""Settings from the environment, prefix SYNTHORAX_.  The one place that reads them."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from library import redis_address
from library.errors import InvalidValue
from library.keys import FILE as KEY_FILE
from library.keys import Key, entries
from library.store.objects import check_url
from library.weak_secrets import refuse_weak_password
from library.webhooks import signing_key

COUNT_MIN, COUNT_MAX = 50, 10_000  # samples of each class in a report; lights need 200
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class Settings:
    """What an operator can set; `environment` says under which name."""

    host: str = "127.0.0.1"
    port: int = 8000
    data_dir: Path = field(default_factory=lambda: Path("data").absolute())
    dataset_roots: tuple[Path, ...] = ()  # folders below which a dataset may be named by its path
    upload_mb: int = 20_480  # MiB of one uploaded archive
    datasets_mb: int = 0  # MiB that uploads may take together; 0: as the disk allows
    store: str = ""  # s3://BUCKET/PREFIX or file:///FOLDER that machines share; empty: none
    store_seconds: int = 5  # between two looks at what others have changed in the store
    redis_url: str = field(default="", repr=False)  # empty: `synthorax serve` starts its own
    device: str = "auto"  # auto | cpu | cuda | cuda:N[,cuda:M…], for generation
    backend: str = "auto"  # auto | onnxruntime | torch
    precision: str = "float32"  # or bfloat16, float16: other pixels, so another engine
    encoder_processes: int = -1  # that encode images; -1: none on a CPU, up to 4 beside a card
    cpu_threads: int = 0  # for generation on a CPU; 0: all that this process may use
    train_device: str = "auto"
    allowed_hosts: tuple[str, ...] = ()  # more values of the Host header, beside loopback's
    trust_network: bool = False  # listen beyond loopback although there are no API keys
    api_keys: tuple[Key, ...] = field(default=(), repr=False)  # ID:SCOPE:SHA256 each, no secret
    trusted_proxies: tuple[str, ...] = ()  # addresses or networks whose X-Forwarded-For is believed
    cors_origins: tuple[str, ...] = ()  # pages of other origins that may call, with a key
    requests_a_minute: int = 0  # of one key, or of one address without keys; 0: no limit
    images_a_day: int = 0  # the same of images; 0: no limit
    log: str = "text"  # or json: a line for each request and event, with the ids of both
    queue_images: int = 4096  # images that may wait for the engine
    deadline_seconds: int = 30  # the longest that a request waits for its next image
    drain_seconds: int = 10  # after SIGTERM, for requests that are under way
    model_memory_mb: int = 4096  # MiB of versions held in memory at once
    engine_memory_fraction: float = 1.0  # of the card, for generation: the rest is a trainer's
    workers: int = 0  # training workers that `serve` starts; 0: one a card, or one
    train_processes: int = 1  # of one job: above 1 by torchrun, one a card
    train_memory_mb: int = 0  # MiB that a trainer and its children may use; 0: no limit
    train_seconds: int = 0  # the longest that a job may run, over all attempts; 0: no limit
    attempts_max: int = 5  # ends without a result in a row, none of which got a step further
    lease_seconds: int = 20  # without a sign from its worker, after which a job is another's
    visibility_seconds: int = 14 * 86_400  # Celery's redelivery; a backstop, leases are sooner
    worker_metrics_port: int = 0  # of a worker's GET /metrics; `serve` counts up; 0: none
    report_count: int = 1000  # samples of each class in the report that follows a train job
    real_previews: bool = False  # show training images, small, beside samples; each look is logged
    webhook_hosts: tuple[str, ...] = ()  # that may be told of a job's end
    webhook_secret: str = field(default="", repr=False)  # signs what they are told

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
        value = text(name, "")
        if not value:
            return default
        if not value.isdecimal() or not low <= int(value) <= high:
            raise InvalidValue(
                f"SYNTHORAX_{name} is {value!r}.",
                field=f"SYNTHORAX_{name}",
                value=value,
                remedy=f"Use a whole number from {low} to {high}.",
            )
        return int(value)

    def choice(name: str, default: str, pattern: str, remedy: str) -> str:
        value = text(name, default)
        if not re.fullmatch(pattern, value):
            raise InvalidValue(
                f"SYNTHORAX_{name} is {value!r}.",
                field=f"SYNTHORAX_{name}",
                value=value,
                remedy=remedy,
            )
        return value

    def fraction(name: str) -> float:
        pattern = r"0?\.[0-9]*[1-9][0-9]*|1(\.0*)?"
        return float(choice(name, "1", pattern, "Use a number above 0, up to 1."))

    def several(name: str) -> tuple[str, ...]:
        return tuple(text(name, "").replace(",", " ").split())

    def addresses(name: str) -> tuple[str, ...]:
        found = several(name)
        for each in found:
            try:
                ipaddress.ip_network(each, strict=False)
            except ValueError:
                raise InvalidValue(
                    f"SYNTHORAX_{name} holds {each!r}.",
                    field=f"SYNTHORAX_{name}",
                    value=each,
                    remedy="Use addresses or networks, as 172.16.0.0/12.",
                ) from None
        return found

    def origins(name: str) -> tuple[str, ...]:
        found = several(name)
        for each in found:
            if not re.fullmatch(r"https?://[a-z0-9.-]+(:[0-9]+)?", each):
                raise InvalidValue(
                    f"SYNTHORAX_{name} holds {each!r}.",
                    field=f"SYNTHORAX_{name}",
                    value=each,
                    remedy="Use origins without a path, as https://lab.example.org; not *.",
                )
        return found

    redis_url = text("REDIS_URL", "")
    roots = tuple(Path(p).absolute() for p in text("DATASET_ROOTS", "").split(":") if p)
    settings = Settings(
        host=text("HOST", "127.0.0.1"),
        port=number("PORT", 8000, 1, 65535),
        data_dir=Path(text("DATA_DIR", "data")).absolute(),
        dataset_roots=roots,
        upload_mb=number("UPLOAD_MB", 20_480, 1, 10_000_000),
        datasets_mb=number("DATASETS_MB", 0, 1, 1_000_000_000),
        store=text("STORE", ""),
        store_seconds=number("STORE_SECONDS", 5, 1, 3600),
        redis_url=redis_url and redis_address.checked(redis_url),
        device=choice(
            "DEVICE",
            "auto",
            r"auto|cpu|cuda(:\d+)?(,cuda:\d+)*",
            "Use auto, cpu, cuda, cuda:N, or several: cuda:0,cuda:1.",
        ),
        train_device=choice(
            "TRAIN_DEVICE", "auto", r"auto|cpu|cuda(:\d+)?", "Use auto, cpu, cuda or cuda:N."
        ),
        backend=choice(
            "BACKEND", "auto", "auto|onnxruntime|torch", "Use auto, onnxruntime or torch."
        ),
        precision=choice(
            "PRECISION",
            "float32",
            "float32|bfloat16|float16",
            "Use float32, bfloat16 or float16.",
        ),
        encoder_processes=number("ENCODER_PROCESSES", -1, 0, 64),
        cpu_threads=number("CPU_THREADS", 0, 0, 1024),
        allowed_hosts=several("ALLOWED_HOSTS"),
        trust_network=text("TRUST_NETWORK", "0") == "1",
        api_keys=entries(text("API_KEYS", "")),
        trusted_proxies=addresses("TRUSTED_PROXIES"),
        cors_origins=origins("CORS_ORIGINS"),
        requests_a_minute=number("REQUESTS_A_MINUTE", 0, 1, 1_000_000),
        images_a_day=number("IMAGES_A_DAY", 0, 1, 1_000_000_000),
        log=choice("LOG", "text", "text|json", "Use text or json."),
        queue_images=number("QUEUE_IMAGES", 4096, 1, 1_000_000),
        deadline_seconds=number("DEADLINE_SECONDS", 30, 1, 86_400),
        drain_seconds=number("DRAIN_SECONDS", 10, 0, 3600),
        model_memory_mb=number("MODEL_MEMORY_MB", 4096, 1, 10_000_000),
        engine_memory_fraction=fraction("ENGINE_MEMORY_FRACTION"),
        workers=number("WORKERS", 0, 1, 64),
        train_processes=number("TRAIN_PROCESSES", 1, 1, 64),
        train_memory_mb=number("TRAIN_MEMORY_MB", 0, 64, 100_000_000),
        train_seconds=number("TRAIN_SECONDS", 0, 1, 100_000_000),
        attempts_max=number("ATTEMPTS_MAX", 5, 1, 10_000),
        lease_seconds=number("LEASE_SECONDS", 20, 1, 3600),
        visibility_seconds=number("VISIBILITY_SECONDS", 14 * 86_400, 1, 10_000_000),
        worker_metrics_port=number("WORKER_METRICS_PORT", 0, 1, 65535),
        report_count=number("REPORT_COUNT", 1000, COUNT_MIN, COUNT_MAX),
        real_previews=text("REAL_PREVIEWS", "0") == "1",
        webhook_hosts=several("WEBHOOK_HOSTS"),
        webhook_secret=text("WEBHOOK_SECRET", ""),
    )
    if settings.backend == "onnxruntime" and settings.precision != "float32":
        raise InvalidValue(
            f"SYNTHORAX_PRECISION is {settings.precision!r}, and ONNX Runtime computes in float32.",
            field="SYNTHORAX_PRECISION",
            value=settings.precision,
            remedy="Use float32, or SYNTHORAX_BACKEND=torch.",
        )
    if settings.store:
        check_url(settings.store)
    if settings.webhook_secret:
        signing_key(settings.webhook_secret)
    is_reachable = settings.host not in LOOPBACK
    if settings.redis_url:
        refuse_weak_password(settings.redis_url, is_reachable, settings.trust_network)
    has_keys = bool(settings.api_keys) or (settings.data_dir / KEY_FILE).exists()
    if is_reachable and not has_keys and not settings.trust_network:
        raise InvalidValue(
            f"SYNTHORAX_HOST is {settings.host!r}, beyond this machine, and there are no API keys.",
            field="SYNTHORAX_HOST",
            value=settings.host,
            remedy="Use 127.0.0.1; or make a key (synthorax keys add NAME); or, where only "
            "trusted machines can reach the port (a container, a firewalled network), set "
            "SYNTHORAX_TRUST_NETWORK=1.",
        )
    return settings
