"""Words of others in Markdown: shown to the letter, and unable to look like ours.

A model may answer with headings, HTML, links, images, fences or sequences that drive a terminal.
Quoted so, none of them means anything to a reader of CommonMark (spec.commonmark.org 0.31).
"""

from __future__ import annotations

import re
import unicodedata

_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]"  # control sequences, such as colours
    r"|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"  # strings for the terminal, such as its title
    r"|[ -/]*[0-~])?"
    r"|\x9b[0-?]*[ -/]*[@-~]"
)
_MEANT = re.compile(
    r"[\\`*\[\]<>&|~@]"  # wherever they stand
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"  # within a name an underscore is one
    r"|(?<=www)\.|:(?=//)"  # some readers make links of bare addresses
    r"|^[#+=:-]",  # at the beginning of a line
    re.IGNORECASE,
)
NOTHING = "–"
_NUMBERED = re.compile(r"^(\d+)([.)])")


def plain(text: str) -> str:
    """A text without control and formatting characters; its lines end in a newline.

    >>> plain("red \\x1b[31malert\\x1b[0m\\r\\nright-to-left \\u202e")
    'red alert\\nright-to-left '
    """
    text = _SEQUENCE.sub("", text)
    text = re.sub("\r\n?|\u2028|\u2029|\x85", "\n", text).replace("\t", "    ")
    return "".join(c for c in text if c == "\n" or unicodedata.category(c)[0] != "C")


def inline(text: str) -> str:
    """A text within a line of ours, as one line; a dash if there is nothing to show.

    >>> inline("# <b>wants</b> `x`")
    '\\\\# \\\\<b\\\\>wants\\\\</b\\\\> \\\\`x\\\\`'
    """
    line = " ".join(plain(text).split())
    return _escaped(line) or NOTHING


def quoted(text: str) -> str:
    """A text as a block quotation, a paragraph where it has one; lines lose the space around them.

    >>> print(quoted("first\\n\\n  - second"))
    > first
    >
    > \\- second
    """
    lines = [" ".join(line.split()) for line in plain(text).strip().split("\n")]
    return "\n".join(f"> {_escaped(line)}".rstrip() for line in lines)


def code(text: str) -> str:
    """A text as code within a line; a dash if there is nothing to show.

    >>> print(code("lin()"), code("a `tick`"))
    `lin()` `` a `tick` ``
    """
    line = " ".join(plain(text).split())
    if not line:
        return NOTHING
    fence = "`" * (_longest("`", line) + 1)
    pad = " " if "`" in line else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def block(text: str, language: str = "text") -> str:
    """A text as a block of code, line by line.

    >>> print(block("one\\n~~~"))
    ~~~~text
    one
    ~~~
    ~~~~
    """
    told = plain(text)
    fence = "~" * max(3, _longest("~", told) + 1)
    return f"{fence}{language}\n{told}\n{fence}"


def _escaped(line: str) -> str:
    return _NUMBERED.sub(r"\1\\\2", _MEANT.sub(r"\\\g<0>", line))


def _longest(sign: str, text: str) -> int:
    """The longest run of a sign."""
    return max(map(len, re.findall(f"{re.escape(sign)}+", text)), default=0)
