from hypothesis import given, settings
from hypothesis import strategies as st

from palmette.designer.plain import one_line


@given(st.text(alphabet=st.characters(), max_size=200), st.integers(10, 60))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_a_line_is_one_line_within_its_bound_and_stays_as_it_is(text, most):
    line = one_line(text, most)
    assert len(line) <= most
    assert line.isprintable() or line == ""
    assert "\n" not in line
    line.encode()
    assert one_line(line, most) == line


def test_a_huge_text_is_looked_at_by_its_beginning():
    assert one_line("word " * 4_000_000, 12) == "word ..."


def test_a_word_without_end_is_cut_inside():
    assert one_line("x" * 50, 20) == "x" * 16 + " ..."
