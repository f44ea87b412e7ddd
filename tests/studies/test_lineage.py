"""A study's generator has not seen who is tested on: not by what it began with, either."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from library.errors import InvalidValue
from library.studies.lineage import wrong_lineage
from library.studies.resolving import resolve
from library.versions import Broken, ModelLibrary, Version

OURS, OTHER = "0" * 64, "1" * 64


def version(number: int, fingerprint: str, *began_with: int) -> Version:
    ancestry = [{"model": f"mine@{n}", "digest": str(n), "private": False} for n in began_with]
    card = {"digest": str(number), "dataset": {"fingerprint": fingerprint}, "ancestry": ancestry}
    return Version("mine", number, Path("mine"), card)


class Shelf(ModelLibrary):
    """1: of our dataset. 2: of another. 3, 4: of ours, begun with 1, with 2. 5: with 9."""

    def versions(self) -> list[Version | Broken]:
        return [
            version(5, OURS, 9), version(4, OURS, 2), version(3, OURS, 1), version(2, OTHER),
            version(1, OURS),
        ]  # fmt: skip


def asked(**given: Any) -> list[InvalidValue]:
    return wrong_lineage(resolve({"positive": "A", "seed": 1, **given}), OURS, Shelf(Path(), None))


def trained(begins: str, preset: str = "turbo") -> dict[str, Any]:
    return {"preset": preset, "config": {"fine_tune": begins}}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"generator": {"model": "mine@1"}},
        {"generator": {"model": "mine@3"}},
        {"generator": {"model": "nobody@1"}},  # told by whoever looks for it
        {"generator": trained("mine@1")},
        {"generator": trained("mine@3")},
    ],
)
def test_who_was_trained_on_these_images_alone_may_stand(given: dict[str, Any]) -> None:
    assert asked(**given) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"generator": {"model": "mine@2"}}, "mine@2 was trained on another dataset"),
        ({"generator": {"model": "mine@4"}}, "mine@4 began with mine@2, which was trained on an"),
        ({"generator": {"model": "mine@5"}}, "mine@5 began with mine@9, which was trained on an"),
        ({"generator": trained("mine@2")}, "mine@2 was trained on another dataset"),
        ({"generator": trained("mine@4")}, "mine@4 began with mine@2"),
        ({"generator": trained("nobody@1")}, "'nobody@1'"),
        ({"generator": trained("mine@1"), "kind": "small_class"}, "the patients of every fold"),
        ({"generator": trained("mine@1"), "sizes": [0.5]}, "those of no smaller size"),
        ({"generator": trained("mine@1", "dp")}, "privacy would be void"),
    ],
)
def test_who_may_have_seen_who_is_tested_on_is_refused(given: dict[str, Any], words: str) -> None:
    [wrong] = asked(**given)
    assert words in wrong.detail
    generator = given["generator"]
    begins = "model" not in generator
    assert wrong.field == f"config.generator.{'config.fine_tune' if begins else 'model'}"
    assert wrong.value in (generator.get("model"), *generator.get("config", {}).values())
    assert wrong.remedy
