"""A quantity counted at a few sizes, and the polynomial through what was counted."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from itertools import product

from palmette.records import Counted


def count(axes: tuple[tuple[int, ...], ...], measure: Callable[..., float]) -> Counted:
    """Counts at every point of the grid."""
    return Counted(axes=axes, values=tuple(measure(*point) for point in product(*axes)))


def value(counted: Counted, *point: int) -> Fraction:
    """The polynomial's value at a point; what was counted itself, where that was.

    >>> value(count(((1, 2, 3),), lambda n: n * n), 10)
    Fraction(100, 1)
    """
    return _value(counted.axes, counted.values, point)


@lru_cache(maxsize=65536)
def _value(
    axes: tuple[tuple[int, ...], ...], values: tuple[float, ...], point: tuple[int, ...]
) -> Fraction:
    if not axes:
        return Fraction(values[0])
    sizes, rest = axes[0], axes[1:]
    share = len(values) // len(sizes)
    parts = [values[number * share : (number + 1) * share] for number in range(len(sizes))]
    if point[0] in sizes:
        return _value(rest, parts[sizes.index(point[0])], point[1:])
    total = Fraction(0)
    for number, own in enumerate(sizes):  # Lagrange
        weight = Fraction(1)
        for other in sizes[:number] + sizes[number + 1 :]:
            weight *= Fraction(point[0] - other, own - other)
        total += weight * _value(rest, parts[number], point[1:])
    return total
