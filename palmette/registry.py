"""A registry finds things by looking into a folder: a new thing is a new file and nothing else.

Each kind of thing (primitive, task, gate, probe, claim, proposer …) lives in one package, one thing
a file. A registry imports every module of that package whose name does not start with an
underscore, takes the one concrete class in it that fulfils the kind's contract, and then does the
same for installed packages that announce an entry point in the group `palmette.<kind>`.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from importlib.metadata import entry_points
from types import ModuleType
from typing import Generic, TypeVar

from palmette.errors import PalmetteError, UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """The classes of one kind, by name, found in `package` on first use.

    A class belongs here if it is concrete, derives from `contract` and is defined in a module of
    its own; its `name` attribute is what users type.

    Raises `PalmetteError` when a file holds no such class or several, or when two share a name.
    """

    def __init__(self, kind: str, package: str, contract: type[T]) -> None:
        self.kind = kind
        self.package = package
        self.contract = contract
        self._found: dict[str, type[T]] | None = None

    def __getitem__(self, name: str) -> type[T]:
        found = self._scan()
        if name not in found:
            raise UnknownNameError(self.kind, name, found)
        return found[name]

    def __contains__(self, name: object) -> bool:
        return name in self._scan()

    def __iter__(self) -> Iterator[type[T]]:
        return iter(self._scan().values())

    def __len__(self) -> int:
        return len(self._scan())

    def names(self) -> tuple[str, ...]:
        """The names in alphabetical order."""
        return tuple(self._scan())

    def _scan(self) -> dict[str, type[T]]:
        if self._found is None:
            found: dict[str, type[T]] = {}
            for entry in (*self._in_folder(), *self._installed()):
                name = entry.__dict__.get("name", getattr(entry, "name", entry.__name__))
                if name in found:
                    raise PalmetteError(
                        f"two {self.kind}s are called {name!r}: "
                        f"{found[name].__module__} and {entry.__module__}; rename one"
                    )
                found[name] = entry
            self._found = dict(sorted(found.items()))
        return self._found

    def _in_folder(self) -> Iterator[type[T]]:
        package = importlib.import_module(self.package)
        for info in pkgutil.iter_modules(package.__path__, prefix=f"{self.package}."):
            if not info.ispkg and not info.name.rpartition(".")[2].startswith("_"):
                yield self._only_entry(importlib.import_module(info.name))

    def _installed(self) -> Iterator[type[T]]:
        for point in entry_points(group=f"palmette.{self.kind}"):
            loaded = point.load()
            if not self._fits(loaded):
                raise PalmetteError(
                    f"entry point {point.value} in palmette.{self.kind} is not a concrete "
                    f"{self.contract.__name__}"
                )
            yield loaded

    def _fits(self, thing: object) -> bool:
        return (
            inspect.isclass(thing)
            and issubclass(thing, self.contract)
            and not inspect.isabstract(thing)
        )

    def _only_entry(self, module: ModuleType) -> type[T]:
        entries: list[type[T]] = [
            thing
            for thing in vars(module).values()
            if self._fits(thing) and thing.__module__ == module.__name__
        ]
        if len(entries) != 1:
            raise PalmetteError(
                f"{module.__file__} must hold exactly one {self.kind} (a concrete "
                f"{self.contract.__name__}) but holds {len(entries)}"
                + (f": {', '.join(entry.__name__ for entry in entries)}" if entries else "")
                + "; a helper's file name starts with an underscore"
            )
        return entries[0]
