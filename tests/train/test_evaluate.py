import math

import numpy as np
import pytest
import torch
from tiny import Sentences
from torch import nn

from palmette.errors import TrialError
from palmette.tasks import IGNORE, Batch, Parity, Split, Suite, Text, suite
from palmette.train.evaluate import evaluate, measure


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
