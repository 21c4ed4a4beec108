"""Text of unknown authors, made plain before it is kept or shown: one line, no longer than said.

Control and formatting characters (which could hide or reverse text, or drive a terminal) go, and so
do lone surrogates, which no file can hold.
"""

from __future__ import annotations

import unicodedata

ENDING = " ..."


def one_line(text: str, most: int) -> str:
    """A text as one line of at most `most` characters, cut behind a word where one ends.

    >>> one_line("two\\nlines\\x1b[2J of\\u202e text", 40)
    'two lines [2J of text'
    >>> one_line("a sentence that is too long", 16)
    'a sentence ...'
    """
    # Enough for every character that survives; a text of megabytes is not looked at whole.
    beginning = text[: 4 * most + 100]
    shown = "".join(" " if unicodedata.category(c)[0] == "C" else c for c in beginning)
    line = " ".join(shown.split())
    if len(line) <= most:
        return line
    cut = line[: most - len(ENDING)]
    words = cut.rsplit(" ", 1)[0]
    return (words if len(words) >= len(cut) // 2 else cut) + ENDING
