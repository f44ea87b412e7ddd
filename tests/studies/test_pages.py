"""What is made of a study's results: complete, the same each time, readable for everybody."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
from axe_playwright_python.sync_playwright import Axe
from matplotlib.figure import Figure
from matplotlib.text import Text
from playwright.sync_api import Browser

from evaluation.tabular import plainly
from studies import figures as drawing
from studies.methods import methods
from studies.page import html
from studies.tables import tables
from studies.words import LIGHTS, WORDS
from studies.writing import write_results
from tests.service.browser import chromium, visiting
from tests.studies.contents import EFFECTS, FEW, content, every

CONTENTS = every()
WRITTEN = ("small class", "three sizes", "awkward")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written results by name."""
    root = tmp_path_factory.mktemp("results")
    for name in WRITTEN:
        write_results(CONTENTS[name], {"seconds": 1.5}, root / name, "worker")
    return root


def text_of(page: str) -> str:
    shown = re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL)
    return unescape(re.sub(r"\s+", " ", shown))


@pytest.mark.parametrize("verdict", EFFECTS)
def test_the_answer_comes_first_in_plain_words(verdict: str) -> None:
    page = html(CONTENTS[verdict], {})
    text = text_of(page)
    first = page.index("class='answer")
    assert page[first:].startswith(f"class='answer {LIGHTS[verdict]}'")
    assert first < page.index("class=lights") < page.index("Fixed before the first run")
    assert WORDS[verdict] in text
    assert CONTENTS[verdict]["verdict"]["text"] in text
    assert ("change of AUROC below 0.01 would not matter" in text) == (verdict != "none")
    assert "<script" not in page
    assert "http" not in page  # nothing is fetched


@pytest.mark.parametrize("name", CONTENTS)
def test_every_light_check_limit_and_arm_is_on_the_page(name: str) -> None:
    shown = plainly(CONTENTS[name])
    text = text_of(html(shown, {}))
    for said in (*(check["text"] for check in shown["checks"]), *shown["limits"]):
        assert said in text
    assert ("With less data" in text) is False  # no figure was given
    assert ("The large test" in text) == (shown["kind"] == "small_class")
    left_out = "The 1,234 other images of the small class, of 987 other patients"
    assert (left_out in text) == (shown["kind"] == "small_class")
    assert ("70,400" in text) == ("images shown" in text) == bool(shown["generators"])
    collapsed = [each for each in shown["generators"] if each["collapsed"]]
    assert ("after 80,000 images" in text) == bool(collapsed)
    assert text.count("real + 1 × synthetic") >= 2 * len(
        {row["classifier"] for row in shown["arms"]}
    )


def test_a_red_light_is_spoken_of_beside_the_answer() -> None:
    said = "A light below is red"
    assert said in html(CONTENTS["small class"], {})  # its shortcut light
    assert said not in html(CONTENTS["harm"], {})  # its usefulness light: the answer itself


def test_a_benefit_that_may_be_too_small_is_said_to_be() -> None:
    given = content("benefit", arms_of=FEW)
    assert "is open" not in html(given, {})
    given["verdict"]["contrast"]["interval"] = [0.002, 0.046]
    assert "Whether they help by as much as 0.01 is open." in html(given, {})


def test_many_checks_are_folded_the_worst_first() -> None:
    given = content(arms_of=FEW)
    given["checks"] += [
        {"light": "told_apart", "name": str(n), "verdict": "green", "text": f"green {n}"}
        for n in range(9)
    ]
    page = html(given, {})
    assert "7 more checks" in page
    assert page.index("first check of PNEUMONIA: amber") < page.index("7 more checks")
    assert all(f"green {n}</span>" in page for n in range(9))


def test_unknown_patients_are_a_danger() -> None:
    assert html(CONTENTS["benefit"], {}).count("class=danger") == 0
    assert html(plainly(CONTENTS["awkward"]), {}).count("class=danger") == 1


def test_written_results_are_whole_and_the_same_each_time(folder: Path, tmp_path: Path) -> None:
    found = folder / "small class"
    assert json.loads((found / "results.json").read_text()) == CONTENTS["small class"]
    assert json.loads((found / "timings.json").read_text()) == {"seconds": 1.5}
    names = {str(path.relative_to(found)) for path in found.rglob("*.*")}
    made = ("arms", "contrasts", "generators", "told_apart", "shortcut", "large_test", "data")
    assert names == {
        "results.json", "timings.json", "results.html", "methods.md",
        *(f"tables/{name}.{kind}" for name in made for kind in ("csv", "tex")),
        *(f"figures/{name}.svg" for name in ("primary", "contrasts", "arms")),
    }  # fmt: skip
    again = tmp_path / "results-0"
    write_results(json.loads(json.dumps(CONTENTS["small class"])), {"seconds": 9}, again, "worker")
    for name in names - {"timings.json"}:
        assert (again / name).read_bytes() == (found / name).read_bytes(), name
    # What is there stays, and no temporary folder does.
    write_results(CONTENTS["three sizes"], {}, again, "worker")
    assert (again / "results.json").read_bytes() == (found / "results.json").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["results-0"]


def test_a_number_that_json_lacks_leaves_nothing(tmp_path: Path) -> None:
    wrong = content("none")
    wrong["told_apart"][0]["auroc"] = float("nan")
    with pytest.raises(ValueError, match="JSON"):
        write_results(wrong, {}, tmp_path / "results-0", "worker")
    assert not list(tmp_path.iterdir())


def test_names_of_bytes_that_are_no_text_can_be_written(tmp_path: Path) -> None:
    name = "scan\udcff\0"
    write_results(content("none", positive=name), {}, tmp_path / "results-0", "worker")
    assert json.loads((tmp_path / "results-0" / "results.json").read_bytes())["positive"] == name
    assert "scan\ufffd" in (tmp_path / "results-0" / "results.html").read_text()


def test_tables_have_every_number_in_full() -> None:
    given = CONTENTS["many"]
    made = tables(given)
    assert "large_test.csv" not in made
    read = {name: list(csv.DictReader(io.StringIO(text)))
            for name, text in made.items() if name.endswith(".csv")}  # fmt: skip
    assert len(read["arms.csv"]) == 6 * len(given["arms"])
    assert len(read["data.csv"]) == 2 * len(given["data"]["partitions"])
    for row, each in zip(read["contrasts.csv"], given["contrasts"], strict=True):
        assert float(row["difference"]) == each["difference"]
        assert [float(row["low"]), float(row["high"])] == each["interval"]
        assert (row["p_holm"] == "") == each["primary"] == (row["primary"] == "yes")
    first = next(row for row in read["arms.csv"] if row["metric"] == "auroc")
    assert float(first["value"]) == given["arms"][0]["metrics"]["auroc"]["value"]
    assert float(first["sd_draws"]) == given["arms"][0]["spread"]["draws"]


def test_figures_are_of_what_there_is(folder: Path) -> None:
    assert drawing.figures(CONTENTS["none"]) == {}
    names = {"primary.svg", "contrasts.svg", "arms.svg"}
    for name, more in (("awkward", set()), ("three sizes", {"low-data.svg"})):
        paths = list((folder / name / "figures").iterdir())
        assert {path.name for path in paths} == names | more
        for path in paths:
            root = ElementTree.fromstring(path.read_bytes())  # noqa: S314  our own
            assert root.tag.endswith("svg")
    page = (folder / "three sizes" / "results.html").read_text()
    assert page.count("<img class=plot") == 4
    assert "With less data" in page


@pytest.mark.parametrize("part", ["contrasts", "arms"])
def test_no_two_texts_of_a_long_figure_meet(part: str) -> None:
    with plt.rc_context({"text.parse_math": False, "font.size": 9.0}):
        figure: Figure = getattr(drawing, f"_{part}")(CONTENTS["many"])
        figure.draw_without_rendering()
        texts = [each for each in figure.findobj(Text) if each.get_visible() and each.get_text()]
        boxes = [each.get_window_extent() for each in texts]
    assert len(boxes) > 2 * len(CONTENTS["many"][part])
    boxes.sort(key=lambda box: box.y0)
    for place, box in enumerate(boxes):
        for other in boxes[place + 1 : place + 12]:
            assert not box.overlaps(other), part


def test_methods_say_what_was_fixed_and_whose_the_methods_are() -> None:
    large, small = (" ".join(methods(CONTENTS[n]).split()) for n in ("three sizes", "small class"))
    for text in (large, small):
        assert "stored before the first training run" in text
        assert "smallest useful effect of 0.01" in text
        assert "Holm S." in text
        assert "One data set of one hospital." in text
    assert "Obuchowski NA" in large
    assert "Obuchowski" not in small
    assert "1.7 times that of the resampled patients" in small
    assert "The 1,234 other images of the small class, of 987 other patients, formed" in small
    assert "generator and classifiers were trained on the other folds alone" in small
    assert "no fewer than 500 steps of 64 images" in large
    assert "The network was trained 3 times, each time from another start, for every arm" in large
    assert "one optimum, was fitted once" in large
    assert "The study was repeated with 25%" in large
    assert "new patients and of new generators" in large
    assert "Somebody et al" in large
    assert "25% of the training patients and 10% of the training patients" in large
    assert "4,000 to 4,027 images of 2,000 to 2,013 patients" in small
    assert "models of our own (mine)" in methods(CONTENTS["many"])


@pytest.mark.parametrize(
    ("changes", "there", "not_there"),
    [
        (
            {"generator": {"preset": None, "model": "m@1", "images": None, "config": {}}},
            "samples of this generator, not of other generators",
            "of new generators",
        ),
        ({"generators": 1}, "new trainings, not of other generators", "of new generators"),
        ({"sizes": [0.1]}, "Trained on was a share, 10% of the training patients", "repeated with"),
        (
            {"synthetic_classes": ["NORMAL"]},
            "held against, are of NORMAL alone",
            "in every class, so that",
        ),
        ({"seeds": 1}, "The network was trained once, for every arm", "draws of duplicates"),
        ({"classifiers": ["probe"]}, "The probe, which has one optimum", "The network was trained"),
    ],
)
def test_methods_say_what_was_done_and_nothing_else(
    changes: dict[str, Any], there: str, not_there: str
) -> None:
    given = content(arms_of=FEW)
    given["config"] |= changes
    for part in given["data"]["partitions"]:
        part["size"] = given["config"]["sizes"][0]
    text = " ".join(methods(given).split())
    assert there in text
    assert not_there not in text


def test_methods_name_no_arm_and_no_check_that_was_not_run() -> None:
    given = content(arms_of=FEW)
    text = methods(given)
    assert "real, augmented" not in text  # the configuration has it, this classifier not
    assert "in one class alone" in text
    assert "Geirhos" in text
    given["shortcut"] = [row for row in given["shortcut"] if row["arm"] != "one_class"]
    assert "in one class alone" not in methods(given)
    given["shortcut"] = []
    assert "Geirhos" not in methods(given)


def test_images_of_the_negative_classes_alone_are_spoken_of_as_such() -> None:
    given = content(arms_of=FEW)
    given["config"]["synthetic_classes"] = ["NORMAL"]
    assert "synthetic images of PNEUMONIA" in " ".join(methods(given).split())
    page = text_of(html(given, {}))
    assert "How often images of PNEUMONIA are taken for another class" in page
    assert "PNEUMONIA taken for another class: " in page
    assert "of the other classes are taken for" not in page


@pytest.mark.parametrize(
    ("kind", "sizes", "dangers"),
    [("usefulness", (1.0,), 0), ("usefulness", (1.0, 0.5), 1), ("small_class", (1.0,), 1)],
)
def test_a_folder_of_images_that_may_have_seen_everybody_is_a_danger(
    kind: str, sizes: tuple[float, ...], dangers: int
) -> None:
    given = content(kind=kind, sizes=sizes, arms_of=FEW)
    given["config"]["generator"] = {"preset": None, "model": None, "images": "/made", "config": {}}
    assert html(given, {}).count("class=danger") == dangers
    text = " ".join(methods(given).split())
    assert "generator and classifiers were trained on" not in text
    assert "generator, too, was trained on" not in text_of(html(given, {"low-data.svg": b"<svg/>"}))


def test_samples_of_one_generator_are_not_called_generators() -> None:
    given = content(arms_of=FEW)
    assert "generator 1" in text_of(html(given, {}))
    given["config"]["generator"] = {"preset": None, "model": "m@1", "images": None, "config": {}}
    text = text_of(html(given, {}))
    assert "generator 1" not in text
    assert "samples 1" in text
    assert "samples of the one generator, and no other" in text


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def test_nothing_scrolls_sideways(folder: Path, browser: Browser) -> None:
    with visiting(browser) as page:
        for name in WRITTEN:
            page.set_content((folder / name / "results.html").read_text())
            for width in (1280, 390):
                page.set_viewport_size({"width": width, "height": 844})
                assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_the_page_breaks_no_rule(folder: Path, browser: Browser, scheme: str, width: int) -> None:
    options: dict[str, Any] = {"color_scheme": scheme, "viewport": {"width": width, "height": 844}}
    with visiting(browser, **options) as page:
        page.set_content((folder / "awkward" / "results.html").read_text())
        broken = Axe().run(page).response["violations"]
        assert not broken, [(each["id"], each["nodes"][0]["target"]) for each in broken]
