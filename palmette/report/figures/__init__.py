"""The report's figures: one file a family, each a function from `ReportData` to `Figure`.

A figure that has nothing to show is None; the page says so in words.
"""

from palmette.report.figures.curves import curves
from palmette.report.figures.leaderboard import leaderboard
from palmette.report.figures.predictions import predictions
from palmette.report.figures.progress import progress
from palmette.report.figures.proposers import proposers
from palmette.report.figures.rates import rates
from palmette.report.figures.theme import DARK, LIGHT, Figure
from palmette.report.figures.tree import tree

__all__ = [
    "DARK",
    "LIGHT",
    "Figure",
    "curves",
    "leaderboard",
    "predictions",
    "progress",
    "proposers",
    "rates",
    "tree",
]
