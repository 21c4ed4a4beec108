"""The plan-check-debug designer, played by a script."""

from __future__ import annotations

import random

import pytest

from palmette.designer.endpoint import Request
from palmette.grammar.genome import Genome
from palmette.records import Thought
from palmette.search.archive import Archive
from palmette.search.proposers import NoProposalError, Proposal, Turn, asi_arch
from palmette.search.proposers.asi_arch import AsiArch, broken_gates
from palmette.testing.proposer_kit import archive
from palmette.testing.scripted_designer import legal, scripted_studio


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gates are tested once; elsewhere they take time."""
    monkeypatch.setattr(asi_arch, "broken_gates", lambda genome: ())


def asked(
    number: int = 0, known: Archive | None = None
) -> tuple[Proposal | NoProposalError, list[Thought]]:
    thoughts: list[Thought] = []
    studio = scripted_studio()
    object.__setattr__(studio, "note", lambda thought, prompt: thoughts.append(thought))
    try:
        turn = Turn(0, random.Random(number), number)
        return AsiArch(studio).ask(known or archive(9), turn), thoughts
    except NoProposalError as error:
        return error, thoughts


def test_the_parent_is_one_of_the_ten_best_and_references_come_after_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asi_arch, "RANKS", 18)
    known = archive(24)
    ranked = [entry.candidate.genome for entry in known.best(24)]
    parents, shown = set(), set()
    for number in range(8):
        found, thoughts = asked(number, known)
        assert isinstance(found, Proposal)
        parents.add(found.parents[0])
        shown |= set(thoughts[-2].genomes)
    assert parents <= set(ranked[:10])
    assert len(parents) > 3
    assert shown & set(ranked[10:18])
    assert not shown & set(ranked[18:])


def test_faults_go_back_to_the_planner(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Genome] = []

    def broken(genome: Genome) -> tuple[str, ...]:
        seen.append(genome)
        return ("prefix: position 5 sees 6",) if len(seen) < 3 else ()

    monkeypatch.setattr(asi_arch, "broken_gates", broken)
    found, thoughts = asked()
    assert isinstance(found, Proposal)
    assert found.genome == seen[-1]
    checks = [thought for thought in thoughts if thought.role == "check"]
    assert [thought.outcome for thought in checks] == ["invalid", "invalid", "fine"]
    assert checks[0].faults == ("prefix: position 5 sees 6",)


def test_what_is_not_mended_is_not_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asi_arch, "broken_gates", lambda genome: ("batch: rows mix",))
    found, thoughts = asked()
    assert isinstance(found, NoProposalError)
    assert "not mended in 3 rounds: batch: rows mix" in str(found)
    assert sum(thought.role == "check" for thought in thoughts) == 4


def test_a_repetition_is_sent_back_and_proposed_only_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asi_arch, "NEAR", 2.0)  # everything is near
    found, thoughts = asked()
    assert isinstance(found, Proposal)
    faults = [thought.faults for thought in thoughts if thought.role == "check"]
    assert len(faults) == 4
    assert all(one[0].startswith("nearly the same was tried: lm(") for one in faults)


def test_the_planner_is_told_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asi_arch, "broken_gates", lambda genome: ("batch: rows mix",))
    prompts: list[Request] = []

    def answer(model: str, request: Request) -> str:
        prompts.append(request)
        return legal(model, request)

    with pytest.raises(NoProposalError):
        AsiArch(scripted_studio(answer)).ask(archive(9), Turn(0, random.Random(0), 0))
    last = prompts[-1].messages[-1].text
    assert "- batch: rows mix" in last
    assert "Your last edit was: " in last


def test_the_gates_are_executed() -> None:
    root = archive(0).root.genome
    assert broken_gates(root) == ()
    again = broken_gates.cache_info().hits
    assert broken_gates(root) == ()
    assert broken_gates.cache_info().hits == again + 1
