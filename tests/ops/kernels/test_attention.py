import itertools
import math

import pytest
import torch
from torch import Tensor

from palmette.ops.kernels.attention import (
    attention,
    attention_loop,
    distance_bias,
    softmax_attention,
)

OPTIONS = list(itertools.product((0, 16, 40, 200), (4, 2, 1), (0, 1, 4), (False, True)))


def inputs(
    length: int,
    groups: int = 4,
    biases: int = 0,
    sink: bool = False,
    heads: int = 4,
    forget: bool = False,
) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(length)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, requires_grad=True)

    given = {
        "q": normal(2, heads, length, 6),
        "k": normal(2, groups, length, 6),
        "v": normal(2, groups, length, 5),
    }
    if biases:
        given["by_distance"] = normal(biases, length)
    if sink:
        given["sink"] = normal(heads)
    if forget:
        gates = -torch.rand(2, heads, length, generator=draw)
        given["forget"] = gates.requires_grad_()
    return given


def values_and_gradients(form, window: int, given: dict[str, Tensor], **options) -> list[Tensor]:
    out = form(**given, window=window, **options)
    weight = torch.linspace(-1, 1, out.numel()).view_as(out)
    return [out, *torch.autograd.grad((weight * out).sum(), list(given.values()))]


@pytest.mark.parametrize("length", [1, 63, 100])
@pytest.mark.parametrize(
    ("window", "groups", "biases", "sink"),
    OPTIONS,
    ids=[f"window{w}-{g}groups-{b}biases-{'sink' if s else 'plain'}" for w, g, b, s in OPTIONS],
)
def test_fast_form_is_the_loop_in_values_and_gradients(length, window, groups, biases, sink):
    given = inputs(length, groups, biases, sink)
    slow = values_and_gradients(attention_loop, window, given)
    fast = values_and_gradients(attention, window, given)
    for name, s, f in zip(["out", *given], slow, fast, strict=True):
        assert (s - f).abs().max() <= 1e-5 * max(1.0, s.abs().max().item()), name


@pytest.mark.parametrize("length", [63, 100])
@pytest.mark.parametrize(("biases", "sink"), [(0, False), (4, True)])
@pytest.mark.parametrize("forget", [False, True])
@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("window", [0, 16, 40])
def test_forgetting_and_looking_both_ways_are_the_loop_s_in_values_and_gradients(
    length, window, both_ways, forget, biases, sink
):
    given = inputs(length, 2, biases, sink, forget=forget)
    slow = values_and_gradients(attention_loop, window, given, both_ways=both_ways)
    fast = values_and_gradients(attention, window, given, both_ways=both_ways)
    for name, s, f in zip(["out", *given], slow, fast, strict=True):
        assert (s - f).abs().max() <= 1e-5 * max(1.0, s.abs().max().item()), name


@pytest.mark.parametrize("form", [attention_loop, attention])
@pytest.mark.parametrize("length", [63, 100])
def test_both_ways_a_window_ends_on_both_sides(form, length):
    q, k, v = inputs(length).values()
    before = form(q, k, v, window=16, both_ways=True)
    other = v.detach().clone()
    other[:, :, 30] += 1.0
    changed = (form(q, k, other, window=16, both_ways=True) - before).abs().amax((0, 1, 3)) > 1e-6
    assert changed.nonzero().flatten().tolist() == list(range(15, 46))


@pytest.mark.parametrize("form", [attention_loop, attention])
def test_a_gate_of_minus_infinity_s_kind_hides_all_that_came_before(form):
    q, k, v = inputs(63).values()
    forget = torch.zeros(2, 4, 63)
    forget[:, :, 40] = -1e4
    after = form(q[:, :, 40:], k[:, :, 40:], v[:, :, 40:])
    torch.testing.assert_close(form(q, k, v, forget=forget)[:, :, 40:], after, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", [attention_loop, attention])
def test_sink_is_one_more_logit_in_an_explicit_softmax(form):
    given = inputs(63, sink=True)
    q, k, v, sink = given.values()
    scores = (q @ k.mT / math.sqrt(6)).masked_fill(torch.ones(63, 63).triu(1).bool(), -math.inf)
    logits = torch.cat([scores, sink.view(1, 4, 1, 1).expand(2, 4, 63, 1)], -1)
    expected = logits.softmax(-1)[..., :-1] @ v
    torch.testing.assert_close(form(**given), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", [attention_loop, attention])
def test_a_great_sink_takes_everything_and_a_small_one_nothing(form):
    q, k, v = inputs(63).values()
    assert form(q, k, v, sink=torch.full((4,), 80.0)).abs().max() < 1e-6
    torch.testing.assert_close(form(q, k, v, sink=torch.full((4,), -80.0)), form(q, k, v))


@pytest.mark.parametrize("form", [attention_loop, attention])
@pytest.mark.parametrize("length", [63, 100])
def test_a_window_ends_where_it_says(form, length):
    q, k, v = inputs(length).values()
    before = form(q, k, v, window=16)
    other = v.detach().clone()
    other[:, :, 20] += 1.0
    changed = (form(q, k, other, window=16) - before).abs().amax((0, 1, 3)) > 1e-6
    assert changed.nonzero().flatten().tolist() == list(range(20, 36))


@pytest.mark.parametrize("form", [attention_loop, attention])
def test_scores_of_a_thousand_stay_finite(form):
    given = inputs(63, biases=4, sink=True)
    given["q"] = given["q"] * 1000
    for tensor in values_and_gradients(form, 0, given):
        assert tensor.isfinite().all()


def test_several_sets_of_keys_are_one_set_with_a_bias():
    q, k, v = inputs(63).values()
    more_k, more_v = torch.randn(2, 4, 7, 6), torch.randn(2, 4, 7, 5)
    own = distance_bias(torch.zeros(1, 63), 16)
    bias = torch.cat([own, torch.full((1, 63, 7), 0.5)], -1)
    out = softmax_attention(q, torch.cat([k, more_k], 2), torch.cat([v, more_v], 2), bias=bias)

    def unnormalised(keys: Tensor, values: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        weights = (q @ keys.mT / math.sqrt(6) + bias).exp()
        return weights @ values, weights.sum(-1, keepdim=True)

    near, near_total = unnormalised(k, v, own)
    far, far_total = unnormalised(more_k, more_v, torch.tensor(0.5))
    torch.testing.assert_close(out, (near + far) / (near_total + far_total), rtol=1e-5, atol=1e-6)


def test_distance_bias_has_the_distance_at_every_place():
    bias = distance_bias(torch.arange(5.0)[None], window=3)[0]
    inf = math.inf
    assert bias.tolist() == [
        [0, -inf, -inf, -inf, -inf],
        [1, 0, -inf, -inf, -inf],
        [2, 1, 0, -inf, -inf],
        [-inf, 2, 1, 0, -inf],
        [-inf, -inf, 2, 1, 0],
    ]


def test_explicit_scores_have_a_second_derivative():
    draw = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(1, 2, 5, 3, generator=draw, dtype=torch.float64, requires_grad=True)
        for _ in range(3)
    )
    bias = distance_bias(torch.zeros(1, 5, dtype=torch.float64), 0)
    torch.autograd.gradgradcheck(lambda *qkv: softmax_attention(*qkv, bias=bias), (q, k, v))
