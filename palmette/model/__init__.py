"""Models: sized, built, compared, exported."""

from palmette.model.build import build, build_at, instantiate
from palmette.model.fit import Fit, cost, fit
from palmette.model.parse import parse

__all__ = ["Fit", "build", "build_at", "cost", "fit", "instantiate", "parse"]
