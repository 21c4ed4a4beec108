"""All gates together: verdicts, exceptions, names; genomes as subjects."""

import dataclasses

import pytest
import torch
from torch import nn

import palmette
from palmette.errors import UnknownNameError
from palmette.gates import GATES, Subject, check, passed, subject_of
from palmette.grammar.types import Effect
from palmette.model import atlas
from palmette.records import GateResult
from palmette.testing.gate_kit import WIDTH, RunningMean, layer, model

FAST = ["future_gradient", "parameters"]


class Raises(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        raise ValueError("it is\n  broken")


def test_deltanet_passes_every_gate_that_applies():
    results = check(subject_of(atlas.load("deltanet")))
    assert [result.gate for result in results] == list(GATES.names())
    assert passed(results), [result for result in results if result.passed is False]
    assert [result.gate for result in results if result.passed is None] == ["canary"]


@pytest.mark.parametrize("name", atlas.names())
def test_the_atlas_passes_the_fast_gates(name):
    results = check(subject_of(atlas.load(name)), FAST)
    assert passed(results), [result for result in results if result.passed is False]


def test_what_raises_fails_with_the_exception_named():
    results = [result for result in check(layer(Raises)) if result.passed is not None]
    assert len(results) > 10
    assert not any(result.passed for result in results)
    told = {result.gate: result.detail for result in results}
    assert told["prefix"] == "raises ValueError: it is broken"
    assert "has no init_state and no step" in told["decode_parity"]


def test_a_promise_that_is_not_made_is_not_checked():
    subject = dataclasses.replace(layer(), promises=frozenset())
    (result,) = check(subject, ["future_change"])
    assert (result.passed, result.detail) == (None, "does not promise to be causal")


def test_nothing_applies_is_no_pass():
    assert not passed([GateResult(gate="canary", passed=None, detail="no weights")])
    assert not passed([])


def test_an_unknown_gate_is_told_with_those_that_there_are():
    with pytest.raises(UnknownNameError, match="no gate is called 'batchs'; did you mean 'batch'"):
        check(layer(), ["batchs"])


def test_a_check_leaves_torch_as_it_was():
    before = torch.get_rng_state(), torch.get_num_threads()
    check(model(), FAST)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == torch.get_num_threads()


def test_a_genome_promises_what_its_nodes_promise():
    gpt2 = subject_of(atlas.load("gpt2"))
    assert Effect.CAUSAL in gpt2.promises
    assert Effect.CONSTANT_STATE not in gpt2.promises
    assert gpt2.state_bytes(100) < gpt2.state_bytes(200)


def test_a_genome_can_be_checked_at_a_size():
    sized = subject_of(palmette.parse("stack(pre(glu()))"), parameters=50_000)
    assert abs(sized.parameters / 50_000 - 1) < 0.02
    assert sum(p.numel() for p in sized.make().parameters()) == sized.parameters


class WithDropout(RunningMean):
    def forward(self, x):
        return nn.functional.dropout(super().forward(x), 0.3, self.training)


class WithTable(RunningMean):
    """Builds a table of positions when it first meets a length."""

    table = None

    def forward(self, x):
        if self.table is None or len(self.table) < x.shape[1]:
            self.table = torch.arange(x.shape[1]).float()
        return super().forward(x) + self.table[: x.shape[1], None].to(x.dtype).cos()


class BehindAZero(RunningMean):
    """A branch that starts at nothing (ReZero)."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(WIDTH))
        self.branch = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return super().forward(x) + self.scale * self.branch(x)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(WIDTH, WIDTH, batch_first=True)

    def forward(self, x):
        return self.gru(x)[0]


class Encoder(nn.Module):
    """torch's own transformer layer, with its dropout and its mask."""

    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(WIDTH, 2, 32, 0.1, batch_first=True)

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=x.dtype)
        return self.layer(x, src_mask=mask, is_causal=True)


@pytest.mark.parametrize("cls", [WithDropout, WithTable, BehindAZero, Recurrent, Encoder])
def test_an_honest_layer_raises_no_alarm(cls):
    subject = Subject(
        make=layer(cls).make,
        takes="features",
        width=WIDTH,
        vocabulary=0,
        promises=frozenset({Effect.CAUSAL}),
    )
    results = check(subject)
    assert passed(results), [result for result in results if result.passed is False]
