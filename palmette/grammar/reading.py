"""Reads a genome from the tree that Python's parser makes of its text: a whitelist of expressions.

Calls of known nodes, numbers, fractions, strings and booleans are read; for everything else there
is a sentence with its line and column. Nothing is evaluated.
"""

from __future__ import annotations

import ast
import difflib
import re
import warnings
from fractions import Fraction

from palmette.errors import Fault, GenomeError
from palmette.grammar import rules
from palmette.grammar.language import Language
from palmette.grammar.node import Node, fields_of, held_by
from palmette.grammar.types import NO_EFFECTS, Child, Effects, Knob, Sort, Value, literal

LONGEST = 20_000  # characters
DEEPEST = 64  # nodes from the root to a leaf
LARGEST = 512  # nodes

_LONG_NUMBER = re.compile(r"[0-9_]{100,}")

_DESCRIPTIONS: dict[type[ast.expr], str] = {
    ast.Attribute: "attribute access",
    ast.Lambda: "a lambda",
    ast.Compare: "a comparison",
    ast.BoolOp: "a logical expression",
    ast.IfExp: "a conditional expression",
    ast.NamedExpr: "an assignment",
    ast.JoinedStr: "an f-string",
    ast.Subscript: "an index",
    ast.Starred: "a star argument",
    ast.List: "a list",
    ast.Tuple: "a tuple",
    ast.Dict: "a dictionary",
    ast.Set: "a set",
    ast.ListComp: "a comprehension",
    ast.SetComp: "a comprehension",
    ast.DictComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.BinOp: "arithmetic",
    ast.UnaryOp: "arithmetic",
    ast.Name: "the name",
    ast.Constant: "the value",
    ast.Call: "the call",
}


class Source:
    """A text, and the places in it as people count them."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            message = f"a genome has at most {LONGEST:,} characters, this text has {len(text):,}"
            raise GenomeError([Fault(0, 0, message)])
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        self.body = text.lstrip()  # Python takes no indented expression
        self._lines = self.body.split("\n")
        skipped = text[: len(text) - len(self.body)]
        self._blank_lines = skipped.count("\n")
        self._indent = len(skipped.rpartition("\n")[2])

    def expression(self) -> ast.expr:
        """Python's tree of the text, within the bounds. Raises `GenomeError` if there is none."""
        if not self.body:
            raise GenomeError([Fault(0, 0, "the text is empty; write a model such as lm(...)")])
        self._refuse_long_numbers()
        try:
            with warnings.catch_warnings():  # about odd literals, which are faults here anyway
                warnings.simplefilter("ignore")
                tree = ast.parse(self.body, mode="eval").body
        except SyntaxError as error:
            line, offset = error.lineno or 1, max((error.offset or 1) - 1, 0)
            message = f"not a call such as lm(...): {error.msg}"
            raise GenomeError([self.fault(line, offset, message)]) from None
        except (MemoryError, RecursionError):
            message = f"nested too deeply; a genome is at most {DEEPEST} nodes deep"
            raise GenomeError([Fault(0, 0, message)]) from None
        except ValueError:  # null bytes, lone surrogates
            message = "holds characters that are no text; write plain letters"
            raise GenomeError([Fault(0, 0, message)]) from None
        self._bound(tree)
        return tree

    def fault(self, line: int, offset: int, message: str) -> Fault:
        """A fault at a line (from 1) and character offset (from 0) of the body."""
        column = offset + 1 + (self._indent if line == 1 else 0)
        return Fault(line + self._blank_lines, column, message)

    def fault_at(self, expression: ast.expr | ast.keyword, message: str) -> Fault:
        """A fault at an expression."""
        line = self._lines[expression.lineno - 1].encode()
        offset = len(line[: expression.col_offset].decode())  # Python counts bytes
        return self.fault(expression.lineno, offset, message)

    def excerpt(self, expression: ast.expr) -> str:
        """How an expression was written, shortened."""
        one_line = expression.end_lineno == expression.lineno
        line = self._lines[expression.lineno - 1].encode()
        end = expression.end_col_offset if one_line else None
        text = line[expression.col_offset : end].decode()
        return text if one_line and len(text) <= 40 else text[:37] + "..."

    def _refuse_long_numbers(self) -> None:
        """At thousands of digits Python's parser stops, with advice that is not ours."""
        if found := _LONG_NUMBER.search(self.body):
            before = self.body[: found.start()]
            line, offset = before.count("\n") + 1, len(before.rpartition("\n")[2])
            message = f"a number of {len(found[0]):,} digits; no knob takes one that long"
            raise GenomeError([self.fault(line, offset, message)])

    def _bound(self, tree: ast.expr) -> None:
        nodes = 0
        pending: list[tuple[ast.AST, int]] = [(tree, 0)]
        while pending:
            current, depth = pending.pop()
            if isinstance(current, ast.Call):
                nodes, depth = nodes + 1, depth + 1
            if depth > DEEPEST or nodes > LARGEST:
                message = f"a genome is at most {DEEPEST} nodes deep and has at most {LARGEST}"
                raise GenomeError([Fault(0, 0, message)])
            pending += [(below, depth) for below in ast.iter_child_nodes(current)]


class Reader:
    """Builds nodes from expressions and collects the faults on the way."""

    def __init__(self, language: Language, source: Source) -> None:
        self.language = language
        self.source = source
        self.faults: list[Fault] = []

    def read_root(self, expression: ast.expr, sort: Sort) -> Node | None:
        """A whole genome; where a Model is wanted, a Core or Block is wrapped into one."""
        cls = self._class_of(expression)
        if cls is None or sort is not Sort.MODEL or cls.sort is Sort.MODEL:
            return self.read(expression, sort, NO_EFFECTS)
        model = self.language.model
        (spec,) = (spec for spec in fields_of(model).values() if isinstance(spec, Child))
        core = self.read(expression, spec.sort, spec.requires)
        return None if core is None else model(**held_by(model, (core,)))

    def read(self, expression: ast.expr, wanted: Sort | None, required: Effects) -> Node | None:
        """The node that an expression describes, or None after reporting why there is none.

        With `wanted` None any sort will do: what stands in a place that is itself at fault.
        """
        if not (isinstance(expression, ast.Call) and isinstance(expression.func, ast.Name)):
            self._fault(expression, self._no_node(expression, wanted))
            return None
        cls = self._class_of(expression)
        if cls is None:
            self._fault(expression, rules.unknown_node(expression.func.id[:80], self.language))
            for argument in expression.args:
                if isinstance(argument, ast.Call):
                    self.read(argument, None, NO_EFFECTS)
            return None
        before = len(self.faults)
        problem = None if wanted is None else rules.wrong_sort(cls, wanted, self.language)
        if problem := problem or rules.broken_by_class(cls, required):
            self._fault(expression, problem)
        arguments = list(expression.args)
        held = self._counts(expression, cls, arguments)
        held |= self._knobs(expression, cls, required)
        kids = self._children(expression, cls, arguments, required)
        if len(self.faults) > before:
            return None
        return cls(**held, **held_by(cls, tuple(kid for kid in kids if kid is not None)))

    def _counts(
        self, call: ast.Call, cls: type[Node], arguments: list[ast.expr]
    ) -> dict[str, Value]:
        """The numbers that come first; takes them off the arguments."""
        held: dict[str, Value] = {}
        for name, spec in _specs(cls, positional=True).items():
            if any(keyword.arg == name for keyword in call.keywords):
                continue  # reported with the knobs
            if not arguments or isinstance(arguments[0], ast.Call):
                wanted = " or ".join(map(literal, spec.choices))
                self._fault(call, f"{cls.name} wants {name} first, a number: {wanted}")
            else:
                self._value(arguments.pop(0), cls, name, NO_EFFECTS, held)
        return held

    def _knobs(self, call: ast.Call, cls: type[Node], required: Effects) -> dict[str, Value]:
        held: dict[str, Value] = {}
        seen: set[str] = set()
        specs = fields_of(cls)
        known = _specs(cls, positional=False)
        for keyword in call.keywords:
            name = keyword.arg
            if name is None:
                self._fault(keyword.value, "a star argument is not part of the language")
            elif name in seen:
                self._fault(keyword, f"{cls.name}.{name} is given twice; keep one")
            elif name in known:
                self._value(keyword.value, cls, name, required, held)
            elif name in specs:
                message = f"{cls.name} takes {name} by place: write {rules.by_place(cls)}"
                self._fault(keyword, message)
            else:
                near = difflib.get_close_matches(name[:80], known, n=1)
                meant = f"; did you mean {near[0]!r}?" if near else ";"
                listed = f"its knobs are {', '.join(known)}" if known else "it has none"
                message = f"{cls.name} has no knob called {name[:80]!r}{meant} {listed}"
                self._fault(keyword, message)
            seen.add(name or "")
        for name, spec in known.items():
            # A knob that was left out holds its absent value, which the place may forbid.
            if name not in seen and spec.absent is not None:
                text = f"its absent value {literal(spec.absent)}"
                if problem := rules.wrong_value(cls, name, spec.absent, text, required):
                    self._fault(call, problem)
        return held

    def _children(
        self, call: ast.Call, cls: type[Node], arguments: list[ast.expr], required: Effects
    ) -> list[Node | None]:
        specs = [spec for spec in fields_of(cls).values() if isinstance(spec, Child)]
        named = any(isinstance(fields_of(cls).get(k.arg or ""), Child) for k in call.keywords)
        if not named and (problem := rules.wrong_number(cls, len(arguments))):
            self._fault(call, problem)
        spare = len(arguments) - sum(not spec.many for spec in specs)
        places = [spec for spec in specs for _ in range(spare if spec.many else 1)]
        found = []
        for number, argument in enumerate(arguments):
            if number < len(places):
                spec = places[number]
                found.append(self.read(argument, spec.sort, required | spec.requires))
            else:
                found.append(self.read(argument, None, NO_EFFECTS))
        return found

    def _value(
        self,
        expression: ast.expr,
        cls: type[Node],
        name: str,
        required: Effects,
        held: dict[str, Value],
    ) -> None:
        """Reads a knob's value into `held`, or reports why it is none."""
        spec = fields_of(cls)[name]
        assert isinstance(spec, Knob)
        text = self.source.excerpt(expression)
        if isinstance(expression, ast.Name) and expression.id in spec.choices:
            message = f"{cls.name}.{name} wants a string: write {name}={expression.id!r}"
            self._fault(expression, message)
            return
        value = _constant(expression)
        if value is None and not isinstance(expression, ast.Constant | ast.Name):
            text = f"{_described(expression)}: {text}"
        if problem := rules.wrong_value(cls, name, value, text, required):
            self._fault(expression, problem)
            return
        found = rules.choice(spec, value)
        assert found is not None
        held[name] = found

    def _no_node(self, expression: ast.expr, wanted: Sort | None) -> str:
        if isinstance(expression, ast.Name) and expression.id in self.language:
            return f"a node is written as a call: {expression.id}(...)"
        return (
            f"wanted {rules.a_sort(wanted)}, written as a call, got {_described(expression)} "
            f"{self.source.excerpt(expression)}"
        )

    def _class_of(self, expression: ast.expr) -> type[Node] | None:
        if isinstance(expression, ast.Call) and isinstance(expression.func, ast.Name):
            name = expression.func.id
            return self.language.get(name) if name in self.language else None
        return None

    def _fault(self, expression: ast.expr | ast.keyword, message: str) -> None:
        self.faults.append(self.source.fault_at(expression, message))


def _specs(cls: type[Node], positional: bool) -> dict[str, Knob]:
    return {
        name: spec
        for name, spec in fields_of(cls).items()
        if isinstance(spec, Knob) and spec.positional is positional
    }


def _constant(expression: ast.expr) -> bool | int | float | str | Fraction | None:
    """The value of a literal, of a signed number or of a fraction of two integers; else None."""
    if isinstance(expression, ast.BinOp) and isinstance(expression.op, ast.Div):
        over, under = _constant(expression.left), _constant(expression.right)
        if type(over) is int and type(under) is int and under:
            return Fraction(over, under)
        return None
    if isinstance(expression, ast.UnaryOp) and isinstance(expression.op, ast.USub):
        inner = expression.operand
        value = _constant(inner) if isinstance(inner, ast.Constant) else None
        return -value if type(value) in (int, float) else None  # type: ignore[operator]
    if isinstance(expression, ast.Constant) and isinstance(
        expression.value, bool | int | float | str
    ):
        return expression.value
    return None


def _described(expression: ast.expr) -> str:
    return _DESCRIPTIONS.get(type(expression), f"a {type(expression).__name__}")
