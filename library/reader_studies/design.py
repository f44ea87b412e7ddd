"""What a reader study shows: which real images, which seeds, in which order to whom."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from library.errors import InvalidValue
from library.latents import SEED_MAX

ITEMS_MAX = 400  # images of a study: an hour's work, and seconds to make
PER_LABEL_MIN = 2
REPEATS_MAX = 40
REAL, SYNTHETIC = "real", "synthetic"
KINDS = (REAL, SYNTHETIC)
TEXT_MAX = 8000

CONSENT = """\
You will see chest X-rays one after the other. Some are real, some were made by a computer; there \
are as many of one kind as of the other. Say of each which it is. You are not told whether you \
were right until you have judged the last one.

Your answers, and how long each took, are kept under a number and evaluated together with those \
of other readers. The name that you sign with is kept with this consent and is part of no result. \
Taking part is voluntary: you may stop at any time, and answers that end early are not evaluated.

Some images show real patients. Do not copy, photograph or pass them on. None of them is for \
diagnosis."""


@dataclass(frozen=True)
class Design:
    """What is fixed before the first reader.  `resolve` makes one."""

    labels: tuple[str, ...]  # classes of the generator; none for one without classes
    per_label: int  # images of a class and a kind
    truncation: float
    repeats: int  # images that each reader sees a second time; even
    margin: float  # of the accuracy around one half, within which readers count as guessing
    seed: int  # of what is drawn: real images, seeds of synthetic ones
    name: str
    consent: str

    @property
    def groups(self) -> tuple[str | None, ...]:
        """Classes, or None alone where there are none."""
        return self.labels or (None,)

    @property
    def items(self) -> int:
        return 2 * self.per_label * len(self.groups)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "labels": list(self.labels)}


def resolve(given: Mapping[str, Any], labels: Sequence[str]) -> Design:
    """A design with every value checked, for a generator of these classes.

    Raises InvalidValue naming each wrong field.
    """
    wrong = []

    def refuse(field: str, remedy: str) -> None:
        value = given.get(field)
        wrong.append(
            InvalidValue(f"{field} is {value!r}.", field=field, value=value, remedy=remedy)
        )

    chosen = tuple(given.get("labels") or labels)
    if unknown := [label for label in chosen if label not in labels]:
        text = f"{', '.join(map(repr, unknown))} is no class of the model."
        remedy = f"Its classes are: {', '.join(labels) or 'none; leave labels out'}."
        wrong.append(InvalidValue(text, field="labels", value=list(chosen), remedy=remedy))
    if len(set(chosen)) != len(chosen):
        refuse("labels", "Name each class once.")
    seed = given.get("seed")
    design = Design(
        labels=chosen,
        per_label=int(given.get("per_label", 25)),
        truncation=float(given.get("truncation", 1.0)),
        repeats=int(given.get("repeats", 0)),
        margin=float(given.get("margin", 0.1)),
        seed=secrets.randbelow(2**31) if seed is None else int(seed),
        name=str(given.get("name") or "Reader study"),
        consent=str(given.get("consent") or CONSENT),
    )
    most = ITEMS_MAX // (2 * len(design.groups))
    if not PER_LABEL_MIN <= design.per_label <= most:
        refuse(
            "per_label",
            f"Use {PER_LABEL_MIN} to {most}: with {len(design.groups)} classes a study has at most "
            f"{ITEMS_MAX} images.",
        )
    repeats_most = min(REPEATS_MAX, design.items // 2)
    if design.repeats % 2 or not 0 <= design.repeats <= repeats_most:
        refuse("repeats", f"Use an even number from 0 to {repeats_most}: half of them are real.")
    if not 0.01 <= design.margin <= 0.3:
        refuse("margin", "Use 0.01 to 0.3, for example 0.1: between 40 and 60% right is guessing.")
    if len(design.consent) > TEXT_MAX:
        refuse("consent", f"Use at most {TEXT_MAX} characters.")
    if wrong:
        raise InvalidValue.of(wrong)
    return design


def drawn_seeds(design: Design) -> list[int]:
    """Seeds of the synthetic images, class by class: scattered, so that none can be guessed."""
    random = np.random.default_rng([design.seed, 1])
    count = design.items // 2
    seeds: set[int] = set()
    while len(seeds) < count:
        seeds.add(int(random.integers(0, SEED_MAX + 1)))
    return [int(seed) for seed in random.permutation(sorted(seeds))]


def drawn_images(
    groups: Sequence[int], count: int, random: np.random.Generator, taken: Iterable[int] = ()
) -> list[int] | None:
    """Rows of `count` images of as many patients as there are; None where images are too few.

    groups: the patient of each image; taken: patients who have an image in another class.  A
    second image of a patient is taken only when every patient has one.
    """
    if len(groups) < count:
        return None
    order = random.permutation(len(groups)).tolist()
    turn = dict.fromkeys(taken, 0)
    ranked = []
    for place, row in enumerate(order):
        patient = groups[row]
        turn[patient] = turn.get(patient, -1) + 1
        ranked.append((turn[patient], place, row))
    return [row for _, _, row in sorted(ranked)[:count]]


def order_for(
    kinds: Sequence[str], repeats: int, random: np.random.Generator
) -> tuple[list[int], list[int]]:
    """In which order a reader sees the items, and at which places one is seen again.

    All are shuffled anew for each reader.  Repeats are half real, half synthetic, drawn from what
    came in the first half, and come somewhere in the second half.
    """
    order = [int(item) for item in random.permutation(len(kinds))]
    if not repeats:
        return order, []
    half = len(order) // 2
    again: list[int] = []
    for kind in KINDS:
        early = [item for item in order[:half] if kinds[item] == kind]
        late = [item for item in order[half:] if kinds[item] == kind]
        # By chance the first half may hold too few of a kind: the next ones follow it.
        pool = early if len(early) >= repeats // 2 else early + late[: repeats // 2 - len(early)]
        again += [int(item) for item in random.choice(pool, repeats // 2, replace=False)]  # nosec B311 # NumPy
    rest: list[tuple[int, bool]] = [(item, False) for item in order]
    for item in random.permutation(again).tolist():
        first = next(i for i, (each, _) in enumerate(rest) if each == item)
        lowest = max(half, first + 1 + min(5, len(rest) - first - 1))
        rest.insert(int(random.integers(lowest, len(rest) + 1)), (item, True))
    return [item for item, _ in rest], [i for i, (_, second) in enumerate(rest) if second]
