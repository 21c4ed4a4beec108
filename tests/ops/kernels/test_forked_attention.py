import itertools

import pytest
import torch
from torch import Tensor

from palmette.ops.kernels.attention import attention_loop
from palmette.ops.kernels.forked_attention import forked_attention

OPTIONS = list(itertools.product((0, 1, 16), (4, 2), (0, 4), (False, True), (False, True)))


def inputs(length: int, groups: int, biases: int, sink: bool, forget: bool) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(length)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, requires_grad=True)

    given = {
        "q": normal(1, 4, 2 * length, 6),
        "k": normal(1, groups, 2 * length, 6),
        "v": normal(1, groups, 2 * length, 5),
    }
    if biases:
        given["by_distance"] = normal(biases, length + 1)
    if sink:
        given["sink"] = normal(4)
    if forget:
        given["forget"] = (-torch.rand(1, 4, 2 * length, generator=draw)).requires_grad_()
    return given


def one_text_a_candidate(
    window: int, given: dict[str, Tensor], places: range | list[int]
) -> Tensor:
    """What queries get in a text of their own: the real tokens so far, and the candidate."""
    length = given["q"].shape[2] // 2

    def read(places: list[int]) -> Tensor:
        part = {
            name: given[name][:, :, places] for name in ("q", "k", "v", "forget") if name in given
        }
        if "by_distance" in given:
            part["by_distance"] = given["by_distance"][:, : len(places)]
        return attention_loop(**part, sink=given.get("sink"), window=window)[:, :, -1]

    real = [read(list(range(i + 1))) for i in places]
    candidates = [read([*range(i + 1), length + i]) for i in places]
    return torch.stack(real + candidates, 2)


@pytest.mark.parametrize(("window", "groups", "biases", "sink", "forget"), OPTIONS)
def test_a_candidate_reads_what_the_next_token_would(window, groups, biases, sink, forget):
    length = 5 if window < 16 else 18
    given = inputs(length, groups, biases, sink, forget)
    slow = one_text_a_candidate(window, given, range(length))
    fast = forked_attention(**given, window=window)
    weight = torch.linspace(-1, 1, slow.numel()).view_as(slow)
    pairs = zip(
        [slow, *torch.autograd.grad((weight * slow).sum(), list(given.values()))],
        [fast, *torch.autograd.grad((weight * fast).sum(), list(given.values()))],
        strict=True,
    )
    for name, (s, f) in zip(["out", *given], pairs, strict=True):
        assert (s - f).abs().max() <= 1e-5 * max(1.0, s.detach().abs().max().item()), name


@pytest.mark.parametrize("length", [63, 100])
@pytest.mark.parametrize("window", [0, 16])
def test_at_length_it_is_the_same(length, window):
    given = inputs(length, 2, 4, True, True)
    places = [0, 14, 15, 16, length - 1]
    with torch.no_grad():
        slow = one_text_a_candidate(window, given, places)
        fast = forked_attention(**given, window=window)
        fast = fast[:, :, [*places, *(length + i for i in places)]]
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-5)


def test_it_has_a_second_derivative():
    given = {name: part.detach().double() for name, part in inputs(4, 2, 4, True, True).items()}
    leaves = [part.requires_grad_() for part in given.values()]

    def form(*parts: Tensor) -> Tensor:
        return forked_attention(**dict(zip(given, parts, strict=True)), window=3)

    torch.autograd.gradgradcheck(form, leaves, fast_mode=True)
