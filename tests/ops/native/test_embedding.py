import pytest
import torch
from torch.func import vmap

from palmette.ops.kernels.native import embedding as kernel
from palmette.ops.kernels.native.embedding import embedding
from palmette.ops.kernels.native.library import unavailable

from .beside import NARROWER, narrow

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="no compiler here")

FACTOR = 3.5


def slow(table, places, ids, factor):
    x = table[ids] * factor
    return x if places is None else x + places


def given(batch=3, length=20, size=37, width=19, placed=True):
    draw = torch.Generator().manual_seed(length)
    table = torch.randn(size, width, generator=draw)
    places = torch.randn(length, width, generator=draw) if placed else None
    return table, places, torch.randint(size, (batch, length), generator=draw)


def values_and_slopes(form, table, places, ids, dtype=torch.float32):
    leaves = [None if x is None else x.to(dtype).requires_grad_() for x in (table, places)]
    out = form(*leaves, ids, FACTOR)
    slope = torch.linspace(-1, 1, out.numel(), dtype=dtype).view_as(out)
    wanted = [x for x in leaves if x is not None]
    return [out, *torch.autograd.grad((slope * out).sum(), wanted)]


def assert_near(found, wanted):
    for x, y in zip(found, wanted, strict=True):
        assert (x - y).norm() <= 1e-5 * y.norm() + 1e-6


@pytest.mark.parametrize("placed", [False, True])
@pytest.mark.parametrize("width", [1, 16, 19, 64])
@pytest.mark.parametrize("length", [1, 63, 1024])
def test_it_is_torch_s(length, width, placed):
    tensors = given(2, length, 37, width, placed)
    wanted = values_and_slopes(slow, *tensors, torch.float64)
    assert_near(values_and_slopes(embedding, *tensors), wanted)


@pytest.mark.parametrize("narrower", NARROWER)
def test_every_set_of_instructions(narrower, monkeypatch):
    narrow(monkeypatch, kernel, narrower)
    wanted = values_and_slopes(slow, *given(), torch.float64)
    assert_near(values_and_slopes(embedding, *given()), wanted)


def test_tensors_that_are_not_in_one_piece():
    table, places, ids = given()
    wanted = values_and_slopes(embedding, table, places, ids)
    turned = (x.mT.contiguous().mT for x in (table, places, ids))
    found = values_and_slopes(embedding, *turned)
    assert all(torch.equal(x, y) for x, y in zip(found, wanted, strict=True))


@pytest.mark.parametrize("shared", [False, True])
def test_many_models_at_once(shared):
    table, places, ids = given(6)
    ids = ids[:2] if shared else ids.view(3, 2, -1)
    tables, all_places = (torch.stack([x, 2 * x, -x]).requires_grad_() for x in (table, places))
    where = (0, 0, None, None) if shared else (0, 0, 0, None)
    out = vmap(embedding, where)(tables, all_places, ids, FACTOR)
    assert torch.equal(out, embedding(tables, all_places, ids, FACTOR))
    slope = torch.randn(out.shape)
    found = torch.autograd.grad(out, [tables, all_places], slope)
    for number in range(3):
        own = [x[number].detach().requires_grad_() for x in (tables, all_places)]
        alone = embedding(*own, ids if shared else ids[number], FACTOR)
        assert torch.equal(out[number], alone)
        for x, y in zip(found, torch.autograd.grad(alone, own, slope[number]), strict=True):
            assert torch.equal(x[number], y)


def test_threads_do_not_change_a_bit():
    before, found = torch.get_num_threads(), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append(values_and_slopes(embedding, *given(5, 63)))
    torch.set_num_threads(before)
    assert all(torch.equal(x, y) for x, y in zip(*found, strict=True))


def test_it_is_an_operator_as_torch_wants_it():
    table, places, ids = given()
    tensors = (table.requires_grad_(), places.requires_grad_(), ids)
    torch.library.opcheck(kernel.forward_operator, (*tensors, FACTOR))


def test_what_does_not_belong_together_is_refused():
    table, places, ids = given()
    with pytest.raises(IndexError, match="the table has 37 rows"):
        embedding(table, places, ids + 30, FACTOR)
    with pytest.raises(IndexError, match="ids are from -1 to"):
        embedding(table, places, ids.clamp(max=0) - 1, FACTOR)
    with pytest.raises(ValueError, match="do not belong together"):
        embedding(table, places[1:], ids, FACTOR)
