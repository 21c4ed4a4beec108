"""How long it takes until a part is found; campaigns that never find it are censored."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.rediscovery.parts import PARTS
from palmette.ladder.statistics import CONFIDENCE, Noise, best_of, pooled_noise

SENSES = ("seen", "scored")  # at all; in a genome that beats the best of as many noise draws
UNITS = ("genomes", "seconds")


@dataclass(frozen=True)
class Time:
    """Of one campaign: until a part was found, or until it ended without."""

    until: float
    found: bool


@dataclass(frozen=True)
class Survival:
    """The median time of some campaigns with its 95 % interval; None is beyond their end."""

    campaigns: int
    found: int
    median: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Row:
    """One part, in one sense and unit: every arm's survival, and the log-rank test between two."""

    part: str
    sense: str
    unit: str
    arms: dict[str, Survival]
    logrank_p: float | None


def measured(rows: Sequence[dict[str, Any]]) -> list[Row]:
    """A row for every part, sense and unit."""
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    noise = noise_of(rows)
    made = []
    for part in PARTS:
        for sense in SENSES:
            for unit in UNITS:
                times = {arm: times_of(rows, arm, part, sense, unit, noise) for arm in arms}
                made.append(
                    Row(
                        part,
                        sense,
                        unit,
                        {arm: survival(own) for arm, own in times.items()},
                        _logrank(*times.values()) if len(arms) == 2 else None,
                    )
                )
    return made


def noise_of(rows: Sequence[dict[str, Any]]) -> Noise | None:
    """The spread of the root and its placebos around their mean, pooled over campaign seeds."""
    groups: dict[int, dict[int, float]] = {}
    for row in rows:
        if row["role"] in ("root", "placebo") and row["score"] is not None:
            # The arms of a seed train the same ones, bit for bit; each is taken once.
            groups.setdefault(row["seed"], {})[row["replica"]] = row["score"]
    return pooled_noise([list(own.values()) for own in groups.values()])


def times_of(
    rows: Sequence[dict[str, Any]],
    arm: str,
    part: str,
    sense: str,
    unit: str,
    noise: Noise | None,
) -> list[Time]:
    """One time for each seed. A genome counts as `scored` above the upper end of where the best of
    as many draws of noise around the root would lie; without a noise none does.
    """
    found = []
    for seed in dict.fromkeys(row["seed"] for row in rows if row["arm"] == arm):
        own = [row for row in rows if (row["arm"], row["seed"]) == (arm, seed)]
        root = next((row["score"] for row in own if row["role"] == "root"), None)
        genomes = [row for row in own if row["role"] == "found"]
        hits = [
            row
            for row in genomes
            if part in row["parts"] and (sense == "seen" or _above(row, root, noise))
        ]
        key = "number" if unit == "genomes" else "seconds"
        if hits:
            found.append(Time(float(hits[0][key]), True))
        elif genomes:
            found.append(Time(float(genomes[-1][key]), False))
    return found


def survival(times: Sequence[Time]) -> Survival:
    """Kaplan and Meier (1958) with Greenwood's variance on the log(-log) scale; the interval of the
    median holds the times whose own interval holds a half (Brookmeyer and Crowley 1982).

    >>> survival([Time(1, True), Time(2, True), Time(3, True), Time(9, False)]).median
    2
    """
    quantile = float(stats.norm.ppf(0.5 + CONFIDENCE / 2))
    median = low = high = None
    for at, share, greenwood in course(times):
        under = over = 0.0
        if share > 0:
            width = quantile * greenwood**0.5 / abs(np.log(share))
            under, over = share ** np.exp(width), share ** np.exp(-width)
        median = at if median is None and share <= 0.5 else median
        low = at if low is None and under <= 0.5 else low
        high = at if high is None and over <= 0.5 else high
    count = sum(time.found for time in times)
    return Survival(len(times), count, median, low, high)


def course(times: Sequence[Time]) -> list[tuple[float, float, float]]:
    """Every time at which something was found, the share of campaigns that are still without it,
    and Greenwood's sum.

    >>> [(at, share) for at, share, _ in course([Time(1, True), Time(2, False)])]
    [(1, 0.5)]
    """
    share, greenwood = 1.0, 0.0
    made = []
    for at in sorted({time.until for time in times if time.found}):
        risk = sum(time.until >= at for time in times)
        died = sum(time.until == at and time.found for time in times)
        share *= 1 - died / risk
        if share > 0:
            greenwood += died / (risk * (risk - died))
        made.append((at, share, greenwood))
    return made


def _above(row: dict[str, Any], root: float | None, noise: Noise | None) -> bool:
    if row["score"] is None or root is None or noise is None:
        return False
    return bool(row["score"] > best_of(row["number"], root, noise).high)


def _logrank(a: Sequence[Time], b: Sequence[Time]) -> float | None:
    """Two-sided; None where nothing was found or nobody's time differs."""
    if not any(time.found for time in (*a, *b)) or min(len(a), len(b)) < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a variance of nothing
        result = stats.logrank(_censored(a), _censored(b))
    return float(result.pvalue) if np.isfinite(result.pvalue) else None


def _censored(times: Sequence[Time]) -> stats.CensoredData:
    return stats.CensoredData.right_censored(
        [time.until for time in times], [not time.found for time in times]
    )


def markdown(rows: Sequence[Row]) -> str:
    """The table for people; what lies beyond the campaigns' end is an infinity."""
    arms = list(rows[0].arms) if rows else []
    head = ["part", "counted", "unit", *arms, "log-rank p"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [row.part, row.sense, row.unit, *(_told(row.arms[arm]) for arm in arms)]
        cells.append("–" if row.logrank_p is None else f"{row.logrank_p:.3f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _told(own: Survival) -> str:
    def number(value: float | None) -> str:
        return "∞" if value is None else f"{value:.0f}"

    ends = f"[{number(own.low)}, {number(own.high)}]"
    return f"{number(own.median)} {ends}, {own.found} of {own.campaigns}"
