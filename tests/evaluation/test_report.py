"""A report is the same for the same inputs; what cannot be compared is refused with why."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from evaluation.images import Images, Protocol, Subject
from evaluation.measuring import FeatureSets, measure
from evaluation.report import SCHEMA, evaluate
from evaluation.ruler import ruler
from features.extractors import FeatureCache, efficientnet_lite0
from library.errors import InvalidValue
from tests.evaluation.pictures import real

PROTOCOL = Protocol(draws=20, no_verdict=30)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> FeatureCache:
    return FeatureCache(efficientnet_lite0(), tmp_path_factory.mktemp("features"))


def subject(classes: int = 2) -> Subject:
    train, held = real(1, 60, classes), real(2, 30, classes, first=1000)
    stand_in = real(3, 30, classes, first=2000)
    labels = tuple("AB"[:classes])
    made = Images.of(stand_in.levels, stand_in.classes)
    return Subject(labels, made, held, train, True)


def test_the_same_inputs_give_the_same_report(cache: FeatureCache) -> None:
    one = evaluate(subject(), cache, PROTOCOL, "rp-000000000001").content
    other = evaluate(subject(), cache, PROTOCOL, "rp-000000000002").content
    differing = {key for key in one if one[key] != other[key]}
    assert differing <= {"id", "created_at", "timings"}
    assert json.dumps(one["fidelity"]) == json.dumps(other["fidelity"])
    assert one["schema"] == SCHEMA
    assert set(one["lights"]) == {"fidelity", "usefulness", "privacy"}


def test_no_number_is_without_its_floor(cache: FeatureCache) -> None:
    content = evaluate(subject(), cache, PROTOCOL, "rp-0").content
    for found in content["fidelity"].values():
        for name in ("kid_lite0", "fd_lite0", "precision", "density", "coverage", "duplicates"):
            assert {name, f"{name}_floor", f"{name}_sd", f"{name}_z"} <= found.keys()
        assert {"msssim_fake", "msssim_real", "n_real", "n_fake", "warning"} <= found.keys()
    assert "indistinguishable" not in json.dumps(content)


def test_one_class_has_no_conditional_numbers(cache: FeatureCache) -> None:
    content = evaluate(subject(1), cache, PROTOCOL, "rp-0").content
    assert content["conditioning"] is None
    assert content["usefulness"]["probe"] is None
    assert content["usefulness"]["why_not"] == "One class: there is nothing to classify."
    assert content["lights"]["usefulness"] == "not estimable"
    assert not [text for text in content["limits"] if "chosen by KID" in text]
    assert not [c for c in content["checks"] if c["check"] in ("class KID", "label_agreement")]


def test_without_training_images_copies_are_not_judged(cache: FeatureCache) -> None:
    facts = {"data": {"chosen_on_reference": True}}
    without = replace(subject(), train=None, facts=facts)
    content = evaluate(without, cache, PROTOCOL, "rp-0").content
    assert "chosen by KID on the validation images" in content["limits"][0]
    assert content["lights"]["privacy"] == "not estimable"
    assert content["privacy"]["sentence"] is None
    assert content["fidelity"]["A"]["kid_lite0_floor"] is not None
    assert content["ruler"] == {}


def test_unknown_patients_are_a_warning(cache: FeatureCache) -> None:
    content = evaluate(replace(subject(), patients_known=False), cache, PROTOCOL, "rp-0").content
    warned = [c for c in content["checks"] if c["check"] == "patients"]
    assert {c["light"] for c in warned} == {"usefulness", "privacy"}
    assert content["data"]["patients_known"] is False
    assert content["privacy"]["patients"] is None


def test_too_few_images_give_numbers_and_no_light(cache: FeatureCache) -> None:
    content = evaluate(subject(), cache, replace(PROTOCOL, no_verdict=1000), "rp-0").content
    assert content["lights"]["fidelity"] == "not estimable"
    found = content["fidelity"]["A"]
    assert found["estimable"] is False
    low, high = found["kid_lite0_interval"]
    assert low < found["kid_lite0"] < high


def test_a_small_pool_or_one_small_class_has_no_light(cache: FeatureCache) -> None:
    whole = subject()
    train, held = whole.train, whole.reference
    assert train is not None
    made, real_ones, known = (cache.features(each.levels) for each in (whole.fakes, held, train))
    # 28 training images of B: sets of 14 a side, however many real and generated images there are.
    few = np.concatenate([train.rows(0), train.rows(1)[:28]])
    found = measure(
        replace(whole, train=train.taken(few)), FeatureSets(made, real_ones, known[few]),
        "lite0", PROTOCOL, {},
    )  # fmt: skip
    assert [each.estimable for each in found.classes] == [True, False]
    text = next(c.text for c in found.checks if c.check == "images")
    assert text.endswith(
        "compared at n = 14; a light needs 30 of each and n = 15. The numbers are there, with "
        "their intervals."
    )
    few = np.concatenate([held.rows(0), held.rows(1)[:25]])
    found = measure(
        replace(whole, reference=held.taken(few)), FeatureSets(made, real_ones[few], known),
        "lite0", PROTOCOL, {},
    )  # fmt: skip
    assert found.lights["usefulness"] == "not estimable"
    assert "25 test images of the smallest class" in " ".join(c.text for c in found.checks)


def test_the_training_images_are_no_reference(cache: FeatureCache) -> None:
    wrong = subject()
    assert wrong.train is not None
    with pytest.raises(InvalidValue, match="whatever copies them looks best"):
        evaluate(replace(wrong, reference=wrong.train), cache, PROTOCOL, "rp-0")


def test_mixed_sizes_and_too_few_images_are_refused(cache: FeatureCache) -> None:
    good = subject()
    smaller = Images.of(good.fakes.levels[:, ::2, ::2].copy(), good.fakes.classes)
    with pytest.raises(InvalidValue, match="different sizes"):
        evaluate(replace(good, fakes=smaller), cache, PROTOCOL, "rp-0")
    few = good.fakes.taken(np.concatenate([good.fakes.rows(0), good.fakes.rows(1)[:5]]))
    with pytest.raises(InvalidValue, match="There are 5 fake images of 'B'"):
        evaluate(replace(good, fakes=few), cache, PROTOCOL, "rp-0")
    assert good.train is not None
    one = good.train.taken(good.train.rows(1))
    with pytest.raises(InvalidValue, match="There are 0 training images of 'A'") as refused:
        evaluate(replace(good, train=one), cache, PROTOCOL, "rp-0")
    assert refused.value.remedy == "Give at least 20 of each; 200 or more for a light."


def test_progress_rises_to_the_end(cache: FeatureCache) -> None:
    told: list[tuple[str, float]] = []
    evaluate(subject(), cache, PROTOCOL, "rp-0", lambda words, share: told.append((words, share)))
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] > 0.85
    assert {"Features", "Damage ruler", "Floors and fidelity"} <= {words for words, _ in told}


def test_the_rulers_other_class_is_the_nearest_whatever_it_is_called(cache: FeatureCache) -> None:
    # The third class is drawn as the second is, the first otherwise.
    train, held = real(1, 20, 3), real(2, 20, 3, first=1000)
    sets = FeatureSets(*(cache.features(images.levels) for images in (held, held, train)))
    whole = Subject(("A", "B", "C"), held, held, train, True)
    rows = ruler(2, whole, sets, cache, PROTOCOL, lambda *_: None)
    assert [row["class"] for row in rows if row["damage"] == "other class"] == ["B"]


def test_delivery_size_has_its_own_numbers(cache: FeatureCache) -> None:
    plain = subject(1)
    large = [real(1, 60, 1, side=96), real(2, 30, 1, first=1000, side=96)]
    content = evaluate(replace(plain, delivery=(large[0], large[1])), cache, PROTOCOL, "rp").content
    assert content["protocol"]["delivery_resolution"] == 96
    native, delivered = content["fidelity"]["A"], content["fidelity_delivery"]["A"]
    assert delivered["fd_lite0"] > 2 * native["fd_lite0"]  # 48 pixels beside 96
