"""What is called linear in the length is linear in the length."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from palmette.gates._base import Gate, GateFailure, Subject
from palmette.gates._count import Work, work_of
from palmette.grammar.types import Effect

SHORT = (128, 256, 512)
MIDDLE = (256, 512, 1024)
LONG = (512, 1024, 2048)
LOOP = 40  # operators a token: a loop over time, which is counted at shorter lengths
LOOPED = ((32, 64, 128), (160, 192, 224), (320, 384, 448))
PER_PAIR = 0.05
FADING = 0.8
HEAVY = 100.0
STEEPEST = 4.6


class CostClass(Gate):
    """Counted work and memory of a training step grow with the length as they are declared to.

    Work is FLOPs plus elements read and written, forward and backward, of one sequence; memory is
    what is saved for backward. Through three lengths goes one parabola a + b t + c t^2, and c is
    the work per pair of tokens. Counts are exact, so for linear work c is 0, and one element for
    each pair, however little beside the rest, gives c of 1 or more: c over 0.05 is suspicious.
    Then it is counted again at four times the lengths: where c falls to under a third it fades as
    that of t log t does (to a quarter), or as that of a window that the short texts did not fill;
    where it stays, the operator is quadratic. A loop over time in Python is counted at shorter
    lengths. What promises no linear time may at most be quadratic: doubling 256 may take the work
    to 4.6 times.
    """

    name = "cost_class"

    def check(self, subject: Subject) -> str:
        """The measured growth."""
        if Effect.LINEAR_TIME not in subject.promises:
            return self._at_most_quadratic(subject)
        first = {length: work_of(subject, length, backward=True) for length in (32, 64)}
        loop = first[64][0].operators - first[32][0].operators > LOOP * 32
        short, middle, long = LOOPED if loop else (SHORT, MIDDLE, LONG)
        told = []
        before = measured(subject, short, first)
        suspicious = [kind for kind in before if abs(before[kind]) > PER_PAIR]
        if not suspicious:
            return f"linear up to t = {short[-1]}: {spoken(before)} per pair of tokens"
        heavy = before["work"] > HEAVY and not loop  # it might not fit in memory
        lengths = middle if heavy or long[-1] > subject.context else long
        after = measured(subject, lengths)
        for kind in suspicious:
            fading = (sum(lengths) / sum(short)) ** -FADING  # a third at four times the length
            fades = after[kind] < fading * before[kind]
            if after[kind] > PER_PAIR and not fades:
                raise GateFailure(
                    f"promises linear time, but {kind} grows with the square of the length: "
                    f"{after[kind]:.2g} elements for each pair of tokens at t = {lengths[0]} to "
                    f"{lengths[-1]} ({before[kind]:.2g} at {short[0]} to {short[-1]})"
                )
            told.append(f"{kind} {before[kind]:.2g}, then {after[kind]:.2g}")
        return f"linear up to t = {lengths[-1]}: per pair of tokens {'; '.join(told)}"

    def _at_most_quadratic(self, subject: Subject) -> str:
        short, _ = work_of(subject, 128, backward=True)
        long, _ = work_of(subject, 256, backward=True)
        ratio = long.total / short.total
        if ratio > STEEPEST:
            raise GateFailure(
                f"work grows faster than with the square of the length: {ratio:.1f} times from "
                "t = 128 to 256"
            )
        return f"promises no linear time; from t = 128 to 256 the work grows {ratio:.1f} times"


def measured(
    subject: Subject,
    lengths: tuple[int, int, int],
    known: Mapping[int, tuple[Work, int]] = MappingProxyType({}),
) -> dict[str, float]:
    """The work and the memory per pair of tokens; lengths that are `known` are not run again."""
    counts = [known.get(n) or work_of(subject, n, backward=True) for n in lengths]
    return {
        "work": per_pair(lengths, [work.total for work, _ in counts]),
        "memory": per_pair(lengths, [float(saved) for _, saved in counts]),
    }


def per_pair(lengths: tuple[int, int, int], counts: list[float]) -> float:
    """c of the parabola a + b t + c t^2 through three counts.

    >>> per_pair((1, 2, 4), [5 + 3 * t + 2 * t * t for t in (1, 2, 4)])
    2.0
    """
    a, b, c = lengths
    first, second = (counts[1] - counts[0]) / (b - a), (counts[2] - counts[1]) / (c - b)
    return (second - first) / (c - a)


def spoken(found: dict[str, float]) -> str:
    """The kinds with their numbers."""
    return ", ".join(f"{kind} {value:.2g}" for kind, value in found.items())
