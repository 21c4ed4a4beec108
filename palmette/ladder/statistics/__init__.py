"""Honest numbers for small samples; scipy does the work, each formula names its source."""

from palmette.ladder.statistics.carrying import Advantage, Carries, carries, shrinks
from palmette.ladder.statistics.contrast import (
    Difference,
    contrast,
    difference_parts,
    seed_correlation,
    upper_tail,
)
from palmette.ladder.statistics.correlation import (
    corrected_rank_correlation,
    rank_correlation,
    reliability,
    top_rank_correlation,
)
from palmette.ladder.statistics.discovery import (
    benjamini_hochberg,
    benjamini_yekutieli,
    gamma,
    lond_levels,
)
from palmette.ladder.statistics.equivalence import WithinMargin, equivalent, non_inferior
from palmette.ladder.statistics.intervals import (
    CONFIDENCE,
    Estimate,
    difference,
    mean_interval,
    share,
)
from palmette.ladder.statistics.looks import shares
from palmette.ladder.statistics.pairing import Pairing, mean_correlation, pairing_pays
from palmette.ladder.statistics.power import (
    detectable_effect,
    difference_deviation,
    power_of,
    seeds_needed,
)
from palmette.ladder.statistics.shrinkage import best_of, shrink
from palmette.ladder.statistics.spread import Noise, paired_noise, pooled_noise
from palmette.ladder.statistics.union import intersection_union
from palmette.ladder.statistics.winner import winner

__all__ = [
    "CONFIDENCE",
    "Advantage",
    "Carries",
    "Difference",
    "Estimate",
    "Noise",
    "Pairing",
    "WithinMargin",
    "benjamini_hochberg",
    "benjamini_yekutieli",
    "best_of",
    "carries",
    "contrast",
    "corrected_rank_correlation",
    "detectable_effect",
    "difference",
    "difference_deviation",
    "difference_parts",
    "equivalent",
    "gamma",
    "intersection_union",
    "lond_levels",
    "mean_correlation",
    "mean_interval",
    "non_inferior",
    "paired_noise",
    "pairing_pays",
    "pooled_noise",
    "power_of",
    "rank_correlation",
    "reliability",
    "seed_correlation",
    "seeds_needed",
    "share",
    "shares",
    "shrink",
    "shrinks",
    "top_rank_correlation",
    "upper_tail",
    "winner",
]
