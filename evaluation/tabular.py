"""Tables for a paper, the same rows as CSV and as LaTeX, and text that breaks neither."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

Table = tuple[Sequence[str], Sequence[Sequence[Any]]]
_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}",
    "[": "{[}", "*": "{*}",  # after a row's end they would be its options
}  # fmt: skip
# They turn the direction of what comes after them.
_DIRECTIONS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
# What begins a formula in a spreadsheet; some take the full-width forms for the same.
_FORMULA = tuple("=+-@＝＋－＠")


def plain(text: str) -> str:
    """A user's text on one line: control characters and line ends are spaces, and what is no
    character at all (bytes of a file name that are not UTF-8) is shown as one that is unknown."""
    return " ".join("".join(map(_plain, text)).split())


def _plain(character: str) -> str:
    kind = unicodedata.category(character)
    if kind == "Cs":
        return "\ufffd"
    if unicodedata.bidirectional(character) in _DIRECTIONS:
        return ""
    return " " if kind in ("Cc", "Zl", "Zp") else character


def plainly(content: Any) -> Any:
    """JSON content with every text in it, keys too, made plain."""
    if isinstance(content, str):
        return plain(content)
    if isinstance(content, Mapping):
        return {plain(str(key)): plainly(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [plainly(value) for value in content]
    return content


def written(made: Mapping[str, Table]) -> dict[str, str]:
    """File name -> text, each table as .csv and .tex; those that have a row."""
    found = {}
    for name, (header, rows) in made.items():
        if rows:
            found[f"{name}.csv"] = csv_text(header, rows)
            found[f"{name}.tex"] = tex(header, rows)
    return found


def csv_text(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Numbers in full; a text that a spreadsheet would take for a formula begins with '."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_cell(cell) for cell in header])
    for row in rows:
        writer.writerow([_cell(cell) for cell in row])
    return out.getvalue()


def _cell(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    cell = plain(cell)
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def tex(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A booktabs tabular; columns of numbers are flush right."""
    columns = "l" + "".join(
        "l" if any(isinstance(row[place], str) for row in rows) else "r"
        for place in range(1, len(header))
    )
    lines = [
        rf"\begin{{tabular}}{{{columns}}}", r"\toprule",
        " & ".join(map(escaped, header)) + r" \\", r"\midrule",
        *(" & ".join(map(escaped, row)) + r" \\" for row in rows),
        r"\bottomrule", r"\end{tabular}", "",
    ]  # fmt: skip
    return "\n".join(lines)


def escaped(cell: Any) -> str:
    """A cell in LaTeX: numbers to four digits."""
    if cell is None:
        return "--"
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return "".join(_SPECIAL.get(c, c) for c in plain(str(cell)))
