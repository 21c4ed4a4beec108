"""Drawings of a genome: an SVG for pages, a tree of lines for the terminal.

Both are generic over the language: a new primitive is drawn from its fields, its sort, its role
and its docstring. Only combinators whose meaning is a shape (a residual step, a repetition, a
merge) have a shape of their own here; others get a frame with their name.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator

from palmette.explain._drawing import (
    STYLE,
    Box,
    column,
    frame,
    pill,
    plate,
    residual,
    side_by_side,
    symbol,
    terminal,
)
from palmette.grammar.genome import Genome
from palmette.grammar.node import Node, fields_of
from palmette.grammar.syntax import unparse
from palmette.grammar.types import Knob, Sort, literal
from palmette.ops._base import Place, Primitive

NORM_BEFORE = ("pre", "sandwich")
NORM_AFTER_OPERATOR = ("sandwich",)
NORM_AFTER_SUM = ("post",)
KINDS = {"token mixer": "pal-token", "channel mixer": "pal-channel"}
MERGES = {"add": "+", "mean": "mean", "gate": "gated sum", "concat": "concatenate, project"}
MARGIN = 12
NOTE = 34  # characters of a line on a plate
# what stands inside these runs its own pattern once
USES_DEPTH = ("stack", "every", "repeat", "streams")


def svg(genome: Genome, place: Place | None = None) -> str:
    """The genome as one self-contained SVG element; `place` adds depth, width and weights.

    Colours come from the page's CSS variables where there are any.

    >>> import palmette
    >>> svg(palmette.parse("stack(pre(mlp()))")).startswith("<svg")
    True
    """
    box = _drawn(genome.root, place)
    width, height = box.width + 2 * MARGIN, box.height + 2 * MARGIN
    return (
        f'<svg class="pal-d" xmlns="http://www.w3.org/2000/svg" role="img" '
        f'aria-label="diagram of a genome" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}"><style>{STYLE}</style>'
        f"{box.draw(MARGIN, MARGIN)}</svg>"
    )


def text_diagram(genome: Genome, place: Place | None = None) -> str:
    """The genome as a tree of lines.

    >>> import palmette
    >>> print(text_diagram(palmette.parse("stack(pre(mlp()))")))
    lm
    └─ stack: fresh weights each time, as often as sizing chooses
       └─ pre: x + op(norm(x))
          └─ mlp · channel mixer
    """
    return "\n".join(_lines(genome.root, place, "", ""))


def set_knobs(node: Node) -> list[str]:
    """The knobs that differ from their absent values, written as in the genome's text."""
    specs = fields_of(type(node))
    found = []
    for name, value in node.knobs().items():
        spec = specs[name]
        if isinstance(spec, Knob) and not spec.positional and value != spec.absent:
            found.append(f"{name}={literal(value)}")
    return found


def _drawn(node: Node, place: Place | None) -> Box:
    match node.sort:
        case Sort.MODEL:
            return _model(node, place)
        case Sort.CORE:
            return _core(node, place)
        case Sort.BLOCK:
            return _block(node, place)
        case _:
            return _operator(node, place)


def _model(node: Node, place: Place | None) -> Box:
    trunk = [_drawn(kid, place) for kid in node.nodes()]
    knobs = node.knobs()
    if "tie" not in knobs:  # no model of the common frame: what it does stands in its summary
        own = plate(node.name, _notes(node), title=node.summary())
        return column([terminal("ids"), own, *trunk, terminal("logits")])
    pooled = [pill(f"{knobs['pool']} over positions")] if "pool" in knobs else []
    vocabulary = f" of {place.vocabulary} ids" if place else ""
    learned = ["+ learned positions"] if knobs.get("positions") == "learned" else []
    width = [f"width {place.width}"] if place else []
    similarity = [f"{head} similarity"] if (head := knobs.get("head", "dot")) != "dot" else []
    tied = "tied to the embedding" if knobs.get("tie") else "its own weights"
    return column(
        [
            terminal("ids"),
            plate("embedding", [*width, *learned], title=f"a vector for each{vocabulary}"),
            *trunk,
            *pooled,
            pill(f"{knobs.get('norm', '')} norm".strip()),
            plate("head", [tied, *similarity], title="one logit for each id"),
            terminal("logits"),
        ]
    )


def _core(node: Node, place: Place | None) -> Box:
    inner = _inner(node, place)
    several = _several_slots(node)
    parts = []
    for slot, kid in node.slots():
        box = _drawn(kid, inner)
        parts.append(frame(box, _slot_caption(node, slot), kid.summary()) if several else box)
    if node.name == "seq":
        return column(parts)
    title = " · ".join([node.name, *_caption(node, place), *set_knobs(node)])
    return frame(column(parts), title, node.summary())


def _block(node: Node, place: Place | None) -> Box:
    (operator, *others) = [_drawn(kid, place) for kid in node.nodes()]
    norm = f"{node.knobs().get('norm', '')} norm".strip()
    known = node.name in (*NORM_BEFORE, *NORM_AFTER_SUM)
    branch = [operator, *others]
    if not known:
        branch.insert(0, pill(" · ".join([node.name, *set_knobs(node)])))
    if node.name in NORM_BEFORE:
        branch.insert(0, pill(norm))
    if node.name in NORM_AFTER_OPERATOR:
        branch.append(pill(norm))
    return residual(column(branch), after=pill(norm) if node.name in NORM_AFTER_SUM else None)


def _operator(node: Node, place: Place | None) -> Box:
    branches = [_drawn(kid, place) for kid in _parts(node)]
    if branches:
        return side_by_side(branches, _merge(node))
    notes = [line for text in _expressions(node) for line in textwrap.wrap(text, NOTE)]
    notes += _notes(node)
    weights = _weights(node, place)
    if weights:
        notes.append(weights)
    return plate(node.name, notes, kind=KINDS.get(node.role, "pal-plain"), title=node.summary())


def _merge(node: Node) -> Box:
    if node.name == "gate":
        activation = node.knobs().get("activation")
        return pill(f"first × {activation}(second)") if activation else symbol("×")
    merge = node.knobs().get("merge")
    if node.name == "par" and isinstance(merge, str):
        return symbol("+") if merge == "add" else pill(MERGES.get(merge, merge))
    return pill(" · ".join([node.name, *set_knobs(node)]))


def _notes(node: Node) -> list[str]:
    """The set knobs, two a line where they are short."""
    lines: list[str] = []
    for knob in set_knobs(node):
        if lines and len(lines[-1]) + len(knob) < 30:
            lines[-1] += f", {knob}"
        else:
            lines.append(knob)
    return lines


def _stack(node: Node, place: Place | None) -> str:
    if place is None:
        return "fresh weights each time, as often as sizing chooses"
    return "once" if place.inside else f"× {place.depth}, fresh weights each time"


def _repeat(node: Node, place: Place | None) -> str:
    return f"× {node.knobs()['n']}, the same weights each time"


def _every(node: Node, place: Place | None) -> str:
    k = node.knobs()["k"]
    if place is None or not isinstance(k, int):
        return f"a period of {k} layers"
    layers = k if place.inside else max(k, place.depth)
    return f"{layers} layers in periods of {k}"


def _streams(node: Node, place: Place | None) -> str:
    return f"{node.knobs()['n']} residual streams, the pattern {_stack(node, place)}"


def _hloop(node: Node, place: Place | None) -> str:
    knobs = node.knobs()
    slow, fast = knobs["slow_cycles"], knobs["fast_cycles"]
    fast_net = "itself" if len(node.nodes()) == 1 else "the second net"
    return f"{slow} times: {fast_net} {fast} times on z_L, then the first once on z_H"


CAPTIONS: dict[str, Callable[[Node, Place | None], str]] = {
    "stack": _stack,
    "repeat": _repeat,
    "every": _every,
    "streams": _streams,
    "hloop": _hloop,
    "pre": lambda node, place: "x + op(norm(x))",
    "post": lambda node, place: "norm(x + op(x))",
    "sandwich": lambda node, place: "x + norm(op(norm(x)))",
}


def _caption(node: Node, place: Place | None) -> list[str]:
    if node.name in CAPTIONS:
        return [CAPTIONS[node.name](node, place)]
    return [
        f"{name} {getattr(node, name)}"
        for name, spec in fields_of(type(node)).items()
        if isinstance(spec, Knob) and spec.positional
    ]


def _slot_caption(node: Node, slot: str) -> str:
    k = node.knobs().get("k")
    if node.name == "every" and isinstance(k, int):
        return {"usual": f"{k - 1} of {k} layers", "rare": f"1 of {k} layers"}.get(slot, slot)
    return slot


def _inner(node: Node, place: Place | None) -> Place | None:
    return place.within() if place and node.name in USES_DEPTH else place


def _parts(node: Node) -> list[Node]:
    """The children that are drawn: all but the terms of an expression, which are written."""
    return [kid for kid in node.nodes() if not kid.sort.is_term]


def _expressions(node: Node) -> list[str]:
    return [unparse(kid) for kid in node.nodes() if kid.sort.is_term]


def _several_slots(node: Node) -> bool:
    return len({slot for slot, _ in node.slots()}) > 1


def _weights(node: Node, place: Place | None) -> str | None:
    """The parameters of one copy of a leaf; the leaf's cost does not depend on what is above."""
    if place is None or not isinstance(node, Primitive):
        return None
    return f"{node.cost(place, place.context).parameters:,} weights"


def _lines(node: Node, place: Place | None, first: str, rest: str) -> Iterator[str]:
    yield first + _line(node, place)
    inner = _inner(node, place)
    slots = [(slot, kid) for slot, kid in node.slots() if not kid.sort.is_term]
    several = _several_slots(node) and node.sort is not Sort.OPERATOR
    for number, (slot, kid) in enumerate(slots):
        last = number == len(slots) - 1
        label = f"[{_slot_caption(node, slot)}] " if several else ""
        yield from _lines(
            kid,
            inner,
            rest + ("└─ " if last else "├─ ") + label,
            rest + ("   " if last else "│  "),
        )


def _line(node: Node, place: Place | None) -> str:
    caption = ", ".join(_caption(node, place))
    head = f"{node.name}: {caption}" if caption else node.name
    mixer = node.role if not _parts(node) else ""
    weights = _weights(node, place) if not _parts(node) else None
    shown = (head, mixer, *_expressions(node), ", ".join(set_knobs(node)), weights)
    return " · ".join(part for part in shown if part)
