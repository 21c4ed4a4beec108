"""The vocabulary: one file per primitive or combinator, its grammar, its cost and its module."""

from functools import cache

from palmette.grammar.language import Language
from palmette.ops._base import Primitive
from palmette.registry import Registry

primitives: Registry[Primitive] = Registry("primitive", "palmette.ops", Primitive)  # type: ignore[type-abstract]
"""Every primitive and combinator by name: the files of this folder, and of installed packages."""


@cache
def language() -> Language:
    """The language of all primitives there are."""
    return Language(tuple(primitives))
