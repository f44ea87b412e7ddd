"""Which whole pictures are not used: by what a DICOM says of view, intent and letters."""

from __future__ import annotations

import json

from library.datasets.choices import Choices
from library.datasets.index import ACCEPTED, LEFT_OUT, Index

LETTERS = "says that letters are burnt in (BurnedInAnnotation YES)"


def filter_dicom(index: Index, choices: Choices) -> None:
    """Leave out what the choices do not want; what says nothing of a thing passes.

    Of a picture with letters nothing that could be read is kept.
    """
    reasons = []
    rows = index.rows(
        "id, intent, portable, burned_in, covariates",
        "WHERE status = ? AND kind = 'DICOM'",
        ACCEPTED,
    )
    for row in rows:
        view = json.loads(row["covariates"] or "{}").get("view", "")
        reason = None
        if row["burned_in"] and not choices.burned_in:
            reason = LETTERS
        elif choices.views is not None and view and view not in choices.views:
            reason = f"its view is {view}, not {' or '.join(choices.views)}"
        elif choices.intent != "any" and row["intent"] and row["intent"].lower() != choices.intent:
            reason = f"is meant {row['intent'].lower()}"
        elif choices.portable == "without" and row["portable"]:
            reason = "was taken by a portable device"
        elif choices.portable == "only" and not row["portable"]:
            reason = "was not taken by a portable device"
        if reason is not None:
            reasons.append((reason, row["id"]))
    index.set_status(LEFT_OUT, reasons)
    letters = [(identity,) for reason, identity in reasons if reason == LETTERS]
    index.change("UPDATE pictures SET thumbnail = NULL WHERE id = ?", letters)
