"""What must never be told: the key of an endpoint, and a name and password in its URL."""

from __future__ import annotations

import base64
from urllib.parse import quote, unquote, urlsplit, urlunsplit

SHORTEST = 6  # characters: what is shorter is a word such as "none", and cutting it hides nothing
CUT = "[key]"


class Secrets:
    """Cuts them out of texts, also where they are written as a header or a URL writes them."""

    def __init__(self, url: str, key: str | None) -> None:
        parts = urlsplit(url)
        login, at, host = parts.netloc.rpartition("@")
        self.url = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
        self.basic = base64.b64encode(unquote(login).encode()).decode() if at else None
        plain = [key, login, *login.split(":")[1:], self.basic]
        forms = {form for text in plain if text for form in (text, quote(text), unquote(text))}
        # the longest first: one may hold another
        self._hidden = sorted((f for f in forms if len(f) >= SHORTEST), key=len, reverse=True)

    def cut(self, text: str) -> str:
        """The text without them.

        >>> Secrets("https://ann:password@host/v1", "sk-abcdef").cut("no sk-abcdef, no password")
        'no [key], no [key]'
        """
        for hidden in self._hidden:
            text = text.replace(hidden, CUT)
        return text
