"""Every cheater of the zoo is caught by the gates that have to see it."""

import pytest

from palmette.gates import GATES, check, passed
from tests.gates.zoo import ZOO

OTHER_WAYS = {"export_parity", "canary"}  # what they need is no layer: tests of their own


@pytest.mark.parametrize("name", ZOO)
def test_a_cheater_is_caught_by_the_right_gates(name):
    cheater = ZOO[name]
    results = check(cheater.subject, cheater.caught_by)
    let_pass = {result.gate: result.detail for result in results if result.passed is not False}
    assert len(results) == len(cheater.caught_by)
    assert not let_pass
    assert not passed(results)


def test_the_zoo_is_large_and_no_gate_is_idle():
    assert len(ZOO) >= 30
    assert {gate for cheater in ZOO.values() for gate in cheater.caught_by} == (
        set(GATES.names()) - OTHER_WAYS
    )
