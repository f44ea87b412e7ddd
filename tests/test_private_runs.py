"""Runs with differential privacy: a budget that is spent once, a secret that stays where it is."""

from __future__ import annotations

import json
import shutil
import signal
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.models.routes import guarantee as in_list
from evaluation.report import guarantee
from library.atomic import read_json
from library.config import resolve
from library.decoded import Decoded
from library.errors import Conflict, InvalidValue
from library.runs import RunFolder, checkpoints
from library.versions import ModelLibrary, Version
from tests.test_resume import assert_same_end, run_of
from tests.trainer import Trainer, write_request
from training.ancestor import _check_public
from training.privacy import MEASURED_ON_IMAGES, Plan, begin

# 6 steps an epoch; of the 24 images each is a patient's only one.
CONFIG: dict[str, Any] = {
    "family": "dpgan",
    "augmentation": {},
    "epochs": 4,
    "batch_size": 4,
    "checkpoint_seconds": 0,
    "privacy": {"epsilon": 8, "generator_every": 2},
}


def published(folder: Path) -> Version:
    return ModelLibrary(folder / "models").find("tiny")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, list[dict[str, Any]]]:
    request = write_request(tmp_path_factory.mktemp("undisturbed"), "tiny", **CONFIG)
    with Trainer(request) as trainer:
        assert trainer.end() == 0, request.with_suffix(".log").read_text()
    return run_of(request), trainer.events


def test_a_killed_run_spends_its_budget_once_and_ends_in_the_same_bytes(
    undisturbed: tuple[RunFolder, list[dict[str, Any]]], tmp_path: Path
) -> None:
    like, _ = undisturbed
    request = write_request(tmp_path, "tiny", **CONFIG)
    run = run_of(request)
    run.path.mkdir(parents=True)
    for path in (like.environment, like.noise_key):
        shutil.copy(path, run.path)
    with Trainer(request) as trainer:
        trainer.wait_for("checkpoint", step=9)
        trainer.process.kill()
        assert trainer.end() == -signal.SIGKILL
    assert 9 <= int(checkpoints(run.checkpoints)[0].stem) < 24
    with Trainer(request) as trainer:
        assert trainer.end() == 0, request.with_suffix(".log").read_text()
    assert_same_end(run, like)
    mine, other = published(tmp_path), published(like.path.parent.parent)
    assert mine.digest == other.digest
    assert mine.card["privacy"] == other.card["privacy"]
    plan = Plan(**read_json(run.privacy))
    assert mine.card["privacy"]["steps"] == 24
    assert mine.card["privacy"]["patient"]["epsilon"] == pytest.approx(plan.spent(24), abs=1e-4)
    assert 7.9 < plan.spent(24) <= 8


def test_the_secret_is_in_nothing_that_is_told_or_published(
    undisturbed: tuple[RunFolder, list[dict[str, Any]]],
) -> None:
    run, events = undisturbed
    assert stat.S_IMODE(run.noise_key.stat().st_mode) == 0o600
    written = run.noise_key.read_bytes()
    key = bytes.fromhex(written.decode())
    assert len(key) == 32
    forms = (written, written.upper(), key, str(int.from_bytes(key)).encode())
    version = published(run.path.parent.parent).path
    told = {path: path.read_bytes() for path in version.rglob("*") if path.is_file()}
    told |= {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file() and p != run.noise_key}
    assert {path.name for path in told} >= {"model.json", "CARD.md", "request.json"}
    told[Path("events")] = json.dumps(events).encode()
    for path, content in told.items():
        assert not any(form in content for form in forms), path


def test_what_was_measured_on_real_images_is_not_published(
    undisturbed: tuple[RunFolder, list[dict[str, Any]]],
) -> None:
    run, _ = undisturbed
    version = published(run.path.parent.parent)
    lines = [json.loads(line) for line in (version.path / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    for line in [*lines, version.card["training"]["last_epoch"]]:
        assert not line.keys() & set(MEASURED_ON_IMAGES)
        assert {"loss_g", "d_g_z2"} <= line.keys()
    assert version.label_frequencies == [0.5, 0.5]  # whatever the dataset's are
    card = (version.path / "CARD.md").read_text()
    assert "per patient **8.00** at delta 0.0042" in card
    assert "does not make the images anonymous" in card
    assert "Loss_D" not in card
    assert all(each in card for each in version.card["privacy"]["not_covered"])


def test_reports_and_the_list_of_models_say_it(
    undisturbed: tuple[RunFolder, list[dict[str, Any]]],
) -> None:
    found = published(undisturbed[0].path.parent.parent).card["privacy"]
    said = guarantee({"model": {"privacy": found}})
    assert said.startswith("epsilon 8, ")
    assert "delta 0.0042 per patient (opacus.accountants.RDPAccountant of opacus 1.6.0)" in said
    assert "patients are not known" in guarantee({"model": {"privacy": {**found, "patient": None}}})
    assert guarantee({"model": None}) == guarantee({"model": {"privacy": None}}) == "none"
    listed = in_list(found)
    assert listed is not None
    assert listed["per"] == "patient"
    assert 7.9 < listed["epsilon"] <= 8
    assert in_list(None) is None


def data(patients: tuple[str | None, ...]) -> Decoded:
    count = len(patients)
    files = {f"{i}.png": ("a", f"{i:064x}") for i in range(count)}
    levels = np.zeros((count, 64, 64), np.uint8)
    return Decoded(levels, np.zeros(count, np.int64), ("a",), "", files, patients)


def test_a_run_goes_on_within_its_budget_and_not_beyond_it(tmp_path: Path) -> None:
    run, images = RunFolder(tmp_path), data(tuple(map(str, range(64))))
    config = resolve("dp", {"epochs": 10, "batch_size": 8})
    begun = begin(run, config, images)
    assert begin(run, config, images).plan == begun.plan
    assert begin(run, config, images).secret == begun.secret
    begin(run, replace(config, epochs=9), images)  # less than planned spends less
    with pytest.raises(Conflict, match="spent after 10") as caught:
        begin(run, replace(config, epochs=11), images)
    assert caught.value.field == "config.epochs"
    with pytest.raises(Conflict, match="images that take part"):
        begin(run, config, data(tuple(map(str, range(63)))))
    # A fixed noise multiplier may leave some of the budget.
    fixed = resolve("dp", {"epochs": 10, "batch_size": 8, "privacy": {"noise_multiplier": 2.0}})
    other = RunFolder(tmp_path / "other")
    other.path.mkdir()
    assert begin(other, fixed, images).plan.noise_multiplier == 2.0
    begin(other, replace(fixed, epochs=20), images)
    with pytest.raises(Conflict, match="the budget is 8"):
        begin(other, replace(fixed, epochs=10_000), images)


def test_a_run_without_its_secret_does_not_go_on(tmp_path: Path) -> None:
    run, images = RunFolder(tmp_path), data(tuple(map(str, range(64))))
    config = resolve("dp", {"epochs": 10, "batch_size": 8})
    first = begin(run, config, images).secret
    run.noise_key.write_text("")  # cut short before the first step: drawn again
    assert begin(run, config, images).secret != first
    run.checkpoints.mkdir()
    (run.checkpoints / "0000000001.safetensors").touch()
    run.noise_key.unlink()
    with pytest.raises(Conflict, match="noise key"):
        begin(run, config, images)


def test_a_patient_of_many_images_is_capped_and_said(tmp_path: Path) -> None:
    images = data(tuple("many" if i < 30 else str(i) for i in range(64)))
    config = resolve("dp", {"epochs": 10, "batch_size": 8, "privacy": {"images_per_patient": 3}})
    plan = begin(RunFolder(tmp_path), config, images).plan
    assert (plan.images, plan.left_out, plan.patients_known) == (37, 27, True)
    facts = plan.facts(40)
    assert facts["patient"]["images_at_most"] == 3
    assert 3 * facts["epsilon"] < facts["patient"]["epsilon"] <= 8
    unknown = tmp_path / "unknown"
    unknown.mkdir()
    plan = begin(RunFolder(unknown), config, data((None,) * 64)).plan
    assert (plan.images, plan.left_out, plan.images_per_patient) == (64, 0, 1)
    assert plan.facts(40)["patient"] is None
    none = tmp_path / "none"
    none.mkdir()
    with pytest.raises(InvalidValue, match="images take part"):
        begin(RunFolder(none), config, data(("one",) * 64))


def test_an_ancestor_that_saw_patients_without_noise_is_refused(
    undisturbed: tuple[RunFolder, list[dict[str, Any]]],
) -> None:
    version = published(undisturbed[0].path.parent.parent)
    with pytest.raises(InvalidValue, match="private data"):
        _check_public(version, "another")
    public = replace(version, card={**version.card, "private": False})
    _check_public(public, "another")
    with pytest.raises(InvalidValue, match="these images"):
        _check_public(public, version.card["dataset"]["fingerprint"])
    older = {**public.card, "ancestry": [{"private": True}]}
    with pytest.raises(InvalidValue, match="void"):
        _check_public(replace(public, card=older), "another")
