"""What can be chosen of a dataset; every choice is part of its fingerprint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from library.datasets.patterns import LABEL_PATTERNS, PATTERNS
from library.errors import InvalidValue
from library.images import Mask

SPLITS = ("train", "validation", "held_out")
VIEWS = ("PA", "AP", "LATERAL", "LL", "RL", "RAO", "LAO")
COVARIATES = ("view", "sex", "age", "device", "year")  # of a DICOM, and of a CSV by these names


def _allowed(default: Any, *values: Any, help: str = "") -> Any:
    return field(default=default, metadata={"allowed": values, "help": help})


def _number(default: float, low: float, high: float, help: str = "") -> Any:
    return field(default=default, metadata={"low": low, "high": high, "help": help})


def _text(default: str | None, help: str = "") -> Any:
    return field(default=default, metadata={"text": 500, "help": help})


def _names(default: tuple[str, ...] | None, *allowed: str, help: str = "") -> Any:
    return field(default=default, metadata={"names": allowed, "help": help})


@dataclass(frozen=True)
class Choices:
    """Resolved choices.  `resolve` makes them; `as_dict` is their canonical form."""

    fit: str = _allowed("pad", "pad", "crop", "stretch", help="how a picture becomes square")
    window: str = _allowed(
        "file", "file", "range", help="black and white of deep files: as they say, or percentiles"
    )
    border: float = _number(0.0, 0.0, 0.25, help="masked frame, as a fraction of the side")
    corner: float = _number(0.0, 0.0, 0.5, help="masked corners, as a fraction of the side")
    csv: str | None = _text(None, help="the table's path in the dataset; null: the one at its top")
    key_column: str | None = _text(None, help="file name, SOPInstanceUID or accession number")
    label_column: str | None = _text(None)
    label: str | None = _text(
        None, help="labels in file names: kermany (BACTERIA, VIRUS), or a regex with one group"
    )
    patient_column: str | None = _text(None)
    split_column: str | None = _text(None)
    covariates: tuple[str, ...] | None = _names(
        None, help="columns that are kept; null: view, sex, age, device, year, where there are"
    )
    patient: str = _text(
        "auto", help="auto, none, table, dicom, a known pattern's name, or a regex with one group"
    )
    split: str = _allowed(
        "auto", "auto", "given", "random", "none", help="auto: given, where one is given"
    )
    validation: float = _number(0.1, 0.0, 0.9, help="fraction of the images, by whole patients")
    held_out: float = _number(0.1, 0.0, 0.9, help="fraction of the images, by whole patients")
    seed: int = _number(0, 0, 2**53 - 1, help="of the split")
    outliers: str = _allowed("keep", "keep", "leave_out", help="blank, saturated, tiny, unlike …")
    views: tuple[str, ...] | None = _names(
        ("PA", "AP"), *VIEWS, help="of DICOMs that say theirs; null: all"
    )
    intent: str = _allowed("any", "any", "for presentation", "for processing")
    portable: str = _allowed("any", "any", "without", "only")
    burned_in: bool = _allowed(
        False, False, True, help="take DICOMs with BurnedInAnnotation YES, too"
    )

    @property
    def mask(self) -> Mask:
        return Mask(self.border, self.corner)

    def as_dict(self) -> dict[str, Any]:
        found = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        if found["label"] is None:  # fingerprints from before there was this choice stay
            del found["label"]
        return found


WHOLE = Choices(split="none")  # a folder that a job trains on as it is


def resolve(given: Mapping[str, Any] | None, at: str = "choices") -> Choices:
    """Choices with defaults, every value checked.  Raises InvalidValue naming every wrong field."""
    if not isinstance(given, Mapping | None):
        raise InvalidValue(
            f"{at} is {given!r}.", field=at, value=given, remedy='Give an object: {"fit": "crop"}.'
        )
    known = {f.name: f for f in fields(Choices)}
    wrong, values = [], {}
    for name, value in (given or {}).items():
        if name not in known:
            wrong.append(
                InvalidValue(
                    f"{at} has no field {name!r}.",
                    field=f"{at}.{name}",
                    value=value,
                    remedy=f"Its fields are: {', '.join(known)}.",
                )
            )
            continue
        try:
            values[name] = _value(f"{at}.{name}", value, known[name])
        except InvalidValue as error:
            wrong.append(error)
    if not wrong:
        wrong = _together(values, at)
    if wrong:
        raise InvalidValue.of(wrong)
    return Choices(**values)


def described() -> list[dict[str, Any]]:
    """Every choice: name, default, what is allowed, what it means."""
    found = []
    for f in fields(Choices):
        rule = f.metadata
        if "allowed" in rule:
            allowed: Any = list(rule["allowed"])
        elif "low" in rule:
            allowed = {"least": rule["low"], "most": rule["high"]}
        else:
            allowed = list(rule.get("names", ())) or "text"
        default = list(f.default) if isinstance(f.default, tuple) else f.default
        found.append({"name": f.name, "default": default, "allowed": allowed, "help": rule["help"]})
    return found


def _together(values: Mapping[str, Any], at: str) -> list[InvalidValue]:
    """What is wrong with choices that are right one by one."""
    wrong = []
    apart = values.get("validation", 0.1) + values.get("held_out", 0.1)
    if apart > 0.95:
        wrong.append(
            InvalidValue(
                f"{at}.validation and {at}.held_out are {apart:g} together.",
                field=f"{at}.held_out",
                value=values.get("held_out", 0.1),
                remedy="Leave at least 0.05 of the images for training.",
            )
        )
    label = values.get("label")
    if label is not None and label not in LABEL_PATTERNS and _groups(label) != 1:
        wrong.append(
            InvalidValue(
                f"{at}.label is {label!r}.",
                field=f"{at}.label",
                value=label,
                remedy=f"Use a known pattern ({', '.join(LABEL_PATTERNS)}), or a regular "
                r"expression with one group, for example _(bacteria|virus)_.",
            )
        )
    patient = values.get("patient", "auto")
    if patient not in ("auto", "none", "table", "dicom", *PATTERNS):
        if _groups(patient) != 1:
            names = ", ".join(PATTERNS)
            wrong.append(
                InvalidValue(
                    f"{at}.patient is {patient!r}.",
                    field=f"{at}.patient",
                    value=patient,
                    remedy=f"Use auto, none, table, dicom, a known pattern ({names}), or a regular "
                    r"expression with one group, for example ^(\d+)_.",
                )
            )
    return wrong


def _groups(expression: str) -> int:
    try:
        return re.compile(expression).groups
    except re.error:
        return 0


def _value(name: str, value: Any, f: Any) -> Any:
    rule, default = f.metadata, f.default

    def refused(remedy: str) -> InvalidValue:
        return InvalidValue(f"{name} is {value!r}.", field=name, value=value, remedy=remedy)

    if "allowed" in rule:
        if type(value) is type(default) and value in rule["allowed"]:
            return value
        allowed = ", ".join(str(choice).lower() for choice in rule["allowed"])
        raise refused(f"Use one of: {allowed}.")
    if "text" in rule:
        if value is None and default is None:
            return None
        if isinstance(value, str) and 0 < len(value) <= rule["text"]:
            return value
        raise refused(f"Use 1 to {rule['text']} characters.")
    if "names" in rule:
        if value is None:
            return None
        names, allowed = value if isinstance(value, list | tuple) else [None], rule["names"]
        if all(isinstance(n, str) and 0 < len(n) <= 200 for n in names) and len(names) <= 50:
            if not allowed or set(names) <= set(allowed):
                return tuple(dict.fromkeys(names))
        raise refused(f"Use a list of: {', '.join(allowed) or 'names of columns'}.")
    whole = isinstance(default, int)
    right = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not right or not rule["low"] <= value <= rule["high"]:
        kind = "a whole number" if whole else "a number"
        raise refused(f"Use {kind} from {rule['low']:g} to {rule['high']:.16g}.")
    return value if whole else float(value)
