"""The tables of a study for a paper: CSV with every number, LaTeX to four digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.tabular import Table, written
from studies.words import METRICS

Content = Mapping[str, Any]
_SPREAD = ("patients", "draws", "seeds")


def tables(content: Content) -> dict[str, str]:
    """File name -> text, each table as .csv and .tex; those that the study has."""
    return written(
        {
            "arms": _arms(content),
            "contrasts": _contrasts(content),
            "generators": _generators(content),
            "told_apart": _told_apart(content),
            "shortcut": _shortcut(content),
            "large_test": _large_test(content),
            "data": _data(content),
        }
    )


def _arms(content: Content) -> Table:
    """A row a metric, so that a table may be filtered by it."""
    header = ("classifier", "size", "arm", "ratio", "metric", "value", "low", "high", "runs",
              "draws", *(f"sd_{part}" for part in _SPREAD))  # fmt: skip
    primary = content["config"]["metric"]
    rows = [
        (arm["classifier"], arm["size"], arm["arm"], arm["ratio"], name,
         arm["metrics"][name]["value"], *arm["metrics"][name]["interval"], arm["runs"],
         arm["draws"], *_spread(arm["spread"] if name == primary else {}))
        for arm in content["arms"]
        for name in METRICS
        if name in arm["metrics"]
    ]  # fmt: skip
    return header, rows


def _spread(found: Mapping[str, Any] | None) -> list[Any]:
    return [(found or {}).get(part) for part in _SPREAD]


def _contrasts(content: Content) -> Table:
    header = ("classifier", "size", "arm", "ratio", "control", "metric", "difference", "low",
              "high", "p", "p_holm", "verdict", "primary", "df",
              *(f"sd_{part}" for part in _SPREAD))  # fmt: skip
    rows = [
        (each["classifier"], each["size"], each["arm"], each["ratio"], each["control"],
         each["metric"], each["difference"], *each["interval"], each["p"], each["p_holm"],
         each["verdict"], "yes" if each["primary"] else "no", each["df"],
         *_spread(each["spread"]))
        for each in content["contrasts"]
    ]  # fmt: skip
    return header, rows


def _generators(content: Content) -> Table:
    header = ("size", "generator", "partition", "images", "steps", "kid", "collapsed")
    return header, [tuple(each[name] for name in header) for each in content["generators"]]


def _told_apart(content: Content) -> Table:
    header = ("size", "generator", "auroc", "low", "high", "n")
    rows = [
        (each["size"], each["generator"], each["auroc"], *each["interval"], each["n"])
        for each in content["told_apart"]
    ]
    return header, rows


def _shortcut(content: Content) -> Table:
    header = ("classifier", "size", "arm", "rate_synthetic", "rate_real", "difference", "low",
              "high")  # fmt: skip
    rows = [
        (each["classifier"], each["size"], each["arm"], each["rate_synthetic"], each["rate_real"],
         each["difference"], *each["interval"])
        for each in content["shortcut"]
    ]  # fmt: skip
    return header, rows


def _large_test(content: Content) -> Table:
    header = ("classifier", "arm", "ratio", "cross_validated", "low", "high", "large", "inside")
    rows = [
        (each["classifier"], each["arm"], each["ratio"], each["cross_validated"]["value"],
         *each["cross_validated"]["interval"], each["large"]["value"],
         "yes" if each["inside"] else "no")
        for each in content["large_test"] or ()
    ]  # fmt: skip
    return header, rows


def _data(content: Content) -> Table:
    labels = content["labels"]
    header = ("partition", "size", "part", "images", "patients", *labels)
    rows: list[Sequence[Any]] = [
        (each["name"], each["size"], part, each[part]["images"], each[part]["patients"],
         *(each[part]["labels"].get(label, 0) for label in labels))
        for each in content["data"]["partitions"]
        for part in ("train", "test")
    ]  # fmt: skip
    return header, rows
