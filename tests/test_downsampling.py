"""Laws of thinning a curve out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.train_jobs.downsampling import CURVES, thinned


def lines(values: list[float]) -> list[dict[str, float]]:
    return [{"step": step, **dict.fromkeys(CURVES, value)} for step, value in enumerate(values)]


numbers = st.lists(st.floats(-100, 100), min_size=0, max_size=400)


@given(numbers, st.integers(2, 300))
def test_never_more_than_asked_in_order_with_both_ends(values: list[float], most: int) -> None:
    given_lines = lines(values)
    kept = thinned(given_lines, most)
    assert len(kept) <= most
    steps = [line["step"] for line in kept]
    assert steps == sorted(set(steps))
    assert all(line in given_lines for line in kept)
    if values:
        assert (kept[0], kept[-1]) == (given_lines[0], given_lines[-1])
    if len(values) <= most:
        assert kept == given_lines


@given(st.integers(13, 300), st.integers(20, 3000), st.data())
def test_a_peak_of_one_step_stays(most: int, count: int, data: st.DataObject) -> None:
    peak = data.draw(st.integers(0, count - 1))
    given_lines = lines([0.5] * count)
    curve = data.draw(st.sampled_from(CURVES))
    given_lines[peak][curve] = 9.0
    assert any(line[curve] == 9.0 for line in thinned(given_lines, most))
