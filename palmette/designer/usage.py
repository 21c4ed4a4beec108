"""How many tokens a call took: the server's figures if they can be true, else our estimate.

Money depends on them, and a server may leave them out, count in another unit, or lie. Its figures
stand if neither is less than a third of what the text alone suggests (three characters a token,
where nine is more than any tokeniser reaches on prose) nor more than there are bytes, of which no
tokeniser makes more than one token each.
"""

from __future__ import annotations

from dataclasses import dataclass

from palmette.designer.endpoint import Request, tokens

TEMPLATE = 256  # tokens that a server's own template and schema preamble may add
LEAST = 3  # what a true count is at least: the estimate over this


@dataclass(frozen=True)
class Usage:
    """Tokens of the prompt and of the answer; `counted` by the server, or estimated."""

    tokens_in: int
    tokens_out: int
    counted: bool


def usage(told: object, request: Request, sent_bytes: int, text: str) -> Usage:
    """What an answer's `usage` is taken for.

    >>> from palmette.designer.endpoint import Message
    >>> asked = Request((Message("user", "What is a palmette?"),), most_tokens=50)
    >>> usage({"prompt_tokens": 35, "completion_tokens": 4}, asked, 200, "A kind of fan.")
    Usage(tokens_in=35, tokens_out=4, counted=True)
    >>> usage({"prompt_tokens": -35, "completion_tokens": 4}, asked, 200, "A kind of fan.")
    Usage(tokens_in=7, tokens_out=5, counted=False)
    """
    figures = told if isinstance(told, dict) else {}
    tokens_in, tokens_out = figures.get("prompt_tokens"), figures.get("completion_tokens")
    most_out = max(request.most_tokens, len(text.encode("utf-8", "replace"))) + TEMPLATE
    if _sane(tokens_in, request.tokens, sent_bytes + TEMPLATE) and _sane(
        tokens_out, tokens(text), most_out
    ):
        assert isinstance(tokens_in, int)
        assert isinstance(tokens_out, int)
        return Usage(tokens_in, tokens_out, counted=True)
    return Usage(request.tokens, tokens(text), counted=False)


def _sane(figure: object, estimate: int, most: int) -> bool:
    whole = isinstance(figure, int) and not isinstance(figure, bool)
    return whole and estimate // LEAST <= figure <= most  # type: ignore[operator]
