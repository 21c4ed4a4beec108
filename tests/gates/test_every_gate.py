"""Every gate, those of installed packages too, keeps the contract of the kit."""

import dataclasses

import pytest

from palmette.gates import GATES, Gate, GateFailure, subject_of
from palmette.model import atlas
from palmette.testing import gate_kit as kit
from palmette.testing.gate_kit import CHECKS, GateError, GateKit
from tests.gates.trained import GENOME, untrained
from tests.gates.zoo import ZOO


def cheater_for(gate):
    if gate == "canary":
        return subject_of(GENOME, trained=untrained())
    if gate == "export_parity":  # its file is exported from another genome
        return dataclasses.replace(subject_of(atlas.load("gpt2")), genome=atlas.load("llama"))
    return next(each.subject for each in ZOO.values() if gate in each.caught_by)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.name)
def test_it_keeps_the_contract(gate, check):
    check(GateKit(gate, cheaters=[cheater_for(gate.name)]))


class Faulty(Gate):
    """A gate that does as its test says."""

    name = "faulty"
    verdict = staticmethod(lambda: "fine")

    def check(self, subject):
        return self.verdict()


def raising():
    raise GateFailure("no")


@pytest.mark.parametrize(
    ("check", "verdict", "sentence"),
    [
        (kit.lets_pass, raising, "fails an honest features: no"),
        (kit.lets_pass, lambda: " ", "wants a detail"),
        (kit.catches, lambda: "fine", "lets cheater 0 pass: fine"),
        (kit.documented, lambda: "fine", "stands in test_every_gate.py"),
    ],
)
def test_the_kit_can_fail(check, verdict, sentence):
    fields = {"verdict": staticmethod(verdict), "__doc__": "A gate.", "__module__": __name__}
    gate = type("Broken", (Faulty,), fields)
    with pytest.raises(GateError, match=sentence):
        check(GateKit(gate, cheaters=[kit.layer()]))


def test_the_kit_sees_a_gate_that_draws_numbers_of_its_own():
    numbers = iter(range(9))
    gate = type("Moody", (Faulty,), {"verdict": staticmethod(lambda: f"{next(numbers)}")})
    with pytest.raises(GateError, match="says '0' first and '1' then"):
        kit.leaves_no_trace(GateKit(gate, cheaters=()))


def test_the_kit_wants_a_cheater():
    with pytest.raises(GateError, match="a gate that nothing fails is none"):
        kit.catches(GateKit(Faulty, cheaters=()))
