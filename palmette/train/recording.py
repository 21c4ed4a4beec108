"""A computation of fixed shapes as a straight line of operators: run once, played from then on.

While a function runs, every operator that reaches the processor is written down, below modules,
mapping and autograd. Played, the same operators run in the same order on the same shapes, so the
numbers are the same, bit for bit; what it costs to get to an operator is gone, and so is whatever
depends on no argument (masks, tables), which is worked out once.

A function whose path or shapes depend on the numbers, or that draws random ones, is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch._library.custom_ops import OPDEFS
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

aten = torch.ops.aten
SAME = (aten.detach.default, aten.alias.default, aten.lift_fresh.default)  # as what they are given
UNDECLARED_VIEWS = (aten._unsafe_view.default,)
REFUSED = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
Played: TypeAlias = Callable[..., "list[Tensor | None]"]


class UnrecordableError(Exception):
    """The function does something that a straight line of operators is not."""


@dataclass(frozen=True)
class Name:
    """Stands for a tensor."""

    number: int

    def __str__(self) -> str:
        return f"t{self.number}"


@dataclass(frozen=True)
class Line:
    """One call: the operator, its arguments with names for tensors, names of what it returns."""

    operator: OpOverload
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    results: Any

    def reads(self) -> list[Name]:
        """The tensors that it is given."""
        return list(_names((self.arguments, tuple(self.options.values()))))

    def writes(self) -> list[Name]:
        """Those of them that it changes in place."""
        changed: list[Name] = []
        for place, argument in enumerate(self.operator._schema.arguments):
            if argument.alias_info is not None and argument.alias_info.is_write:
                given = (
                    self.arguments[place]
                    if place < len(self.arguments)
                    else self.options.get(argument.name)
                )
                changed += _names(given)
        return changed

    def views(self) -> bool:
        """Whether what it returns lies in the memory of what it is given."""
        returns = self.operator._schema.returns
        declared = any(value.alias_info is not None for value in returns)
        return declared or self.operator in UNDECLARED_VIEWS


@dataclass(frozen=True)
class Recording:
    """A function, and the names of all operators that it runs."""

    play: Played
    operators: frozenset[str]


def record(
    function: Callable[..., Sequence[Tensor | None]], arguments: Sequence[Tensor]
) -> tuple[list[Tensor | None], Recording]:
    """Runs `function` on the arguments; what it returns, and what plays it on others of the same
    shapes. Both return tensors, or None where there is none. No argument may be changed in place.

    Raises `UnrecordableError`, and whatever the function raises.

    >>> _, recording = record(lambda x: [x + x * torch.ones(2)], [torch.zeros(2)])
    >>> recording.play(torch.tensor([1.0, 2.0]))
    [tensor([2., 4.])]
    """
    chance = torch.get_rng_state()
    with Recorder(arguments) as recorder:
        found = list(function(*arguments))
    if not torch.equal(chance, torch.get_rng_state()):
        raise UnrecordableError("it draws random numbers")
    wanted = [None if one is None else recorder.named(one) for one in found]
    given = [Name(number) for number in range(len(arguments))]
    fixed, lines = _sorted_out(recorder.lines, given, recorder.held)
    lines = _needed(lines, wanted)
    values = dict(recorder.held)
    _run(_needed(fixed, [name for line in lines for name in line.reads()] + wanted), values)
    operators = frozenset(line.operator._schema.name for line in recorder.lines)
    return found, Recording(_compiled(lines, given, wanted, values), operators)


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes operators down while it is entered; `held` are tensors that were there before."""

    def __init__(self, arguments: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lines: list[Line] = []
        self.held: dict[Name, Tensor] = {}
        self._known: MutableMapping[Tensor, Name] = WeakTensorKeyDictionary()
        self._orders: dict[Name, tuple[Name, list[int]]] = {}  # of what, by which permutation
        self._count = 0
        for argument in arguments:
            self._new(argument)

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Runs the operator and writes it down."""
        if any(tag in func.tags for tag in REFUSED):
            raise UnrecordableError(f"what {func} returns depends on numbers")
        result = func(*args, **(kwargs or {}))
        if func in SAME:
            self._known[result] = self.named(args[0])
            return result
        arguments, options = _mapped(args, self.named), _mapped(kwargs or {}, self.named)
        if func is aten.permute.default:
            return self._permuted(result, *arguments)
        results = _mapped(result, lambda one: self._known.get(one) or self._new(one))
        self.lines.append(Line(func, arguments, options, results))
        return result

    def named(self, tensor: Tensor) -> Name:
        """The name of a tensor; one that nothing here has made was there before."""
        name = self._known.get(tensor)
        if name is None:
            memory = tensor.untyped_storage().data_ptr()
            if any(memory == known.untyped_storage().data_ptr() for known in self._known):
                raise UnrecordableError("a tensor shares memory with another by unknown ways")
            name = self._new(tensor)
            self.held[name] = tensor
        return name

    def _permuted(self, result: Tensor, name: Name, order: Sequence[int]) -> Tensor:
        """Permutations of permutations are one, or none: mapping makes many that end where they
        began.
        """
        order = [place % result.ndim for place in order]
        first, before = self._orders.get(name, (name, list(range(result.ndim))))
        order = [before[place] for place in order]
        if order == sorted(order):
            self._known[result] = first
            return result
        made = self._new(result)
        self._orders[made] = first, order
        self.lines.append(Line(aten.permute.default, (first, order), {}, made))
        return result

    def _new(self, tensor: Tensor) -> Name:
        name = self._known[tensor] = Name(self._count)
        self._count += 1
        return name


def _sorted_out(
    lines: Sequence[Line], given: Sequence[Name], held: dict[Name, Tensor]
) -> tuple[list[Line], list[Line]]:
    """The lines that depend on no argument and on no memory that changes, and the others."""
    roots: dict[Name, Name] = {}
    for line in lines:
        reads = line.reads()
        for name in _names(line.results):
            if name not in roots:
                roots[name] = roots.get(reads[0], reads[0]) if line.views() and reads else name
    written = {roots.get(name, name) for line in lines for name in line.writes()}
    if outside := written & {*given, *held}:
        raise UnrecordableError(f"{len(outside)} tensors of others are changed in place")
    known = set(held)
    fixed, rest = [], []
    for line in lines:
        results = list(_names(line.results))
        concerned = {roots.get(name, name) for name in (*line.reads(), *results)}
        if known.issuperset(line.reads()) and not concerned & written:
            fixed.append(line)
            known.update(results)
        else:
            rest.append(line)
    return fixed, rest


def _needed(lines: Sequence[Line], wanted: Sequence[Name | None]) -> list[Line]:
    """The lines without those that nobody reads."""
    read = {name for name in wanted if name is not None}
    kept = []
    for line in reversed(lines):
        if line.writes() or any(name in read for name in _names(line.results)):
            read.update(line.reads())
            kept.append(line)
    return kept[::-1]


def _run(lines: Sequence[Line], values: dict[Name, Tensor]) -> None:
    """Works the lines out; their results join the values."""
    with torch.no_grad():
        for line in lines:
            arguments = _mapped(line.arguments, values.__getitem__, Name)
            found = line.operator(*arguments, **_mapped(line.options, values.__getitem__, Name))
            values.update(_paired(line.results, found))


def _compiled(
    lines: Sequence[Line],
    given: Sequence[Name],
    wanted: Sequence[Name | None],
    values: dict[Name, Tensor],
) -> Played:
    """A Python function of one line a call; tensors are let go after their last use."""
    last: dict[Name, int] = {}
    made = set(given)
    for number, line in enumerate(lines):
        made.update(_names(line.results))
        for name in (*line.reads(), *_names(line.results)):
            last[name] = number
    over: dict[int, list[str]] = {}
    for name in (made - set(wanted)) & last.keys():
        over.setdefault(last[name], []).append(str(name))
    names = _Names()
    body = [f"def played({', '.join(map(str, given))}):"]
    for number, line in enumerate(lines):
        text = ", ".join(
            [names.text(argument) for argument in line.arguments]
            + [f"{key}={names.text(value)}" for key, value in line.options.items()]
        )
        called = f"{names.of(_shortest(line.operator))}({text})"
        body.append(f"    {_target(line.results)} = {called}")
        if number in over:
            body.append(f"    del {', '.join(sorted(over[number]))}")
    body.append(f"    return [{', '.join(map(str, wanted))}]")
    space: dict[str, Any] = {str(name): value for name, value in values.items() if name not in made}
    space.update(names.held)
    exec("\n".join(body), space)
    played: Played = space["played"]
    return played


class _Names:
    """Names in a function's text for what has no text of its own."""

    def __init__(self) -> None:
        self.held: dict[str, Any] = {}
        self._known: dict[int, str] = {}

    def of(self, value: Any) -> str:
        """The name under which it is held."""
        name = self._known.setdefault(id(value), f"held{len(self._known)}")
        self.held[name] = value
        return name

    def text(self, value: Any) -> str:
        """What stands for it in the function's text."""
        if isinstance(value, Name):
            return str(value)
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(self.text, value))}]"
        if value is None or isinstance(value, bool | int | str):
            return repr(value)
        return self.of(value)


def _shortest(operator: OpOverload) -> Callable[..., Any]:
    """The operator, or the function behind one of ours, which needs no dispatch here."""
    own = OPDEFS.get(operator._schema.name)
    return operator if own is None else own._init_fn


def _target(results: Any) -> str:
    """The left side of a line."""
    if isinstance(results, Name):
        return str(results)
    if not isinstance(results, list | tuple):
        return "_"
    return f"[{', '.join(_target(result) for result in results)}]"


def _names(given: Any) -> Iterator[Name]:
    if isinstance(given, Name):
        yield given
    elif isinstance(given, list | tuple):
        for one in given:
            yield from _names(one)


def _mapped(given: Any, change: Callable[[Any], Any], kind: type = Tensor) -> Any:
    """The same lists and tuples with everything of a kind changed."""
    if isinstance(given, kind):
        return change(given)
    if isinstance(given, dict):
        return {key: _mapped(value, change, kind) for key, value in given.items()}
    if isinstance(given, list | tuple):
        return type(given)([_mapped(value, change, kind) for value in given])
    return given


def _paired(names: Any, values: Any) -> Iterator[tuple[Name, Tensor]]:
    if isinstance(names, Name):
        yield names, values
    elif isinstance(names, list | tuple):
        for name, value in zip(names, values, strict=True):
            yield from _paired(name, value)
