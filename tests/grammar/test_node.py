from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings

from palmette.grammar import Effect, effects, parse

from .toy import LM, TOY, Conv, Gate, Glu, Lin, Mirror, Pre, Route, sampled, seeds


@given(seeds)
@settings(max_examples=50, derandomize=True, deadline=None)
def test_a_node_is_rebuilt_from_its_children(seed: int) -> None:
    for _, node in sampled(seed).root.walk():
        assert node.with_nodes(node.nodes()) == node


def test_children_are_dealt_to_single_and_many_fields() -> None:
    route = Route(router=Lin(), experts=(Glu(), Conv()))
    assert route.with_nodes([Glu(), Lin(), Lin(), Lin()]).nodes() == (Glu(), Lin(), Lin(), Lin())
    gate = Gate(value=Lin(), by=Glu()).with_nodes([Glu(), Lin()])
    assert gate == Gate(value=Glu(), by=Lin())
    with pytest.raises(AssertionError, match="3 children do not fit gate"):
        gate.with_nodes([Lin(), Lin(), Lin()])
    with pytest.raises(AssertionError, match="0 children do not fit pre"):
        Pre(op=Lin()).with_nodes([])


def test_effects_hold_if_every_part_keeps_them() -> None:
    assert Effect.CAUSAL in effects(parse("pre(lin())", TOY))
    assert Effect.CAUSAL not in effects(LM(core=Pre(op=Mirror())))
    assert Effect.CAUSAL not in effects(Conv(padding="same"))
    assert Effect.TOKEN_FREE not in effects(Conv())
    assert Effect.TOKEN_FREE in effects(Conv(reads="features"))


def test_a_kept_hash_is_that_of_the_fields_and_stays_in_its_process() -> None:
    first, second = sampled(3).root, sampled(3).root
    assert first is not second
    assert hash(first) == hash(first) == hash(second)
    assert pickle.dumps(first) == pickle.dumps(sampled(3).root)
    assert vars(pickle.loads(pickle.dumps(first))) == first.__getstate__()
