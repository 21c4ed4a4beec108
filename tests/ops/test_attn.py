import math
import random
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from palmette.grammar.node import effects, fields_of
from palmette.grammar.types import Effect, Knob
from palmette.model.build import instantiate
from palmette.ops._base import Place
from palmette.ops._positions import alibi_slopes, distance_bucket, rotate_by_position
from palmette.ops.attn import Attn, SelfAttention

KNOBS = {name: spec for name, spec in fields_of(Attn).items() if isinstance(spec, Knob)}
EACH_KNOB = [(name, choice) for name, spec in KNOBS.items() for choice in spec.choices]


def place(width: int) -> Place:
    return Place(width=width, depth=1, hidden=1.0, vocabulary=17, context=128)


def built(attn: Attn, width: int = 24, seed: int = 0) -> SelfAttention:
    torch.manual_seed(seed)
    module = instantiate(attn.plan(place(width)))
    assert isinstance(module, SelfAttention)
    return module


def count(module: SelfAttention) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def random_knobs(number: int) -> list[Attn]:
    draw = random.Random(number)
    return [
        Attn(**{name: draw.choice(spec.choices) for name, spec in KNOBS.items()})
        for _ in range(number)
    ]


def perturbed(module: SelfAttention, x: Tensor, at: int) -> list[int]:
    """The outputs that move when the input at one place does."""
    other = x.clone()
    other[:, at] = torch.randn(x.shape[-1])
    with torch.no_grad():
        moved = (module(other) - module(x)).abs().amax((0, 2))
    return (moved > 1e-6).nonzero().flatten().tolist()


@pytest.mark.parametrize(("name", "choice"), EACH_KNOB, ids=[f"{n}={c}" for n, c in EACH_KNOB])
def test_each_knob_is_causal_and_counted(name, choice):
    attn = Attn(**{name: choice})
    for width in (1, 7, 23, 64, 101):
        assert attn.cost(place(width), 63).parameters == count(built(attn, width)), width
    assert perturbed(built(attn), torch.randn(2, 100, 24), 41)[0] == 41


def test_random_knobs_are_counted_and_every_parameter_gets_a_gradient():
    for number, attn in enumerate(random_knobs(200)):
        width = 19 + number % 13
        module = built(attn, width, seed=number)
        assert attn.cost(place(width), 63).parameters == count(module), attn
        out = module(torch.randn(2, 63, width))
        assert out.shape == (2, 63, width)
        out.square().sum().backward()
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, (attn, name)
            assert parameter.grad.isfinite().all(), (attn, name)
            assert parameter.grad.any(), (attn, name)


@pytest.mark.parametrize("options", [{}, {"sink": True}, {"positions": "alibi"}], ids=str)
@pytest.mark.parametrize("length", [63, 100])
def test_a_token_acts_for_one_window_and_no_longer(options, length):
    module = built(Attn(window=16, **options))
    moved = perturbed(module, torch.randn(2, length, 24), 20)
    assert moved == list(range(20, 36))


@pytest.mark.parametrize("window", [0, 16, 32, 64])
def test_only_a_window_promises_constant_state_and_linear_time(window):
    kept = effects(Attn(window=window))
    promised = {Effect.CONSTANT_STATE, Effect.LINEAR_TIME} <= kept
    assert promised == (window > 0)
    assert Effect.CAUSAL in kept
    assert Effect.TWICE_DIFFERENTIABLE not in kept


def test_cost_counts_keys_under_the_mask():
    attn = Attn(heads=2, kv_heads=Fraction(1, 2), window=16)
    seen = sum(min(i, 16) for i in range(1, 64)) / 63
    matrices = 2 * 20 * 20 + 2 * 20 * 10
    cost = attn.cost(place(20), 63)
    assert cost.flops_forward == pytest.approx(2 * matrices + 2 * 2 * 20 * seen)
    assert cost.state_bytes == 4 * 2 * 1 * 10 * 16
    assert attn.cost(place(20), 9).state_bytes == 4 * 2 * 1 * 10 * 9
    full = Attn(heads=2).cost(place(20), 63)
    assert full.flops_forward == pytest.approx(2 * 4 * 20 * 20 + 2 * 2 * 20 * 32)
    assert full.state_bytes == 4 * 2 * 20 * 63


def test_shared_heads_that_come_to_the_same_are_one_genome():
    quarter, half = Fraction(1, 4), Fraction(1, 2)
    assert Attn(heads=1, kv_heads=quarter).simplified() == Attn(heads=1)
    assert Attn(heads=2, kv_heads=quarter).simplified() == Attn(heads=2, kv_heads=half)
    assert Attn(heads=4, kv_heads=quarter).simplified() == Attn(heads=4, kv_heads=quarter)


def test_rope_makes_scores_depend_on_the_distance_alone():
    q, k = torch.randn(7), torch.randn(7)
    turned_q = rotate_by_position(q.expand(1, 63, 1, 7))[0, :, 0]
    turned_k = rotate_by_position(k.expand(1, 63, 1, 7))[0, :, 0]
    scores = turned_q @ turned_k.T
    for distance in (0, 1, 30):
        diagonal = scores.diagonal(-distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=0, atol=1e-5)
    assert (scores[30] - scores[30, 0]).abs().max() > 1e-2


def test_rope_turns_pairs_of_features_by_the_paper_s_angles():
    turned = rotate_by_position(torch.ones(1, 4, 1, 5))[0, 3, 0]
    angles = (3.0, 3.0 * 10000**-0.5)
    expected = [math.cos(a) + sign * math.sin(a) for a in angles for sign in (-1, 1)]
    torch.testing.assert_close(turned, torch.tensor([*expected, 1.0]))


def test_alibi_slopes_are_the_papers():
    assert alibi_slopes(8) == [2.0**-i for i in range(1, 9)]
    assert alibi_slopes(1) == [2.0**-8]
    power, between = alibi_slopes(4), alibi_slopes(8)[::2]
    assert alibi_slopes(6) == power + between[:2]
    assert [len(alibi_slopes(n)) for n in range(1, 20)] == list(range(1, 20))


def test_alibi_against_the_formula():
    module = built(Attn(positions="alibi"))
    x = torch.randn(2, 63, 24)
    q, k, v = (
        linear(x).view(2, 63, 4, 6).transpose(1, 2)
        for linear in (module.query, module.key, module.value)
    )
    i = torch.arange(63)
    slopes = torch.tensor([2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8]).view(4, 1, 1)
    scores = q @ k.mT / math.sqrt(6) - slopes * (i[:, None] - i)
    weights = scores.masked_fill(i[:, None] < i, -math.inf).softmax(-1)
    expected = module.out((weights @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(module(x), expected, rtol=1e-5, atol=1e-6)


def test_relative_positions_have_one_entry_for_each_reachable_bucket():
    buckets = [distance_bucket(distance) for distance in range(300)]
    assert buckets == sorted(buckets)
    assert set(buckets) == set(range(32))
    rows = {
        window: len(built(Attn(positions="relative", window=window)).relative)
        for window in (0, 16, 32, 64)
    }
    assert rows == {w: len({distance_bucket(d) for d in range(w or 300)}) for w in rows}


def test_relative_positions_add_their_bucket_s_bias():
    module = built(Attn(positions="relative", heads=1))
    x = torch.randn(2, 63, 24)
    before = module(x)
    with torch.no_grad():
        module.relative[distance_bucket(19), 0] = 50.0
    after = module(x)
    torch.testing.assert_close(after[:, :19], before[:, :19])
    # From place 19 only the first token is that far back.
    expected = module.out(module.value(x)[:, 0])
    torch.testing.assert_close(after[:, 19], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["rms", "l2"])
def test_normed_queries_and_keys_ignore_the_scale_of_the_input_to_the_scores(kind):
    module = built(Attn(qk_norm=kind))
    with torch.no_grad():
        before = module(torch.randn(2, 63, 24, generator=torch.Generator().manual_seed(3)))
        module.query.weight *= 100
        module.key.weight *= 100
        after = module(torch.randn(2, 63, 24, generator=torch.Generator().manual_seed(3)))
    torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-4)


def test_l2_norm_makes_scores_cosines_times_the_temperature():
    module = built(Attn(qk_norm="l2", heads=1), width=2)
    module.temperature.data.fill_(3.0)
    with torch.no_grad():
        for linear in (module.query, module.key, module.value, module.out):
            linear.weight.copy_(torch.eye(2))
    x = torch.tensor([[[2.0, 0.0], [0.0, 5.0]]])
    weights = torch.tensor([0.0, 3.0]).softmax(0)
    torch.testing.assert_close(module(x)[0, 1], weights @ x[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("gate", ["head", "element"])
def test_a_closed_gate_lets_nothing_through(gate):
    module = built(Attn(gate=gate))
    x = torch.randn(2, 63, 24).abs()
    with torch.no_grad():
        module.gate.weight.fill_(-50.0)
    assert module(x).abs().max() < 1e-6


def test_vectors_and_biases_by_distance_are_told_from_matrices():
    module = built(Attn(positions="relative", qk_norm="l2", sink=True, bias=True))
    assert module.relative.no_decay
    assert {name for name, p in module.named_parameters() if p.ndim < 2} == {
        "query.bias",
        "value.bias",
        "out.bias",
        "temperature",
        "sink",
    }
