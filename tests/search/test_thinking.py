import threading

import pytest

from palmette.designer.endpoint import CallError
from palmette.designer.session import StepError
from palmette.records import Thought
from palmette.search.proposers import NoProposalError
from palmette.search.thinking import Came, Noted, Thinking

PROPOSAL = object()


def came(ask):
    thinking = Thinking(1)
    thinking.begin(7, ask)
    thinking.wait(60)
    (only,) = thinking.drain()
    assert thinking.free == 1
    return only


def test_thoughts_come_before_the_proposal_that_they_led_to():
    thinking = Thinking(1)
    thoughts = [
        Thought(proposal=7, proposer="llm", role=role, outcome="fine") for role in ("a", "b")
    ]

    def ask():
        for thought in thoughts:
            thinking.note(thought, thought.role)
        return PROPOSAL

    thinking.begin(7, ask)
    found = []
    while not found or not isinstance(found[-1], Came):
        thinking.wait(60)
        found += thinking.drain()
    assert found == [*(Noted(t, t.role) for t in thoughts), Came(7, PROPOSAL)]


def test_no_more_at_once_than_are_allowed_and_nobody_waits_for_a_thread():
    thinking, go = Thinking(2), threading.Event()
    for number in (1, 2):
        thinking.begin(number, lambda: go.wait(60) and PROPOSAL)
    assert thinking.free == 0
    with pytest.raises(AssertionError, match="no thread is free"):
        thinking.begin(3, lambda: PROPOSAL)
    assert thinking.drain() == []
    assert all(t.daemon for t in threading.enumerate() if t.name in ("proposal 1", "proposal 2"))
    go.set()
    while thinking.numbers:
        thinking.wait(60)
        thinking.drain()
    assert thinking.free == 2


def step(kind):
    def ask():
        try:
            raise StepError("researcher", "no answer", CallError(kind, "no answer"))
        except StepError as error:
            raise NoProposalError("no answer", lasting=error.call.lasting) from error

    return ask


@pytest.mark.parametrize(
    ("kind", "lasting"),
    [
        ("timeout", False),
        ("rate limited", False),
        ("unauthorised", True),
        ("over budget", True),
        ("account empty", True),
    ],
)
def test_how_the_endpoint_failed_is_known(kind, lasting):
    assert came(step(kind)) == Came(7, reason="no answer", lasting=lasting, failing=kind)


def test_a_proposer_without_a_proposal_says_why():
    def ask():
        raise NoProposalError("nothing legal came", lasting=True)

    assert came(ask) == Came(7, reason="nothing legal came", lasting=True, failing=None)


@pytest.mark.parametrize("error", [KeyError("sk-secret"), SystemExit(3), MemoryError()])
def test_an_unforeseen_error_is_told_by_its_kind_and_place_alone(error):
    def ask():
        raise error

    found = came(ask)
    assert found.proposal is None
    assert found.reason.startswith(f"an error of its own: {type(error).__name__} in test_thinking")
    assert "secret" not in found.reason


def test_a_call_whose_end_nobody_hears_is_kept():
    thinking, asked, never = Thinking(2), threading.Event(), threading.Event()

    def under_way(number):
        told = Thought(proposal=number, proposer="llm", role="a", outcome="failed")
        thinking.asking(told, "told")

    def hangs():
        under_way(3)
        asked.set()
        never.wait(60)
        return PROPOSAL

    def breaks():
        under_way(4)
        raise KeyError("broken")

    thinking.begin(3, hangs)
    assert asked.wait(60)
    thinking.begin(4, breaks)
    found = []
    while thinking.numbers != {3}:
        thinking.wait(60)
        found += thinking.drain()
    found += thinking.leave()
    never.set()
    assert [item.thought.proposal for item in found if isinstance(item, Noted)] == [4, 3]
