import pytest
import torch
import torch.nn.functional as F
from torch.func import vmap

from palmette.ops._positions import rotate_by_position
from palmette.ops.attn import unit_power
from palmette.ops.kernels.attention import attention as torch_attention
from palmette.ops.kernels.attention import attention_loop
from palmette.ops.kernels.native import attention as kernel
from palmette.ops.kernels.native.attention import GATES, Shape, attention
from palmette.ops.kernels.native.library import unavailable

from .beside import NARROWER, narrow

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="no compiler here")

WEIGHTS = ("by_distance", "sink", "query_scale", "key_scale")
SHAPES = {
    "plain": Shape(2, 2, 32),
    "rope": Shape(2, 2, 16, rope=True),
    "odd-rope": Shape(4, 2, 7, rope=True),
    "shared-head": Shape(4, 1, 8, window=40, both_ways=True),
    "window": Shape(1, 1, 17, window=16),
    "both-ways": Shape(2, 2, 5, both_ways=True),
    "head-gate-forget": Shape(2, 1, 12, gate="head", forget=True),
    "element-gate": Shape(3, 3, 33, gate="element"),
    "all": Shape(2, 1, 18, 20, rope=True, both_ways=True, gate="element", forget=True),
    "wide": Shape(1, 1, 130, rope=True),
    "one": Shape(3, 1, 1, rope=True),
}
BESIDE = {"alone": (), "all": WEIGHTS}


def given(shape: Shape, length: int, names=(), batch: int = 2):
    draw = torch.Generator().manual_seed(length)
    sizes = {
        "by_distance": (shape.heads, length),
        "sink": (shape.heads,),
        "query_scale": (shape.heads, shape.head_size),
        "key_scale": (shape.kv_heads, shape.head_size),
    }
    projected = torch.randn(batch, length, shape.width, generator=draw)
    return projected, {name: torch.randn(sizes[name], generator=draw) for name in names}


def slow(projected, shape, by_distance=None, sink=None, query_scale=None, key_scale=None):
    """What the operator says it does; beyond 20 tokens the loop of the equation takes too long."""
    form = attention_loop if projected.shape[1] <= 20 else torch_attention
    h, g, k = shape[:3]
    gates = (0, h, h * k)[GATES.index(shape.gate)]
    q, keys, v, gate, forget = projected.split([h * k, g * k, g * k, gates, h * shape.forget], -1)
    q, keys, v = (x.unflatten(-1, (-1, k)) for x in (q, keys, v))
    if query_scale is not None:
        q, keys = unit_power(q) * query_scale, unit_power(keys) * key_scale
    if shape.rope:
        q, keys = rotate_by_position(q), rotate_by_position(keys)
    out = form(
        *(x.transpose(1, 2) for x in (q, keys, v)),
        window=shape.window,
        by_distance=by_distance,
        sink=sink,
        forget=F.logsigmoid(forget).mT if shape.forget else None,
        both_ways=shape.both_ways,
    ).transpose(1, 2)
    return out * torch.sigmoid(gate).unflatten(-1, (h, -1)) if gates else out


def values_and_slopes(form, projected, shape, weights, dtype=torch.float32):
    projected = projected.to(dtype).requires_grad_()
    weights = {name: x.to(dtype).requires_grad_() for name, x in weights.items()}
    out = form(projected, shape, **weights)
    slope = torch.linspace(-1, 1, out.numel(), dtype=dtype).view_as(out)
    return [out, *torch.autograd.grad((slope * out).sum(), [projected, *weights.values()])]


def assert_near(found, wanted):
    for number, (x, y) in enumerate(zip(found, wanted, strict=True)):
        assert x.isfinite().all()
        assert (x - y).norm() <= 1e-5 * y.norm() + 1e-6, number


@pytest.mark.parametrize("length", [1, 20, 63, 100])
@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("name", SHAPES)
def test_values_and_slopes_are_torch_s(name, beside, length):
    shape = SHAPES[name]
    projected, weights = given(shape, length, BESIDE[beside])
    found = values_and_slopes(attention, projected, shape, weights)
    wanted = values_and_slopes(slow, projected, shape, weights, torch.float64)
    assert_near(found, wanted)


@pytest.mark.parametrize("name", ["rope", "window", "all"])
def test_a_thousand_tokens(name):
    shape = SHAPES[name]
    projected, weights = given(shape, 1024, WEIGHTS, batch=1)
    found = values_and_slopes(attention, projected, shape, weights)
    assert_near(found, values_and_slopes(slow, projected, shape, weights, torch.float64))


@pytest.mark.parametrize("narrower", NARROWER)
@pytest.mark.parametrize("name", ["odd-rope", "all", "wide"])
def test_every_set_of_instructions(name, narrower, monkeypatch):
    narrow(monkeypatch, kernel, narrower)
    shape = SHAPES[name]
    projected, weights = given(shape, 63, WEIGHTS)
    found = values_and_slopes(attention, projected, shape, weights)
    assert_near(found, values_and_slopes(slow, projected, shape, weights, torch.float64))


@pytest.mark.parametrize("factor", [30.0, 1000.0])
def test_extreme_scores_gates_and_sinks_are_finite_and_right(factor):
    """Against the loop in the same precision: a score of 1e5 is known to 1e-2 in fp32."""
    shape = SHAPES["all"]
    projected, weights = given(shape, 63, WEIGHTS[:2])
    for x in values_and_slopes(attention, projected * factor, shape, weights):
        assert x.isfinite().all()
    weights = {"sink": torch.tensor([-80.0, 80.0])}
    found = values_and_slopes(attention, projected, shape, weights)
    assert_near(found, values_and_slopes(slow, projected, shape, weights, torch.float64))


def test_a_gate_that_is_shut_hides_all_that_came_before():
    shape = Shape(2, 2, 8, forget=True)
    projected, _ = given(shape, 63)
    projected[:, :, -2:] = 50.0
    projected[:, 40, -2:] = -1e4
    after = attention(projected[:, 40:], shape)
    torch.testing.assert_close(attention(projected, shape)[:, 40:], after, rtol=1e-5, atol=1e-6)


def test_tensors_that_are_not_in_one_piece():
    shape = SHAPES["all"]
    projected, weights = given(shape, 63, WEIGHTS, batch=4)
    wanted = attention(projected, shape, **weights)
    wider = torch.full((5, 63, 2 * shape.width), torch.nan)
    for place in (wider[1:, :, 3 : 3 + shape.width], wider[:4].mT.mT[..., ::2]):
        place.copy_(projected)
        assert torch.equal(attention(place, shape, **weights), wanted)
    turned = {name: x.mT.contiguous().mT if x.ndim > 1 else x for name, x in weights.items()}
    assert torch.equal(attention(projected, shape, **turned), wanted)
    slope = torch.randn(wanted.shape[::-1]).permute(3, 2, 1, 0)
    projected.requires_grad_()
    out = attention(projected, shape)
    first, second = (
        torch.autograd.grad(out, projected, x, retain_graph=True)[0]
        for x in (slope, slope.contiguous())
    )
    assert torch.equal(first, second)


def test_threads_do_not_change_a_bit():
    shape = SHAPES["all"]
    projected, weights = given(shape, 100, WEIGHTS, batch=3)
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        found.append(values_and_slopes(attention, projected, shape, weights))
    torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(x, y) for x, y in zip(found[0], other, strict=True))


@pytest.mark.parametrize("shared", [False, True])
def test_many_models_at_once(shared):
    shape = SHAPES["all"]
    projected, weights = given(shape, 35, WEIGHTS, batch=6)
    projected = projected.view(3, 2, 35, -1)
    several = {name: torch.stack([x, 2 * x, -x]) for name, x in weights.items()}

    def mapped(projected, shape, **weights):
        where = (None if shared else 0, 0)
        return vmap(lambda p, w: attention(p, shape, **w), where)(projected, weights)

    tensors = projected[0] if shared else projected
    out, by_projected, *found = values_and_slopes(mapped, tensors, shape, several)
    slope = torch.linspace(-1, 1, out.numel()).view_as(out)
    total = torch.zeros_like(by_projected)
    for number in range(3):
        own = tensors if shared else tensors[number]
        own = own.clone().requires_grad_()
        leaves = {name: x[number].clone().requires_grad_() for name, x in several.items()}
        alone = attention(own, shape, **leaves)
        assert torch.equal(out[number], alone)
        by_own, *wanted = torch.autograd.grad(
            (slope[number] * alone).sum(), [own, *leaves.values()]
        )
        assert all(torch.equal(x[number], y) for x, y in zip(found, wanted, strict=True))
        if shared:
            total += by_own
        else:
            assert torch.equal(by_projected[number], by_own)
    if shared:
        torch.testing.assert_close(by_projected, total)


def test_it_is_an_operator_as_torch_wants_it():
    shape = SHAPES["all"]
    projected, weights = given(shape, 5, WEIGHTS)
    tensors = [x.requires_grad_() for x in (projected, *weights.values())]
    torch.library.opcheck(kernel.forward_operator, (*tensors, *kernel._plain(shape)))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"projected": torch.zeros(2, 5, 49)}, "projections are [b t 48] or [s b t 48] here"),
        ({"by_distance": torch.zeros(2, 4)}, "5 tokens, but biases for 4 distances"),
        ({"sink": torch.zeros(3)}, "a weight is [3], not [2]"),
        ({"query_scale": torch.zeros(2, 8)}, "a norm is of queries and keys both"),
        ({"projected": torch.zeros(2, 5, 48, dtype=torch.float64)}, "native kernels are for fp32"),
    ],
    ids=["width", "reach", "sink", "norm", "dtype"],
)
def test_what_does_not_belong_together_is_refused(change, told):
    with pytest.raises(ValueError) as error:
        attention(**({"projected": torch.zeros(2, 5, 48), "shape": Shape(2, 2, 8)} | change))
    assert told in str(error.value)
