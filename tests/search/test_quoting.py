"""Whatever a model says, a reader of Markdown sees its words and nothing else."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from palmette.search.quoting import block, code, inline, plain, quoted

READER = MarkdownIt("gfm-like", {"linkify": False})
SIGNS = st.sampled_from(
    [*"`~#<>&*_[]()!|\\-+=.:@1a \n\t\r\x1b\x07\u202e\udcff", "\n\n", "# ", "```"]
)
HOSTILE = st.lists(SIGNS | st.characters(), max_size=40).map("".join)


def words(text: str) -> list[str]:
    return text.split()


def flat(text: str) -> list[tuple[str, str]]:
    """The kinds and texts of all that a reader sees, without what only marks paragraphs."""
    found = []
    for token in READER.parse(text):
        for seen in token.children or [token]:
            if not seen.type.startswith("paragraph"):
                found.append((seen.type, seen.content))
    return found


@given(HOSTILE)
def test_a_quotation_is_one_quotation_of_text(said: str) -> None:
    seen = flat(f"before\n\n{quoted(said)}\n\nafter")
    kinds = {kind for kind, _ in seen}
    assert kinds <= {"text", "softbreak", "blockquote_open", "blockquote_close"}
    assert [kind for kind, _ in seen].count("blockquote_open") == 1
    told = " ".join(text for _, text in seen)
    assert words(told) == ["before", *words(plain(said)), "after"]


@given(HOSTILE)
def test_words_in_a_line_are_text(said: str) -> None:
    seen = flat(f"- fault: {inline(said)} (twice)")
    kinds = {kind for kind, _ in seen if "list" not in kind}
    assert kinds == {"text"}
    (told,) = (text for kind, text in seen if kind == "text")
    assert words(told) == ["fault:", *(words(plain(said)) or "–"), "(twice)"]


@given(HOSTILE)
def test_code_in_a_line_is_code(said: str) -> None:
    seen = flat(f"edit {code(said)} made")
    held = [text for kind, text in seen if kind == "code_inline"]
    line = " ".join(plain(said).split())
    assert held == ([line] if line else [])
    assert "".join(text for _, text in seen) == f"edit {line or '–'} made"


@given(HOSTILE)
def test_a_block_holds_its_lines(said: str) -> None:
    before, held, after = flat(f"before\n\n{block(said)}\n\nafter")[:3]
    assert (before, after) == (("text", "before"), ("text", "after"))
    assert held[0] == "fence"
    assert held[1].rstrip("\n") == plain(said).rstrip("\n")


@given(HOSTILE | st.text(alphabet="\x1b[]0;31m\x07\\abc\x9b", max_size=30))
def test_nothing_drives_a_terminal(said: str) -> None:
    left = {unicodedata.category(c) for c in plain(said) if c != "\n"}
    assert not {kind for kind in left if kind.startswith("C")}
    plain(said).encode()


@pytest.mark.parametrize(
    "said",
    [
        "see https://example.org and www.example.org or mail a@example.org",
        "![x](https://example.org/spy.png)",
        "<script>alert(1)</script>",
        "&lt;b&gt; &#35;",
    ],
)
def test_no_link_or_page_comes_of_it(said: str) -> None:
    page = MarkdownIt("commonmark").render(quoted(said))
    assert not re.search(r"<(?!/?(blockquote|p)>)", page)
    assert not re.search(r"(?<!\\)://|www\.|(?<!\\)@", quoted(said))
