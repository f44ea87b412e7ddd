"""Which patient and which finding a file name tells of, in the public sets of chest X-rays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Pattern:
    """A regular expression on a file's path; its one group is the patient."""

    expression: str
    example: str
    source: str

    def patient(self, path: str) -> str | None:
        match = re.search(self.expression, path)
        return match[1] if match else None


PATTERNS = {
    "kermany": Pattern(
        r"(?:^|/)(person\d+|(?:NORMAL2-)?IM-\d+)[_-][^/]*$",
        "person1_bacteria_2.jpeg, NORMAL2-IM-0123-0001.jpeg",
        "Kermany et al., doi:10.17632/rscbjbr9sj",
    ),
    "nih-chestxray14": Pattern(
        r"(?:^|/)(\d{8})_\d{3}\.[^/]+$", "00000001_000.png", "NIH ChestX-ray14"
    ),
    "chexpert": Pattern(
        r"(?:^|/)(patient\d{5})/study\d+/", "patient00001/study1/view1_frontal.jpg", "CheXpert"
    ),
    "mimic-cxr": Pattern(
        r"(?:^|/)(p\d{8})/s\d+/", "p10/p10000032/s50414267/….jpg", "MIMIC-CXR-JPG"
    ),
    "montgomery-shenzhen": Pattern(
        r"(?:^|/)((?:MCUCXR|CHNCXR)_\d{4})_[01]\.[^/]+$", "CHNCXR_0001_0.png", "NLM TB sets"
    ),
}
# One group: the label, in capitals.  A file that does not match keeps its folder's.
LABEL_PATTERNS = {"kermany": r"(?:^|/)person\d+_(bacteria|virus)_[^/]*$"}
_MOST = 0.9  # of the files must match before a pattern is taken without being asked for


def recognised(paths: Sequence[str]) -> str | None:
    """The known pattern that most of these paths follow, or None."""
    for name, pattern in PATTERNS.items():
        matched = sum(pattern.patient(path) is not None for path in paths)
        if paths and matched >= _MOST * len(paths):
            return name
    return None


def of_name(name: str) -> Pattern:
    """A known pattern, or one that was given as a regular expression."""
    return PATTERNS.get(name) or Pattern(name, "", "given")


def label_in(expression: str, path: str) -> str | None:
    """The label that a file's path tells of, by a known pattern or a regular expression."""
    match = re.search(LABEL_PATTERNS.get(expression, expression), path)
    return match[1].upper() if match and match[1] else None
