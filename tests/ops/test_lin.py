import random
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from palmette.grammar.node import effects, fields_of
from palmette.grammar.types import ALL_EFFECTS, Effect, Knob
from palmette.ops import _lin_module
from palmette.ops._base import Place
from palmette.ops._lin_module import LinearRecurrence
from palmette.ops.kernels.recurrence import recurrence_loop
from palmette.ops.lin import Lin


def place(width: int) -> Place:
    return Place(width=width, depth=1, hidden=1.0, vocabulary=256, context=128)


def build(lin: Lin, width: int) -> LinearRecurrence:
    planned = lin.plan(place(width))
    return planned.cls(**dict(planned.arguments))


CHOICES = {name: spec.choices for name, spec in fields_of(Lin).items() if isinstance(spec, Knob)}
ALONE = list(dict.fromkeys(Lin(**{name: v}) for name, values in CHOICES.items() for v in values))
DRAW = random.Random(0)
COMBINED = [Lin(**{n: DRAW.choice(v) for n, v in CHOICES.items()}) for _ in range(120)]


@pytest.mark.parametrize("width", [1, 13, 37])
def test_parameters_in_closed_form_equal_numel(width: int) -> None:
    for lin in ALONE + COMBINED:
        built = sum(p.numel() for p in build(lin, width).parameters())
        assert lin.cost(place(width), 63).parameters == built, lin


def in_a_loop(*tensors: Tensor | None, chunk: int) -> tuple[Tensor, Tensor]:
    return recurrence_loop(*tensors)


def test_every_combination_trains_every_parameter_and_chunks_equal_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    for lin in COMBINED:
        module = build(lin, 13)
        x = torch.randn(2, 63, 13)
        y = module(x)
        y.square().sum().backward()
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, (name, lin)
            assert parameter.grad.isfinite().all(), (name, lin)
            assert parameter.grad.any(), (name, lin)
        with monkeypatch.context() as patch:
            patch.setattr(_lin_module, "recurrence_chunked", in_a_loop)
            slow = module(x)
        torch.testing.assert_close(y, slow, atol=2e-4 * y.abs().max().item(), rtol=0)


def test_every_combination_is_causal() -> None:
    torch.manual_seed(1)
    for lin in ALONE + COMBINED:
        module = build(lin, 12)
        x = torch.randn(1, 40, 12)
        changed = torch.cat([x[:, :25], torch.randn(1, 15, 12)], 1)
        with torch.no_grad():
            before, after = module(x), module(changed)
        rounding = 1e-5 * before.abs().max().item()
        torch.testing.assert_close(before[:, :25], after[:, :25], atol=rounding, rtol=0)
        assert (before - after).abs().max() > 100 * rounding, lin


def test_every_choice_has_a_second_derivative() -> None:
    torch.manual_seed(4)
    for lin in ALONE:
        module = build(lin, 8).double()
        x, way = torch.randn(2, 2, 20, 8, dtype=torch.float64)

        def slope(x: Tensor, module: LinearRecurrence = module) -> Tensor:
            x = x.requires_grad_()
            return torch.autograd.grad(module(x).square().sum(), x, create_graph=True)[0]

        (second,) = torch.autograd.grad((slope(x) * way).sum(), x)
        with_steps = (slope((x + 1e-6 * way).detach()) - slope((x - 1e-6 * way).detach())) / 2e-6
        error = (second - with_steps).abs().max()
        assert error < 1e-4 * second.abs().max(), lin


def test_large_inputs_that_all_point_one_way_stay_finite() -> None:
    torch.manual_seed(2)
    once, noise = torch.randn(1, 1, 8), torch.randn(1, 512, 8)
    for lin in COMBINED:
        module = build(lin, 8)
        y = module(10.0 * torch.cat([once.expand(1, 512, 8), once + noise]))
        y.sum().backward()
        assert y.isfinite().all(), lin
        assert all(p.grad.isfinite().all() for p in module.parameters()), lin  # type: ignore[union-attr]


def decoded(module: LinearRecurrence, x: Tensor) -> Tensor:
    state, outputs = module.init_state(len(x)), []
    for token in x.unbind(1):
        y, state = module.step(token, state)
        outputs.append(y)
    return torch.stack(outputs, 1)


def decoding_error(lin: Lin, dtype: torch.dtype) -> float:
    module, x = build(lin, 13).to(dtype), torch.randn(2, 63, 13, dtype=dtype)
    with torch.no_grad():
        wanted = module(x)
        return float((decoded(module, x) - wanted).abs().max() / wanted.abs().max())


def test_every_choice_decodes_token_by_token_to_what_it_computes_at_once() -> None:
    torch.manual_seed(6)
    for lin in ALONE:
        error = decoding_error(lin, torch.float32)
        assert error < 1e-5, (error, lin)


def test_every_combination_decodes_token_by_token_to_what_it_computes_at_once() -> None:
    """In fp64, since the norm of a head that holds next to nothing blows up what fp32 rounds."""
    torch.manual_seed(6)
    for lin in COMBINED[:30]:
        error = decoding_error(lin, torch.float64)
        assert error < 1e-10, (error, lin)


def test_a_step_leaves_the_state_that_it_is_given_alone() -> None:
    torch.manual_seed(7)
    lin = Lin(rotary=True, decay="scalar", erase="beta", householders=2, read="bonus")
    module = build(lin, 12)
    x, other = torch.randn(2, 12), torch.randn(2, 12)
    with torch.no_grad():
        _, state = module.step(x, module.init_state(2))
        first, _ = module.step(x, state)
        module.step(other, state)
        again, _ = module.step(x, state)
    assert torch.equal(first, again)


@pytest.mark.parametrize("erase", ["beta", "beta2", "channel", "free", "share"])
@pytest.mark.parametrize("decay", ["none", "scalar", "vector_dt", "tied"])
def test_an_erasing_token_never_grows_the_state(decay: str, erase: str) -> None:
    """What stays of the first write, read over 512 adversarial tokens, is at most what it was."""
    torch.manual_seed(3)
    module = build(Lin(heads=1, erase=erase, decay=decay, out_norm="none"), 6)
    captured: list[Tensor] = []

    def spy(q: Tensor, k: Tensor, v: Tensor, *rest: Tensor | None, chunk: int) -> tuple:
        log_decay, a, b, _ = rest
        state = torch.eye(6).expand(2, 1, 6, 6)
        for t in range(q.shape[2]):
            kept = state if log_decay is None else log_decay[:, :, t].exp().unsqueeze(-1) * state
            erased = (a[:, :, t].unsqueeze(-2) @ kept).squeeze(-2)
            through = (k if b is None else b)[:, :, t]
            state = kept + through.unsqueeze(-1) * erased.unsqueeze(-2)
        captured.append(state)
        return v, state

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(_lin_module, "recurrence_chunked", spy)
        module(10.0 * torch.randn(2, 512, 6))
    assert torch.linalg.matrix_norm(captured[0], 2).max() <= 1.0 + 1e-4


@pytest.mark.parametrize("erase", ["channel_read", "removal"])
@pytest.mark.parametrize("decay", ["none", "vector_sigmoid", "scalar"])
def test_the_published_channel_gates_grow_the_state_by_a_sixth_a_token_at_most(
    decay: str, erase: str
) -> None:
    """The norm of I - k (r k)^T is up to 2 / sqrt(3), and that of Diag(d) - (r c) c^T no more."""
    torch.manual_seed(8)
    module = build(Lin(heads=1, erase=erase, decay=decay, out_norm="none"), 6)
    with torch.no_grad():
        module.erase_up.weight.mul_(30.0)  # gates near 0 and 1
    norms: list[Tensor] = []

    def spy(q: Tensor, k: Tensor, v: Tensor, *rest: Tensor | None, chunk: int) -> tuple:
        log_decay, a, b, _ = rest
        kept = torch.ones_like(k) if log_decay is None else log_decay.exp().expand_as(k)
        through = k if b is None else b
        matrix = torch.diag_embed(kept) + through.unsqueeze(-1) * (a * kept).unsqueeze(-2)
        norms.append(torch.linalg.matrix_norm(matrix, 2))
        return v, k

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(_lin_module, "recurrence_chunked", spy)
        module(10.0 * torch.randn(4, 512, 6))
    assert norms[0].max() <= 2 / 3**0.5 + 1e-5
    assert decay == "scalar" or norms[0].max() > 1.01


def streams(module: LinearRecurrence, x: Tensor) -> tuple[Tensor, ...]:
    """What the input projection computes, before the short convolution."""
    return (x @ module.project.weight.T).split(module.widths, -1)


def convolved(x: Tensor, module: LinearRecurrence) -> Tensor:
    padded = F.pad(x.transpose(1, 2), (module.taps.shape[1] - 1, 0))
    y = F.conv1d(padded, module.taps.unsqueeze(1), module.bias, groups=x.shape[-1])
    return F.silu(y).transpose(1, 2)


def rms(x: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()


def test_linear_attention_is_that_of_katharopoulos() -> None:
    torch.manual_seed(0)
    lin = Lin(heads=1, conv=0, feature="elu1", read="normalised", out_norm="none")
    module = build(lin, 6)
    x = torch.randn(2, 50, 6)
    q, k, v = streams(module, x)[0].chunk(3, -1)
    weights = ((F.elu(q) + 1) @ (F.elu(k) + 1).transpose(1, 2)).tril()
    wanted = (weights / weights.sum(-1, keepdim=True)) @ v @ module.out.weight.T
    torch.testing.assert_close(module(x), wanted, atol=1e-5, rtol=1e-4)


def test_retnet_weighs_a_pair_by_its_distance() -> None:
    torch.manual_seed(0)
    module = build(Lin(heads=1, conv=0, decay="constant", out_gate="silu"), 6)
    x = torch.randn(2, 50, 6)
    mixed, gate, *_ = streams(module, x)
    q, k, v = mixed.chunk(3, -1)
    distance = torch.arange(50)[:, None] - torch.arange(50)
    weights = torch.where(distance >= 0, (1 - 2.0**-5) ** distance, 0.0)
    o = rms((q @ k.transpose(1, 2) / 6**0.5 * weights) @ v)
    wanted = (o * F.silu(gate)) @ module.out.weight.T
    torch.testing.assert_close(module(x), wanted, atol=1e-5, rtol=1e-4)


def test_deltanet_is_a_step_of_gradient_descent_a_token() -> None:
    torch.manual_seed(0)
    module = build(Lin(heads=1, erase="beta"), 6)
    x = torch.randn(2, 50, 6)
    mixed, _, beta, *_ = streams(module, x)
    q, k, v = convolved(mixed, module).chunk(3, -1)
    q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
    state, outputs = torch.zeros(2, 6, 6), []
    for t in range(50):
        wrong = v[:, t] - (k[:, t, None] @ state)[:, 0]
        state = state + beta[:, t].sigmoid().unsqueeze(-1) * k[:, t, :, None] * wrong[:, None]
        outputs.append((q[:, t, None] @ state)[:, 0] / 6**0.5)
    wanted = rms(torch.stack(outputs, 1)) @ module.out.weight.T
    torch.testing.assert_close(module(x), wanted, atol=1e-4, rtol=1e-3)


def test_mamba2_is_the_discretised_state_space_model() -> None:
    torch.manual_seed(0)
    lin = Lin(
        heads=2,
        key_ratio=Fraction(2),
        value_ratio=Fraction(2),
        key_groups="one",
        bias=True,
        decay="scalar",
        write="dt",
        skip=True,
        out_norm="rms_after",
        out_gate="silu",
    )
    module = build(lin, 6)
    x = torch.randn(2, 50, 6)
    mixed, gate, _, _, dt, *_ = streams(module, x)
    c, b, u = convolved(mixed, module).split([6, 6, 12], -1)
    dt = F.softplus(dt + module.dt_bias)
    kept = torch.exp(-module.A_log.exp() * dt)
    state, outputs = torch.zeros(2, 2, 6, 6), []
    for t in range(50):
        value = u[:, t].view(2, 2, 1, 6)
        state = kept[:, t, :, None, None] * state
        state = state + b[:, t, None, :, None] * dt[:, t, :, None, None] * value
        outputs.append(
            (c[:, t, None, None] @ state + module.skip.view(1, 2, 1, 1) * value).flatten(1)
        )
    wanted = rms(torch.stack(outputs, 1) * F.silu(gate)) @ module.out.weight.T
    torch.testing.assert_close(module(x), wanted, atol=1e-4, rtol=1e-3)


def test_householders_write_several_pairs_a_token_and_read_the_last() -> None:
    torch.manual_seed(0)
    module = build(Lin(heads=1, conv=0, householders=2, out_norm="none"), 6)
    x = torch.randn(2, 50, 6)
    q, k1, k2, v1, v2 = streams(module, x)[0].chunk(5, -1)
    pairs = (q @ k1.transpose(1, 2)).tril() @ v1 + (q @ k2.transpose(1, 2)).tril() @ v2
    wanted = pairs / 6**0.5 @ module.out.weight.T
    torch.testing.assert_close(module(x), wanted, atol=1e-4, rtol=1e-3)


def test_rotary_positions_make_reads_depend_on_distance_alone() -> None:
    torch.manual_seed(0)
    module = build(Lin(heads=1, conv=0, rotary=True, householders=2, out_norm="none"), 7)
    q = torch.randn(7)
    alone, shifted = torch.zeros(1, 30, 7), torch.zeros(1, 30, 7)
    alone[0, 3], alone[0, 10] = 1.0, q
    shifted[0, 15], shifted[0, 22] = 1.0, q
    torch.testing.assert_close(module(alone)[0, 10], module(shifted)[0, 22])


def test_state_holds_keys_by_values_and_the_convolution_and_never_grows() -> None:
    lin = Lin(heads=2, value_ratio=Fraction(2), conv=3, read="normalised")
    channels = 8 + 8 + 16
    assert lin.cost(place(8), 63).state_bytes == 4 * (2 * 4 * (8 + 1) + 2 * channels)
    assert lin.cost(place(8), 63) == lin.cost(place(8), 100_000)


def test_flops_count_the_projections_the_convolution_and_the_recurrence() -> None:
    projections, taps = 8 * (3 * 8 + 2) + 8 * 8, 4 * 24
    erase_write_read = (2 + 1) * 2 * 4 * 4
    wanted = 2 * (projections + taps + erase_write_read)
    assert Lin(heads=2, erase="beta").cost(place(8), 63).flops_forward == wanted


def test_flops_count_the_passes_that_the_recurrence_makes_over_its_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By hand, from what the module gives to the recurrence."""
    torch.manual_seed(5)
    for lin in ALONE + COMBINED[:100]:
        module, given = build(lin, 12), {}

        def spy(
            q: Tensor,
            k: Tensor,
            v: Tensor,
            *rest: Tensor | None,
            chunk: int,
            given: dict[str, object] = given,
        ) -> tuple[Tensor, Tensor]:
            given["rest"], given["state"] = rest, v.shape[1] * k.shape[-1] * v.shape[-1]
            return recurrence_loop(q, k, v, *rest)

        with monkeypatch.context() as patch, torch.no_grad():
            patch.setattr(_lin_module, "recurrence_chunked", spy)
            module(torch.randn(1, 3, 12))
        log_decay, a, b, _ = given["rest"]
        decays = lin.householders if "tied" in lin.decay else int(log_decay is not None)
        writes = lin.householders * (1 + (a is not None) + (b is not None))
        recurrent = 2 * given["state"] * (decays + writes + 1)
        matrices = sum(p.numel() for p in module.parameters() if not hasattr(p, "no_decay"))
        around = lin.cost(place(12), 63).flops_forward - recurrent - 2 * matrices
        assert 0 <= around <= 2 * 12 * 10, lin  # gates, skips and denominators: a few per value


def test_no_knob_breaks_an_effect() -> None:
    assert all(effects(lin) == ALL_EFFECTS - {Effect.FORKS} for lin in ALONE)


def test_gains_biases_and_decay_rates_are_not_decayed() -> None:
    for lin in COMBINED:
        for name, parameter in build(lin, 8).named_parameters():
            vector = parameter.dim() == 1 or name == "bonus"
            assert getattr(parameter, "no_decay", False) == vector, (name, lin)


def test_initial_steps_are_between_a_thousandth_and_a_tenth() -> None:
    torch.manual_seed(0)
    module = build(Lin(heads=8, decay="vector_dt"), 64)
    steps = F.softplus(module.dt_bias)
    assert 0.001 <= steps.min() < 0.003
    assert 0.03 < steps.max() <= 0.1001
    assert module.A_log.exp().min() >= 1.0
    assert module.A_log.exp().max() <= 16.0001
