import pytest
import torch

from palmette.train.recording import UnrecordableError, record


def gradients(x, w):
    """A few operators of every kind: views, products, constants, changes in place, a derivative."""
    w = w.detach().requires_grad_()
    mask = torch.ones(4, 4).tril()
    scores = (x @ w).unflatten(0, (2, 4)).transpose(1, 2) @ mask
    kept = torch.zeros_like(scores)
    kept[:, 1:] = scores[:, 1:].exp()
    kept.mul_(2.0)
    loss = (kept * torch.arange(4.0)).sum()
    return [loss.detach(), *torch.autograd.grad(loss, [w]), None]


def given(seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(8, 3, generator=generator), torch.randn(3, 5, generator=generator)]


def test_what_is_played_has_the_same_bits_on_other_numbers():
    first, recording = record(gradients, given(0))
    for seed in (0, 1, 2, 1):
        wanted, found = gradients(*given(seed)), recording.play(*given(seed))
        assert torch.equal(found[0], wanted[0])
        assert torch.equal(found[1], wanted[1])
        assert found[2] is None
    assert torch.equal(first[1], gradients(*given(0))[1])


def test_the_operators_are_named():
    _, recording = record(gradients, given(0))
    assert {"aten::mm", "aten::exp", "aten::mul_"} <= recording.operators
    assert "aten::convolution" not in recording.operators


def test_what_depends_on_no_argument_is_worked_out_once():
    def shifted(x):
        table = torch.arange(3.0).exp() + 1.0
        return [x + table]

    _, recording = record(shifted, [torch.zeros(3)])
    code = recording.play.__code__
    assert len(code.co_names) == 2  # one operator and the table
    assert torch.equal(recording.play(torch.ones(3))[0], shifted(torch.ones(3))[0])


def test_permutations_that_undo_one_another_are_not_played():
    def turned(x):
        y = x.permute(1, 2, 0)
        return [y.permute(2, 0, 1) + 1.0, y.permute(1, 0, 2) * 2.0, y.permute(2, -3, 1)]

    x = torch.arange(24.0).view(2, 3, 4)
    _, recording = record(turned, [torch.zeros(2, 3, 4)])
    for found, wanted in zip(recording.play(x), turned(x), strict=True):
        assert torch.equal(found, wanted)
        assert found.stride() == wanted.stride()
    code = recording.play.__code__
    assert len(code.co_names) == 5  # to permute, to add, to multiply, and two numbers


def test_memory_that_is_written_into_is_made_anew_each_time():
    def counted(x):
        total = torch.zeros(2)
        total += x
        return [total]

    _, recording = record(counted, [torch.ones(2)])
    assert [recording.play(torch.ones(2))[0].tolist() for _ in range(2)] == [[1.0, 1.0]] * 2


def test_a_view_of_something_held_is_no_copy_of_it():
    held = torch.zeros(4)
    _, recording = record(lambda x: [x + held[:2]], [torch.ones(2)])
    held.fill_(5.0)
    assert recording.play(torch.ones(2))[0].tolist() == [6.0, 6.0]


def branches(x):
    return [x if x.sum() > 0 else -x]


def picks(x):
    return [x[x > 0]]


def draws(x):
    return [x + torch.rand(2)]


def changes(x):
    return [x.add_(1.0)]


HELD = torch.zeros(2)


def remembers(x):
    HELD.add_(x)
    return [HELD + x]


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (branches, "depends on numbers"),
        (picks, "depends on numbers"),
        (draws, "draws random numbers"),
        (changes, "changed in place"),
        (remembers, "changed in place"),
    ],
)
def test_what_is_no_straight_line_is_refused(function, reason):
    with pytest.raises(UnrecordableError, match=reason):
        record(function, [torch.ones(2)])


def test_an_error_of_the_function_is_passed_on():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        record(lambda x: [x @ x], [torch.ones(2, 3)])
