"""Text that users chose, in CSV, LaTeX, Markdown and HTML: shown as it is, whatever it holds."""

from __future__ import annotations

import csv
import io
import json
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from evaluation.tabular import csv_text, escaped, plain, plainly, tex
from studies.methods import _wrapped, methods
from studies.page import html
from studies.words import marked
from tests.studies.contents import AWKWARD, FEW, content

# Often of the characters that mean something somewhere.
MEANT = "\\&%$#_{}~^<>[]*\"'`|=+-@!()1.\n\r\t\0\x85\u2028\u202e\udcff肺"
TEXTS = st.text(st.sampled_from(MEANT) | st.characters(), max_size=30)
_BACK = {
    r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^",
    r"\textless{}": "<", r"\textgreater{}": ">", "{[}": "[", "{*}": "*",
    r"\&": "&", r"\%": "%", r"\$": "$", r"\#": "#", r"\_": "_", r"\{": "{", r"\}": "}",
}  # fmt: skip


def untexed(text: str) -> str:
    """What LaTeX would print; raises where a special character is left alone."""
    out, at = "", 0
    while at < len(text):
        known = next((each for each in _BACK if text.startswith(each, at)), None)
        if known is None:
            assert text[at] not in r"\&%$#_{}~^<>[*", text
        out += _BACK.get(known or "", text[at])
        at += len(known or "x")
    return out


@given(TEXTS)
def test_plain_text_is_one_line_and_stays_plain(text: str) -> None:
    found = plain(text)
    assert plain(found) == found
    assert found.isprintable() or not set(found) & set("\n\r\t\0\x85\u2028\u2029\u202e")
    found.encode()  # no lone surrogate


@given(TEXTS)
def test_latex_prints_what_was_given(text: str) -> None:
    assert untexed(escaped(text)) == plain(text)


@given(st.lists(st.tuples(TEXTS, TEXTS, st.none() | st.floats(allow_nan=False)), min_size=1))
def test_csv_is_read_back_and_begins_no_formula(rows: list[tuple[str, str, float | None]]) -> None:
    read = list(csv.reader(io.StringIO(csv_text(("=a", "b", "c"), rows))))
    assert read[0] == ["'=a", "b", "c"]
    assert len(read) == len(rows) + 1
    for given_row, found in zip(rows, read[1:], strict=True):
        for before, after in zip(given_row[:2], found[:2], strict=True):
            assert after in (plain(before), f"'{plain(before)}")
            assert not after.startswith(tuple("=+-@\t\r＝＋－＠"))
        assert found[2] == ("" if given_row[2] is None else repr(given_row[2]))


def test_a_tabular_has_as_many_columns_as_its_rows() -> None:
    rows = [("[*]", None, "x", 0.123456), ("a & b", 2, None, 1e-9)]
    made = tex(("name", "n", "word", "number"), rows)
    assert made.startswith("\\begin{tabular}{lrlr}\n\\toprule\nname & n & word & number \\\\\n")
    assert "{[}{*}] & -- & x & 0.1235 \\\\" in made
    assert r"a \& b & 2 & -- & 1e-09 \\" in made


@given(TEXTS)
def test_markdown_shows_what_was_given(text: str) -> None:
    shown = plain(f"{text}.")
    for before in ("", "x " * 48, "x " * 50):  # in a line, and where it breaks
        tokens = MarkdownIt().parse(_wrapped(before + marked(shown)))
        assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
        inline = tokens[1].children or []
        assert {token.type for token in inline} <= {"text", "softbreak"}
        assert "".join(token.content or " " for token in inline) == before + shown


class Skeleton(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def known() -> str:
    return json.dumps(content(positive="KNOWN", yours=("KNOWN",), arms_of=FEW))


@settings(max_examples=30)
@given(name=TEXTS.filter(plain))
def test_no_name_changes_what_the_page_is_made_of(known: str, name: str) -> None:
    given_name = json.dumps(name)[1:-1]
    found = Skeleton(html(plainly(json.loads(known.replace("KNOWN", given_name))), {}))
    assert found.tags == Skeleton(html(json.loads(known), {})).tags
    assert f"help to tell {plain(name)} from NORMAL?" in found.text


def test_awkward_names_stand_in_the_methods() -> None:
    made = content(positive=AWKWARD, yours=("</script>",), arms_of=FEW)
    shown = MarkdownIt().render(methods(plainly(made)))
    assert "<script" not in shown
    assert "&lt;/script&gt;" in shown
    assert "=&lt;b&gt;&amp;&quot;'$_{%\\frac$ 肺炎 [*] | `#~^ PNEUMONIA/abc" in " ".join(
        shown.split()
    )
