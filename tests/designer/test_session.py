import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palmette.designer.endpoint import Answer, CallError, Message, Shape
from palmette.designer.money import Ledger, ModelBudget
from palmette.designer.prices import Price
from palmette.designer.session import (
    LEAST_ANSWER,
    MESSAGE_TOKENS,
    Session,
    StepError,
    Studio,
    UnreadableError,
    answer_tokens,
    prompt_tokens,
)
from palmette.records import DesignerConfig
from palmette.testing.scripted import Scripted

SHAPE = Shape("number", {"type": "integer"})
ASKED = (Message("system", "You count."), Message("user", "A number, please."))


def session(answer, budget=None, **config):
    says = iter(answer) if isinstance(answer, list) else None
    endpoint = Scripted((lambda model, request: next(says)) if says else answer)
    noted = []
    studio = Studio(
        endpoint,
        DesignerConfig(models=("scripted",), **config),
        Ledger(budget),
        lambda thought, prompt: noted.append((thought, prompt)),
    )
    return Session(studio, 3, "llm", "scripted", random.Random(0)), endpoint, noted


def number(text):
    try:
        return int(text)
    except ValueError as error:
        raise UnreadableError([f"wanted a number, got {text[:20]}"]) from error


def size(request):
    return request.tokens + request.most_tokens + MESSAGE_TOKENS * len(request.messages)


def test_an_answer_is_read_and_kept():
    own, _, noted = session(["7"])
    said = own.ask(
        "researcher",
        ASKED,
        number,
        SHAPE,
        cards=["a"],
        genomes=["b"],
        content=lambda meant: {"n": meant},
        origin=lambda meant: "knowledge",
    )
    assert said == 7
    ((thought, prompt),) = noted
    assert own.thoughts == [thought]
    assert (thought.outcome, thought.content, thought.origin) == ("fine", {"n": 7}, "knowledge")
    assert (thought.cards, thought.genomes, thought.form) == (("a",), ("b",), "schema")
    assert prompt == "[system]\nYou count.\n\n[user]\nA number, please."


def test_a_wrong_answer_is_told_with_its_faults_and_asked_again():
    own, endpoint, noted = session(["seven", "7"])
    assert own.ask("researcher", ASKED, number) == 7
    told = endpoint.requests[1].messages
    assert told[:2] == ASKED
    assert told[2] == Message("assistant", "seven")
    assert "- wanted a number, got seven" in told[3].text
    assert [thought.outcome for thought, _ in noted] == ["invalid", "fine"]
    assert [thought.attempt for thought, _ in noted] == [1, 2]


def test_whoever_makes_the_same_fault_again_is_asked_afresh():
    own, endpoint, _ = session(["seven", "seven", "eight", "8"])
    assert own.ask("researcher", ASKED, number) == 8
    shown = [request.messages for request in endpoint.requests]
    assert shown[2] == ASKED
    assert [len(messages) for messages in shown] == [2, 4, 2, 4]
    assert shown[3][2] == Message("assistant", "eight")


def test_after_the_last_retry_the_step_fails_and_all_thoughts_are_there():
    own, _, noted = session(lambda model, request: "never", retries=2)
    with pytest.raises(StepError, match=r"researcher: no legal answer in 3 attempts: wanted a num"):
        own.ask("researcher", ASKED, number)
    assert len(noted) == 3


def test_no_answer_is_a_thought_too():
    own, _, noted = session([CallError("timeout", "no answer within 5 s", tokens_in=9)])
    with pytest.raises(StepError) as caught:
        own.ask("researcher", ASKED, number)
    assert caught.value.call.kind == "timeout"
    ((thought, _),) = noted
    assert (thought.outcome, thought.tokens_in) == ("failed", 9)
    assert thought.faults == ("no answer within 5 s",)


def test_of_thousands_of_faults_the_first_are_kept_and_told():
    def read(text):
        raise UnreadableError([f"fault {n} {'x' * 5000}" for n in range(5000)])

    own, _, noted = session(lambda model, request: "hm", retries=1)
    with pytest.raises(StepError, match=r"fault 0 .*fault 2 .*; and more$") as caught:
        own.ask("researcher", ASKED, read)
    assert len(str(caught.value)) < 2000
    assert all(sum(map(len, thought.faults)) <= 40_000 for thought, _ in noted)
    assert noted[0][0].faults[0].startswith("fault 0")


@pytest.mark.parametrize("kind", ["timeout", "refused"])
def test_no_answer_is_paid_all_the_same(kind):
    own, _, noted = session([CallError(kind, "no", tokens_in=9_000, tokens_out=1_000)])
    own.studio.ledger.prices = {"scripted": Price(1.0, 2.0)}
    with pytest.raises(StepError):
        own.ask("researcher", ASKED, number)
    ((thought, _),) = noted
    assert thought.usd == own.studio.ledger.spent_usd == pytest.approx(0.011)


def test_a_spent_budget_asks_nothing():
    own, endpoint, _ = session(["7"], budget=ModelBudget.parse("10tokens"))
    with pytest.raises(StepError, match="budget of 10tokens is spent"):
        own.ask("researcher", ASKED, number)
    assert endpoint.requests == []


def test_a_cut_answer_says_so():
    cut = Answer("{", "scripted", "text", 5, 40, counted=True, seconds=0.0, cut=True)
    own, endpoint, _ = session([cut, "7"])
    assert own.ask("researcher", ASKED, number) == 7
    assert "- the answer was cut after 40 tokens" in endpoint.requests[1].messages[-1].text


@given(
    st.integers(300, 4000),
    st.integers(1, 6000),
    st.lists(st.integers(0, 800), min_size=1, max_size=12),
    st.integers(0, 30_000),
)
@settings(max_examples=60, derandomize=True, deadline=None)
def test_no_request_exceeds_the_context(context, answer, faults, length):
    def refuse(text):
        raise UnreadableError(["x" * size for size in faults])

    own, endpoint, _ = session(
        lambda model, request: "y" * length,
        context_tokens=context,
        answer_tokens=answer,
        retries=1,
    )
    room = prompt_tokens(own.studio.config)
    messages = (Message("system", "a" * 60), Message("user", "b" * (3 * (room - 20))))
    with pytest.raises(StepError):
        own.ask("researcher", messages, refuse)
    assert endpoint.requests
    assert all(size(request) <= context for request in endpoint.requests)
    assert endpoint.requests[0].most_tokens == answer_tokens(own.studio.config)


def test_what_does_not_fit_is_cut_from_the_repeated_answer_first():
    own, endpoint, _ = session(["z" * 9000, "7"], context_tokens=900, answer_tokens=200)
    assert own.ask("researcher", ASKED, number) == 7
    repeated, told = endpoint.requests[1].messages[2:]
    assert repeated.text.endswith("z ...")
    assert "wanted a number" in told.text
    assert endpoint.requests[1].most_tokens == 200


def test_without_room_for_it_no_answer_is_repeated():
    own, endpoint, _ = session(["z" * 9000, "7"], context_tokens=320, answer_tokens=200)
    long = (*ASKED[:1], Message("user", "b" * 390))
    assert own.ask("researcher", long, number) == 7
    assert [message.speaker for message in endpoint.requests[1].messages] == ["system", "user"]
    assert endpoint.requests[1].messages[1].text.startswith("b" * 390 + "\n\nThat answer cannot")


def test_a_prompt_that_leaves_no_room_is_a_clear_failure():
    own, endpoint, _ = session(["7"], context_tokens=300)
    with pytest.raises(StepError, match=r"leaves no room for an answer in a context of 300"):
        own.ask("researcher", (Message("user", "b" * 900),), number)
    assert endpoint.requests == []
    assert LEAST_ANSWER < answer_tokens(own.studio.config) < 300


def test_checks_and_lacks_are_noted():
    own, _, noted = session(["7"])
    own.check((), {"genome": "a"})
    own.check(("known",), {})
    own.lack("no vectors")
    told = [(thought.role, thought.outcome, thought.faults) for thought, _ in noted]
    assert told == [
        ("check", "fine", ()),
        ("check", "invalid", ("known",)),
        ("check", "failed", ("no vectors",)),
    ]
    assert all(prompt is None for _, prompt in noted)
