import pytest
import torch
from tiny import tiny_spec

from palmette.errors import PalmetteError
from palmette.model import build
from palmette.train import compiling
from palmette.train.compiling import CompileCost, Job, blocks, compile_blocks, worth_measuring
from palmette.train.loop import run_trial

SMALL = 5_000
TEXT = "stack(pre(conv()), pre(glu()))"


def test_the_rule_weighs_what_is_saved_against_what_is_paid():
    cost = CompileCost(30.0, 4.0, 40e-6, 30e-6)
    assert not cost.pays(2_999_990)
    assert cost.pays(3_000_010)
    assert cost.pays(1_700_010, trials=2)
    assert not cost.pays(1_699_990, trials=2)
    assert cost.break_even_tokens() == pytest.approx(3_000_000)


def test_what_saves_nothing_never_pays():
    cost = CompileCost(0.1, 0.0, 30e-6, 30e-6)
    assert not cost.pays(10**12)
    assert cost.break_even_tokens() is None


def test_short_trials_are_not_even_measured():
    assert not worth_measuring(12.0)
    assert worth_measuring(12.0, trials=3)


def test_blocks_are_the_layers_of_chains():
    model = build("stack(pre(conv()), pre(glu()))", SMALL, 64)
    assert [type(block).__name__ for block in blocks(model)] == ["PreNorm"] * len(blocks(model))
    assert len(blocks(model)) == len(model.core.layers)
    looped = build("seq(repeat(2, pre(conv()), pre(glu())), pre(glu()))", SMALL, 64)
    assert [type(block).__name__ for block in blocks(looped)] == ["PreNorm"] * 3


def test_a_model_that_cannot_be_compiled_is_as_it_was(monkeypatch):
    model = build(TEXT, SMALL, 64, seed=0)

    def refuse(self, *args, **kwargs):
        def call(*given, **named):
            raise RuntimeError("no")

        self._compiled_call_impl = call

    monkeypatch.setattr(torch.nn.Module, "compile", refuse)
    ids = torch.randint(64, (2, 9))
    before = model(ids)
    assert compile_blocks(model, 2, 9) == "RuntimeError: no"
    assert torch.equal(model(ids), before)
    assert all(p.grad is None for p in model.parameters())


def test_a_trial_says_whether_it_was_compiled(monkeypatch, sentences):
    spec = tiny_spec(kernel="torch-compiled")
    monkeypatch.setattr("palmette.train.loop.compile_blocks", lambda model, rows, length: "no")
    plain = run_trial(spec, sentences)
    assert plain.kernel == "torch"
    monkeypatch.setattr("palmette.train.loop.compile_blocks", lambda model, rows, length: None)
    compiled = run_trial(spec, sentences)
    assert compiled.kernel == "torch-compiled"
    assert compiled.metrics == plain.metrics


def test_a_measurement_has_a_plain_and_a_compiled_side(monkeypatch):
    monkeypatch.setattr(torch.nn.Module, "compile", lambda block: None)
    told = compiling._measure_here(Job(TEXT, SMALL, 64, 64, 2, 9, "torch"))
    assert told["plain"] > 0
    assert told["compiled"] > 0


def test_a_compiled_model_that_computes_something_else_is_refused(monkeypatch):
    def spoil(block):
        block._compiled_call_impl = lambda x, ids=None: 2 * x

    monkeypatch.setattr(torch.nn.Module, "compile", spoil)
    with pytest.raises(PalmetteError, match="computes something else"):
        compiling._measure_here(Job(TEXT, SMALL, 64, 64, 2, 9, "torch"))


def test_a_failed_measurement_says_why(monkeypatch):
    monkeypatch.setattr(compiling.sys, "executable", "/bin/false")
    with pytest.raises(PalmetteError, match="failed"):
        compiling.measure(Job(TEXT, SMALL, 64, 64, 2, 9, "torch"))
