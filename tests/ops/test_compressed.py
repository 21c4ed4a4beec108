import math
from fractions import Fraction

import pytest
import torch

import palmette
from palmette.grammar.node import effects
from palmette.grammar.types import Effect
from palmette.model.build import instantiate
from palmette.ops._base import Place
from palmette.ops._compressed_cost import _mean_of_ended
from palmette.ops._compressed_parts import divergence, turn_tail
from palmette.ops.compressed import Compressed
from palmette.ops.kernels.pooled_attention import ended_pools, shares_of_entries

PLACE = Place(width=25, depth=1, hidden=1.0, vocabulary=19, context=100)
KINDS = {
    "sliding": Compressed(pool=0, window=16),
    "heavy": Compressed(pool=16, window=16),
    "sparse": Compressed(pool=4, overlap=True, top=8, selector="loss", window=16),
    "straight": Compressed(pool=8, overlap=True, top=4, window=16, groups=0, index_heads=8),
    "all entries": Compressed(pool=4, top=0, expand=2, groups=4, window=32),
}
kinds = pytest.mark.parametrize("node", KINDS.values(), ids=KINDS)


def build(node, place=PLACE, seed=0):
    torch.manual_seed(seed)
    model = instantiate(node.plan(place))
    with torch.no_grad():
        for weight in model.parameters():  # so that no bias or sink is zero
            weight.add_(0.1 * torch.randn(weight.shape))
    return model


def inputs(length, rows=2, seed=0):
    return torch.randn(rows, length, 25, generator=torch.Generator().manual_seed(seed))


def decoded(model, x):
    """The outputs of one token after another, and the last state."""
    state, outputs = model.init_state(len(x)), []
    for t in range(x.shape[1]):
        y, state = model.step(x[:, t], state)
        outputs.append(y)
    return torch.stack(outputs, 1), state


def numbers_in(state):
    if isinstance(state, torch.Tensor):
        return state.numel()
    return sum(numbers_in(part) for part in state) if isinstance(state, tuple) else 0


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("compressed(pool=0, overlap=True, top=8, selector='loss')", "compressed(pool=0)"),
        ("compressed(index_heads=8, selector='loss')", "compressed()"),
        ("compressed(heads=2, groups=4)", "compressed(heads=2)"),
        ("compressed(top=4, index_heads=8)", "compressed(top=4, index_heads=8)"),
    ],
)
def test_knobs_that_do_nothing_are_not_written(written, canonical):
    assert str(palmette.parse(f"pre({written})")) == f"lm(pre({canonical}))"


def test_what_is_promised_depends_on_the_kind():
    kept = {name: effects(node) for name, node in KINDS.items()}
    for effect in (Effect.CONSTANT_STATE, Effect.LINEAR_TIME):
        assert [name for name in KINDS if effect in kept[name]] == ["sliding"]
    assert [name for name in KINDS if Effect.LOSS_FREE not in kept[name]] == ["sparse"]
    smooth = [name for name in KINDS if Effect.TWICE_DIFFERENTIABLE in kept[name]]
    assert smooth == ["sliding", "heavy", "all entries"]


@kinds
@pytest.mark.parametrize("length", [63, 100])
@torch.no_grad()
def test_decoding_computes_what_training_does(node, length):
    model, x = build(node), inputs(length)
    wanted = model(x)
    got, _ = decoded(model, x)
    assert (got - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@kinds
@torch.no_grad()
def test_a_prefix_has_the_outputs_of_its_own(node):
    model, x = build(node), inputs(100)
    whole = model(x)
    for length in (1, 3, 4, 15, 16, 17, 31, 63, 64, 99):
        gap = (model(x[:, :length]) - whole[:, :length]).abs().max()
        assert gap <= 1e-5 * whole.abs().max(), length


@kinds
@torch.no_grad()
def test_state_bytes_are_what_decoding_keeps(node):
    model, x = build(node), inputs(100, rows=1)
    state = model.init_state(1)
    for t in range(100):
        _, state = model.step(x[:, t], state)
        assert 4 * numbers_in(state) == node.cost(PLACE, t + 1).state_bytes, t + 1


@torch.no_grad()
def test_a_token_is_seen_in_its_window_and_then_in_its_entry():
    """Token 0 is in the window of the first 16 queries and in the entry of the first 32 tokens."""
    model = build(Compressed(pool=32, window=16))
    x = inputs(100, rows=1)
    other = x.clone()
    other[:, 0] += 1
    moved = (model(x) - model(other)).abs().amax((0, 2)) > 1e-6
    assert moved.nonzero().flatten().tolist() == [*range(16), *range(31, 100)]


@torch.no_grad()
def test_ties_are_broken_alike_in_training_and_decoding():
    """Where all scores are equal both choose the newest entries."""
    model, x = build(KINDS["sparse"]), inputs(100)
    model.selector.weight.weight.zero_()
    wanted = model(x)
    got, _ = decoded(model, x)
    assert (got - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    latent, _ = model._queries(x, 0)
    seen = torch.arange(25) < ended_pools(100, 4, x.device)[:, None]
    chosen = model.selector(x, latent, seen)[1] == 0
    newest = seen & (torch.arange(25) >= seen.sum(-1, keepdim=True) - 8)
    assert chosen.equal(newest.expand(2, -1, -1))


def test_a_choice_among_fewer_entries_than_it_allows_chooses_all():
    chooses, takes_all = (
        build(Compressed(pool=4, overlap=True, top=top, window=16)) for top in (16, 0)
    )
    missing, unexpected = takes_all.load_state_dict(chooses.state_dict(), strict=False)
    assert not missing
    assert all(name.startswith("selector.") for name in unexpected)
    x = inputs(67)
    torch.testing.assert_close(chooses(x), takes_all(x))


def test_rotations_leave_outputs_that_depend_on_distances_alone():
    """What came long ago and nothing more: the same tokens later have the same outputs."""
    model = build(Compressed(pool=0, window=16, rotary=Fraction(1)))
    x = inputs(60)
    late = torch.cat((inputs(40, seed=1), x), 1)
    torch.testing.assert_close(model(late)[:, 55:], model(x)[:, 15:], rtol=1e-4, atol=1e-5)


def test_turning_there_and_back_is_nothing():
    x = torch.randn(1, 9, 2, 6, generator=torch.Generator().manual_seed(0))
    there = turn_tail(x, torch.arange(9), 4, 1000)
    torch.testing.assert_close(turn_tail(there, torch.arange(9), 4, 1000, back=True), x)
    assert there[..., :2].equal(x[..., :2])


def test_the_selectors_loss_is_the_divergence_from_the_attentions_shares():
    shares = torch.tensor([[[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]])
    scores = torch.tensor([[[1.0, 1.0, 9.0], [0.0, math.log(3.0), 9.0]]])
    seen = torch.tensor([[True, True, False], [True, True, False]])
    wanted = (0 + math.log(4)) / 2
    assert divergence(shares, scores, seen).item() == pytest.approx(wanted, abs=1e-6)


def gradients(model, x, slope):
    model.zero_grad()
    (model(x) * slope).sum().backward()
    return {name: weight.grad for name, weight in model.named_parameters()}


def test_the_selectors_loss_moves_the_selector_alone():
    model, x, slope = build(KINDS["sparse"]), inputs(100), inputs(100, seed=1)
    trained = gradients(model.train(), x, slope)
    without = gradients(model.eval(), x, slope)
    for name in trained:
        if name.startswith("selector."):
            assert trained[name].any(), name
            assert without[name] is None, name
        else:
            assert trained[name].equal(without[name]), name


def test_straight_through_changes_no_output_and_moves_the_selector():
    learns, straight = (
        build(Compressed(pool=4, overlap=True, top=4, selector=selector, window=16))
        for selector in ("loss", "straight")
    )
    x, slope = inputs(100), inputs(100, seed=1)
    assert learns(x).equal(straight(x))
    by_loss, by_bias = (gradients(model, x, slope) for model in (learns, straight))
    for name in by_loss:
        if name.startswith("selector."):
            assert by_bias[name].any(), name
        else:
            torch.testing.assert_close(by_bias[name], by_loss[name])


def test_straight_through_is_the_gradient_of_scores_added_to_the_logits():
    """Adding the scores, less what they are, to the chosen logits: their gradient by hand."""
    model, x, slope = build(KINDS["straight"]), inputs(63), inputs(63, seed=1)
    weight = model.selector.weight.weight
    gradient = gradients(model, x, slope)["selector.weight.weight"]
    before = model.selector.forward
    held = before(x, model._queries(x, 0)[0], _seen(63, 8))
    fixed, hidden = held[0].detach(), held[1].isinf()

    def added(x, latent, seen):
        scores = model.selector.scores(x, latent, model.selector.pool(x))
        return scores, (scores - fixed).masked_fill(hidden, -math.inf)

    model.selector.forward = added
    at, step = (0, 3), 1e-2
    values = []
    with torch.no_grad():
        for sign in (1, -1):
            weight[at] += sign * step
            values.append((model(x) * slope).double().sum())
            weight[at] -= sign * step
    slope_by_hand = float((values[0] - values[1]) / (2 * step))
    assert gradient[at].item() == pytest.approx(slope_by_hand, rel=2e-2)


def _seen(length, pool):
    return torch.arange(length // pool) < (torch.arange(1, length + 1) // pool)[:, None]


def test_the_selector_learns_to_choose_what_is_attended_to():
    """Trained on its loss alone it finds far more of the attention's own best four."""
    node = Compressed(heads=2, pool=4, overlap=True, top=4, selector="loss", window=16)
    model, x = build(node).train(), inputs(63, rows=8)
    optimizer = torch.optim.Adam(model.selector.parameters(), lr=3e-2)
    late, seen = slice(43, None), _seen(63, 4)  # 11 to 15 entries to choose from

    @torch.no_grad()
    def found():
        latent, q = model._queries(x, 0)
        chosen = model.selector(x, latent, seen)[1] == 0
        shares = shares_of_entries(q[:, :, late], model.pool(x), seen[late])
        best = shares.topk(4, -1).indices
        return chosen[:, late].gather(-1, best).float().mean().item()

    before = found()
    for _ in range(60):
        optimizer.zero_grad()
        (0.0 * model(x)).sum().backward()
        optimizer.step()
    assert before < 0.4
    assert found() > before + 0.2


@pytest.mark.parametrize("pool", [4, 16])
def test_the_cost_knows_how_many_entries_a_query_sees_on_average(pool):
    for length in (1, 3, 4, 17, 63, 64, 100, 257):
        ended = [(t + 1) // pool for t in range(length)]
        assert _mean_of_ended(length, pool) == pytest.approx(sum(ended) / length)
        few = [min(4, n) for n in ended]
        assert _mean_of_ended(length, pool, 4) == pytest.approx(sum(few) / length)


def test_choosing_entries_costs_decoding_less_and_training_more():
    chosen, everything = (
        Compressed(pool=4, top=top, index_heads=4).cost(PLACE, 4096) for top in (4, 0)
    )
    assert chosen.flops_forward < 0.5 * everything.flops_forward
    assert chosen.flops_train > everything.flops_train
    assert everything.flops_extra == 0
