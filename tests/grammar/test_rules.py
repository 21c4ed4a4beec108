from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from palmette.grammar import Effect, Node, Sort, check, node, parse
from palmette.grammar.rules import sites

from .toy import LM, TOY, Conv, Gate, Glu, Lin, Mirror, Par, Pre, Repeat, Seq

ZERO: Any = 0  # where a type checker would already object


@node
class Stranger(Node):
    """In no language."""

    sort = Sort.OPERATOR


def test_a_well_typed_tree_has_no_faults() -> None:
    assert check(parse("seq(pre(lin()), pre(glu(ratio=4)))", TOY), TOY) == ()


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (Pre(op=Pre(op=Lin())), "pre: wanted an Op, got pre(...), which is a Block; use one of: "),
        (LM(core=Lin()), "lm: wanted a Core or Block, got lin(...), which is an Op; did you mean"),
        (LM(core=Pre(op=Mirror())), "lm/pre/mirror: mirror is not causal, which this place"),
        (LM(core=Pre(op=Conv(padding="same"))), "lm/pre/conv: conv.padding='same' is not causal"),
        (Par(branches=(Lin(),)), "par: par wants at least 2 children, got 1"),
        (Pre(op=Lin(heads=3)), "pre/lin: lin.heads wants 4, 1, 2 or 8, got 3"),
        (Pre(op=Lin(heads=True)), "pre/lin: lin.heads wants 4, 1, 2 or 8, got True"),
        (Pre(op=Lin(heads=10**6000)), "got a very large number"),
        (Pre(op=Lin(negative=ZERO)), "pre/lin: lin.negative wants False or True, got 0"),
        (Pre(op=Stranger()), "pre: no node is called 'stranger'. There are: attn, "),
        (Repeat(n=7, parts=(Pre(op=Lin()),)), "repeat: repeat.n wants 2, 3 or 4, got 7"),
    ],
    ids=lambda value: None if isinstance(value, Node) else value[:30],
)
def test_faults_begin_with_the_place(tree: Node, message: str) -> None:
    (fault,) = check(tree, TOY)
    assert message in fault.message
    assert (fault.line, fault.column) == (0, 0)


def test_what_is_no_node_is_a_fault() -> None:
    wrong: Any = "lin"
    (fault,) = check(Pre(op=wrong), TOY)
    assert fault.message == "pre: wanted an Op, got 'lin'"
    listed: Any = [Pre(op=Lin()), Pre(op=Lin())]
    fault, *_ = check(Seq(parts=listed), TOY)
    assert fault.message == "seq: parts wants a tuple of nodes, got a list of 2"


def test_all_faults_are_reported() -> None:
    tree = Seq(parts=(Lin(), Pre(op=Glu(ratio=Fraction(3)), norm="batch")))
    assert [fault.message for fault in check(tree, TOY, sort=Sort.OPERATOR)] == [
        "root: wanted an Op, got seq(...), which is a Core; use one of: gate, route, lin, glu, "
        "conv, attn, mirror",
        "seq: wanted a Core or Block, got lin(...), which is an Op; did you mean pre(lin(...))?",
        "seq/pre/glu: glu.ratio wants 8/3, 4 or 1/2, got 3",
        "seq/pre: pre.norm wants 'rms', 'layer' or 'none', got 'batch'",
    ]


def test_requirements_can_come_from_outside() -> None:
    tree = parse("pre(conv())", TOY)
    assert check(tree, TOY) == ()
    (fault,) = check(tree, TOY, frozenset({Effect.TOKEN_FREE}))
    assert fault.message == (
        "lm/pre/conv: conv.reads='ids' is not token_free, which this place requires; use 'features'"
    )


def test_sites_add_up_what_places_require() -> None:
    tree = LM(core=Pre(op=Gate(value=Lin(), by=Glu())))
    found = {site.place: site for site in sites(tree)}
    assert found["lm"].required == frozenset()
    assert found["lm/pre/gate/lin"].required == {Effect.CAUSAL}
    assert found["lm/pre/gate/glu"].required == {Effect.CAUSAL, Effect.LINEAR_TIME}
    assert [site.path for site in sites(tree)] == [path for path, _ in tree.walk()]
    assert found["lm/pre"].sort is Sort.CORE
