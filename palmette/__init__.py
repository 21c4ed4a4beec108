"""palmette discovers neural architectures, proves that a discovery is real, and ships it.

>>> import palmette
>>> genome = palmette.parse("stack(pre(glu()))")
>>> str(genome)
'lm(stack(pre(glu())))'
>>> model = palmette.build(genome, params=50_000)
>>> abs(sum(p.numel() for p in model.parameters()) / 50_000 - 1) <= 0.02
True

The names below are loaded when they are first used, so `import palmette` stays light.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from palmette.grammar.genome import Genome as Genome
    from palmette.model.build import build as build
    from palmette.model.fit import fit as fit
    from palmette.model.parse import parse as parse
    from palmette.ops import language as language
    from palmette.search.api import create_campaign as create_campaign

_WHERE = {
    "Genome": "palmette.grammar.genome",
    "build": "palmette.model.build",
    "create_campaign": "palmette.search.api",
    "fit": "palmette.model.fit",
    "language": "palmette.ops",
    "parse": "palmette.model.parse",
}

__all__ = ["Genome", "__version__", "build", "create_campaign", "fit", "language", "parse"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'palmette' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("palmette")
    except PackageNotFoundError:  # run from a checkout that is not installed
        project = Path(__file__).parents[1] / "pyproject.toml"
        found = re.search(r'^version = "(.+)"', project.read_text(encoding="utf-8"), re.MULTILINE)
        assert found, f"{project} names no version"
        return found[1]
