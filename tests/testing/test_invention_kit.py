"""No check of the contract is left out for a model's file without a word."""

from pathlib import Path

import pytest
import torch

from palmette import ops
from palmette.model.stranger import conduct
from palmette.model.stranger.describe import describe
from palmette.model.stranger.source import Source
from palmette.ops._base import Widths
from palmette.tasks import VOCABULARY
from palmette.testing.invention_kit import contract
from palmette.testing.primitive_kit import CHECKS, PrimitiveKit

FILE = Path(__file__).parents[1] / "strangers" / "average.txt"


def layer(number):
    """A good layer, as a model might write it. Its text is ours, so it may run here."""
    source = Source(f"idea_{number}.py", FILE.read_text("utf-8"))
    return describe(source, None, {}, VOCABULARY)


@pytest.fixture
def own():
    made = layer(1)
    yield made
    ops.dismiss(made.name)


def test_every_check_has_a_verdict(own):
    results = contract(own)
    assert [result.gate for result in results] == [f"kit_{check.__name__}" for check in CHECKS]
    assert all(result.detail for result in results)
    assert {result.passed for result in results} == {True, None}


def test_a_broken_promise_and_an_error_are_verdicts(own):
    wrong = own.parameters.model_copy(update={"values": (1.0, 2.0, 3.0)})
    results = contract(own.model_copy(update={"parameters": wrong}))
    told = {result.gate: result.detail for result in results if result.passed is False}
    assert "kit_counted" in told
    assert all("parameters" in detail for detail in told.values())


def test_a_place_is_one_at_which_the_primitive_can_be_built():
    class Wide:
        widths = Widths(16, 32)

    class Fixed:
        widths = Widths(only=(8, 50))

    assert PrimitiveKit(Wide, ops.language()).place(12).width == 32
    assert PrimitiveKit(Fixed, ops.language()).place(12).width == 50
    assert PrimitiveKit(Fixed, ops.language()).place(99).width == 50


def test_a_replaced_function_is_seen(monkeypatch):
    before = conduct.functions()
    assert conduct.replaced(before) == []
    monkeypatch.setattr(torch.nn.functional, "softmax", torch.relu)
    monkeypatch.setattr(torch.nn.Linear, "forward", torch.relu)
    (told,) = conduct.replaced(before)
    assert "torch.nn.functional.softmax" in told
    assert "Linear.forward" in told
    assert told.endswith("; a layer may only compute")
