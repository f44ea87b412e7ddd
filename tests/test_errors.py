"""Errors tell what was given in JSON, and are never larger than their cause."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from library.errors import InvalidValue, shown

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(VALUES)
def test_whatever_was_given_is_told_in_a_few_words(value: Any) -> None:
    problem = InvalidValue("It is wrong.", field="x", value=value).as_problem()
    told = problem["errors"][0]["given"]
    json.dumps(told, allow_nan=False)
    assert len(told if isinstance(told, str) else json.dumps(told)) <= 201


def test_what_json_can_say_shortly_is_told_as_it_is() -> None:
    for value in (None, True, -3, 0.5, "fit", [1, 2], {"a": [None]}):
        assert shown(value) == value
    assert shown(float("nan")) == "nan"
    assert shown([float("inf")]) == "[inf]"
    assert shown(2**70) == "a whole number of 71 bits"
    assert shown("x" * 300) == "x" * 200 + "…"
    deep: Any = 0
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "a list"
    assert shown([10**5000]) == "a list"
