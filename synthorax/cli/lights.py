"""A report in the terminal: lights, why they are not green, numbers with their floors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

COLOURS = {"green": "green", "amber": "yellow", "red": "red", "not estimable": "dim"}
_ORDER = ("red", "amber", "not estimable", "green")


def show(content: Mapping[str, Any], out: Console) -> None:
    """Lights, and why they are not green; then the numbers of each class with their floors."""
    for light, verdict in content["lights"].items():
        out.print(Text(f"{light}: {verdict}", COLOURS[verdict]))
        checks = [c for c in content["checks"] if c["light"] == light and c["verdict"] != "green"]
        for check in sorted(checks, key=lambda c: _ORDER.index(c["verdict"])):
            out.print(f"  {check['verdict']}: {check['text']}", highlight=False)
    table = Table("class", "number", "generated", "floor", "sd", "z")
    for label, found in content["fidelity"].items():
        for name in (*content["protocol"]["metrics"], "precision", "density", "coverage"):
            numbers = (found[name], found[f"{name}_floor"], found[f"{name}_sd"], found[f"{name}_z"])
            table.add_row(label, name, *(f"{n:.4g}" for n in numbers))
    out.print(table)
