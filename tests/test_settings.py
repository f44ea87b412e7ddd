"""Settings: what the environment says, and what it may not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from library.errors import InvalidValue
from library.settings import LOOPBACK, from_environment


def refused(**variables: str) -> InvalidValue:
    environment = {f"SYNTHORAX_{name}": value for name, value in variables.items()}
    with pytest.raises(InvalidValue) as caught:
        from_environment(environment)
    assert caught.value.remedy
    return caught.value


def test_an_empty_environment_serves_on_loopback() -> None:
    settings = from_environment({})
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.redis_url == ""
    assert (settings.device, settings.train_device) == ("auto", "auto")
    assert settings.data_dir == Path("data").absolute()
    assert settings.models == settings.data_dir / "models"
    assert settings.roots == (settings.uploads,)
    assert not settings.trust_network


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    names = ("HOST", "PORT", "DATA_DIR", "DATASET_ROOTS", "REDIS_URL", "DEVICE", "TRUST_NETWORK")
    assert from_environment({f"SYNTHORAX_{n}": " " for n in names}) == from_environment({})


def test_every_variable_is_read(tmp_path: Path) -> None:
    settings = from_environment(
        {
            "SYNTHORAX_HOST": "localhost",
            "SYNTHORAX_PORT": " 9000 ",
            "SYNTHORAX_DATA_DIR": str(tmp_path),
            "SYNTHORAX_DATASET_ROOTS": f"{tmp_path}/a:{tmp_path}/b:",
            "SYNTHORAX_REDIS_URL": "redis://example:6379/0",
            "SYNTHORAX_DEVICE": "cuda:1",
            "SYNTHORAX_TRAIN_DEVICE": "cpu",
            "SYNTHORAX_ALLOWED_HOSTS": "xrays.example, other.example",
            "SYNTHORAX_QUEUE_IMAGES": "7",
            "SYNTHORAX_BACKEND": "torch",
            "SYNTHORAX_PRECISION": "bfloat16",
            "SYNTHORAX_CPU_THREADS": "3",
            "SYNTHORAX_DEADLINE_SECONDS": "5",
            "SYNTHORAX_DRAIN_SECONDS": "6",
            "SYNTHORAX_MODEL_MEMORY_MB": "512",
            "SYNTHORAX_ENGINE_MEMORY_FRACTION": "0.25",
        }
    )
    assert (settings.host, settings.port, settings.data_dir) == ("localhost", 9000, tmp_path)
    assert settings.dataset_roots == (tmp_path / "a", tmp_path / "b")
    assert settings.roots == (tmp_path / "a", tmp_path / "b", tmp_path / "images")
    assert settings.redis_url == "redis://example:6379/0"
    assert (settings.device, settings.train_device) == ("cuda:1", "cpu")
    assert settings.allowed_hosts == ("xrays.example", "other.example")
    assert (settings.backend, settings.precision) == ("torch", "bfloat16")
    assert (settings.queue_images, settings.cpu_threads) == (7, 3)
    assert (settings.deadline_seconds, settings.drain_seconds) == (5, 6)
    assert (settings.model_memory_mb, settings.engine_memory_fraction) == (512, 0.25)


def test_relative_folders_are_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = from_environment(
        {"SYNTHORAX_DATA_DIR": "state", "SYNTHORAX_DATASET_ROOTS": "images"}
    )
    assert settings.data_dir == tmp_path / "state"
    assert settings.dataset_roots == (tmp_path / "images",)


def test_the_process_s_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHORAX_PORT", "8123")
    assert from_environment().port == 8123


@pytest.mark.parametrize("name", ["PORT", "QUEUE_IMAGES", "MODEL_MEMORY_MB"])
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "1e3", "99999999", "0x10", "1 2"])
def test_a_number_out_of_its_bounds_is_refused(name: str, value: str) -> None:
    error = refused(**{name: value})
    assert error.field == f"SYNTHORAX_{name}"
    assert error.value == value


@pytest.mark.parametrize("name", ["DEVICE", "TRAIN_DEVICE"])
@pytest.mark.parametrize("value", ["gpu", "cuda:", "cuda:x", "cuda:1:2", "cpu:0", "auto:1", "CPU"])
def test_an_unknown_device_is_refused(name: str, value: str) -> None:
    error = refused(**{name: value})
    assert error.field == f"SYNTHORAX_{name}"
    assert "cuda:N" in str(error.remedy)


@pytest.mark.parametrize("value", ["auto", "cpu", "cuda", "cuda:0", "cuda:11"])
def test_a_device_is_read(value: str) -> None:
    assert from_environment({"SYNTHORAX_DEVICE": value}).device == value


@pytest.mark.parametrize("host", sorted(LOOPBACK))
def test_loopback_needs_nothing(host: str) -> None:
    assert from_environment({"SYNTHORAX_HOST": host}).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "xrays.example"])  # noqa: S104
def test_beyond_loopback_needs_trust(host: str) -> None:
    assert refused(HOST=host).field == "SYNTHORAX_HOST"
    assert refused(HOST=host, TRUST_NETWORK="0").field == "SYNTHORAX_HOST"
    assert refused(HOST=host, TRUST_NETWORK="true").field == "SYNTHORAX_HOST"
    trusted = from_environment({"SYNTHORAX_HOST": host, "SYNTHORAX_TRUST_NETWORK": "1"})
    assert trusted.host == host
