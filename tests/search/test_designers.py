"""Campaigns with designers, whose models are scripts and whose trials are made up."""

import random
import threading
import time
from collections import Counter
from dataclasses import replace

import pytest

from palmette.designer.endpoint import Answer, CallError
from palmette.search import grow, mixture
from palmette.search.designs import ASKED, DECLINED, RESTS, SPENT
from palmette.search.start import Plan, prepare
from palmette.testing.scripted import Scripted
from palmette.testing.scripted_designer import legal
from tests.search.designers import CONFIG, Other, Tiny, among, known, run, wait_for, yes
from tests.search.test_scheduler import facts, made_up


@pytest.fixture(scope="module")
def ground():
    made = prepare(Plan(suite="parity", kernel="torch"))
    rungs = made.scale.rungs[:2]
    return replace(
        made, scale=replace(made.scale, rungs=rungs, baselines=("gpt2",), patience=4, gate=0.0)
    )


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    known(monkeypatch, Tiny, Other)


def slowly(model, request):
    """Takes as long as it happens to take."""
    time.sleep(random.random() / 50)
    return "yes"


def test_killed_or_not_the_tree_is_the_same_and_so_is_all_that_designers_saw(
    ground, tmp_path, monkeypatch
):
    monkeypatch.setattr(grow, "BEAT_SECONDS", 0.02)
    both = among(ground, "tiny", "evolution")
    both = replace(both, scale=replace(both.scale, islands=2, placebo_every=3))
    whole = run(both, tmp_path / "whole.db", "6genomes")
    path = tmp_path / "killed.db"
    for session in range(3):
        hangs, never = threading.Event(), threading.Event()

        def answers(model, request, session=session, hangs=hangs, never=never):
            if session in (0, 2) and "reviewer" in request.messages[0].text:
                hangs.set()  # killed within the first proposal of this session
                never.wait(60)
            return slowly(model, request)

        left = iter(range(4))

        def dies(session=session, hangs=hangs, left=left):
            if hangs.is_set() or (session == 1 and next(left, None) is None):
                raise KeyboardInterrupt

        def trains(spec, weights, tell, dies=dies):
            dies()
            return made_up(spec, weights, tell)

        with pytest.raises(KeyboardInterrupt):
            run(both, path, "6genomes", answers, trains, beat=dies)
        never.set()
    killed = run(both, path, "6genomes", slowly)
    assert facts(killed.candidates, killed.trials) == facts(whole.candidates, whole.trials)
    assert [c.proposal for c in whole.candidates[2:]] == list(range(len(whole.candidates) - 2))
    again = [own for own in killed.of(ASKED) if own["lost"]]
    assert again, "no proposal was interrupted; the test shows nothing"
    lost = {place for own in again for place in own["lost"]}
    kept = [t.prompt for place, t in enumerate(killed.thoughts) if place not in lost]
    assert kept == [t.prompt for t in whole.thoughts]


def test_a_number_belongs_to_one_proposal_declined_ones_included(ground, tmp_path):
    answers = iter(["no", "yes", "yes", "yes", "no", *["yes"] * 20])
    ended = run(
        among(ground, "tiny", "evolution"),
        tmp_path / "p.db",
        "5genomes",
        lambda m, r: next(answers),
    )
    declined = [own["proposal"] for own in ended.of(DECLINED)]
    used = declined + [c.proposal for c in ended.candidates if c.proposal is not None]
    refused = [own for own in ended.of(DECLINED) if "wants yes, got no" in own["reason"]]
    assert len(refused) == 2
    assert sorted(used) == list(range(len(used)))
    assert {t.proposal for t in ended.thoughts} == {*declined, *ended.numbers("tiny")}


def test_turns_give_every_proposer_equally_many(ground, tmp_path):
    mixed = among(ground, "evolution", "tiny", "random")
    mixed = replace(mixed, scale=replace(mixed.scale, islands=2, placebo_every=0))
    ended = run(mixed, tmp_path / "p.db", "6genomes")
    found = [c for c in ended.candidates if c.role == "found"]
    assert [c.proposer for c in found] == [
        name for name in ("evolution", "tiny", "random") for _ in "ab"
    ]
    assert [c.island for c in found] == [0, 1] * 3


def test_a_dead_endpoint_costs_no_trial_and_the_others_go_on(ground, tmp_path):
    dead = Scripted(lambda model, request: CallError("unreachable", "nobody is there"))
    ended = run(among(ground, "tiny", "evolution"), tmp_path / "p.db", "5genomes", dead)
    assert {t.state for t in ended.trials} == {"done"}
    assert len(ended.numbers("evolution")) == 5
    assert [own["failing"] for own in ended.of(DECLINED)] == ["unreachable"] * len(dead.requests)
    assert [own["proposals"] for own in ended.of(RESTS)] == [1, 3, 7][: len(dead.requests)]
    assert len(dead.requests) == 3
    assert ended.state == "finished"


def test_only_designers_and_nobody_answers(ground, tmp_path, monkeypatch):
    monkeypatch.setattr(mixture, "REST_SECONDS", 0.0)
    dead = Scripted(lambda model, request: CallError("timeout", "it takes too long"))
    ended = run(among(ground, "tiny"), tmp_path / "p.db", "8genomes", dead)
    assert len(dead.requests) == mixture.PATIENCE
    told = "tiny: it had no answer 8 times in a row, the last: researcher: it takes too long"
    assert told in ended.scheduler.ending
    assert {t.state for t in ended.trials} == {"done"}
    assert {t.spec.rung for t in ended.trials} == {rung.name for rung in ground.scale.rungs}


def test_only_a_designer_whose_budget_is_spent(ground, tmp_path):
    tokens = "6k-tokens"
    alone = among(ground, "tiny")
    path = tmp_path / "p.db"
    ended = run(alone, path, "30genomes", tokens=tokens)
    assert ended.state == "finished"
    assert ended.of(SPENT) == [{"budget": tokens}]
    assert f"tiny: the models' budget of {tokens} is spent" in ended.scheduler.ending
    found = ended.numbers("tiny")
    assert 0 < len(found) < 30
    assert {t.state for t in ended.trials} == {"done"}
    assert {t.spec.rung for t in ended.trials} == {rung.name for rung in ground.scale.rungs}
    again = run(alone, path, "30genomes", tokens=tokens)
    assert facts(again.candidates, again.trials) == facts(ended.candidates, ended.trials)
    assert len(again.events) == len(ended.events)
    more = run(alone, path, "30genomes", tokens="8k-tokens")
    assert len(more.numbers("tiny")) > len(found)
    assert sum(t.tokens_in + t.tokens_out for t in more.thoughts) <= 8_000


def test_an_empty_account_is_not_the_campaigns_budget(ground, tmp_path):
    empty = Scripted(lambda model, request: CallError("account empty", "nothing left to spend"))
    both, path = among(ground, "tiny", "evolution"), tmp_path / "p.db"
    ended = run(both, path, "3genomes", empty, tokens="200k-tokens")
    assert len(empty.requests) == 1
    assert ended.of(SPENT) == []
    paid = run(both, path, "8genomes", tokens="200k-tokens")
    assert paid.numbers("tiny")


def test_a_refused_key_ends_a_designer_and_the_others_go_on(ground, tmp_path):
    refused = Scripted(lambda model, request: CallError("unauthorised", "the key is refused"))
    ended = run(among(ground, "tiny", "evolution"), tmp_path / "p.db", "5genomes", refused)
    assert len(refused.requests) == 1
    assert len(ended.numbers("evolution")) == 5
    assert ended.scheduler.ending is None


class Patient:
    """An executor that trains at once, two at a time, and whose `wait` never blocks."""

    workers = 2

    def __init__(self, runner=made_up):
        self.runner = runner
        self.progress = {}
        self.running = []

    @property
    def free(self):
        return 2 - len(self.running)

    def submit(self, spec, weights=None):
        self.running.append(spec)

    def wait(self, timeout=None):
        from palmette.train.executor import Finished

        done, self.running = self.running, []
        return [
            Finished(s.key, "done", self.runner(s, None, lambda point: None), None, 0.0)
            for s in done
        ]

    def admit(self, stranger):
        raise AssertionError("nobody invents here")

    def kill(self, key):
        raise AssertionError("nobody kills here")

    def close(self):
        self.running = []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


def test_a_slow_endpoint_keeps_nobody_from_working(ground, tmp_path):
    """The first thought lasts until evolution has proposed four; it is used all the same."""
    go, genomes = threading.Event(), set()

    def waits(model, request):
        wait_for(go)
        return "yes"

    def runner(spec, weights, tell):
        genomes.add(spec.genome)
        if len(genomes) >= 6:  # the root, a baseline and four of evolution's
            go.set()
        return made_up(spec, weights, tell)

    ended = run(
        among(ground, "tiny", "evolution"), tmp_path / "p.db", "8genomes", waits,
        workers=2, executor=Patient(runner),
    )  # fmt: skip
    assert ended.numbers("tiny")
    assert min(ended.numbers("tiny")) == 0
    assert len(ended.numbers("evolution")) >= 4
    assert len(ended.numbers("tiny")) + len(ended.numbers("evolution")) == 8


def test_two_designers_think_at_once_and_no_more_than_there_are_workers(ground, tmp_path):
    both = threading.Barrier(2, timeout=60)
    passed = threading.Event()

    def together(model, request):
        if not passed.is_set():
            both.wait()
            passed.set()
        return "yes"

    class Two(Scripted):
        def ask(self, model, request):
            said = together(model, request)
            return Answer(said, model, "text", 10, 1, counted=True, seconds=0.5)

    ended = run(
        among(ground, "tiny", "other"), tmp_path / "p.db", "4genomes", Two(yes),
        workers=2, executor=Patient(),
    )  # fmt: skip
    found = Counter(c.proposer for c in ended.candidates if c.role == "found")
    assert found.total() == 4
    assert set(found) == {"tiny", "other"}


def test_an_error_of_a_designers_own_is_a_declined_proposal(ground, tmp_path):
    def breaks(model, request):
        raise KeyError("sk-a-secret")

    ended = run(among(ground, "tiny", "evolution"), tmp_path / "p.db", "4genomes", breaks)
    declined = ended.of(DECLINED)
    assert declined
    assert all(
        "an error of its own: KeyError in test_designers.py" in d["reason"] for d in declined
    )
    assert "sk-a-secret" not in str(ended.events)
    assert len(ended.numbers("evolution")) == 4


def test_a_designer_that_never_comes_to_anything_ends(ground, tmp_path, monkeypatch):
    monkeypatch.setattr(mixture, "FRUITLESS", 5)
    ended = run(among(ground, "tiny"), tmp_path / "p.db", "4genomes", lambda m, r: "no")
    assert len(ended.of(DECLINED)) == 5
    assert "tiny: 5 proposals in a row came to nothing, the last: researcher: no legal answer" in (
        ended.scheduler.ending
    )
    assert ended.state == "finished"


def test_the_bandit_prefers_whoever_brings_something(ground, tmp_path):
    """A designer that comes to nothing and takes its time is asked less and less."""
    slow = Answer("no", "scripted", "text", 1, 1, counted=True, seconds=30.0)
    ended = run(
        among(ground, "evolution", "tiny", mix="bandit"), tmp_path / "p.db", "8genomes",
        lambda model, request: slow,
    )  # fmt: skip
    assert len(ended.numbers("evolution")) == 8
    assert 0 < len(ended.of(DECLINED)) < 6


def test_an_interrupt_waits_for_no_call_and_keeps_what_was_thought(ground, tmp_path):
    asked, never = threading.Event(), threading.Event()

    def hangs(model, request):
        if "researcher" in request.messages[0].text:
            return "yes"
        asked.set()
        never.wait(60)
        return "yes"

    def interrupted(spec, weights, tell):
        if asked.is_set():
            raise KeyboardInterrupt
        return made_up(spec, weights, tell)

    def beat():
        if asked.is_set():
            raise KeyboardInterrupt

    path = tmp_path / "p.db"
    alone = among(ground, "tiny")
    with pytest.raises(KeyboardInterrupt):
        run(alone, path, "3genomes", hangs, interrupted, beat=beat)
    never.set()
    ended = run(alone, path, "3genomes")
    assert [own["proposal"] for own in ended.of(ASKED)][:2] == [0, 0]
    assert ended.of(ASKED)[1]["lost"] == [0, 1]
    heard, unheard = ended.thoughts[:2]
    assert (heard.role, unheard.role) == ("researcher", "reviewer")
    assert unheard.faults[0].startswith("how this call ended was not heard")
    assert unheard.tokens_in > 0
    assert unheard.tokens_out == CONFIG.answer_tokens
    screened = [own["proposal"] for own in ended.of(DECLINED)]
    assert sorted([*ended.numbers("tiny"), *screened]) == list(range(3 + len(screened)))


def test_the_proposer_llm_grows_the_same_tree_killed_or_not(ground, tmp_path, monkeypatch):
    """With an analyst that looks back at results, thoughts are not only of their own proposal."""
    monkeypatch.setattr(grow, "BEAT_SECONDS", 0.02)
    both = among(ground, "llm", "evolution")
    both = replace(both, scale=replace(both.scale, islands=2))
    whole = run(both, tmp_path / "whole.db", "6genomes", legal)
    assert {t.role for t in whole.thoughts} >= {"researcher", "reviewer", "analyst", "check"}
    path = tmp_path / "killed.db"
    hangs, never = threading.Event(), threading.Event()

    def answers(model, request):
        said = legal(model, request)
        if len(endpoint.requests) > 7:
            hangs.set()
            never.wait(60)
        return said

    def dies():
        if hangs.is_set():
            raise KeyboardInterrupt

    endpoint = Scripted(answers)
    with pytest.raises(KeyboardInterrupt):
        run(both, path, "6genomes", endpoint, beat=dies)
    never.set()
    killed = run(both, path, "6genomes", legal)
    assert facts(killed.candidates, killed.trials) == facts(whole.candidates, whole.trials)
    lost = {place for own in killed.of(ASKED) for place in own["lost"]}
    assert lost
    kept = [t.prompt for place, t in enumerate(killed.thoughts) if place not in lost]
    assert kept == [t.prompt for t in whole.thoughts]
