"""Looking early without fooling oneself: planned looks, each of which spends a part of alpha."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise


def shares(looks: Sequence[int]) -> tuple[float, ...]:
    """What each look may spend, as a share of alpha: the level at which its p-value decides.

    Of alpha t^3 has been spent when the share t of the last look's seeds is there (Kim and DeMets
    1987, Design and Analysis of Group Sequential Tests Based on the Type I Error Spending Rate
    Function): little early, and the same share of every alpha. By Bonferroni's bound the error over
    all looks is at most alpha whatever they have to do with one another, so for t-tests of few
    seeds as well, whose looks are less alike than those of normal scores. Levels that count on the
    correlation of looks would win a few per cent.

    Raises:
        ValueError: looks that do not rise, or begin below two seeds.

    >>> shares((6, 12))
    (0.125, 0.875)
    """
    rising = all(a < b for a, b in pairwise(looks))
    if not looks or looks[0] < 2 or not rising:
        raise ValueError(
            f"looks are rising numbers of seeds, the first at least 2, got {tuple(looks)}"
        )
    so_far = [0.0, *((look / looks[-1]) ** 3 for look in looks)]
    return tuple(b - a for a, b in pairwise(so_far))
