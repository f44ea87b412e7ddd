"""API keys: made, found, ended; what lies on the disk lets nobody in."""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from library import keys
from library.errors import InvalidValue, NotFound, Unusable
from library.keys import SCOPES, Key, KeyFile, Keys, allows, entries, new_key
from library.settings import from_environment


@pytest.fixture(autouse=True)
def always_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_LOOK_SECONDS", 0.0)


def test_a_key_is_found_by_its_text_alone(tmp_path: Path) -> None:
    key, text = new_key("ann", "train")
    KeyFile(tmp_path).add(key)
    found = Keys(tmp_path, ())
    assert found.find(text) == key
    stored = (tmp_path / keys.FILE).read_text()
    secret = text.rpartition("_")[2]
    assert secret not in stored
    assert sha256(secret.encode()).hexdigest() in stored
    assert (tmp_path / keys.FILE).stat().st_mode & 0o777 == 0o600
    other = new_key("bob", "admin")[1]
    for wrong in (
        "",
        text[:-1],
        text + "0",
        text.upper(),
        other,
        f"{text[:-1]}{'0' if text[-1] != '0' else '1'}",
    ):
        assert found.find(wrong) is None


@given(st.text())
def test_no_other_text_lets_anybody_in(text: str) -> None:
    key, _ = new_key("ann", "admin")
    assert Keys(Path("/nowhere"), [key]).find(text) is None


def test_a_key_ends(tmp_path: Path) -> None:
    file, found = KeyFile(tmp_path), Keys(tmp_path, ())
    assert not found.are_asked_for()
    key, text = new_key("ann", "train")
    file.add(key)
    assert found.are_asked_for()
    made, new_text = file.rotate(key.id, 3600)
    assert (made.name, made.scope) == ("ann", "train")
    assert found.find(text) is not None  # for an hour
    assert found.find(new_text) == made
    file.rotate(key.id, -1)
    assert found.find(text) is None
    file.revoke(made.id)
    assert found.find(new_text) is None
    assert found.by_id(made.id) is None
    with pytest.raises(NotFound, match="keys list"):
        file.revoke("00000000")
    ended, ended_text = new_key("bob", "generate", time.time() - 1)
    file.add(ended)
    assert found.find(ended_text) is None
    # Without any key that works, and without the file, a key is still asked for.
    (tmp_path / keys.FILE).unlink()
    assert found.are_asked_for()
    assert found.find(new_text) is None


def test_a_key_that_is_revoked_while_it_is_rotated_stays_revoked(tmp_path: Path) -> None:
    key, text = new_key("ann", "train")
    KeyFile(tmp_path).add(key)

    def rotate() -> None:
        for _ in range(15):
            KeyFile(tmp_path).rotate(key.id, 3600)

    threads = [threading.Thread(target=rotate) for _ in range(2)]
    for thread in threads:
        thread.start()
    KeyFile(tmp_path).revoke(key.id)
    for thread in threads:
        thread.join()
    assert Keys(tmp_path, ()).find(text) is None
    assert len(KeyFile(tmp_path).read()) == 31


def test_a_key_is_known_as_soon_as_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "_LOOK_SECONDS", 3600.0)
    first, _ = new_key("ann", "train")
    KeyFile(tmp_path).add(first)
    found = Keys(tmp_path, ())
    assert found.are_asked_for()
    second, text = new_key("bob", "train")
    KeyFile(tmp_path).add(second)
    assert found.find(text) == second


def test_a_damaged_file_lets_nobody_in(tmp_path: Path) -> None:
    for content in ("", "{", '{"schema": 2, "keys": []}', '{"schema": 1, "keys": [{"id": 1}]}'):
        (tmp_path / keys.FILE).write_text(content)
        with pytest.raises(Unusable, match="nobody is let in"):
            Keys(tmp_path, ()).are_asked_for()


def _add(folder: Path, name: str) -> None:
    KeyFile(folder).add(new_key(name, "generate")[0])


def test_keys_that_are_made_at_once_are_all_kept(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    made = [context.Process(target=_add, args=(tmp_path, f"n{i}")) for i in range(6)]
    for process in made:
        process.start()
    for process in made:
        process.join()
    assert {key.name for key in KeyFile(tmp_path).read().values()} == {f"n{i}" for i in range(6)}
    assert len(json.loads((tmp_path / keys.FILE).read_text())["keys"]) == 6


def test_keys_of_the_environment() -> None:
    key, text = new_key("", "train")
    (given_key,) = from_environment({"SYNTHORAX_API_KEYS": key.entry}).api_keys
    assert Keys(Path("/nowhere"), [given_key]).find(text) == Key(
        key.id, "train", key.sha256, "environment"
    )
    # A key itself, or a default that somebody forgot, is no entry; the error repeats neither.
    for wrong in (text, "changeme", f"{key.id}:root:{key.sha256}", f"{key.id}:train:{'z' * 64}"):
        with pytest.raises(InvalidValue, match="Entry 2 of SYNTHORAX_API_KEYS") as refused:
            entries(f"{key.entry},{wrong}")
        assert wrong not in json.dumps(refused.value.as_problem())
    assert text not in repr(from_environment({"SYNTHORAX_API_KEYS": key.entry}))
    # With keys other machines may ask.
    with pytest.raises(InvalidValue, match="no API keys"):
        from_environment({"SYNTHORAX_HOST": "0.0.0.0"})  # noqa: S104
    from_environment({"SYNTHORAX_HOST": "0.0.0.0", "SYNTHORAX_API_KEYS": key.entry})  # noqa: S104


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_holds_those_before_it(scope: str) -> None:
    held = [other for other in SCOPES if allows(scope, other)]
    assert held == list(SCOPES[: SCOPES.index(scope) + 1])
    assert not allows(None, scope)
