"""Leagues: which human baselines a design has to beat, and where it may compete at all.

`open` takes everyone. `constant-state` is for designs whose state does not grow with the text:
a candidate enters if its own is constant and no larger than the largest of the baselines' there.
"""

from __future__ import annotations

from collections.abc import Sequence

from palmette.records import Entry, League


def enters(entry: Entry, entries: Sequence[Entry], league: League) -> bool:
    """Whether a design competes in a league against the human baselines among `entries`."""
    if league == "open":
        return True
    largest = max((e.state_bytes for e in entries if _human(e) and e.constant_state), default=None)
    return entry.constant_state and largest is not None and entry.state_bytes <= largest


def rivals(entry: Entry, entries: Sequence[Entry], league: League) -> tuple[Entry, ...]:
    """The human baselines that this design has to beat, in the order of `entries`.

    Those trained longer to equal another candidate's FLOPs are not among them.
    """
    return tuple(e for e in entries if _human(e) and _meets(entry, e, league))


def tuned_rivals(entry: Entry, entries: Sequence[Entry], league: League) -> tuple[Entry, ...]:
    """The tuned baselines in the league: who beats these as well is better by structure."""
    return tuple(e for e in entries if e.role == "tuned" and _meets(entry, e, league))


def efficient(entry: Entry, against: Entry, share: float) -> bool:
    """Whether a design needs at most this share of the other's state or of its forward FLOPs."""
    return (
        entry.state_bytes <= share * against.state_bytes
        or entry.flops_forward <= share * against.flops_forward
    )


def is_null(entry: Entry, entries: Sequence[Entry], league: League) -> bool:
    """Whether one of the baselines that a placebo has to beat is the same design, trained alike.

    Only then can every verdict for it be nothing but noise.
    """
    return any(
        e.genome == entry.genome and e.stretch == entry.stretch
        for e in rivals(entry, entries, league)
    )


def _human(entry: Entry) -> bool:
    return entry.role == "baseline"


def _meets(entry: Entry, other: Entry, league: League) -> bool:
    return other.matches in (None, entry.label) and (league == "open" or other.constant_state)
