import json
import math
import os
import subprocess
import sys
from itertools import pairwise

import pytest
import torch
from tiny import Sentences, numbers, tiny_spec
from torch import nn

from palmette.errors import PalmetteError, TrialError
from palmette.ops import forms
from palmette.ops.kernels.native.library import described, unavailable
from palmette.tasks import suite
from palmette.train.clock import Clock
from palmette.train.executor import attempt
from palmette.train.loop import (
    report_steps,
    run_trial,
    schedule,
    step_count,
    train,
)
from palmette.train.segments import weighted_loss

needs_native = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))


def test_a_tiny_genome_learns(sentences):
    result = run_trial(tiny_spec(suite="text", tokens=60 * 8 * 63), sentences)
    assert result.curve[0].loss_nats > 4.5
    assert result.curve[-1].loss_nats < 2.8
    # Twelve words, so under log2(12) bits a word of about five bytes can be reached.
    assert result.metrics["text"].bits < 4.2
    assert result.metrics["text"].score > 0.4
    assert result.select["text"].bits == pytest.approx(result.metrics["text"].bits, rel=0.1)


def test_a_result_is_complete(sentences, tmp_path):
    points = []
    spec = tiny_spec()
    result = run_trial(spec, sentences, tmp_path / "w.pt", points.append, commit="abc")
    assert set(result.metrics) == set(result.select) == {"text", "recall", "copying", "parity"}
    assert set(result.metrics["parity"].by_length) == {40, 64, 128, 256}
    assert tuple(points) == result.curve
    assert len(result.curve) == 12
    assert result.curve[-1].tokens == spec.tokens
    assert result.flops_train == 3 * result.flops_forward * spec.tokens
    assert result.fits
    assert abs(result.parameters / spec.parameters - 1) < 0.02
    assert result.commit == "abc"
    assert result.kernel == "torch"
    assert result.peak_bytes > 50e6
    assert set(result.phases) == {
        "build", "data", "forward", "backward", "optimizer", "report", "evaluation", "save",
        "other",
    }  # fmt: skip
    assert sum(result.phases.values()) == pytest.approx(result.wall_seconds, rel=0.05)
    state = torch.load(tmp_path / "w.pt")
    assert sum(t.numel() for t in state.values()) >= result.parameters
    assert result.weights == "w.pt"
    assert [p.name for p in tmp_path.iterdir()] == ["w.pt"]


def test_the_same_spec_gives_the_same_bits(sentences):
    first, other = run_trial(tiny_spec(), sentences), run_trial(tiny_spec(seed=1), sentences)
    torch.randn(1000)  # what the process did before must not matter
    assert numbers(run_trial(tiny_spec(), sentences)) == numbers(first)
    assert numbers(other) != numbers(first)


def test_a_fresh_process_gives_the_same_bits(sentences):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, __file__]
    fresh = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(fresh.stdout) == numbers(run_trial(tiny_spec(), sentences))


def test_threads_and_generator_are_left_as_they_were(sentences):
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(2)
    try:
        run_trial(tiny_spec(tokens=1), sentences)
        assert torch.get_num_threads() == 2
        assert torch.equal(torch.get_rng_state(), state)
    finally:
        torch.set_num_threads(threads)


class Breaking(nn.Module):
    """Logits that turn into `value` in the third step."""

    def __init__(self, value):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(272))
        self.value, self.calls = value, 0

    def forward(self, ids):
        self.calls += 1
        scale = self.value if self.calls == 3 else 1.0
        return self.bias.expand(*ids.shape, 272) * scale + (scale - 1.0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_divergence_stops_at_once(sentences, value):
    model = Breaking(value)
    with pytest.raises(TrialError, match=r"^diverged at 1,008 tokens: loss is nan$"):
        train(model, tiny_spec(), suite("pocket"), sentences, Clock())
    assert model.calls == 3


def test_a_huge_learning_rate_is_a_failure_and_never_a_result(sentences):
    with pytest.raises(TrialError, match=r"diverged at|evaluation failed"):
        run_trial(tiny_spec(learning_rate=1e30), sentences)


def test_what_this_version_does_not_run_is_refused(sentences):
    with pytest.raises(PalmetteError) as caught:
        run_trial(tiny_spec(device="cuda", kernel="fast", numerics=0), sentences)
    assert str(caught.value).startswith(
        "this version cannot run the trial's device 'cuda' (it runs 'cpu'), "
        "kernel 'fast' (it runs 'torch' or 'native'), numerics 0"
    )


@needs_native
def test_a_native_trial_says_what_its_kernels_are_made_with(sentences):
    spec = tiny_spec(kernel="native")
    result, torch_form = run_trial(spec, sentences), run_trial(tiny_spec(), sentences)
    assert result.kernel == "native"
    assert result.machine == f"{torch_form.machine}, kernels: {described()}"
    assert numbers(run_trial(spec, sentences)) == numbers(result)
    # Twelve steps apart by rounding alone.
    for ours, theirs in zip(result.curve, torch_form.curve, strict=True):
        assert ours.loss_nats == pytest.approx(theirs.loss_nats, rel=1e-3)


def test_a_trial_whose_kernels_cannot_be_built_has_failed(sentences, monkeypatch):
    monkeypatch.setattr(forms, "unavailable", lambda: "there is no C++ compiler")
    ended = attempt(
        lambda spec, weights, tell: run_trial(spec, sentences, weights, tell),
        tiny_spec(kernel="native"),
        None,
        lambda point: None,
    )
    assert ended.outcome == "failed"
    assert ended.reason == (
        "NativeError: native kernels are not to be had here: there is no C++ compiler"
    )


def test_an_expression_that_is_another_genome_is_refused(sentences):
    with pytest.raises(PalmetteError, match="but the spec says 00000000"):
        run_trial(tiny_spec(genome="0" * 64), sentences)


def test_the_schedule_warms_up_and_falls_to_a_tenth():
    rates = [schedule(step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert rates[9] == rates[10] == max(rates) == 1
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(0.1)
    assert schedule(0, 1) == 1


@pytest.mark.parametrize("steps", [1, 2, 31, 32, 33, 75, 1000])
def test_curves_have_at_most_32_points_and_end_with_the_last_step(steps):
    reports = report_steps(steps)
    assert len(reports) == min(steps, 32)
    assert max(reports) == steps - 1
    assert min(reports) >= 0


def test_tokens_are_rounded_to_whole_steps():
    assert step_count(tiny_spec(tokens=1)) == 1
    assert step_count(tiny_spec(tokens=10 * 8 * 63 + 200)) == 10


def test_a_sequence_counts_as_one_whatever_its_answers():
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 272)
    targets = torch.tensor([[7, -100, -100, -100, 9], [1, 2, 3, 4, 5]])
    nats = -logits.log_softmax(-1)
    first = (nats[0, 0, 7] + nats[0, 4, 9]) / 2
    second = sum(nats[1, t, t + 1] for t in range(5)) / 5
    weights = torch.tensor([3.0 / 2 / 2, 1.0 / 5 / 2])
    expected = (3 * first + second) / 2
    assert torch.allclose(weighted_loss(logits, targets, weights), expected)


if __name__ == "__main__":
    print(json.dumps(numbers(run_trial(tiny_spec(), Sentences()))))
