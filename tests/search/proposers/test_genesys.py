"""The unit-by-unit designer, played by a script."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest

from palmette.designer.endpoint import CallError, Request
from palmette.records import Thought
from palmette.search.archive import Archive
from palmette.search.proposers import NoProposalError, Proposal, Turn, genesys
from palmette.search.proposers.genesys import Genesys
from palmette.testing.proposer_kit import archive
from palmette.testing.scripted_designer import legal, scripted_studio

PLAN = {"motivation": "a mixer that forgets less", "at": "p2", "change": 0.02, "give_or_take": 0.01}


def only(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setattr(genesys, "MODES", {mode: 1.0})


def alone() -> Archive:
    """The root alone: a stack of a lin and a glu, whose place p2 is the first block."""
    known = archive(members=0)
    assert str(known.root.genome) == "lm(stack(pre(lin(erase='beta')), pre(glu())))"
    return known


def played(
    units: list[object],
    plan: dict[str, object] = PLAN,
    known: Archive | None = None,
    reason_against: Callable[[object], str | None] = lambda genome: None,
) -> tuple[Proposal | NoProposalError, list[Thought]]:
    """What comes of a plan and of units that are answered one after the other."""
    left = list(units)
    thoughts: list[Thought] = []

    def answer(model: str, request: Request) -> str | CallError:
        assert request.shape is not None
        if request.shape.name == "plan":
            return json.dumps(plan)
        if request.shape.name != "unit":
            return legal(model, request)
        unit = left.pop(0)
        return unit if isinstance(unit, CallError) else json.dumps(unit)

    studio = scripted_studio(answer, retries=1)
    object.__setattr__(studio, "note", lambda thought, prompt: thoughts.append(thought))
    try:
        turn = Turn(0, random.Random(0), 7, reason_against)
        return Genesys(studio).ask(known or alone(), turn), thoughts
    except NoProposalError as error:
        return error, thoughts


def test_a_part_is_built_unit_by_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "mutation")
    found, thoughts = played([{"node": "post"}, {"node": "lin", "erase": "beta2"}])
    assert isinstance(found, Proposal)
    assert str(found.genome) == "lm(stack(post(lin(erase='beta2')), pre(glu())))"
    assert (found.edit, found.parents) == ("replace", (alone().root.candidate.genome,))
    assert found.prediction is not None
    assert (found.prediction.low, found.prediction.high) == pytest.approx((0.01, 0.03))
    assert [t.role for t in thoughts] == ["researcher", "builder", "builder", "check", "reviewer"]
    assert thoughts[1].content == {"built": "lm(stack(post(HERE), pre(glu())))"}


def test_a_unit_that_fails_is_tried_again_with_those_before_it_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only(monkeypatch, "mutation")
    found, thoughts = played([{"node": "post"}, {"node": "seq"}, {"node": "glu", "ratio": "4"}])
    assert isinstance(found, Proposal)
    assert str(found.genome).startswith("lm(stack(post(glu(ratio=4)),")
    told = [(t.outcome, t.attempt) for t in thoughts if t.role == "builder"]
    assert told == [("fine", 1), ("invalid", 1), ("fine", 2)]
    assert thoughts[2].faults[0].startswith("$: wanted an Op, got seq(...)")


def test_a_dead_end_is_rolled_back_by_one_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "mutation")
    wrong = {"node": "lm"}
    found, _ = played([{"node": "post"}, wrong, wrong, {"node": "sandwich"}, {"node": "mlp"}])
    assert isinstance(found, Proposal)
    assert str(found.genome).startswith("lm(stack(sandwich(mlp()),")


def test_it_is_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "mutation")
    wrong = {"node": "lm"}
    found, thoughts = played([wrong, wrong])
    assert isinstance(found, NoProposalError)
    assert not found.lasting
    assert "given up after 1 dead ends: builder: no legal answer in 2 attempts" in str(found)
    assert len(thoughts) == 3
    round_trip: list[object] = [{"node": "post"}, wrong, wrong]
    found, thoughts = played(round_trip * 4)
    assert isinstance(found, NoProposalError)
    assert "given up after 4 dead ends" in str(found)


def test_what_would_get_no_trial_is_a_dead_end_too(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "mutation")
    parent_again: list[object] = [{"node": "pre"}, {"node": "lin", "erase": "beta"}]
    found, thoughts = played([*parent_again, {"node": "attn"}])
    assert isinstance(found, Proposal)
    assert str(found.genome).startswith("lm(stack(pre(attn()),")
    checks = [t for t in thoughts if t.role == "check"]
    assert [t.outcome for t in checks] == ["invalid", "fine"]
    assert "this changes nothing" in checks[0].faults[0]

    def known(genome: object) -> str | None:
        return "known" if "attn" in str(genome) else None

    units: list[object] = [{"node": "pre"}, {"node": "attn"}, {"node": "mlp"}]
    found, _ = played(units, reason_against=known)
    assert isinstance(found, Proposal)
    assert str(found.genome).startswith("lm(stack(pre(mlp()),")


def test_a_design_from_scratch_keeps_the_model_and_names_its_parent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only(monkeypatch, "scratch")
    plan = {name: value for name, value in PLAN.items() if name != "at"}
    found, _ = played([{"node": "stack", "pattern": 1}, {"node": "pre"}, {"node": "attn"}], plan)
    assert isinstance(found, Proposal)
    assert (str(found.genome), found.edit) == ("lm(stack(pre(attn())))", "rewrite")


def test_a_crossover_shows_the_other_genome_and_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "crossover")
    known = archive(members=9)
    found, thoughts = played([{"node": "post"}, {"node": "mlp"}], PLAN | {"at": "p1"}, known)
    assert isinstance(found, Proposal)
    assert (found.edit, len(found.parents)) == ("graft", 2)
    assert set(found.parents) <= set(thoughts[0].genomes)


def test_a_dead_endpoint_declines(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "mutation")
    found, _ = played([{"node": "post"}, CallError("unauthorised", "no such key")])
    assert isinstance(found, NoProposalError)
    assert found.lasting
    found, _ = played([CallError("timeout", "too slow")])
    assert isinstance(found, NoProposalError)
    assert not found.lasting
