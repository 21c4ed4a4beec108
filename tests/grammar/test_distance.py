from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings

from palmette.grammar import Node, distance, parse

from .toy import TOY, sampled, seeds


def tree(text: str) -> Node:
    return parse(text, TOY)


@given(seeds, seeds, seeds)
@settings(max_examples=40, derandomize=True, deadline=None)
def test_it_is_a_metric(first: int, second: int, third: int) -> None:
    a, b, c = (sampled(seed).root for seed in (first, second, third))
    assert distance(a, a) == 0
    assert distance(a, b) == pytest.approx(distance(b, a))
    assert (distance(a, b) == 0) is (a == b)
    assert 0 <= distance(a, b) < 1
    assert distance(a, c) <= distance(a, b) + distance(b, c) + 1e-12


def test_a_knob_is_nearer_than_a_node_and_two_knobs_are_further_than_one() -> None:
    start = tree("stack(pre(lin()), pre(glu()))")
    steps = [
        start,
        tree("stack(pre(lin(heads=2)), pre(glu()))"),
        tree("stack(pre(lin(heads=2, erase='beta')), pre(glu()))"),
        tree("stack(pre(conv()), pre(glu()))"),
        tree("stack(pre(conv()), pre(attn()))"),
        tree("par(conv(), attn())"),
    ]
    assert all(distance(start, a) < distance(start, b) for a, b in pairwise(steps))


def test_values_by_hand() -> None:
    # lm, pre, lin against lm, stack, pre, lin: one insertion, 2*1/(3+4+1)
    assert distance(tree("pre(lin())"), tree("stack(pre(lin()))")) == pytest.approx(2 / 8)
    # one of three knobs of one node: a cost of 1/6, 2*(1/6)/(3+3+1/6)
    near = distance(tree("pre(lin())"), tree("pre(lin(heads=2))"))
    assert near == pytest.approx((1 / 3) / (6 + 1 / 6))


@given(seeds, seeds)
@settings(max_examples=25, derandomize=True, deadline=None)
def test_it_agrees_with_the_recursion_over_forests(first: int, second: int) -> None:
    """The definition that the dynamic programme speeds up, on small trees."""
    a, b = smallest_part(sampled(first).root), smallest_part(sampled(second).root)
    cost = forests((a,), (b,))
    size = sum(1 for _ in a.walk()) + sum(1 for _ in b.walk())
    assert distance(a, b) == pytest.approx(2 * cost / (size + cost))


def smallest_part(root: Node) -> Node:
    """The largest subtree of at most seven nodes."""
    parts = [(sum(1 for _ in part.walk()), part) for _, part in root.walk()]
    return max((pair for pair in parts if pair[0] <= 7), key=lambda pair: pair[0])[1]


@cache
def forests(a: tuple[Node, ...], b: tuple[Node, ...]) -> float:
    if not a and not b:
        return 0.0
    ways = []
    if a:
        ways.append(forests((*a[:-1], *a[-1].nodes()), b) + 1)
    if b:
        ways.append(forests(a, (*b[:-1], *b[-1].nodes())) + 1)
    if a and b:
        below = forests(a[-1].nodes(), b[-1].nodes())
        ways.append(forests(a[:-1], b[:-1]) + below + relabel(a[-1], b[-1]))
    return min(ways)


def relabel(a: Node, b: Node) -> float:
    if type(a) is not type(b):
        return 1.0
    differing = [a.knobs()[name] != b.knobs()[name] for name in a.knobs()]
    return sum(differing) / len(differing) / 2 if differing else 0.0
