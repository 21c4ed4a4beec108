"""What a stranger's constructor is called with: found by names, or given."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from palmette.model.stranger.names import (
    ALWAYS,
    CONFIGS,
    OPTIONAL,
    REQUIRED,
    SIZES,
    listed,
    meaning,
)
from palmette.model.stranger.source import StrangerError
from palmette.records import Setting

HEADS = 4  # where the file has no number of its own: as in the atlas


@dataclass(frozen=True)
class Sizes:
    """The sizes of a model that arguments can depend on."""

    width: int
    depth: int
    vocabulary: int
    context: int

    def value(self, expression: str) -> int:
        """What `width`, `width/4`, `4*width`, `depth`, `vocabulary` or `context` is here.

        >>> Sizes(64, 2, 256, 128).value("width/4")
        16
        """
        if expression == "4*width":
            return 4 * self.width
        name, _, divisor = expression.partition("/")
        value: int = getattr(self, name)
        return value // int(divisor) if divisor else value


@dataclass
class Arguments:
    """Named arguments: plain values, and those that depend on the model's size."""

    settings: dict[str, Setting] = field(default_factory=dict)
    sizes: dict[str, str] = field(default_factory=dict)

    def at(self, sizes: Sizes) -> dict[str, Any]:
        """The arguments of a model of these sizes."""
        return self.settings | {name: sizes.value(text) for name, text in self.sizes.items()}

    @property
    def has(self) -> set[str]:
        """The sizes that something depends on: width, depth, vocabulary, context."""
        return {text.partition("/")[0].rpartition("*")[2] for text in self.sizes.values()}


class Duck:
    """A config object that answers to common names, and notes what it was asked for."""

    def __init__(self, found: Arguments, given: Mapping[str, Setting], sizes: Sizes) -> None:
        self.__dict__.update(_found=found, _given=given, _sizes=sizes)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        found: Arguments = self._found
        if not _settle(found, name, self._given, has_default=False, default=None):
            raise AttributeError(f"the config has no {name!r}; give it: --arg {name}=…")
        return found.at(self._sizes)[name]


@dataclass
class Construction:
    """How a class is constructed: its own arguments, and those of its config object."""

    cls: type
    module: types.ModuleType
    arguments: Arguments
    config: str | None = None
    config_cls: type | None = None
    config_arguments: Arguments = field(default_factory=Arguments)
    given: Mapping[str, Setting] = field(default_factory=dict)

    @property
    def has(self) -> set[str]:
        """The sizes that something depends on."""
        return self.arguments.has | self.config_arguments.has

    def make(self, sizes: Sizes) -> Any:
        """A fresh object of the class."""
        held = self.arguments.at(sizes)
        if self.config is not None:
            if self.config_cls is None:
                held[self.config] = Duck(self.config_arguments, self.given, sizes)
            else:
                held[self.config] = self.config_cls(**self.config_arguments.at(sizes))
        return self.cls(**held)


def construction(
    cls: type, module: types.ModuleType, given: Mapping[str, Setting], file: str
) -> Construction:
    """How to construct the class, by the names of its arguments and by what was given.

    Raises `StrangerError` with everything that is missing or unknown.
    """
    parameters = _parameters(cls)
    made = Construction(cls, module, Arguments(), given=given)
    named = {n: p for n, p in parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    for name in named:
        if name.lower() in CONFIGS and name not in given:
            made.config = name
            made.config_cls = _config_class(cls, module, name)
    own = {name: value for name, value in given.items() if name in named or made.config is None}
    unknown = _settle_all(made.arguments, named, own, skipped=made.config)
    fields = _fields(made.config_cls)
    missing: list[str] = []
    if made.config_cls is not None:
        rest = {name: value for name, value in given.items() if name not in own}
        missing = _settle_all(made.config_arguments, fields, rest, skipped=None)
    faults = []
    for names, where in ((unknown, "constructor"), (missing, "config")):
        if names:
            wanted = " ".join(f"--arg {name}=…" for name in names)
            faults.append(
                f"{file}: what {listed(names)} of {cls.__name__}'s {where} should be is not plain "
                f"from {'its name' if len(names) == 1 else 'their names'}; say it: {wanted}"
            )
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    strange = [name for name in given if name not in named and name not in fields]
    if strange and not open_ended and (made.config is None or made.config_cls is not None):
        has = listed([n for n in (*named, *fields) if n != made.config] or ["no arguments"])
        faults.append(f"{file}: {cls.__name__} has no argument {listed(strange)}; it has {has}")
    if open_ended and made.config is None:
        made.arguments.settings |= {name: given[name] for name in strange}
    if faults:
        raise StrangerError(*faults)
    return made


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    try:
        found = dict(inspect.signature(cls.__init__).parameters)  # type: ignore[misc]
    except (TypeError, ValueError):
        return {}
    found.pop("self", None)
    return found


def _settle_all(
    found: Arguments,
    named: Mapping[str, inspect.Parameter],
    given: Mapping[str, Setting],
    skipped: str | None,
) -> list[str]:
    """Settles each argument; returns those of which nothing is known."""
    unknown = []
    for name, parameter in named.items():
        if name == skipped:
            continue
        has_default = parameter.default is not parameter.empty
        if not _settle(found, name, given, has_default, parameter.default) and not has_default:
            unknown.append(name)
    _tell_widths_apart(found, given)
    heads = next(
        (
            value
            for name, parameter in named.items()
            if meaning(name) == "heads"
            and isinstance(value := found.settings.get(name, parameter.default), int)
        ),
        HEADS,
    )
    for name, text in found.sizes.items():
        if text.startswith("width/"):
            found.sizes[name] = f"width/{max(1, heads)}"
    return unknown


def _settle(
    found: Arguments, name: str, given: Mapping[str, Setting], has_default: bool, default: object
) -> bool:
    """Says what an argument is, if that is known and its default is not to stay."""
    low = name.lower().strip("_")
    size = meaning(name)
    if name in given:
        found.settings[name] = given[name]
    elif size == "heads" and not has_default:
        found.settings[name] = HEADS
    elif size is not None and not (has_default and size in OPTIONAL):
        found.sizes[name] = {"head": f"width/{HEADS}", "hidden": "4*width"}.get(size, size)
    elif low in ALWAYS:
        found.settings[name] = ALWAYS[low]
    elif low in REQUIRED and not has_default:
        found.settings[name] = REQUIRED[low]
    else:
        return False
    return True


def _tell_widths_apart(found: Arguments, given: Mapping[str, Setting]) -> None:
    """Beside a plainer name for the width, `hidden_dim` and its like are a hidden width."""
    order = SIZES["width"]
    wide = [name for name, text in found.sizes.items() if text == "width"]
    plain = [name for name in (*wide, *given) if "hidden" not in name.lower()]
    plain = [name for name in plain if name.lower() in order]
    for name in wide:
        if "hidden" in name.lower() and plain and name.lower() != "hidden_size":
            found.sizes[name] = "4*width"


def _config_class(cls: type, module: types.ModuleType, name: str) -> type | None:
    """The file's dataclass that a config argument takes: the annotated one, or the only one."""
    try:
        hint = typing.get_type_hints(cls.__init__, vars(module)).get(name)  # type: ignore[misc]
    except (NameError, TypeError, AttributeError):
        hint = None
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return hint
    own = [thing for thing in vars(module).values() if _is_own_dataclass(thing, module)]
    return own[0] if len(own) == 1 else None


def _is_own_dataclass(thing: object, module: types.ModuleType) -> bool:
    return (
        isinstance(thing, type)
        and dataclasses.is_dataclass(thing)
        and thing.__module__ == module.__name__
    )


def _fields(cls: type | None) -> dict[str, inspect.Parameter]:
    return _parameters(cls) if cls is not None else {}
