"""Over random groupings: no patient and no near-duplicate is ever in two splits."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from library.datasets.choices import Choices
from library.datasets.duplicates import leave_out_identical
from library.datasets.fingerprints import fingerprint, order
from library.datasets.index import ACCEPTED, NAME, Index
from library.datasets.splits import split_index

files = st.lists(
    st.fixed_dictionaries(
        {
            "content": st.integers(0, 40),  # few, so that some are identical
            "label": st.sampled_from("AB"),
            "patient": st.one_of(st.none(), st.integers(0, 12)),
            "given": st.sampled_from([None, "train", "validation", "held_out"]),
        }
    ),
    min_size=1,
    max_size=50,
)
pairs = st.lists(st.tuples(st.integers(0, 49), st.integers(0, 49)), max_size=12)


def filled(
    path: Path, rows: list[dict[str, Any]], near: list[tuple[int, int]], given: bool
) -> Index:
    index = Index.new(path)
    index.add((f"{i}.png", 1, None) for i in range(len(rows)))
    index.change(
        "UPDATE files SET status = ?, sha256 = ?, label = ?, patient = ?, given = ? WHERE id = ?",
        [
            (
                ACCEPTED,
                hashlib.sha256(str(row["content"]).encode()).hexdigest(),
                row["label"],
                None if row["patient"] is None else str(row["patient"]),
                row["given"] if given else None,
                i + 1,
            )
            for i, row in enumerate(rows)
        ],
    )
    for one, other in near:
        first, second = sorted((one % len(rows), other % len(rows)))
        if first != second:
            index.execute("INSERT INTO near VALUES (?, ?, 0.99)", first + 1, second + 1)
    return index


@settings(max_examples=250, deadline=None)
@given(files, pairs, st.sampled_from(["auto", "random", "given"]), st.integers(0, 5))
def test_nothing_leaks(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, Any]],
    near: list[tuple[int, int]],
    kind: str,
    seed: int,
) -> None:
    path = tmp_path_factory.mktemp("split") / NAME
    with filled(path, rows, near, given=kind != "random") as index:
        leave_out_identical(index)
        before = int(index.one("SELECT COUNT(*) FROM files WHERE status = ?", ACCEPTED))
        choices = Choices(split=kind, validation=0.2, held_out=0.2, seed=seed)
        done = split_index(index, choices)
        found = {row["id"]: row for row in index.rows("*", "WHERE status = ?", ACCEPTED)}
        assert all(row["split"] is not None for row in found.values())
        if done == "random":
            assert len(found) == before  # a random split leaves nothing out
        else:
            assert all(row["split"] == row["given"] for row in found.values())
        # Patients are told of by the copies that were left out, too.
        of_patient: defaultdict[str, set[str]] = defaultdict(set)
        split_of = {row["sha256"]: row["split"] for row in found.values()}
        for row in index.rows("sha256, patient", "WHERE patient IS NOT NULL"):
            if row["sha256"] in split_of:
                of_patient[row["patient"]].add(split_of[row["sha256"]])
        assert all(len(splits) == 1 for splits in of_patient.values())
        for pair in index.query("SELECT one, other FROM near"):
            if pair["one"] in found and pair["other"] in found:
                assert found[pair["one"]]["split"] == found[pair["other"]]["split"]
                assert found[pair["one"]]["grp"] == found[pair["other"]]["grp"]
        order(index)
        first = fingerprint(index, choices)
    with filled(path.with_name("again"), rows[::-1], [], given=False) as again:
        # The same content in another order, where names do not matter: without near-duplicates.
        leave_out_identical(again)
        split_index(again, choices)
        order(again)
        if not near and kind == "random":
            assert fingerprint(again, choices) == first
