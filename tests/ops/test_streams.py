import pytest
import torch

import palmette
from palmette.model import atlas, build_at
from palmette.model.build import instantiate
from palmette.ops._base import Place
from palmette.ops._connections import SinkhornConnection, sinkhorn
from palmette.ops.streams import HyperStreams, read, written

PLACE = Place(width=12, depth=3, hidden=1.0, vocabulary=19, context=100)
MIXES = ("static", "dynamic", "mhc")
OPERATORS = "conv(), glu()"


def inputs(length, rows=2, seed=0, width=12):
    return torch.randn(rows, length, width, generator=torch.Generator().manual_seed(seed))


def operators(number):
    glu = palmette.parse("pre(glu())").root.nodes()[0].nodes()[0]
    return [instantiate(glu.plan(PLACE)) for _ in range(number)]


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("streams(2, mlp(), mlp())", "streams(2, mlp())"),
        (
            "streams(4, mlp(), glu(), mlp(), glu(), mix='mhc')",
            "streams(4, mlp(), glu(), mix='mhc')",
        ),
        ("streams(4, mlp(), glu(), mlp())", "streams(4, mlp(), glu(), mlp())"),
    ],
)
def test_canonical_form(written, canonical):
    assert str(palmette.parse(written)) == f"lm({canonical})"


@pytest.mark.parametrize("streams", [1, 2, 4])
def test_at_the_start_static_streams_are_a_pre_norm_trunk(streams):
    """Each operator reads one stream, writes to all and none are mixed: all remain copies."""
    torch.manual_seed(0)
    model = HyperStreams(width=12, streams=streams, mix="static", operators=operators(5))
    x = wanted = inputs(63)
    for norm, operator in zip(model.norms, model.operators, strict=True):
        wanted = wanted + operator(norm(wanted))
    torch.testing.assert_close(model(x), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mix", ["dynamic", "mhc"])
def test_other_streams_start_near_a_pre_norm_trunk(mix):
    torch.manual_seed(0)
    model = HyperStreams(width=12, streams=4, mix=mix, operators=operators(3))
    if mix == "mhc":  # a weight of a quarter for each stream at the end
        with torch.no_grad():
            model.end.base.fill_(torch.logit(torch.tensor(0.25)).item())
    x = wanted = inputs(63)
    for norm, operator in zip(model.norms, model.operators, strict=True):
        wanted = wanted + operator(norm(wanted))
    gap = (model(x) - wanted).square().mean() / wanted.square().mean()
    assert gap < 0.02


@pytest.mark.parametrize("streams", [2, 4])
def test_hyper_connections_are_their_equations(streams):
    """Two operators with static weights, one stream after another."""
    torch.manual_seed(0)
    model = HyperStreams(width=12, streams=streams, mix="static", operators=operators(2))
    with torch.no_grad():
        for weight in model.connections.parameters():
            weight.normal_()
    x = inputs(5)
    h = [x] * streams
    for connection, norm, operator in zip(
        model.connections, model.norms, model.operators, strict=True
    ):
        y = operator(norm(sum(connection.pre[i] * h[i] for i in range(streams))))
        h = [
            sum(connection.mix[i, j] * h[i] for i in range(streams)) + connection.post[j] * y
            for j in range(streams)
        ]
    torch.testing.assert_close(model(x), sum(h) / streams, rtol=1e-5, atol=1e-5)


def test_a_dynamic_connection_adds_what_each_stream_says():
    torch.manual_seed(0)
    model = HyperStreams(width=12, streams=2, mix="dynamic", operators=operators(1))
    (connection,) = model.connections
    with torch.no_grad():
        connection.read_scale.fill_(0.5)
        connection.write_scale.fill_(0.25)
        connection.weight.weight.normal_()
    h = inputs(7, width=24).view(2, 7, 2, 12)
    pre, mix, post = connection(h)
    stream = h[1, 3, 1] / h[1, 3, 1].square().mean().add(1e-5).sqrt()
    said = torch.tanh(connection.weight.weight @ stream)
    torch.testing.assert_close(pre[1, 3, 1], connection.static.pre[1] + 0.5 * said[0])
    torch.testing.assert_close(mix[1, 3, 1], connection.static.mix[1] + 0.5 * said[1:3])
    torch.testing.assert_close(post[1, 3, 1], connection.static.post[1] + 0.25 * said[3])


def test_sinkhorn_makes_rows_and_columns_sum_to_one():
    logits = torch.randn(4, 4, 50, generator=torch.Generator().manual_seed(0))
    doubly = sinkhorn(logits.softmax(1))
    for side in (0, 1):
        torch.testing.assert_close(doubly.sum(side), torch.ones(4, 50), rtol=0, atol=1e-4)
    assert (doubly > 0).all()


def test_constrained_mixtures_keep_the_mean_of_the_streams_and_never_grow():
    torch.manual_seed(0)
    connection = SinkhornConnection(width=12, streams=4, number=2, mixes=True)
    with torch.no_grad():
        connection.weight.normal_(std=0.1)
        connection.base.zero_()  # far from one stream each, twenty rounds converge
    h = inputs(63, width=48).view(2, 63, 4, 12)
    mixed = written(h, connection(h), torch.zeros(2, 63, 12))
    torch.testing.assert_close(mixed.mean(-2), h.mean(-2), rtol=0, atol=3e-3)
    assert (mixed.flatten(-2).norm(dim=-1) <= 1.001 * h.flatten(-2).norm(dim=-1)).all()
    assert not mixed.allclose(h, atol=1e-2)


def test_the_mixture_that_the_first_connection_leaves_out_would_do_nothing():
    torch.manual_seed(0)
    connection = SinkhornConnection(width=12, streams=4, number=0, mixes=True)
    with torch.no_grad():
        connection.weight.normal_(std=0.3)
    h = inputs(63).unsqueeze(-2).expand(2, 63, 4, 12)
    y = inputs(63, seed=1)
    pre, mix, post = connection(h)
    torch.testing.assert_close(
        written(h, (pre, mix, post), y), written(h, (pre, None, post), y), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("mix", MIXES)
def test_streams_do_not_remain_copies(mix):
    """After a few steps what is read of them differs from operator to operator."""
    torch.manual_seed(0)
    model = HyperStreams(width=12, streams=4, mix=mix, operators=operators(4))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    target = inputs(63, seed=1)
    for _ in range(10):
        optimizer.zero_grad()
        (model(inputs(63)) - target).square().mean().backward()
        optimizer.step()
    h = inputs(63).unsqueeze(-2).expand(2, 63, 4, 12)
    for connection, norm, operator in zip(
        model.connections, model.norms, model.operators, strict=True
    ):
        weights = connection(h)
        h = written(h, weights, operator(norm(read(h, weights))))
    spread = (h - h.mean(-2, keepdim=True)).square().mean() / h.square().mean()
    assert spread > 1e-4


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize(
    ("around", "layers"), [("{}", 6), ("stack({})", 2), ("repeat(2, {})", 2), ("seq({}, {})", 6)]
)
def test_depth_repeats_the_pattern_once(mix, around, layers):
    written_as = around.replace("{}", f"streams(2, {OPERATORS}, mix='{mix}')", 1)
    genome = palmette.parse(written_as.replace("{}", "pre(mlp())"))
    model = build_at(genome, PLACE)
    (found,) = {len(part.operators) for part in model.modules() if isinstance(part, HyperStreams)}
    assert found == layers
    built = sum(weight.numel() for weight in model.parameters())
    assert genome.root.cost(PLACE, 63).parameters == built


@torch.no_grad()
def test_deepseek_v4_decodes_token_by_token():
    model = palmette.build(atlas.load("deepseek_v4"), params=42_000, seed=0).eval()
    ids = torch.randint(256, (2, 100), generator=torch.Generator().manual_seed(0))
    wanted = model(ids)
    state, outputs = model.init_state(2), []
    for t in range(100):
        y, state = model.step(ids[:, t], state)
        outputs.append(y)
    assert (torch.stack(outputs, 1) - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_deepseek_v4_trains_and_every_part_of_it_moves():
    model = palmette.build(atlas.load("deepseek_v4"), params=42_000, seed=0).train()
    ids = torch.randint(256, (4, 63), generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(ids)[:, :-1].mT, ids[:, 1:])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 1.0
    assert not [name for name, weight in model.named_parameters() if weight.equal(before[name])]
