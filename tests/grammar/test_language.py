from __future__ import annotations

import pytest

from palmette.errors import PalmetteError, UnknownNameError
from palmette.grammar import Effect, Language, Node, Sort, child, children, knob, node

from .toy import LM, TOY, Attn, Conv, Glu, Lin, Mirror, Pre, Seq


def test_equal_classes_make_an_equal_language() -> None:
    assert Language((Pre, Lin)) == Language((Pre, Lin))
    assert len({Language((Pre, Lin)), Language((Pre, Lin)), Language((Pre,))}) == 2


def test_names() -> None:
    assert TOY.get("glu") is Glu
    assert "glu" in TOY
    assert "Glu" not in TOY
    assert TOY.model is LM
    assert TOY.sequence is Seq
    assert Language((Pre, Lin)).sequence is None
    with pytest.raises(UnknownNameError, match="no node is called 'gul'; did you mean 'glu'"):
        TOY.get("gul")


def test_a_block_may_stand_where_a_core_may() -> None:
    assert Pre in TOY.of(Sort.CORE)
    assert Seq not in TOY.of(Sort.BLOCK)
    assert Lin not in TOY.of(Sort.CORE)


def test_required_effects_narrow_what_may_stand() -> None:
    causal = TOY.of(Sort.OPERATOR, frozenset({Effect.CAUSAL}))
    assert Mirror not in causal
    assert Conv in causal  # with its other padding
    assert Attn not in TOY.of(Sort.OPERATOR, frozenset({Effect.LINEAR_TIME}))


@pytest.mark.parametrize(
    ("sort", "nodes"), [(Sort.OPERATOR, 1), (Sort.BLOCK, 2), (Sort.CORE, 2), (Sort.MODEL, 3)]
)
def test_smallest_completions(sort: Sort, nodes: int) -> None:
    assert TOY.smallest(sort) == nodes
    assert TOY.smallest_of(Seq) == 3


def test_what_cannot_be_completed_does_not_stand_anywhere() -> None:
    only = Language((LM, Seq, Pre, Mirror))  # no causal operator
    assert only.smallest(Sort.MODEL) is None
    assert only.of(Sort.MODEL) == ()
    assert only.smallest(Sort.CORE) == 2
    assert Language((Seq,)).smallest(Sort.CORE) is None  # nothing ends the recursion
    closed = Language((LM, Pre, Attn))
    assert closed.smallest(Sort.MODEL) == 3
    assert closed.smallest(Sort.MODEL, frozenset({Effect.LINEAR_TIME})) is None


def test_a_wrapper_makes_a_sort_fit() -> None:
    assert TOY.wrapper(Sort.CORE, Sort.OPERATOR) is Pre
    assert TOY.wrapper(Sort.OPERATOR, Sort.BLOCK) is None


def test_all_faults_of_a_language_are_reported() -> None:
    @node
    class Lambda(Node):
        """A Python keyword."""

        sort = Sort.OPERATOR

    @node
    class Two(Node):
        """Two fields of many children, one of them called node."""

        sort = Sort.CORE
        left: tuple[Node, ...] = children(Sort.CORE, least=1, most=2, meaning="")
        node: tuple[Node, ...] = children(Sort.CORE, least=1, most=2, meaning="")

    with pytest.raises(PalmetteError) as caught:
        Language((Lin, Lambda, Two, Lin))
    assert str(caught.value) == (
        "this is not a language: Lambda is called 'lambda', which is not a Python name; "
        "two has two fields of many children; only one can be told apart; "
        "two has a field called 'node', which JSON needs for the name; "
        "two nodes are called 'lin'"
    )


def test_a_knob_that_no_choice_saves_keeps_a_class_out() -> None:
    @node
    class Peek(Node):
        """Every choice looks ahead."""

        sort = Sort.OPERATOR
        by: int = knob(1, 2, meaning="steps", breaks={1: [Effect.CAUSAL], 2: [Effect.CAUSAL]})

    @node
    class Post(Node):
        """Operator, then norm."""

        sort = Sort.BLOCK
        op: Node = child(Sort.OPERATOR, meaning="")

    language = Language((Peek, Post))
    assert language.of(Sort.BLOCK) == (Post,)
    assert language.of(Sort.BLOCK, frozenset({Effect.CAUSAL})) == ()
