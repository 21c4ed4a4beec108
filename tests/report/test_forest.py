"""The geometry of forest plots."""

from hypothesis import given, settings
from hypothesis import strategies as st

from palmette.records import Span
from palmette.report.forest import MARGIN, forest

value = st.floats(-1e3, 1e3, allow_nan=False).map(lambda x: round(x, 6))


@st.composite
def spans(draw):
    low, middle, high = sorted(draw(st.tuples(value, value, value)))
    return Span(value=middle, low=low, high=high)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.none(), spans()), min_size=1, max_size=8))
def test_marks_stand_in_order_and_on_their_side_of_zero(held):
    found = forest(held)
    if found is None:
        assert all(span is None for span in held)
        return
    assert MARGIN <= found.zero <= 100 - MARGIN
    for span, mark in zip(held, found.marks, strict=True):
        assert (span is None) == (mark is None)
        if mark is None:
            continue
        assert MARGIN <= mark.low <= mark.middle <= mark.high <= 100 - MARGIN
        assert (mark.standing == "above") == (span.low > 0)
        assert (mark.standing == "below") == (span.high < 0)
        assert mark.low >= found.zero or mark.standing != "above"
        assert mark.high <= found.zero or mark.standing != "below"
    places = [place for place, _ in found.ticks]
    assert places == sorted(places)
    assert 2 <= len(places) <= 14
    assert (found.zero, "0") in found.ticks


def test_a_much_wider_interval_is_cut_off_and_does_not_press_the_others():
    narrow = [Span(value=0.01 * n, low=0.01 * n - 0.02, high=0.01 * n + 0.02) for n in range(4)]
    found = forest([*narrow, Span(value=0.0, low=-9.0, high=9.0)])
    wide = found.marks[-1]
    assert wide.cut_low
    assert wide.cut_high
    assert not any(mark.cut_low or mark.cut_high for mark in found.marks[:-1])
    assert found.marks[0].high - found.marks[0].low > 10


def test_intervals_of_no_width_and_none_at_all():
    assert forest([None, None]) is None
    point = forest([Span(value=0.0, low=0.0, high=0.0)])
    assert (point.zero, point.marks[0].middle) == (50.0, 50.0)
