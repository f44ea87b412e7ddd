"""docs/security.md: each threat names tests, and they are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
_ROW = re.compile(
    r"^\| (?P<threat>[^|]+) \| (?P<done>[^|]+) \| (?P<tests>[^|]*`test_[^|]+) \|$", re.M
)


def test_each_threat_has_a_test() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    section = page.partition("## Threats")[2].partition("**Not defended")[0]
    rows = list(_ROW.finditer(section))
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    assert len(rows) == len(lines) - 1 >= 20  # but for the head
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for row in rows:
        names = re.findall(r"`(test_\w+)`", row["tests"])
        assert names
        for name in names:
            assert re.search(rf"^(async )?def {name}\(", sources, re.M), (row["threat"], name)
