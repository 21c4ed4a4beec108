"""A campaign's budget: genomes, trials or time, over all its sessions together."""

from __future__ import annotations

import re
from dataclasses import dataclass

from palmette.errors import UserError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_FORM = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|m|h|d|genomes?|trials?)\s*")


@dataclass(frozen=True)
class Budget:
    """Either `genomes` found, `trials` of the whole ladder, or `seconds` of a campaign's own time;
    the others are None.
    """

    text: str
    genomes: int | None = None
    seconds: float | None = None
    trials: int | None = None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Reads `10m`, `90s`, `2h`, `1d`, `60genomes` or `200trials`.

        Raises `UserError` for anything else.

        >>> Budget.parse("60genomes").genomes, Budget.parse("1.5h").seconds
        (60, 5400.0)
        """
        match = _FORM.fullmatch(text)
        if match is None or float(match[1]) == 0 or (match[2][0] in "gt" and "." in match[1]):
            raise UserError(
                f"a budget is a time such as 10m, 90s or 2h, or a number of genomes or trials such "
                f"as 60genomes or 200trials; {text!r} is neither. Give one with --budget"
            )
        if match[2].startswith("genome"):
            return cls(f"{match[1]}genomes", genomes=int(match[1]))
        if match[2].startswith("trial"):
            return cls(f"{match[1]}trials", trials=int(match[1]))
        return cls(f"{match[1]}{match[2]}", seconds=float(match[1]) * _UNITS[match[2]])

    def __str__(self) -> str:
        return self.text
