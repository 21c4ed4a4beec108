import math

import numpy as np
import pytest
import torch
from tiny import Sentences
from torch import nn

from palmette.errors import TrialError
from palmette.ops.kernels.native.library import unavailable
from palmette.tasks import IGNORE, Batch, Parity, Split, Suite, Text, suite
from palmette.train.evaluate import count_in_torch, count_natively, evaluate, measure

needs_native = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))


class Constant(nn.Module):
    """The same logits everywhere."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, ids):
        return self.logits.expand(*ids.shape, 272)


def batch(targets, lengths=None):
    targets = np.array(targets)
    return Batch(np.zeros_like(targets), targets, None if lengths is None else np.array(lengths))


def test_uniform_logits_cost_the_whole_vocabulary(sentences):
    metrics = evaluate(Constant(torch.zeros(272)), suite("text"), sentences, Split.SCORE, 63, 1000)
    assert metrics["text"].bits == pytest.approx(math.log2(272))
    assert metrics["text"].chance_bits == 8
    assert metrics["text"].score == pytest.approx((8 - math.log2(272)) / 8)
    assert metrics["text"].answer_tokens == 63 * 15


def test_figures_are_means_over_answers_not_over_batches():
    logits = torch.zeros(272)
    logits[5] = 3.0
    batches = [batch([[5, IGNORE, IGNORE]]), batch([[6, 5, 6], [6, 6, IGNORE]])]
    metrics = measure(Constant(logits), Text(), batches)
    log_sum = math.log(271 + math.exp(3))
    assert metrics.answer_tokens == 6
    assert metrics.accuracy == pytest.approx(2 / 6)
    assert metrics.loss_nats == pytest.approx((2 * (log_sum - 3) + 4 * log_sum) / 6)
    assert metrics.bits == pytest.approx(metrics.loss_nats / math.log(2))


def test_accuracy_by_length_where_a_task_extrapolates():
    logits = torch.zeros(272)
    logits[ord("1")] = 3.0
    one, zero = ord("1"), ord("0")
    targets = [[IGNORE, one, one, zero, one, zero]]
    lengths = [[40, 40, 40, 64, 128, 256]]
    metrics = measure(Constant(logits), Parity(), [batch(targets, lengths)])
    assert metrics.by_length == {40: 1.0, 64: 0.0, 128: 1.0, 256: 0.0}


@needs_native
@pytest.mark.parametrize("vocabulary", [1, 7, 16, 45, 272])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_native_counting_agrees_with_torch(vocabulary, scale):
    generator = torch.Generator().manual_seed(vocabulary)
    logits = scale * torch.randn(5, 33, vocabulary, generator=generator)
    logits[0, :9] = logits[0, :9].round()  # ties, of which the first is the answer
    targets = torch.randint(vocabulary, (5, 33), generator=generator).numpy()
    targets[0, :5] = logits[0, :5].argmax(-1).numpy()
    targets[1, ::2] = IGNORE
    asked = targets != IGNORE
    for given in (logits, logits.transpose(0, 1).contiguous().transpose(0, 1)):
        nats, hits = count_natively(given, targets, asked)
        wanted, right = count_in_torch(given, targets, asked)
        assert nats == pytest.approx(wanted, rel=1e-5)
        assert np.array_equal(hits, right)
    assert hits.sum() >= 5


@needs_native
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_native_counting_hides_no_fault(value):
    logits = torch.zeros(272)
    logits[270] = value
    with pytest.raises(TrialError, match=r"loss is (nan|inf) over 3 answer tokens"):
        measure(Constant(logits), Text(), [batch([[1, 2, 3]])], "native")


def test_every_task_that_fails_is_named():
    model = Constant(torch.full((272,), math.nan))
    with pytest.raises(TrialError) as caught:
        evaluate(model, suite("pocket"), Sentences(), Split.SELECT, 63, 500)
    message = str(caught.value)
    assert message.startswith("evaluation failed: text on split select: loss is nan over ")
    assert all(f"{name} on split select" in message for name in ("recall", "copying", "parity"))


def test_no_answer_is_a_failure():
    with pytest.raises(TrialError, match="there is no answer token; raise evaluation_tokens"):
        measure(Constant(torch.zeros(272)), Text(), [batch([[IGNORE, IGNORE]])])


def test_a_length_without_answers_is_a_failure():
    targets, lengths = [[ord("1"), ord("0")]], [[40, 64]]
    with pytest.raises(TrialError, match=r"no answer token of length \[128, 256\]"):
        measure(Constant(torch.zeros(272)), Parity(), [batch(targets, lengths)])


def test_evaluation_leaves_no_gradient_behind(sentences):
    model = Constant(nn.Parameter(torch.zeros(272)))
    mixture = Suite("text", suite("text").parts)
    evaluate(model, mixture, sentences, Split.SELECT, 63, 500)
    assert model.logits.grad is None
    assert torch.is_grad_enabled()
