import re
from collections.abc import Iterator
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from palmette.ops.kernels.native import recurrence_run
from palmette.ops.kernels.native.compiler import INSTRUCTIONS, instructions
from palmette.ops.kernels.native.library import library, unavailable
from palmette.ops.kernels.native.recurrence import (
    backward_operator,
    forward_operator,
    recurrence,
    recurrence_step,
)
from palmette.ops.kernels.recurrence import recurrence_loop
from palmette.ops.kernels.recurrence import recurrence_step as torch_step

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="no native kernels here")

Terms = dict[str, Tensor | None]
NARROWER = list(INSTRUCTIONS)[list(INSTRUCTIONS).index(instructions()) + 1 :]


def random_terms(
    decay: str,
    erase: str,
    read: str,
    length: int,
    sizes: tuple[int, int],
    heads: tuple[int, int] = (3, 3),
    batch: int = 2,
) -> Terms:
    """Terms in memory [b t h .], `heads` of values and of all else; sizes of key and value."""
    of_values, of_keys = heads

    def normal(count: int, size: int) -> Tensor:
        return torch.randn(batch, length, count, size).transpose(1, 2)

    k = normalize(normal(of_keys, sizes[0]), dim=-1)
    log_decay = {
        "none": None,
        "head": -2.0 * torch.rand(batch, length, of_values, 1).transpose(1, 2),
        "channel": -5.0 * torch.rand(batch, length, of_keys, sizes[0]).transpose(1, 2),
    }[decay]
    rate = torch.rand(batch, length, of_values, 1).transpose(1, 2)
    terms: Terms = {
        "q": normal(of_keys, sizes[0]),
        "k": k,
        "v": normal(of_values, sizes[1]),
        "log_decay": log_decay,
        "a": None,
        "b": None,
        "bonus": None if read == "inclusive" else torch.randn(of_values, sizes[0]),
        "erase": None,
        "write": None,
    }
    if erase == "key":
        terms["a"] = -rate * k
    if erase == "itself":
        terms["b"] = normalize(normal(of_keys, sizes[0]), dim=-1)
        terms["a"] = -value(terms, "b")
    if erase == "rates":
        terms["erase"], terms["write"] = 2.0 * rate, rate.clone()
    return terms


def value(terms: Terms, name: str) -> Tensor:
    x = terms[name]
    assert x is not None
    return x


def slow(terms: Terms, scale: float = 1.0) -> Tensor:
    """The loop over tokens, given a, v and q that the factors are multiplied with beforehand."""
    given = dict(terms)
    erase, write = given.pop("erase"), given.pop("write")
    given["q"] = scale * value(terms, "q")
    if erase is not None:
        given["a"] = -erase * value(terms, "k")
    if write is not None:
        given["v"] = write * value(terms, "v")
    return recurrence_loop(**given)[0]  # type: ignore[arg-type]


def differentiable(terms: Terms, dtype: torch.dtype) -> Terms:
    return {
        name: None if x is None else x.detach().to(dtype).requires_grad_()
        for name, x in terms.items()
    }


def results(outputs: Tensor, terms: Terms, weights: Tensor) -> dict[str, Tensor]:
    """The outputs, and the gradient of each term."""
    leaves = {name: x for name, x in terms.items() if x is not None}
    found = torch.autograd.grad(
        outputs, list(leaves.values()), weights.to(outputs.dtype), materialize_grads=True
    )
    return {"outputs": outputs.detach()} | dict(zip(leaves, found, strict=True))


def assert_like_the_loop(terms: Terms, scale: float = 1.0, relative: float = 1e-5) -> None:
    """Outputs and all gradients are those of the loop in fp64, relative to their norms."""
    weights = torch.randn_like(value(terms, "v"))
    fast, exact = differentiable(terms, torch.float32), differentiable(terms, torch.float64)
    given = results(recurrence(**fast, scale=scale), fast, weights)  # type: ignore[arg-type]
    wanted = results(slow(exact, scale), exact, weights)
    for name, right in wanted.items():
        error = (given[name] - right).norm() / max(right.norm().item(), 1e-6)
        assert error < relative, f"{name}: off by {error:.1e}"


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("read", ["inclusive", "exclusive"])
@pytest.mark.parametrize("erase", ["none", "key", "itself", "rates"])
@pytest.mark.parametrize("decay", ["none", "head", "channel"])
def test_the_values_and_gradients_are_those_of_the_loop(decay: str, erase: str, read: str) -> None:
    torch.manual_seed(0)
    for length, sizes in ((1, (3, 1)), (63, (12, 24)), (100, (16, 17))):
        assert_like_the_loop(random_terms(decay, erase, read, length, sizes), scale=0.5)


@pytest.mark.parametrize(
    "sizes", [(1, 3), (32, 48), (64, 16), (100, 33), (256, 40), (4, 256)], ids=str
)
@pytest.mark.parametrize("decay", ["none", "head", "channel"])
def test_heads_of_any_size(decay: str, sizes: tuple[int, int]) -> None:
    torch.manual_seed(0)
    assert_like_the_loop(random_terms(decay, "rates", "inclusive", 40, sizes, (2, 2), 1))


@pytest.mark.parametrize("decay", ["none", "head", "channel"])
def test_a_long_sequence(decay: str) -> None:
    torch.manual_seed(0)
    assert_like_the_loop(random_terms(decay, "key", "inclusive", 1024, (8, 8), (1, 1), 1))


@pytest.mark.parametrize("read", ["inclusive", "exclusive"])
@pytest.mark.parametrize("decay", ["none", "head", "channel"])
def test_nothing_is_erased(decay: str, read: str) -> None:
    """Blocks of values with one or two columns beyond them, half blocks."""
    torch.manual_seed(0)
    for sizes in ((20, 18), (33, 33), (7, 64)):
        assert_like_the_loop(random_terms(decay, "none", read, 70, sizes, (3, 3), 1), scale=0.5)


@pytest.mark.parametrize("decay", ["head", "channel"])
@pytest.mark.parametrize("level", [1e-3, 4.0])
def test_a_long_sequence_of_which_nothing_is_erased(level: float, decay: str) -> None:
    torch.manual_seed(0)
    terms = random_terms(decay, "none", "exclusive", 1024, (8, 17), (1, 1), 1)
    terms["log_decay"] = value(terms, "log_decay") * level
    assert_like_the_loop(terms)


@pytest.mark.parametrize("erase", ["none", "key", "itself", "rates"])
@pytest.mark.parametrize("decay", ["none", "head", "channel"])
def test_one_head_of_keys_serves_all_heads_of_values(decay: str, erase: str) -> None:
    torch.manual_seed(0)
    terms = random_terms(decay, erase, "exclusive", 40, (16, 8), (4, 1))
    assert_like_the_loop(terms)


def test_one_sequence_of_decays_serves_all_sequences() -> None:
    torch.manual_seed(0)
    terms = random_terms("none", "rates", "inclusive", 50, (8, 8))
    terms["log_decay"] = -torch.rand(1, 3, 50, 1)
    assert_like_the_loop(terms)


@pytest.mark.parametrize("erase", ["none", "rates"])
@pytest.mark.parametrize("decay", ["head", "channel"])
@pytest.mark.parametrize("level", [0.0, -5.0, -20.0])
def test_decays_from_none_to_the_strongest(level: float, decay: str, erase: str) -> None:
    torch.manual_seed(0)
    terms = random_terms(decay, erase, "inclusive", 63, (16, 8))
    terms["log_decay"] = torch.full_like(value(terms, "log_decay"), level)
    assert_like_the_loop(terms)


@pytest.mark.parametrize("decay", ["head", "channel"])
def test_some_tokens_forget_all(decay: str) -> None:
    torch.manual_seed(0)
    terms = random_terms(decay, "rates", "exclusive", 100, (16, 8))
    for level in (-20.0, -90.0):
        value(terms, "log_decay")[:, :, ::7] = level
        assert_like_the_loop(terms)
    value(terms, "log_decay")[:, :, ::7] = -torch.inf
    fast = differentiable(terms, torch.float32)
    found = results(recurrence(**fast), fast, torch.ones(2, 3, 100, 8))  # type: ignore[arg-type]
    assert all(x.isfinite().all() for x in found.values())


def test_any_strides_give_the_same_bits() -> None:
    torch.manual_seed(0)
    terms = random_terms("channel", "itself", "inclusive", 37, (12, 20))
    wanted = recurrence(**terms)  # type: ignore[arg-type]
    assert wanted.transpose(1, 2).is_contiguous()
    layouts = (
        lambda x: x.contiguous(),
        lambda x: torch.cat([x, x], -1)[..., : x.shape[-1]],
        lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    )
    for layout in layouts:
        given = {name: None if x is None else layout(x) for name, x in terms.items()}
        assert torch.equal(recurrence(**given), wanted)  # type: ignore[arg-type]
    fast = differentiable(terms, torch.float32)
    outputs = recurrence(**fast)  # type: ignore[arg-type]
    leaves = [x for x in fast.values() if x is not None]
    by_sum = torch.autograd.grad(outputs.sum(), leaves, retain_graph=True)
    by_ones = torch.autograd.grad(outputs, leaves, torch.ones_like(outputs))
    assert all(torch.equal(x, y) for x, y in zip(by_sum, by_ones, strict=True))


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("heads", [(3, 3), (3, 1)], ids=["apart", "shared"])
def test_the_bits_do_not_depend_on_threads(heads: tuple[int, int]) -> None:
    torch.manual_seed(0)
    terms = random_terms("head", "rates", "exclusive", 50, (16, 16), heads, batch=3)
    weights = torch.randn(3, 3, 50, 16)
    found = []
    for count in (1, 2, 3, 7):
        torch.set_num_threads(count)
        fast = differentiable(terms, torch.float32)
        found.append(results(recurrence(**fast), fast, weights))  # type: ignore[arg-type]
    for other in found[1:]:
        assert all(torch.equal(other[name], first) for name, first in found[0].items())


@pytest.mark.parametrize("decay", ["head", "channel"])
@pytest.mark.parametrize("narrower", NARROWER)
def test_narrower_instructions(narrower: str, decay: str, monkeypatch: pytest.MonkeyPatch) -> None:

    def of_narrower(source: str, *macros: tuple[str, str]) -> object:
        return library(source, *macros, instructions=narrower)

    monkeypatch.setattr(recurrence_run, "library", of_narrower)
    torch.manual_seed(0)
    for erase, sizes in (("none", (12, 24)), ("itself", (16, 17)), ("rates", (3, 5))):
        assert_like_the_loop(random_terms(decay, erase, "exclusive", 63, sizes))
    test_a_token_at_a_time_is_the_loop(decay)


@pytest.mark.parametrize("decay", ["none", "head", "channel"])
def test_a_token_at_a_time_is_the_loop(decay: str) -> None:
    torch.manual_seed(0)
    for erase, read in product(("none", "key", "itself", "rates"), ("inclusive", "exclusive")):
        terms = random_terms(decay, erase, read, 1, (12, 20), (4, 1))
        state = torch.randn(2, 4, 12, 20)
        before = state.clone()
        now = {n: x if x is None or n == "bonus" else x[:, :, 0] for n, x in terms.items()}
        o, after = recurrence_step(state=state, **now, scale=0.5)  # type: ignore[arg-type]
        assert torch.equal(state, before)
        erased, written = now.pop("erase"), now.pop("write")
        now["q"] = 0.5 * value(now, "q")
        if erased is not None:
            now["a"] = -erased * value(now, "k")
        if written is not None:
            now["v"] = written * value(now, "v")
        wanted = torch_step(state=state, **now)  # type: ignore[arg-type]
        torch.testing.assert_close((o, after), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("decay", ["none", "head", "channel"])
def test_many_models_at_once(decay: str) -> None:
    torch.manual_seed(0)
    terms = [random_terms(decay, "itself", "exclusive", 20, (8, 4)) for _ in range(3)]
    names = [name for name, x in terms[0].items() if x is not None]
    weights = torch.randn(2, 3, 20, 4)
    stacked = {
        name: torch.stack([value(model, name) for model in terms], 1).requires_grad_()
        for name in names
    }
    together = torch.func.vmap(lambda given: recurrence(**given), in_dims=1)(stacked)
    found = torch.autograd.grad((together * weights).sum(), list(stacked.values()))
    for i, model in enumerate(terms):
        leaves = differentiable(model, torch.float32)
        alone = results(recurrence(**leaves), leaves, weights)  # type: ignore[arg-type]
        assert torch.equal(together[i], alone.pop("outputs"))
        for slope, wanted in zip(found, alone.values(), strict=True):
            assert torch.equal(slope[:, i], wanted)


def test_models_share_what_is_not_mapped() -> None:
    torch.manual_seed(0)
    terms = random_terms("none", "none", "inclusive", 20, (8, 4))
    q, k, v = value(terms, "q"), value(terms, "k"), torch.randn(3, 2, 3, 20, 4)
    together = torch.func.vmap(lambda v: recurrence(q, k, v))(v)
    assert all(torch.equal(together[i], recurrence(q, k, v[i])) for i in range(3))


@pytest.mark.parametrize("erase", ["none", "itself", "rates"])
def test_it_is_a_good_citizen_of_torch(erase: str) -> None:
    torch.manual_seed(0)
    terms = random_terms("channel", erase, "exclusive", 70, (8, 4))
    terms["bonus"] = torch.randn(1, 3, 8)
    given = list(differentiable(terms, torch.float32).values())
    torch.library.opcheck(forward_operator, (*given, 0.5, True))
    _, states = forward_operator(*given, 0.5, True)
    detached = [None if x is None else x.detach() for x in given]
    torch.library.opcheck(
        backward_operator,
        (torch.randn(2, 3, 70, 4), states.detach(), *detached, 0.5),
        test_utils=("test_schema", "test_faketensor"),
    )
    meta = [None if x is None else x.to("meta") for x in detached]
    assert forward_operator(*meta, 0.5, True)[1].shape == states.shape


def test_states_are_kept_for_a_derivative_alone() -> None:
    terms = random_terms("head", "none", "inclusive", 100, (8, 4))
    assert forward_operator(*terms.values(), 1.0, False)[1].numel() == 0
    assert forward_operator(*terms.values(), 1.0, True)[1].shape == (2, 3, 3, 8, 4)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("q", torch.zeros(2, 3, 5, 7), "q is [2, 3, 5, 7]; wanted [2, 3 or 1, 5, 8]"),
        ("v", torch.zeros(2, 3, 5, 4).double(), "v is torch.float64; the native recurrence"),
        ("log_decay", torch.zeros(2, 2, 5, 8), "log_decay is [2, 2, 5, 8]; wanted [2, 3 or 1, 5,"),
        ("bonus", torch.zeros(3, 7), "bonus is [1, 3, 7]; wanted [s, 3, 8] with s in 2"),
        ("b", torch.zeros(2, 3, 5, 8), "b is given without a"),
        ("write", torch.zeros(2, 3, 5, 8), "write is [2, 3, 5, 8]; wanted [2, 3 or 1, 5, 1]"),
    ],
)
def test_faults_are_told(name: str, value: Tensor, said: str) -> None:
    terms = random_terms("none", "none", "inclusive", 5, (8, 4)) | {name: value}
    with pytest.raises(ValueError, match=re.escape(said)):
        recurrence(**terms)  # type: ignore[arg-type]
