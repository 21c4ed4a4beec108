import math
import random
from dataclasses import replace
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
def test_each_knob_is_counted_and_causal_where_it_says(name, choice):
    attn = Attn(**{name: choice})
    for width in (1, 7, 23, 64, 101):
        assert attn.cost(place(width), 63).parameters == count(built(attn, width)), width
    first = perturbed(built(attn), torch.randn(2, 100, 24), 41)[0]
    assert first == (41 if Effect.CAUSAL in effects(attn) else 0)


def test_random_knobs_are_counted_and_every_parameter_gets_a_gradient():
    for number, attn in enumerate(random_knobs(150)):
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
    assert {Effect.CAUSAL, Effect.STREAMABLE, Effect.FORKS, Effect.TWICE_DIFFERENTIABLE} <= kept


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


@pytest.mark.parametrize("window", [0, 16])
def test_without_a_mask_both_sides_are_seen_as_far_as_the_window(window):
    module = built(Attn(mask="none", window=window, positions="alibi"))
    reach = window or 100
    moved = perturbed(module, torch.randn(2, 100, 24), 41)
    assert moved == [i for i in range(100) if abs(i - 41) < reach]


def test_without_a_mask_no_promise_of_time_is_made():
    lost = {Effect.CAUSAL, Effect.STREAMABLE, Effect.CONSTANT_STATE, Effect.FORKS}
    assert not lost & effects(Attn(mask="none", window=16))
    assert Effect.LINEAR_TIME in effects(Attn(mask="none", window=16))


@pytest.mark.parametrize("positions", ["none", "rope", "alibi", "relative"])
def test_without_a_mask_time_may_run_backwards(positions):
    """Biases count the distance alone, and turns back are turns forth of the other's features."""
    module = built(Attn(mask="none", positions=positions, forget=positions == "alibi"))
    with torch.no_grad():
        if positions == "relative":
            module.relative.normal_()
        if positions == "alibi":
            module.forget.weight.zero_()
    x = torch.randn(2, 63, 24)
    backwards = module(x.flip(1)).flip(1)
    same = (module(x) - backwards).abs().max() < 1e-5
    assert same == (positions != "rope")


@pytest.mark.parametrize("window", [0, 16, 32])
@pytest.mark.parametrize("mask", ["causal", "none"])
def test_visible_keys_are_counted_pair_by_pair(window, mask):
    for length in (5, 63, 100):
        pairs = [
            abs(i - j) < (window or length) and (j <= i or mask == "none")
            for i in range(length)
            for j in range(length)
        ]
        counted = Attn(window=window, mask=mask).visible(length)
        # Windows at both ends are cut short on one side only, as the count has it.
        assert counted == pytest.approx(sum(pairs) / length)


def test_forgetting_everything_leaves_the_token_itself():
    module = built(Attn(forget=True))
    x = torch.randn(2, 63, 24)
    with torch.no_grad():
        module.forget.bias.fill_(-1e4)
        own = module.out(module.value(x))
    torch.testing.assert_close(module(x), own, rtol=1e-5, atol=1e-6)


def test_forgetting_nothing_is_plain_attention():
    module, plain = built(Attn(forget=True)), built(Attn())
    x = torch.randn(2, 63, 24)
    with torch.no_grad():
        module.forget.bias.fill_(1e4)
    torch.testing.assert_close(module(x), plain(x), rtol=1e-5, atol=1e-6)


def decoded(module: SelfAttention, x: Tensor) -> Tensor:
    state, outputs = module.init_state(len(x)), []
    for i in range(x.shape[1]):
        y, state = module.step(x[:, i], state)
        outputs.append(y)
    return torch.stack(outputs, 1)


def test_random_knobs_decode_token_by_token_to_what_they_compute_at_once():
    for number, attn in enumerate(random_knobs(30)):
        if attn.mask == "none":
            continue
        module = built(attn, 19 + number % 13, seed=number)
        x = torch.randn(2, 100, 19 + number % 13)
        with torch.no_grad():
            wanted = module(x)
            gap = (decoded(module, x) - wanted).abs().max() / wanted.abs().max()
        assert gap < 1e-5, (attn, gap)


@pytest.mark.parametrize("forget", [False, True])
@pytest.mark.parametrize("window", [0, 16])
def test_the_state_is_as_large_as_the_cost_says(window, forget):
    attn = Attn(window=window, kv_heads=Fraction(1, 2), forget=forget)
    module, state = built(attn), built(attn).init_state(1)
    for _ in range(63):
        _, state = module.step(torch.randn(1, 24), state)
    kept = sum(4 * part.numel() for part in state if isinstance(part, Tensor))
    assert kept == attn.cost(place(24), 63).state_bytes


def forked(attn: Attn, width: int, seed: int) -> SelfAttention:
    torch.manual_seed(seed)
    module = instantiate(attn.plan(replace(place(width), candidates=True)))
    assert isinstance(module, SelfAttention)
    return module


def test_a_candidate_gets_what_a_step_after_the_real_tokens_would_give_it():
    for number, attn in enumerate(random_knobs(30)):
        if attn.mask == "none":
            continue
        width = 19 + number % 13
        module, plain = forked(attn, width, number), built(attn, width, number)
        real, candidates = torch.randn(2, 2, 63, width)
        with torch.no_grad():
            if attn.positions == "relative":
                module.relative.normal_()
            plain.load_state_dict(module.state_dict())
            both = module(torch.cat((real, candidates), 1))
            state, stepped = module.init_state(2), []
            for i in range(63):
                _, state = module.step(real[:, i], state)
                stepped.append(module.step(candidates[:, i], state)[0])
            wanted = torch.cat((plain(real), torch.stack(stepped, 1)), 1)
        assert (both - wanted).abs().max() < 1e-5 * wanted.abs().max(), attn


def test_among_candidates_every_knob_can_be_differentiated_twice():
    for number, attn in enumerate(random_knobs(40)):
        if attn.mask == "none":
            continue
        module = forked(attn, 7, number).double()
        x = torch.randn(1, 6, 7, dtype=torch.float64, requires_grad=True)
        torch.autograd.gradgradcheck(lambda x: module(x).tanh(), x, fast_mode=True)  # noqa: B023


def test_cost_below_an_energy_counts_a_candidate_s_own_key():
    attn = Attn(heads=1, window=16)
    below = replace(place(20), candidates=True)
    seen = sum(min(i, 16) + min(i + 1, 16) for i in range(1, 64)) / (2 * 63)
    matrices = 4 * 20 * 20
    assert attn.cost(below, 63).flops_forward == pytest.approx(2 * matrices + 4 * 20 * seen)
