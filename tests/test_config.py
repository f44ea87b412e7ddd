"""Configurations and requests: every value checked, each refusal naming field, value, remedy."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from library.config import GROUPS, Augmentation, RunConfig, resolve
from library.errors import InvalidValue
from library.latents import SEED_MAX
from library.presets import DESCRIPTIONS, PRESETS
from library.requests import RunRequest, asked_again, check_model_name, read_request

NUMBERS = [f for f in fields(RunConfig) if "low" in f.metadata]
CHOICES = [f for f in fields(RunConfig) if "allowed" in f.metadata]


def refused(overrides: Any, preset: Any = "paper") -> InvalidValue:
    with pytest.raises(InvalidValue) as caught:
        resolve(preset, overrides)
    assert caught.value.remedy
    return caught.value


def test_the_paper_s_preset_is_the_paper_s_table() -> None:
    config = resolve("paper", {"seed": 1})
    assert (config.resolution, config.latent_dim, config.batch_size) == (64, 100, 50)
    assert (config.epochs, config.learning_rate, config.beta1) == (500, 2e-4, 0.5)
    assert (config.generator_width, config.discriminator_width) == (64, 64)
    assert not config.augmentation.active
    assert not config.conditional


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_resolves_and_is_described(preset: str) -> None:
    config = resolve(preset)
    for name, value in PRESETS[preset].items():
        found = getattr(config, name)
        if name in GROUPS:
            found = {inner: getattr(found, inner) for inner in value}
        assert found == value
    assert DESCRIPTIONS[preset]


def test_descriptions_are_of_presets() -> None:
    assert DESCRIPTIONS.keys() == PRESETS.keys()


def test_an_override_wins_over_the_preset() -> None:
    assert resolve("quick", {"epochs": 7}).epochs == 7
    assert resolve("quick").epochs == PRESETS["quick"]["epochs"]


@pytest.mark.parametrize("preset", ["papr", "", None, ["paper"], {}, 1])
def test_an_unknown_preset_names_those_there_are(preset: Any) -> None:
    error = refused({}, preset)
    assert error.field == "preset"
    assert all(name in str(error.remedy) for name in PRESETS)


@pytest.mark.parametrize("overrides", [[], [1], "epochs", 3, True])
def test_overrides_that_are_no_object_are_refused(overrides: Any) -> None:
    assert refused(overrides).field == "config"


def test_an_unknown_field_is_named_with_those_there_are() -> None:
    error = refused({"epoch": 3})
    assert error.field == "config.epoch"
    assert error.value == 3
    assert "epochs" in str(error.remedy)
    assert "augmentation" in str(error.remedy)


@pytest.mark.parametrize("field", NUMBERS, ids=lambda f: f.name)
def test_the_bounds_of_a_number_are_allowed_and_beyond_them_is_not(field: Any) -> None:
    low, high, whole = field.metadata["low"], field.metadata["high"], isinstance(field.default, int)
    step = 1 if whole else 1e-9
    inside = [high] if field.metadata["above"] else [low, high]
    for value in inside:
        resolved = getattr(resolve("paper", {field.name: value}), field.name)
        assert resolved == value
        assert type(resolved) is type(field.default)
    outside = [low - step, high + max(step, high * 1e-9 if not whole else 1)]
    outside += [low] if field.metadata["above"] else []
    for value in outside:
        error = refused({field.name: value})
        assert error.field == f"config.{field.name}"
        assert error.value == value
        assert f"{low:g}" in str(error.remedy)


@pytest.mark.parametrize("field", NUMBERS, ids=lambda f: f.name)
@pytest.mark.parametrize(
    "value",
    [True, False, "5", [5], {}, float("nan"), float("inf"), -float("inf"), 10**400],
    ids=lambda v: str(v)[:9],
)
def test_a_number_of_another_kind_is_refused(field: Any, value: Any) -> None:
    assert refused({field.name: value}).field == f"config.{field.name}"


@pytest.mark.parametrize("field", [f for f in NUMBERS if isinstance(f.default, int)],
                         ids=lambda f: f.name)  # fmt: skip
def test_a_whole_number_is_not_given_as_a_fraction(field: Any) -> None:
    for value in (5.0, 5.5):
        assert refused({field.name: value}).field == f"config.{field.name}"


@pytest.mark.parametrize("field", CHOICES, ids=lambda f: f.name)
def test_a_choice_is_one_of_its_own(field: Any) -> None:
    for value in field.metadata["allowed"]:
        assert getattr(resolve("paper", {field.name: value}), field.name) == value
    for value in ("other", 0, 1, 64.0, None, [field.default], float("nan"), "True"):
        error = refused({field.name: value})
        assert error.field == f"config.{field.name}"
        assert str(field.default).lower() in str(error.remedy)


def test_a_whole_number_stands_for_a_fraction() -> None:
    config = resolve("paper", {"learning_rate": 1, "augmentation": {"rotation": 30}})
    assert type(config.learning_rate) is float
    assert config.augmentation == Augmentation(rotation=30.0)
    assert type(config.augmentation.rotation) is float


@pytest.mark.parametrize(
    ("augmentation", "field"),
    [
        ({"rotate": 3}, "config.augmentation.rotate"),
        ({"rotation": 181}, "config.augmentation.rotation"),
        ({"rotation": -1}, "config.augmentation.rotation"),
        ({"rotation": True}, "config.augmentation.rotation"),
        ({"crop": 0.51}, "config.augmentation.crop"),
        ({"scale": float("nan")}, "config.augmentation.scale"),
        ({"flip": 1}, "config.augmentation.flip"),
        ({"augmentation": {}}, "config.augmentation.augmentation"),
        ("all", "config.augmentation"),
        ([1], "config.augmentation"),
        (True, "config.augmentation"),
    ],
)
def test_augmentation_is_checked_alike(augmentation: Any, field: str) -> None:
    assert refused({"augmentation": augmentation}).field == field


@pytest.mark.parametrize(
    "on", [{"rotation": 1}, {"crop": 0.1}, {"scale": 0.1}, {"flip": True}], ids=str
)
def test_augmentation_is_active_when_any_of_it_is_on(on: dict[str, Any]) -> None:
    assert resolve("paper", {"augmentation": on}).augmentation.active
    assert not resolve("paper", {"augmentation": {}}).augmentation.active
    assert not resolve("paper", {"augmentation": None}).augmentation.active


def test_a_seed_that_is_not_given_is_drawn() -> None:
    drawn = {resolve("paper", overrides).seed for overrides in [None, {}, {"seed": None}] * 4}
    assert len(drawn) == 12
    assert all(0 <= seed <= SEED_MAX for seed in drawn)
    assert resolve("paper", {"seed": 0}).seed == 0


def test_a_resolved_configuration_resolves_to_itself() -> None:
    config = resolve("quick", {"augmentation": {"rotation": 30, "flip": True}})
    assert resolve("paper", json.loads(json.dumps(config.as_dict()))) == config


def test_resolving_does_not_change_what_it_is_given() -> None:
    overrides = {"epochs": 3, "augmentation": {"crop": 0.1}}
    resolve("paper", overrides)
    assert overrides == {"epochs": 3, "augmentation": {"crop": 0.1}}
    assert "seed" not in PRESETS["paper"]


def test_every_field_has_its_rule() -> None:
    kinds: list[type[Any]] = [RunConfig, *GROUPS.values()]
    for kind in kinds:
        for field in fields(kind):
            if field.name not in GROUPS:
                assert field.metadata.keys() >= {"help"}
                assert field.default is not MISSING


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


@given(
    st.dictionaries(
        st.sampled_from([f.name for f in fields(RunConfig)]) | st.text(max_size=4), json_values
    )
)
def test_any_overrides_resolve_or_are_refused(overrides: dict[str, Any]) -> None:
    try:
        config = resolve("paper", overrides)
    except InvalidValue as error:
        told = [str(each["field"]) for each in error.as_problem()["errors"]]
    else:
        told = []
    if told:
        assert all(field.startswith("config.") for field in told)
        assert len(told) == len(set(told))
        return
    for name, value in overrides.items():
        if name != "seed" and name not in GROUPS:
            assert getattr(config, name) == value


def test_every_wrong_field_is_named_at_once() -> None:
    overrides = {
        "learning_rate": 0,
        "resolution": 100,
        "batch": 3,
        "epochs": 0,
        "augmentation": {"rotation": 400, "tilt": 1},
    }
    with pytest.raises(InvalidValue) as caught:
        resolve("paper", overrides)
    assert {error["field"] for error in caught.value.as_problem()["errors"]} == {
        "config.learning_rate",
        "config.resolution",
        "config.batch",
        "config.epochs",
        "config.augmentation.rotation",
        "config.augmentation.tilt",
    }
    assert "6 values are not allowed" in str(caught.value)


# The request file


def request_file(tmp_path: Path, **content: Any) -> Path:
    path = tmp_path / "first.json"
    whole = {"dataset": {"path": str(tmp_path)}, "data_dir": str(tmp_path), **content}
    path.write_text(json.dumps(whole))
    return path


def test_a_request_is_read_with_its_defaults(tmp_path: Path) -> None:
    request = read_request(request_file(tmp_path, config={"epochs": 3}))
    assert request.run.path == tmp_path / "runs" / "first"
    assert request.config.epochs == 3
    assert (request.preset, request.model, request.job) == ("paper", None, None)
    assert request.private


def test_a_request_that_is_written_is_read_as_it_was(tmp_path: Path) -> None:
    path = request_file(
        tmp_path, preset="quick", model="chest", job="j1", private=False, metadata={"a": [1]}
    )
    request = read_request(path)
    assert not request.private
    request.write()
    assert read_request(request.run.request) == request


def test_a_run_that_is_asked_for_again_may_have_other_epochs_alone(tmp_path: Path) -> None:
    config = {"epochs": 5, "learning_rate": 1e-4, "augmentation": {"rotation": 30}}
    before = read_request(request_file(tmp_path, model="chest", config=config))

    def again(**content: Any) -> RunRequest:
        return asked_again(read_request(request_file(tmp_path, **content)), before)

    assert again() == before  # what is left out stays, the drawn seed too
    assert again(model="chest", preset="paper", config=config) == before
    assert again(config={"epochs": 50, "seed": None}).config == replace(before.config, epochs=50)
    changed = {**config, "learning_rate": 1e-3, "augmentation": {"rotation": 20}, "seed": 2}
    with pytest.raises(InvalidValue) as caught:
        again(model="other", preset="quick", dataset={"path": "elsewhere"}, config=changed)
    told = {each["field"]: each for each in caught.value.as_problem()["errors"]}
    assert set(told) == {
        "model", "preset", "dataset", "config.learning_rate", "config.augmentation.rotation",
        "config.seed",
    }  # fmt: skip
    assert "0.001, and the run 'first' began with 0.0001." in str(caught.value)
    assert "publish RUN --model" in told["model"]["allowed"]
    assert "give another folder as `run`" in told["config.seed"]["allowed"]


def test_the_newest_version_of_a_name_may_be_another_by_now(tmp_path: Path) -> None:
    path = request_file(tmp_path, config={"fine_tune": "chest-xray-dcgan@1"})
    before = read_request(path)
    path = request_file(tmp_path, config={"fine_tune": "chest-xray-dcgan"})
    assert asked_again(read_request(path), before) == before
    path = request_file(tmp_path, config={"fine_tune": "chest-xray-dcgan@2"})
    with pytest.raises(InvalidValue, match="dcgan@2"):
        asked_again(read_request(path), before)


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"datasets": 1}, "datasets"),
        ({"dataset": None}, "dataset"),
        ({"dataset": "folder"}, "dataset"),
        ({"dataset": {"path": 3}}, "dataset"),
        ({"model": "../x"}, "model"),
        ({"model": 3}, "model"),
        ({"preset": "none"}, "preset"),
        ({"preset": ["paper"]}, "preset"),
        ({"config": {"epochs": "3"}}, "config.epochs"),
        ({"config": [1]}, "config"),
        ({"run": 3}, "run"),
        ({"data_dir": ["x"]}, "data_dir"),
        ({"job": 3}, "job"),
        ({"private": "false"}, "private"),
        ({"metadata": [1]}, "metadata"),
    ],
)
def test_a_wrong_request_names_its_field(
    content: dict[str, Any], field: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidValue) as caught:
        read_request(request_file(tmp_path, **content))
    assert caught.value.field == field


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b"\xff\xfe", b"[" * 100_000], ids=lambda c: str(c)[:12]
)
def test_a_file_that_is_no_request_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(InvalidValue) as caught:
        read_request(tmp_path / "x.json")
    assert caught.value.field == "CONFIG.json"


def test_a_missing_request_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="No such file"):
        read_request(tmp_path / "x.json")


@pytest.mark.parametrize("name", ["a", "0", "a-b_c.d", "a" * 64])
def test_a_model_name_is_allowed(name: str) -> None:
    assert check_model_name(name) == name


@pytest.mark.parametrize("name", ["", "A", "a/b", "..", ".a", "a.", "-a", "a" * 65, "é", "a\n", 1])
def test_a_model_name_is_refused(name: Any) -> None:
    with pytest.raises(InvalidValue) as caught:
        check_model_name(name)
    assert caught.value.field == "model"
