import math

import numpy as np
import pytest
import torch
from tiny import numbers, tiny_spec
from torch import nn

import palmette
from palmette.model import cost, fit
from palmette.ops._segments import Segment
from palmette.ops.kernels.native.library import unavailable
from palmette.tasks import IGNORE, suite
from palmette.train.clock import Clock
from palmette.train.loop import run_trial, train
from palmette.train.segments import EXPLORATION, losses, weighted_loss

LOOP = "seq2seq(hloop(post(attn(mask='none')), post(glu()), segments={}, halting={}))"


def sudoku_batch(rows=8):
    batch = suite("sudoku").batch(None, np.random.default_rng(0), rows, 17)
    weights = torch.full((rows,), 1 / rows)
    return torch.from_numpy(batch.inputs), torch.from_numpy(batch.targets), weights


class Scripted(nn.Module):
    """Two tokens a sequence; the halt logits of each segment are given."""

    def __init__(self, halts):
        super().__init__()
        self.halts = [torch.tensor(halt) for halt in halts]
        self.logits = nn.Parameter(torch.zeros(len(halts[0]), 2, 5))

    def segments(self, ids):
        for number, halt in enumerate(self.halts, start=1):
            yield Segment(self.logits.clone(), halt=halt, left=len(self.halts) - number)


def all_losses(model, targets, seed=0):
    rows = len(targets)
    given = torch.zeros(rows, 2, dtype=torch.long), targets, torch.full((rows,), 0.5 / rows)
    return list(losses(model, *given, np.random.default_rng(seed)))


def test_a_model_of_one_segment_has_one_loss():
    inputs, targets, weights = sudoku_batch()
    model = palmette.build("seq2seq(pre(mlp()))", params=20_000, vocab_size=272, seed=0)
    (loss,) = losses(model, inputs, targets, weights, np.random.default_rng(0))
    assert loss.item() == weighted_loss(model(inputs), targets, weights).item()


@pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))
@pytest.mark.parametrize("model", ["seq2seq(pre(mlp()))", LOOP.format(4, True)])
def test_native_losses_are_those_of_torch(model):
    inputs, targets, weights = sudoku_batch()
    model = palmette.build(model, params=20_000, vocab_size=272, seed=0)
    given = model, inputs, targets, weights
    ours, theirs = (
        [loss.item() for loss in losses(*given, np.random.default_rng(0), kernel)]
        for kernel in ("native", "torch")
    )
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_a_stranger_s_module_has_one_loss():
    inputs, targets, weights = sudoku_batch()
    model = nn.Embedding(272, 272)
    (loss,) = losses(model, inputs, targets, weights, np.random.default_rng(0))
    assert loss.item() == weighted_loss(model(inputs), targets, weights).item()


def test_each_segment_is_computed_with_the_weights_that_the_step_before_it_has_left():
    inputs, targets, weights = sudoku_batch()
    model = palmette.build(LOOP.format(4, False), params=20_000, vocab_size=272, seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    still = []
    for loss in losses(model, inputs, targets, weights, np.random.default_rng(0)):
        still.append(loss.item())
        loss.backward()
        optimizer.step()
    assert len(still) == 4
    # With weights that stay, the last segment's loss is that of the forward pass.
    assert still[-1] == pytest.approx(weighted_loss(model(inputs), targets, weights).item())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    moved = []
    for loss in losses(model, inputs, targets, weights, np.random.default_rng(0)):
        moved.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert moved[0] == pytest.approx(still[0])
    assert abs(moved[1] - still[1]) > 1e-3


def test_no_gradient_crosses_from_a_segment_to_the_one_before():
    inputs, targets, weights = sudoku_batch()
    model = palmette.build(LOOP.format(4, False), params=20_000, vocab_size=272, seed=0)
    slopes = []
    for loss in losses(model, inputs, targets, weights, np.random.default_rng(0)):
        model.zero_grad()
        loss.backward()  # would fail if the graph before it were still there
        slopes.append(model.embedding.weight.grad.clone())
    last = slopes[-1]
    model.zero_grad()
    weighted_loss(model(inputs), targets, weights).backward()  # the last segment alone is tracked
    torch.testing.assert_close(model.embedding.weight.grad, last)


def test_the_halting_loss_is_the_cross_entropy_of_being_wholly_right():
    targets = torch.tensor([[0, IGNORE], [0, 1]])  # argmax of equal logits is 0
    loss, _ = all_losses(Scripted([[2.0, -1.0], [0.0, 0.0]]), targets)
    answers = math.log(5) * 0.25 + 2 * math.log(5) * 0.25
    halting = (math.log1p(math.exp(-2)) + math.log1p(math.exp(-1))) / 2  # right, wrong
    assert loss.item() == pytest.approx(answers + 0.5 * halting)


def test_a_sequence_that_halts_is_trained_on_no_further():
    targets = torch.tensor([[0, 0], [0, 0]])
    model = Scripted([[1.0, -1.0], [1.0, -1.0]])
    first, second = all_losses(model, targets)
    first.backward(retain_graph=True)
    assert model.logits.grad.abs().sum((1, 2)).gt(0).tolist() == [True, True]
    model.logits.grad = None
    second.backward()
    assert model.logits.grad.abs().sum((1, 2)).gt(0).tolist() == [False, True]


def test_training_on_a_batch_ends_when_all_sequences_have_halted():
    targets = torch.tensor([[0, 0], [0, 0]])
    model = Scripted([[-1.0, -1.0], [1.0, 1.0], [1.0, 1.0]])
    assert len(all_losses(model, targets)) == 2


def test_a_tenth_of_the_sequences_explores():
    rows = 4000
    model = Scripted([[1.0] * rows] * 4)
    targets = torch.zeros(rows, 2, dtype=torch.long)
    trained = []
    for loss in all_losses(model, targets):
        model.logits.grad = None
        loss.backward()
        trained.append(model.logits.grad.abs().sum((1, 2)).gt(0).double().mean().item())
    # Explorers run 2, 3 or 4 segments, each as likely.
    wanted = [1.0, EXPLORATION, EXPLORATION * 2 / 3, EXPLORATION / 3]
    assert trained == pytest.approx(wanted, abs=0.02)


@pytest.mark.parametrize("halting", [False, True])
def test_a_trial_of_several_segments_is_reproducible_and_counts_its_work(halting):
    expression = LOOP.format(4, halting)
    spec = tiny_spec(expression, suite="sudoku", length=34, tokens=6 * 8 * 34)
    result = run_trial(spec, None)
    assert numbers(result) == numbers(run_trial(spec, None))
    place = fit(palmette.parse(expression), spec.parameters, 272, 34).place
    price = cost(palmette.parse(expression), place, 34)
    assert result.flops_train == price.flops_train * spec.tokens
    assert price.flops_extra != 0


def test_the_rate_goes_by_the_batch_and_every_segment_takes_a_step(monkeypatch):
    rates = []
    step = torch.optim.AdamW.step

    def noted(self, *arguments):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    spec = tiny_spec(LOOP.format(2, False), suite="sudoku", length=17, tokens=5 * 8 * 17)
    model = palmette.build(spec.expression, params=20_000, vocab_size=272, seed=0)
    curve = train(model, spec, suite("sudoku"), None, Clock())
    assert len(rates) == 10
    assert rates[0::2] == rates[1::2]
    assert len(set(rates)) == 4  # warm-up and cosine meet at the peak
    assert [point.tokens for point in curve] == [8 * 17 * n for n in range(1, 6)]
