"""Laws of what has changed in a dataset."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from library.manifests import compare

manifests = st.dictionaries(
    st.text(max_size=3), st.tuples(st.sampled_from("ab"), st.sampled_from(["0", "1", ""]))
)


@given(manifests, manifests)
def test_what_changed_is_what_differs(
    before: dict[str, tuple[str, str]], now: dict[str, tuple[str, str]]
) -> None:
    changes = compare(before, now)
    assert set(changes.added) == now.keys() - before.keys()
    assert set(changes.removed) == before.keys() - now.keys()
    assert bool(changes) == (before != now)
    back = compare(now, before)
    assert (back.added, back.removed, back.changed) == (
        changes.removed,
        changes.added,
        changes.changed,
    )
    assert len(changes.names()) == len(changes.added) + len(changes.removed) + len(changes.changed)


@given(manifests)
def test_nothing_changed_is_no_change(files: dict[str, tuple[str, str]]) -> None:
    assert not compare(files, dict(files))
    assert str(compare(files, files)) == "no change"
