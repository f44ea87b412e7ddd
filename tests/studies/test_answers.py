"""From a study's folder to results.json, with the user's own scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from library.errors import InvalidValue, Unusable
from library.studies.folder import Study
from studies.answers import answers
from studies.contrasts import contrast, images_of, measure, value
from studies.predictions import WITH_RATIO, Arm, Predictions, places, read
from studies.scoring import COLUMNS, scored
from tests.studies.planted import planted_study

SIZES: dict[str, Any] = {"sizes": [1.0, 0.5], "specificity": 0.9}
UNEVEN = 1 / 3  # a ratio that names hold to six digits


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    gains = {"real_synthetic": 2.0, "synthetic": -1.0}
    return planted_study(tmp_path_factory.mktemp("study"), SIZES, gains)


@pytest.fixture(scope="module")
def found(study: Study) -> dict[str, Any]:
    return answers(study)


def test_a_gain_is_a_benefit_and_its_contrast_the_first(found: dict[str, Any]) -> None:
    verdict, first = found["verdict"], found["contrasts"][0]
    assert verdict["verdict"] == "benefit"
    assert verdict["contrast"] == first
    assert first["primary"]
    assert first["p_holm"] is None
    assert (first["arm"], first["control"], first["size"]) == ("real_synthetic", "duplicates", 1.0)
    assert f"{first['difference']:+.4f}" in verdict["text"]
    assert found["lights"]["usefulness"] == "green"
    assert not any(each["primary"] for each in found["contrasts"][1:])
    assert all(each["p"] <= each["p_holm"] for each in found["contrasts"][1:])


def test_arms_have_their_runs_and_their_intervals(found: dict[str, Any]) -> None:
    arms = {(each["size"], each["arm"]): each for each in found["arms"]}
    assert set(arms) == {(s, a) for s in (1.0, 0.5) for a in found["config"]["arms"]}
    assert (arms[1.0, "real"]["draws"], arms[1.0, "real"]["runs"]) == (1, 2)
    assert (arms[1.0, "synthetic"]["draws"], arms[0.5, "real"]["draws"]) == (2, 2)
    for each in found["arms"]:
        for name, metric in each["metrics"].items():
            low, high = metric["interval"]
            assert low < metric["value"] < high, name
    assert arms[1.0, "real"]["spread"]["draws"] is None
    assert arms[1.0, "real_synthetic"]["spread"]["draws"] > 0


def test_synthetic_images_of_one_class_light_the_shortcut(found: dict[str, Any]) -> None:
    one = {each["arm"]: each for each in found["shortcut"] if each["size"] == 1}
    assert one["one_class"]["rate_real"] == pytest.approx(0.1, abs=0.02)
    assert one["one_class"]["difference"] > 0.2
    assert abs(one["real_synthetic"]["difference"]) < 0.1
    # Each class has them here: the arm shows what would be learned were it not so.
    assert found["lights"]["shortcut"] == "amber"
    # They can be told from real ones, and each class has them.
    assert found["lights"]["told_apart"] == "amber"
    assert all(each["auroc"] > 0.8 for each in found["told_apart"])


def test_synthetic_images_of_the_negative_class_alone_light_it_too(tmp_path: Path) -> None:
    given = {"synthetic_classes": ["NORMAL"], "arms": ["real", "duplicates", "real_synthetic"]}
    study = planted_study(tmp_path, given, {"real": 3.0, "real_synthetic": 3.0})
    found = answers(study)
    [row] = found["shortcut"]
    # Planted: they look like negatives, whatever they are of.
    assert row["rate_synthetic"] > 0.8 > 0.2 > row["rate_real"]
    assert found["lights"]["shortcut"] == found["lights"]["told_apart"] == "red"
    text = " ".join(check["text"] for check in found["checks"] if check["light"] == "shortcut")
    assert "of synthetic images of the positive class are called negative" in text
    assert "with synthetic images of NORMAL alone, they stand for it" in text


@pytest.mark.parametrize("seeds", [1, 3])
def test_one_training_of_an_arm_has_the_others_variance(tmp_path: Path, seeds: int) -> None:
    arms = {"classifiers": ["network"], "primary_classifier": "network", "seeds": seeds}
    given = {**arms, "arms": ["real", "duplicates", "real_synthetic"], "generators": 5}
    read_ = read(planted_study(tmp_path, given, {}))
    of = images_of(read_, 1.0)
    made, control = (
        measure(read_, of, Arm("network", name, 1.0)) for name in ("real_synthetic", "duplicates")
    )
    spread = value(of, made, "auroc").draws
    assert control.runs == seeds
    assert spread is not None
    found = contrast(read_, of, made, control)
    model = found.variance - found.patients**2
    least = spread**2 / 5  # of the five generators' own mean
    assert (model == pytest.approx(least + spread**2)) == (seeds == 1)
    assert model > least


def test_the_same_study_gives_the_same_bytes_and_plain_json(
    study: Study, found: dict[str, Any]
) -> None:
    text = json.dumps(found, allow_nan=False)
    assert json.dumps(answers(study)) == text
    assert "seconds" not in text
    assert found["data"]["partitions"][0]["name"] == "s1d0"
    assert found["software"]["numpy"] == np.__version__


def test_duplicates_by_another_name_are_no_benefit(tmp_path: Path) -> None:
    found = answers(
        planted_study(
            tmp_path, {"arms": ["real", "duplicates", "real_synthetic"], "ratio": UNEVEN}, {}
        )
    )
    assert found["verdict"]["contrast"]["ratio"] == 0.333333
    assert found["verdict"]["verdict"] == "inconclusive"
    assert found["lights"] == {"usefulness": "amber", "shortcut": "green", "told_apart": "amber"}


@pytest.mark.parametrize("kind", ["usefulness", "small_class"])
def test_two_classifiers_that_are_never_wrong_have_no_verdict(tmp_path: Path, kind: str) -> None:
    gains = dict.fromkeys(("real", "duplicates", "real_synthetic"), 50.0)
    given = {"kind": kind, "arms": list(gains)}
    found = answers(planted_study(tmp_path, given, gains))
    assert {each["metrics"]["auroc"]["value"] for each in found["arms"]} == {1.0}
    assert all(0.5 < each["metrics"]["auroc"]["interval"][0] < 1 for each in found["arms"])
    assert found["verdict"]["contrast"]["interval"] == [None, None]
    assert found["verdict"]["verdict"] == "inconclusive"
    assert found["lights"]["usefulness"] == "grey"


def test_a_class_of_few_is_told_across_folds_and_held_to_the_large_test(tmp_path: Path) -> None:
    given = {"kind": "small_class", "small_count": 50, "folds": 4}
    study = planted_study(tmp_path, given, {"real_synthetic": 2.0}, images=400, large=160)
    found = answers(study)
    assert found["verdict"]["verdict"] == "benefit"
    real = next(each for each in found["arms"] if each["arm"] == "real")
    assert (real["draws"], real["runs"]) == (8, 16)
    low, high = real["metrics"]["auroc"]["interval"]
    assert high - low > 4.6 * real["spread"]["patients"]  # wider than patients resampled
    with np.load(study.partitions) as kept:
        assert found["data"]["large_test"]["images"] == len(kept["large"]) > 50
    assert [each["generator"] for each in found["generators"]] == list(range(8))
    assert {(each["images"], each["kid"]) for each in found["generators"]} == {(640, 0.25)}
    large = {each["arm"]: each for each in found["large_test"]}
    assert large["real"]["cross_validated"]["interval"] == [low, high]
    assert large["real"]["inside"] == (low <= large["real"]["large"]["value"] <= high)
    assert large["real_synthetic"]["large"]["value"] > large["real"]["large"]["value"]


def test_predictions_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    study = planted_study(tmp_path, {}, {})
    unit = next(unit for unit in study.units if unit.kind == "runs")
    np.savez(study.unit_arrays(unit.name), **{"probe/real": np.zeros((2, 7), np.float32)})  # type: ignore[arg-type]
    with pytest.raises(Unusable, match="probe/real"):
        answers(study)


@pytest.mark.parametrize("kind", ["usefulness", "small_class"])
def test_partitions_that_test_on_different_images_are_refused(tmp_path: Path, kind: str) -> None:
    sizes = {"sizes": [0.5]} if kind == "usefulness" else {"folds": 2}
    predictions = read(planted_study(tmp_path, {"kind": kind, **sizes}, {}, images=40))
    last = list(predictions.tests)[-1]
    predictions.tests[last] = predictions.tests[last] - 1
    with pytest.raises(Unusable, match="same images"):
        images_of(predictions, predictions.config.sizes[0])


Line = dict[str, Any]


def lines(predictions: Predictions, gain: float = 0.0) -> list[Line]:
    """Scores of a model of the user's own, of all arms."""
    config, random, found = predictions.config, np.random.default_rng(3), []
    for arm in config.arms:
        for size in config.sizes:
            for partition, generator in places(config, arm, predictions.partitions(size)):
                for seed in (0, 1):
                    for image in predictions.tests[partition]:
                        score = predictions.positive[image] * (1 + gain * (arm == "real_synthetic"))
                        found.append(
                            {
                                "partition": partition, "generator": generator, "arm": arm,
                                "ratio": "1.0" if arm in WITH_RATIO else "", "seed": seed,
                                "image": image, "score": round(score + random.normal(), 4),
                            }
                        )  # fmt: skip
    return found


def as_csv(rows: list[Line]) -> bytes:
    text = [",".join(COLUMNS), *(",".join(str(row[name]) for name in COLUMNS) for row in rows)]
    return "\r\n".join(text).encode("utf-8-sig")


def test_scores_of_a_model_of_ones_own_become_arms_and_contrasts(
    study: Study, found: dict[str, Any]
) -> None:
    path = study.path / "scores" / "mine.csv"
    path.write_bytes(as_csv(lines(read(study), gain=1.0)[::-1]))
    try:
        again = answers(study)
    finally:
        path.unlink()
    mine = [each for each in again["arms"] if each["classifier"] == "yours:mine"]
    assert len(mine) == 2 * len(found["config"]["arms"])
    assert mine[0]["metrics"]["auroc"]["value"] > 0.6
    assert mine[0]["metrics"]["brier"]["value"] is None  # scores that are no probabilities
    gain = next(
        each
        for each in again["contrasts"]
        if each["classifier"] == "yours:mine" and each["control"] == "duplicates"
    )
    assert gain["difference"] > 0.05
    assert not gain["primary"]
    # What the study measured itself is what it was.
    assert again["verdict"] == found["verdict"]
    assert [each for each in again["arms"] if each["classifier"] == "probe"] == found["arms"]


def _changed(**values: Any) -> Callable[[list[Line]], list[Line]]:
    return lambda rows: [*rows[:3], {**rows[3], **values}, *rows[4:]]


@pytest.mark.parametrize(
    ("change", "says", "remedy"),
    [
        (_changed(arm="reel"), r"line 5, has the arm 'reel'", "real, duplicates"),
        (_changed(partition="s2d0"), r"line 5, has the partition 's2d0'", "s1d0"),
        (_changed(score="high"), r"line 5, has the score 'high'", "Give a number"),
        (_changed(score="nan"), r"line 5, has the score 'nan'", "Give a number"),
        (_changed(image="1.5"), r"line 5, has the image '1.5'", "from 0 to 239"),
        (_changed(image="7"), r"line 5, scores image 7, which", "Leave it out"),
        (_changed(ratio="1"), r"line 5, has the ratio '1'", "empty"),
        (_changed(generator="9"), r"line 5, has the generator '9'", "one of: 0"),
        (_changed(seed="-1"), r"line 5, has the seed '-1'", "whole number"),
        (
            lambda rows: [*rows[:4], rows[2], *rows[4:]],
            r"line 6, scores image 122 again: line 4", "seed",
        ),
        (lambda rows: rows[1:], r"lacks 1 images of real, .*: 120", "Score all 120"),
        (
            lambda rows: [r for r in rows if r["arm"] != "duplicates"],
            r"lacks runs of duplicates@1", "Score",
        ),
        (
            lambda rows: [r for r in rows if r["partition"] != "s0.5d1" or r["arm"] != "real"],
            r"lacks runs of real: s0.5d1 with generator 1", "Score",
        ),
        (
            lambda rows: [
                r for r in rows if r["arm"] != "real" or r["seed"] or r["partition"] == "s1d0"
            ],
            r"has 1 seeds of real", "same seeds",
        ),
        (lambda rows: rows[:0], r"lacks runs", "Score"),
    ],
)  # fmt: skip
def test_scores_that_do_not_fit_say_where_and_what_to_do(
    study: Study, change: Callable[[list[Line]], list[Line]], says: str, remedy: str
) -> None:
    predictions = read(study)
    with pytest.raises(InvalidValue, match=says) as error:
        scored(predictions, "yours:mine", as_csv(change(lines(predictions))), "mine.csv")
    assert remedy in str(error.value.remedy)


def test_scores_that_do_not_fit_are_left_out_and_told(study: Study) -> None:
    good, bad = (study.path / "scores" / name for name in ("good.csv", "bad.csv"))
    good.write_bytes(as_csv(lines(read(study))))
    bad.write_text("image,score\n1,2\n")
    try:
        found = answers(study)
        told = json.loads(bad.with_suffix(".error.json").read_text())
        assert "columns image, score" in told["detail"]
        assert {arm["classifier"] for arm in found["arms"]} == {"yours:good", "probe"}
        assert "yours:bad" not in {arm["classifier"] for arm in found["arms"]}
        bad.write_bytes(good.read_bytes())  # mended
        assert "yours:bad" in {arm["classifier"] for arm in answers(study)["arms"]}
        assert not bad.with_suffix(".error.json").exists()
    finally:
        good.unlink()
        bad.unlink()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xfe", "not UTF-8"), (b"", "columns"),
        (b"image,score\n1,2\n", "columns image, score"),
        (",".join(COLUMNS).encode() + b"\n1,2\n", "line 2, has 2 fields"),
        (",".join(COLUMNS).encode() + b'\n"1,2\n', "not CSV"),
    ],
)  # fmt: skip
def test_files_that_are_no_scores_are_refused(study: Study, content: bytes, says: str) -> None:
    with pytest.raises(InvalidValue, match=says):
        scored(read(study), "yours:mine", content, "mine.csv")
