import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import palmette
from palmette.errors import GenomeError
from palmette.grammar.node import effects
from palmette.grammar.types import Effect
from palmette.model import build_at, cost
from palmette.ops._base import Place
from palmette.ops._segments import unreached
from palmette.ops.hloop import calls

PLACE = Place(width=32, depth=2, hidden=1.0, vocabulary=61, context=100)
NET = "stack(post(glu()), post(mlp()))"


def ids_of(length=63, rows=2):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(PLACE.vocabulary, (rows, length), generator=generator)


def canonical(knobs):
    return str(palmette.parse(f"hloop(pre(glu()), pre(mlp()), {knobs})"))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("halting=True", ""),  # one segment has nowhere to halt
        ("slow_cycles=1, gradient='last'", "slow_cycles=1, gradient='all'"),
        ("slow_cycles=1, gradient='tail'", "slow_cycles=1, gradient='all'"),
        ("slow_cycles=2, fast_cycles=1, gradient='tail'", "fast_cycles=1, gradient='all'"),
        ("slow_cycles=2, fast_cycles=1, gradient='one'", "fast_cycles=1"),
        ("slow_cycles=2, fast_cycles=1, gradient='last'", "fast_cycles=1"),
    ],
)
def test_what_is_the_same_is_written_the_same(written, meant):
    assert canonical(written) == canonical(meant)


@pytest.mark.parametrize("slow", [1, 2, 4])
@pytest.mark.parametrize("fast", [1, 3, 6])
def test_the_last_slow_call_is_differentiated_whatever_the_gradient(slow, fast):
    for gradient in ("one", "last", "tail", "all"):
        made = list(calls(slow, fast, gradient))
        assert len(made) == slow * (fast + 1)
        assert [is_slow for is_slow, _ in made].count(True) == slow
        assert made[-1] == (True, True)
        assert made[-2] == (False, True)
    assert all(tracked for _, tracked in calls(slow, fast, "all"))


@pytest.mark.parametrize(
    "outer", ["stack", "seq(pre(glu()),", "repeat(2,", "every(2, pre(glu()),", "hloop"]
)
def test_several_segments_stand_right_below_the_model_alone(outer):
    opened = outer if outer.endswith(",") else f"{outer}("
    with pytest.raises(GenomeError, match=r"one_segment|one segment"):
        palmette.parse(f"{opened} hloop(post(glu()), segments=4))")
    assert palmette.parse("lm(hloop(post(glu()), segments=4))")


def test_effects_follow_the_knobs():
    def kept(knobs):
        return effects(palmette.parse(f"hloop(post(glu()), {knobs})").root)

    assert {Effect.CAUSAL, Effect.STREAMABLE, Effect.ONE_SEGMENT} <= kept("")
    assert Effect.TWICE_DIFFERENTIABLE in kept("gradient='all'")
    assert Effect.TWICE_DIFFERENTIABLE not in kept("gradient='last'")
    several = kept("gradient='all', segments=2")
    assert not several & {Effect.ONE_SEGMENT, Effect.LOSS_FREE, Effect.TWICE_DIFFERENTIABLE}


def test_start_vectors_are_no_parameters_and_differ_from_seed_to_seed():
    one, two = (palmette.build(f"hloop({NET})", params=20_000, seed=seed) for seed in (0, 1))
    assert "core.slow_start" in one.state_dict()
    assert not any("start" in name for name, _ in one.named_parameters())
    assert one.core.slow_start.abs().max() <= 2
    assert 0.5 < one.core.slow_start.std() < 1.3
    assert not torch.equal(one.core.slow_start, two.core.slow_start)
    assert not torch.equal(one.core.slow_start, one.core.fast_start)


def test_states_stay_at_unit_scale_however_often_they_go_round():
    """Pre-norm nets add to what they read; without the norm 96 calls would give 2 to the 96."""
    model = palmette.build("hloop(pre(glu()), segments=16)", params=20_000, seed=0)
    seen = []
    model.core.register_forward_hook(lambda module, inputs, output: seen.append(output))
    model(ids_of())
    assert seen[0].square().mean(-1).sub(1).abs().max() < 1e-4


def test_at_first_no_sequence_halts_and_the_head_is_declared():
    model = palmette.build(f"hloop({NET}, segments=2, halting=True)", params=20_000, seed=0)
    halts = [segment.halt for segment in model.segments(ids_of())]
    assert [halt.shape for halt in halts] == [(2,), (2,)]
    assert all((halt == -5).all() for halt in halts)
    assert unreached(model) == {"core.halt.weight", "core.halt.bias"}
    assert not unreached(palmette.build(f"hloop({NET}, segments=2)", params=20_000))


@pytest.mark.parametrize("start", ["fixed", "input"])
def test_it_decodes_through_all_segments_from_a_state_for_every_call(start):
    text = f"lm(hloop(stack(post(lin()), post(glu())), segments=2, start='{start}'))"
    model = build_at(palmette.parse(text), PLACE, seed=0).eval()
    with torch.no_grad():
        wanted = model(ids_of())
        state = model.init_state(2)
        assert len(state[1]) == 2 * 2 * 3
        got = []
        for token in ids_of().T:
            logits, state = model.step(token, state)
            got.append(logits)
    torch.testing.assert_close(torch.stack(got, 1), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "knobs",
    [
        "gradient='one'",
        "gradient='last', fast_cycles=3",
        "gradient='tail', fast_cycles=3, start='input'",
        "gradient='all', segments=2",
        "gradient='one', segments=4, slow_cycles=3",
    ],
)
@pytest.mark.parametrize("nets", [NET, f"{NET}, stack(post(mlp(ratio=1)))"], ids=["one", "two"])
def test_flops_of_training_are_those_that_torch_counts(nets, knobs):
    genome = palmette.parse(f"lm(hloop({nets}, {knobs}))")
    model = build_at(genome, PLACE, seed=0)
    price = cost(genome, PLACE, 63)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(ids_of(rows=1))
    assert price.flops_forward == pytest.approx(counter.get_total_flops() / 63, rel=0.1)
    counter = FlopCounterMode(display=False)
    with counter:
        for segment in model.segments(ids_of(rows=1)):
            segment.logits.square().sum().backward()
    assert price.flops_train == pytest.approx(counter.get_total_flops() / 63, rel=0.1)


@pytest.mark.parametrize("gradient", ["one", "last", "tail", "all"])
def test_an_input_that_enters_once_has_a_gradient_whatever_is_cut(gradient: str) -> None:
    text = f"seq(pre(mlp()), hloop(pre(attn()), start='input', gradient='{gradient}'))"
    model = palmette.build(text, params=20_000, vocab_size=64, seed=0)
    model(torch.arange(40).view(1, 40)).square().sum().backward()
    slopes = {name: p.grad for name, p in model.named_parameters()}
    assert all(slope is not None and slope.any() for slope in slopes.values())
