"""Page, figures, tables, card: from the content alone, complete, escaped, the same each time."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from evaluation.card import card
from evaluation.exports import claim, tables
from evaluation.images import Images, Protocol, Subject
from evaluation.methods import methods
from evaluation.page import html
from evaluation.plots import figures
from evaluation.report import evaluate
from features.extractors import FeatureCache, efficientnet_lite0
from tests.evaluation.pictures import real

LABELS = ('<b>&"_%', "=SUM(1)")
AWKWARD = r"a$_{$b $\frac$ 肺炎"
VOID = {"meta", "img", "br", "link"}


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    cache = FeatureCache(efficientnet_lite0(), tmp_path_factory.mktemp("features"))
    protocol = Protocol(draws=30, no_verdict=30)

    def content(classes: int) -> Subject:
        sets = [real(1, 50, classes), real(2, 26, classes, 1000), real(3, 26, classes, 2000)]
        made = Images.of(sets[2].levels, sets[2].classes)
        return Subject(LABELS[:classes], made, sets[1], sets[0], True)

    whole = content(2)
    small = replace(whole, train=None, patients_known=False,
                    facts={"data": {"training_known": False}})  # fmt: skip
    return {
        "whole": evaluate(whole, cache, protocol, "rp-000000000001").content,
        "one class": evaluate(content(1), cache, protocol, "rp-000000000002").content,
        "no training": evaluate(small, cache, protocol, "rp-000000000003").content,
    }


class Balanced(HTMLParser):
    """Raises on an element that ends without having begun, or begins without an end."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page(content: dict[str, Any]) -> tuple[str, str]:
    made = html(content, figures(content), dict.fromkeys(content["data"]["labels"], b"png"))
    parser = Balanced()
    parser.feed(made)
    assert not parser.open
    return made, re.sub(r"\s+", " ", parser.text)


@pytest.mark.parametrize("kind", ["whole", "one class", "no training"])
def test_the_page_is_whole_and_the_same_each_time(
    contents: dict[str, dict[str, Any]], kind: str
) -> None:
    content = contents[kind]
    made, text = page(content)
    assert made == page(content)[0]
    for light, verdict in content["lights"].items():
        assert f"{light.capitalize()}: {verdict}" in text
    assert all(check["text"] in text for check in content["checks"])
    assert "Synthetic images; not for diagnosis." in text
    assert "indistinguishable" not in text
    assert "http" not in re.sub(r"data:[^']*", "", made)  # nothing is fetched
    found = content["privacy"]["sentence"]
    assert (found in text) if found else "were not looked for" in text


def test_the_worst_light_comes_first_and_dangers_are_red(
    contents: dict[str, dict[str, Any]],
) -> None:
    made, _ = page(contents["no training"])
    assert made.count("class=danger") == 2  # patients, and training images, are not known
    order = re.findall(r"<article class='light (\w+)'", made)
    rank = ["red", "amber", "grey", "green"]
    assert [rank.index(c) for c in order] == sorted(rank.index(c) for c in order)


def test_labels_are_escaped_everywhere(contents: dict[str, dict[str, Any]]) -> None:
    content = contents["whole"]
    made, _ = page(content)
    assert "<b>&" not in made.replace("&amp;", "")
    written = tables(content)
    assert r"\textless{}b\textgreater{}\&" in written["fidelity.tex"]
    assert r"\_\%" in written["fidelity.tex"]
    rows = list(csv.reader(io.StringIO(written["fidelity.csv"])))
    assert {row[0] for row in rows[1:]} == {LABELS[0], "'=SUM(1)"}


def test_tables_have_every_number_with_its_floor(contents: dict[str, dict[str, Any]]) -> None:
    content = contents["whole"]
    rows = list(csv.DictReader(io.StringIO(tables(content)["fidelity.csv"])))
    assert len(rows) == 2 * 8
    for row in rows:
        assert float(row["floor_sd"]) >= 0
        label = row["class"].removeprefix("'")
        name = {"msssim": "msssim_fake"}.get(row["number"], row["number"])
        assert float(row["generated"]) == content["fidelity"][label][name]


def test_figures_are_svg_and_only_of_what_there_is(contents: dict[str, dict[str, Any]]) -> None:
    made = {kind: figures(content) for kind, content in contents.items()}
    assert set(made["whole"]) == {
        "ruler.svg", "coverage.svg", "nearest.svg", "usefulness.svg", "scatter.svg",
        "confusion.svg",
    }  # fmt: skip
    assert "confusion.svg" not in made["one class"]
    assert set(made["no training"]) == {"coverage.svg", "scatter.svg", "confusion.svg"}
    for found in made.values():
        for picture in found.values():
            assert ElementTree.fromstring(picture).tag.endswith("svg")  # noqa: S314  our own
            assert b"<dc:date>" not in picture


def test_any_label_can_be_drawn(contents: dict[str, dict[str, Any]]) -> None:
    old, new = (json.dumps(label)[1:-1] for label in (LABELS[0], AWKWARD))
    renamed = json.loads(json.dumps(contents["one class"]).replace(old, new))
    assert set(renamed["fidelity"]) == {AWKWARD}
    assert "nearest.svg" in figures(renamed)


@pytest.mark.parametrize("kind", ["whole", "one class", "no training"])
def test_words_for_a_paper(contents: dict[str, dict[str, Any]], kind: str) -> None:
    content = contents[kind]
    text = methods(content)
    assert content["protocol"]["extractor"] in text
    assert "Binkowski" in text
    written = card(content)
    for name in ("Congruence", "Coverage", "Constraint", "Completeness", "Compliance",
                 "Comprehension", "Consistency"):  # fmt: skip
        assert f"**{name}**" in written
    assert content["fidelity"][LABELS[0]]["n"] > 0
    listed = claim(content).splitlines()
    assert sum(line.startswith("| ") and line[2].isdigit() for line in listed) == 44
    assert any("Authors |" in line for line in listed)


def test_the_words_name_what_was_done_and_nothing_else(contents: dict[str, dict[str, Any]]) -> None:
    everything = {
        "a linear judge": "whole",
        "with a linear probe": "whole",
        "two detectors": "whole, one class",
        "membership inference": "whole, one class",
        "by whole patients": "whole, one class",
        "Copying was not looked for": "no training",
        "drawn by whole images": "no training",
    }
    for kind, content in contents.items():
        text = " ".join(methods(content).split())
        assert {words for words in everything if words in text} == {
            words for words, kinds in everything.items() if kind in kinds
        }
    one, other = (claim(contents[kind]) for kind in ("whole", "no training"))
    assert "of whole patients; bootstrap over patients" in one
    assert "of whole images |" in other
    assert "of other patients" not in card(contents["no training"])
