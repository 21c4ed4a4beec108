"""The vocabulary: one file per primitive or combinator, its grammar, its cost and its module."""

from functools import cache

from palmette.grammar.language import Language
from palmette.ops._base import Primitive
from palmette.registry import Registry

primitives: Registry[Primitive] = Registry("primitive", "palmette.ops", Primitive)  # type: ignore[type-abstract]
"""Every primitive and combinator by name: the files of this folder, and of installed packages."""


_admitted: dict[str, type[Primitive]] = {}


@cache
def language() -> Language:
    """The language of all primitives there are, those that were admitted among them."""
    return Language((*primitives, *_admitted.values()))


def admit(cls: type[Primitive]) -> None:
    """Adds a node class that was made at run time to this process' language, or replaces it."""
    _admitted[cls.name] = cls
    language.cache_clear()


def dismiss(name: str) -> None:
    """Takes an admitted class out of this process' language again."""
    del _admitted[name]
    language.cache_clear()
