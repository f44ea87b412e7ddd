"""Laws of the split: no group is parted, labels keep their fractions, and it is the same always."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from library.datasets.splits import Group, assign, groups

sizes = st.dictionaries(st.sampled_from("ABC"), st.integers(1, 12), min_size=1)
parts = st.lists(sizes, min_size=1, max_size=60).map(
    lambda found: [Group(f"{i:02d}", labels) for i, labels in enumerate(found)]
)
fractions = st.tuples(st.floats(0, 0.4), st.floats(0, 0.4)).map(
    lambda pair: {"train": 1 - sum(pair), "validation": pair[0], "held_out": pair[1]}
)


@settings(max_examples=300)
@given(parts, fractions, st.integers(0, 2**53 - 1), st.randoms(use_true_random=False))
def test_every_group_has_one_split_whatever_the_order(
    found: list[Group], wanted: dict[str, float], seed: int, shuffle: random.Random
) -> None:
    split = assign(found, wanted, seed)
    assert split.keys() == {part.name for part in found}
    assert {name for name in split.values()} <= {name for name, f in wanted.items() if f > 0}
    shuffled = list(found)
    shuffle.shuffle(shuffled)
    assert assign(shuffled, wanted, seed) == split


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from("AB"), min_size=20, max_size=200),
    fractions,
    st.integers(0, 1000),
)
def test_with_one_image_a_patient_each_label_has_its_fractions(
    labels: list[str], wanted: dict[str, float], seed: int
) -> None:
    found = [Group(f"{i:03d}", {label: 1}) for i, label in enumerate(labels)]
    split = assign(found, wanted, seed)
    for label, total in Counter(labels).items():
        for name, fraction in wanted.items():
            got = sum(split[part.name] == name for part in found if label in part.sizes)
            assert abs(got - fraction * total) <= 1.5, (label, name, got, fraction * total)


@pytest.mark.parametrize(("count", "least"), [(6, 1), (10, 1), (100, 10)])
def test_small_sets_have_something_in_each_split(count: int, least: int) -> None:
    found = [Group(str(i), {"A": 1}) for i in range(count)]
    tally = Counter(assign(found, {"train": 0.8, "validation": 0.1, "held_out": 0.1}, 0).values())
    assert min(tally.values()) >= least
    assert set(tally) == {"train", "validation", "held_out"}


def test_another_seed_is_another_split() -> None:
    found = [Group(str(i), {"A": 1}) for i in range(50)]
    wanted = {"train": 0.6, "validation": 0.2, "held_out": 0.2}
    assert assign(found, wanted, 1) == assign(found, wanted, 1)
    assert assign(found, wanted, 1) != assign(found, wanted, 2)


@given(
    st.integers(1, 40),
    st.lists(st.lists(st.integers(0, 39), min_size=1, max_size=5), max_size=40),
)
def test_groups_are_what_is_connected(count: int, sames: list[list[int]]) -> None:
    sames = [[item % count for item in items] for items in sames]
    found = groups(count, sames)
    for items in sames:
        assert len({found[item] for item in items}) == 1
    # And no more than that: everything else is reached by going over the links.
    reached = {i: {i} for i in range(count)}
    for _ in range(count):
        for items in sames:
            together = set().union(*(reached[i] for i in items))
            for i in together:
                reached[i] = together
    for i in range(count):
        assert {j for j in range(count) if found[j] == found[i]} == reached[i]
        assert found[i] == min(reached[i])
