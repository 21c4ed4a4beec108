import pytest
import torch
import torch.nn.functional as F
from torch.func import vmap

from palmette.ops.kernels.native import scan as scans
from palmette.ops.kernels.native import selective as selectives
from palmette.ops.kernels.native.library import unavailable
from palmette.ops.kernels.scan import scan
from palmette.ops.kernels.selective import selective_loop

from .beside import NARROWER, narrow

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="no compiler here")


def selective(u, gates, up, bias, log_rate, skip):
    low, write, read = gates.split([up.shape[1], *[log_rate.shape[1]] * 2], -1)
    step = F.softplus(F.linear(low, up, bias))
    return selective_loop(log_rate.exp(), step, u, write, read) + skip * u


def constant(u, decay, reading, skip):
    x = u.unsqueeze(-1).expand(*u.shape, decay.shape[1])
    return torch.einsum("btdn,dn->btd", scan(decay.expand_as(x), x), reading) + skip * u


def hgrn(z, u, floor):
    taken = torch.sigmoid(-floor) * torch.sigmoid(-z)
    return scan(1 - taken, taken * u)


def rglru(gates, u, bias, rate):
    r, i = torch.sigmoid(gates + bias).chunk(2, -1)
    log_a = -8 * F.softplus(rate) * r
    return scan(log_a.exp(), (-torch.expm1(2 * log_a)).clamp(min=1e-6).sqrt() * i * u)


def given(name, b=2, t=63, d=19, scale=1.0):
    """A scan in torch and natively, what it is of, and how many of those are of tokens."""
    draw = torch.Generator().manual_seed(t)

    def normal(*shape):
        return scale * torch.randn(*shape, generator=draw)

    u, n = normal(b, t, d), 4 if name.endswith("4") else 16 if name.endswith("16") else 5
    if name.startswith("selective"):
        parameters = [normal(d, 3), normal(d) - 2, normal(d, n), normal(d)]
        return selective, selectives.selective_scan, [u, normal(b, t, 3 + 2 * n), *parameters], 2
    if name.startswith("constant"):
        decay = torch.rand(d, n, generator=draw)
        decay[0], decay[1] = 0.0, 1.0
        return constant, selectives.constant_scan, [u, decay, normal(d, n), normal(d)], 1
    if name == "hgrn":
        return hgrn, scans.hgrn_scan, [normal(b, t, d), u, normal(d)], 2
    if name == "rglru":
        return rglru, scans.rglru_scan, [normal(b, t, 2 * d), u, normal(2 * d), normal(d) - 3], 2
    a = torch.rand(b, t, d, generator=draw)
    a[:, :, 0], a[:, :, 1] = 0.0, 1.0
    return scan, scans.scan, [a, u], 2


NAMES = (
    *("selective-4", "selective-5", "selective-16", "constant-4", "constant-5", "constant-16"),
    *("hgrn", "rglru", "plain"),
)


def values_and_slopes(form, tensors, dtype=torch.float32):
    tensors = [x.to(dtype).detach().requires_grad_() for x in tensors]
    out = form(*tensors)
    slope = torch.linspace(-1, 1, out.numel(), dtype=dtype).view_as(out)
    return [out, *torch.autograd.grad((slope * out).sum(), tensors)]


def assert_near(found, wanted):
    for number, (x, y) in enumerate(zip(found, wanted, strict=True)):
        assert x.isfinite().all()
        assert (x - y).norm() <= 1e-5 * y.norm(), number


@pytest.mark.parametrize("length", [1, 63, 100])
@pytest.mark.parametrize("name", NAMES)
def test_values_and_slopes_are_torch_s(name, length):
    slow, fast, tensors, _ = given(name, t=length)
    wanted = values_and_slopes(slow, tensors, torch.float64)
    assert_near(values_and_slopes(fast, tensors), wanted)


@pytest.mark.parametrize("name", ["selective-16", "constant-4", "hgrn", "rglru"])
def test_a_thousand_tokens(name):
    slow, fast, tensors, _ = given(name, b=1, t=1024, d=33)
    wanted = values_and_slopes(slow, tensors, torch.float64)
    assert_near(values_and_slopes(fast, tensors), wanted)


@pytest.mark.parametrize("narrower", NARROWER)
@pytest.mark.parametrize("name", ["selective-16", "selective-5", "constant-4", "rglru"])
def test_every_set_of_instructions(name, narrower, monkeypatch):
    for module in (scans, selectives):
        narrow(monkeypatch, module, narrower)
    slow, fast, tensors, _ = given(name)
    wanted = values_and_slopes(slow, tensors, torch.float64)
    assert_near(values_and_slopes(fast, tensors), wanted)


@pytest.mark.parametrize("name", ["selective-4", "hgrn", "rglru"])
def test_extreme_gates(name):
    slow, fast, tensors, _ = given(name, scale=20.0)
    if name.startswith("selective"):
        tensors[4] = tensors[4] / 10  # rates from e^-6 to e^6
    wanted = values_and_slopes(slow, tensors, torch.float64)
    found = values_and_slopes(fast, tensors)
    assert all(x.isfinite().all() for x in found)
    assert (found[0] - wanted[0]).norm() <= 1e-5 * wanted[0].norm()


@pytest.mark.parametrize("name", ["selective-4", "constant-5", "hgrn", "rglru", "plain"])
def test_tensors_that_are_not_in_one_piece(name):
    _, fast, tensors, own = given(name, b=3)
    wanted = values_and_slopes(fast, tensors)

    def within_wider(x):
        wider = torch.full((x.shape[0] + 1, *x.shape[1:-1], 2 * x.shape[-1]), torch.nan)
        part = wider[1:, ..., 3 : 3 + x.shape[-1]]
        part.copy_(x)
        return part

    places = [within_wider(x) for x in tensors[:own]]
    turned = [x.mT.contiguous().mT if x.ndim > 1 else x for x in tensors[own:]]
    found = values_and_slopes(fast, [*places, *turned])
    assert all(torch.equal(x, y) for x, y in zip(found, wanted, strict=True))


@pytest.mark.parametrize("name", ["selective-16", "constant-4", "hgrn", "rglru"])
def test_threads_do_not_change_a_bit(name):
    before, found = torch.get_num_threads(), []
    _, fast, tensors, _ = given(name, b=5)
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        found.append(values_and_slopes(fast, tensors))
    torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(x, y) for x, y in zip(found[0], other, strict=True))


@pytest.mark.parametrize("name", ["selective-4", "constant-5", "hgrn", "rglru", "plain"])
def test_many_models_at_once(name):
    _, fast, tensors, _ = given(name)
    several = [torch.stack([x, 0.9 * x, 0.5 * x]).requires_grad_() for x in tensors]
    out = vmap(fast)(*several)
    slope = torch.linspace(-1, 1, out.numel()).view_as(out)
    found = torch.autograd.grad(out, several, slope)
    for number in range(3):
        own = [x[number].detach().requires_grad_() for x in several]
        alone = fast(*own)
        assert torch.equal(out[number], alone)
        for x, y in zip(found, torch.autograd.grad(alone, own, slope[number]), strict=True):
            assert torch.equal(x[number], y)


def test_they_are_operators_as_torch_wants_them():
    _, _, tensors, _ = given("rglru", t=5)
    tensors = [x.requires_grad_() for x in tensors]
    torch.library.opcheck(scans.forward_operator, (*tensors, scans.RGLRU))
    _, _, (u, gates, up, bias, rate, skip), _ = given("selective-4", t=5)
    tensors = [x.requires_grad_() for x in (u, gates, up, bias, rate)]
    torch.library.opcheck(selectives.forward_operator, (*tensors, None, skip))


def test_what_does_not_belong_together_is_refused():
    u, z = torch.zeros(2, 5, 8), torch.zeros(2, 5, 7)
    with pytest.raises(ValueError, match=r"beside u \[2, 5, 8\]"):
        scans.scan(z, u)
    with pytest.raises(ValueError, match=r"rate \[7, 4\] \(not \[8, 4\]\)"):
        selectives.constant_scan(u, torch.zeros(7, 4), torch.zeros(8, 4))
    with pytest.raises(ValueError, match="native kernels are for fp32"):
        scans.scan(u.double(), u)
