"""Settings: what the environment says, and what it may not say."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import pytest

from library.errors import InvalidValue
from library.keys import new_key
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
            "SYNTHORAX_REDIS_URL": "redis://:4f6cbe0a91d27358@example:6379/0",
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
    assert settings.redis_url == "redis://:4f6cbe0a91d27358@example:6379/0"
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


STRONG = "4f6cbe0a91d2735880aa61c4"  # as `openssl rand -hex` makes them
DEFAULTS = ("changeme", "password", "Password1", "secret", "redis", "synthorax", "foobared", "…",
            "PASSWORD", "change-me-to-something-long", "your-password-goes-here-1234", "x" * 32,
            "abcabcabcabcabcabcabcabc", "0123456789abcde")  # fmt: skip


@pytest.mark.parametrize("password", DEFAULTS)
def test_weak_passwords_of_redis_are_refused(password: str) -> None:
    written = quote(password, safe="")
    cases = [
        {"REDIS_URL": f"redis://:{written}@valkey:6379/0"},
        {"REDIS_URL": f"rediss://synthorax:{written}@10.0.0.7/0", "TRUST_NETWORK": "1"},
        {"REDIS_URL": f"redis://:{written}@localhost/0", "HOST": "10.0.0.1",
         "API_KEYS": new_key("a", "admin")[0].entry},
    ]  # fmt: skip
    for variables in cases:
        error = refused(**variables)
        assert error.field == "SYNTHORAX_REDIS_URL"
        assert "openssl rand -hex 32" in str(error.remedy)
        assert f":{written}@" not in str(error)
        assert error.value is None
    alone = {"SYNTHORAX_REDIS_URL": f"redis://:{written}@localhost/0"}
    assert from_environment(alone).redis_url == alone["SYNTHORAX_REDIS_URL"]


def test_a_redis_elsewhere_needs_a_password_or_trust() -> None:
    for url in ("redis://valkey:6379/0", "rediss://user@valkey/0"):
        assert "no password" in str(refused(REDIS_URL=url))
        from_environment({"SYNTHORAX_REDIS_URL": url, "SYNTHORAX_TRUST_NETWORK": "1"})
    for url in ("unix:///run/valkey.sock", "redis://127.0.0.1:6379/0", "redis://[::1]/0",
                f"redis://:{STRONG}@valkey:6379/0", f"rediss://me:{STRONG}@valkey/0"):  # fmt: skip
        settings = from_environment({"SYNTHORAX_REDIS_URL": url})
        assert settings.redis_url == url
        assert STRONG not in repr(settings)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"valkey:{STRONG}@host", "no address"),
        (f"http://:{STRONG}@host/0", "no address"),
        (f"redis://:{STRONG}[x@host/0", "cannot be read"),
        (f"redis://:{STRONG}/x@host:port/0", "cannot be read"),
        (f"redis://:{STRONG}@host/0?ssl_ca_certs=/x.pem", "rediss://"),
        (f"rediss://:{STRONG}@host/0?ssl_ca_certs=/no/such.pem", "/no/such.pem"),
    ],
)
def test_an_address_that_is_none_is_refused_and_not_repeated(url: str, words: str) -> None:
    error = refused(REDIS_URL=url)
    assert words in str(error)
    assert STRONG not in str(error.as_problem())


@pytest.mark.parametrize("word", ["changeme", "password", "Secret", "synthorax", "", "SECRET"])
def test_digests_of_well_known_words_are_no_keys(word: str) -> None:
    digest = sha256(word.encode()).hexdigest()
    for each in (digest, "0" * 64, "deadbeef" * 8):
        error = refused(API_KEYS=f"{new_key('a', 'admin')[0].entry} 0123abcd:admin:{each}")
        assert error.field == "SYNTHORAX_API_KEYS"
        assert "Entry 2" in str(error)
        assert "synthorax keys new" in str(error.remedy)
        assert each not in str(error)
