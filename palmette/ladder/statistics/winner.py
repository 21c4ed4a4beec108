"""What the best of many is really worth, whatever the others are like.

`shrink` holds for a winner if true values are normal around a common mean. A search that finds one
thing that stands out from many alike breaks that: its estimate is then drawn to the crowd (in the
simulation of tests/ladder/statistics/test_winner.py a lone outlier of four deviations among thirty
is covered by a quarter of the shrunken 95 % intervals). The estimate here assumes nothing of the
true values; it costs width where the runner-up is close.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import special
from scipy.optimize import brentq

from palmette.ladder.statistics.intervals import CONFIDENCE, Estimate
from palmette.ladder.statistics.spread import Noise

PROJECTION = 0.1  # of the error goes to the simultaneous interval


def winner(means: Sequence[float], seeds: Sequence[int], noise: Noise) -> Estimate:
    """The true value of the genome with the highest mean, its selection taken into account.

    The hybrid estimate of Andrews, Kitagawa and McCloskey (2024, Inference on Winners, section
    4.2): that this mean won says no more than that it lies above the runner-up, so it is a normal
    cut off there; the value is the one of which the mean is the median, the interval inverts the
    two tails. The cut-off normal is further held within the simultaneous interval of all means
    (Sidak 1967) at a tenth of the error, which keeps near ties from giving endless intervals.
    Student's t stands in for the normal, because sigma is estimated too.

    Raises:
        ValueError: no means at all.
    """
    if not means:
        raise ValueError("a winner wants at least one mean")
    x = np.asarray(means, dtype=float)
    best = int(np.argmax(x))
    top = float(x[best])
    below = float(np.max(np.delete(x, best))) if len(x) > 1 else -math.inf
    scale = noise.deviation / math.sqrt(seeds[best])
    if scale <= 0:
        return Estimate(top, top, top)
    freedom = max(1, noise.freedom)
    error = 1 - CONFIDENCE
    outside = PROJECTION * error if len(x) > 1 else 0.0
    reach = math.inf
    if outside:
        reach = -float(special.stdtrit(freedom, (1 - (1 - outside) ** (1 / len(x))) / 2))
    tail = (error - outside) / (1 - outside) / 2

    def share_below(true: float) -> float:
        """The chance of a mean as low as this one, of those that win and are not far off."""
        lowest = max((below - true) / scale, -reach)
        above, past, beyond = special.stdtr(
            freedom, [-lowest, -(top - true) / scale, -reach]
        ).tolist()
        whole, part = above - beyond, above - past
        return part / whole if whole > 0 else 0.0

    low, middle, high = (
        _solve(share_below, share, top, scale, reach) for share in (1 - tail, 0.5, tail)
    )
    return Estimate(middle, low, high)


def _solve(
    share_below: Callable[[float], float], share: float, top: float, scale: float, reach: float
) -> float:
    """The true value at which `share_below`, which falls, equals this share."""
    widest = min(reach, 60.0) * scale
    lowest, highest = top - widest, top + widest
    if share_below(lowest) <= share:
        return lowest
    if share_below(highest) >= share:
        return highest
    return float(brentq(lambda true: share_below(true) - share, lowest, highest, xtol=1e-9 * scale))
