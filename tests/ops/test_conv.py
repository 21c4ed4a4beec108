import itertools

import pytest
import torch

from palmette.grammar.node import effects, fields_of
from palmette.grammar.types import ALL_EFFECTS, Effect, Knob
from palmette.ops._base import Place
from palmette.ops.conv import Conv, ShortConvolution


def place(width: int) -> Place:
    return Place(width=width, depth=1, hidden=1.0, vocabulary=256, context=128)


def build(conv: Conv, width: int) -> ShortConvolution:
    planned = conv.plan(place(width))
    return planned.cls(**dict(planned.arguments))


def every_combination() -> list[Conv]:
    specs = {n: s.choices for n, s in fields_of(Conv).items() if isinstance(s, Knob)}
    return [
        Conv(**dict(zip(specs, values, strict=True)))
        for values in itertools.product(*specs.values())
    ]


@pytest.mark.parametrize("width", [1, 13])
def test_parameters_in_closed_form_equal_numel(width: int) -> None:
    for conv in every_combination():
        built = sum(p.numel() for p in build(conv, width).parameters())
        assert conv.cost(place(width), 63).parameters == built, conv


def test_every_combination_is_causal_and_trains_every_parameter() -> None:
    torch.manual_seed(0)
    for conv in every_combination():
        module = build(conv, 7)
        x = torch.randn(2, 63, 7)
        changed = torch.cat([x[:, :40], torch.randn(2, 23, 7)], 1)
        y = module(x)
        torch.testing.assert_close(y[:, :40], module(changed)[:, :40])
        y.square().sum().backward()
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, (name, conv)
            assert parameter.grad.isfinite().all(), (name, conv)
            assert parameter.grad.any(), (name, conv)


def test_sees_exactly_the_tokens_under_its_taps() -> None:
    torch.manual_seed(0)
    module = build(Conv(taps=3, dilation=4), 5)
    x = torch.randn(1, 63, 5, requires_grad=True)
    (seen,) = torch.autograd.grad(module(x)[0, 50].sum(), x)
    assert seen[0].abs().sum(-1).nonzero().flatten().tolist() == [42, 46, 50]


def test_is_the_short_convolution_of_lfm2() -> None:
    torch.manual_seed(0)
    module = build(Conv(taps=3, activation="identity"), 6)
    x = torch.randn(2, 20, 6)
    u, before, after = (x @ module.project.weight.T).chunk(3, -1)
    filtered = torch.nn.functional.conv1d(
        (before * u).transpose(1, 2), module.taps.unsqueeze(1), padding=2, groups=6
    )[..., :20].transpose(1, 2)
    torch.testing.assert_close(module(x), (after * filtered) @ module.out.weight.T)


def test_state_is_what_the_filter_still_sees() -> None:
    conv = Conv(taps=3, dilation=2)
    assert conv.cost(place(10), 63).state_bytes == 4 * 10 * 4
    assert conv.cost(place(10), 63) == conv.cost(place(10), 4096)
    assert effects(conv) == ALL_EFFECTS - {Effect.FORKS}


def test_the_bias_is_not_decayed() -> None:
    module = build(Conv(bias=True), 8)
    assert [n for n, p in module.named_parameters() if getattr(p, "no_decay", False)] == ["bias"]
