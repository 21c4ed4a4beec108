"""Verdicts: every rule and every edge, on made-up figures."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palmette.exam.judge import judge, placebo_hypotheses
from palmette.exam.rule import conditions, verified_in
from palmette.records import Entry, ExamPlan, Sat, Verdict
from tests.exam import made
from tests.exam.made import drawn, entry, first, hypothesis, sat

BETTER = {"found": 0.44, "gpt2": 0.30, "deltanet": 0.40}
EQUAL = {"found": 0.40, "gpt2": 0.30, "deltanet": 0.40}
TUNED = entry("deltanet tuned", "tuned", baseline="deltanet")


def only(plan: ExamPlan, held: Sequence[Sat]) -> Verdict:
    (verdict,) = judge(plan, held).verdicts
    return verdict


def test_before_the_first_trial_everybody_is_wanted_for_the_first_look():
    judged = judge(made.plan(), [])
    assert dict(judged.wanted) == {"found": 4, "gpt2": 4, "deltanet": 4}
    assert judged.more
    assert judged.open == ("found", "gpt2", "deltanet")
    (verdict,) = judged.verdicts
    assert (verdict.verified, verdict.look, verdict.p, verdict.seeds) == (False, None, None, 0)
    assert verdict.text is None
    assert verdict.text_holds is None


def test_a_look_waits_for_the_last_of_those_concerned():
    held = first(drawn(BETTER), 4)
    late = [held[0], held[1], first([held[2]], 3)[0]]
    judged = judge(made.plan(), late)
    assert dict(judged.wanted) == {"deltanet": 4}
    assert judged.verdicts[0].look is None


def test_a_clear_advantage_is_verified_at_the_first_look():
    verdict = only(made.plan(), first(drawn(BETTER, noise=0.001), 4))
    assert (verdict.verified, verdict.look, verdict.seeds) == (True, 1, 4)
    assert verdict.p is not None
    assert verdict.p <= verdict.hypothesis.alpha
    assert [one.against for one in verdict.contrasts] == ["gpt2", "deltanet"]
    assert verdict.contrasts[1].difference is not None
    assert verdict.contrasts[1].difference.value == pytest.approx(0.04, abs=0.005)
    assert verdict.text_holds
    assert verdict.kind == "untold"


def test_who_is_beaten_early_is_not_trained_on():
    judged = judge(made.plan(), first(drawn(BETTER | {"found": 0.415}), 4))
    assert dict(judged.wanted) == {"found": 8, "deltanet": 8}
    held = drawn(BETTER | {"found": 0.415})
    mixed = [held[0], first([held[1]], 4)[0], held[2]]
    verdict = only(made.plan(), mixed)
    assert verdict.verified
    assert {one.against: one.seeds for one in verdict.contrasts}["gpt2"] == 4


def test_worse_than_one_baseline_is_hopeless_and_ends_it():
    judged = judge(made.plan(), first(drawn(EQUAL | {"found": 0.35}), 4))
    assert not judged.more
    assert not judged.verdicts[0].verified
    assert judged.verdicts[0].look == 1
    assert "hopeless" in judged.verdicts[0].sentence


def test_the_last_look_ends_it():
    p = made.plan(looks=(2, 3), shares=(0.01, 0.99), hypotheses=(hypothesis(alpha=1e-6),))
    verdict = only(p, drawn(BETTER, 3))
    assert (verdict.verified, verdict.look) == (False, 2)
    assert verdict.p is not None
    assert verdict.p > 1e-6


def test_text_that_is_worse_is_never_verified():
    held = drawn(BETTER, noise=0.001)
    worse = held[0].model_copy(update={"text_bits": tuple(b + 0.2 for b in held[0].text_bits)})
    verdict = only(made.plan(), [worse, *held[1:]])
    assert not verdict.verified
    assert verdict.text_holds is False
    assert verdict.text is not None
    assert verdict.text.difference is not None
    assert verdict.text.difference.value == pytest.approx(0.2, abs=0.02)
    assert "held-out text" in verdict.sentence


def test_text_that_is_not_told_yet_waits_for_the_next_look():
    held = drawn(BETTER, noise=0.001, text_noise=0.06, seed=3)
    judged = judge(made.plan(), first(held, 4))
    assert judged.verdicts[0].look is None
    assert set(judged.wanted.values()) == {8}


def test_tuned_baselines_sit_once_there_is_something_to_call_structural():
    p = made.plan((*made.ENTRIES, TUNED))
    held = drawn(BETTER | {TUNED.label: 0.41}, noise=0.001)
    early = judge(p, first(held[:3], 4))
    assert dict(early.wanted) == {TUNED.label: 4}
    assert early.verdicts[0].verified
    assert early.verdicts[0].kind is None
    assert only(p, first(held, 4)).kind == "structural"
    (open_,) = judge(p, first(drawn(EQUAL), 3)).verdicts
    assert TUNED.label not in [one.against for one in open_.contrasts]


def test_who_beats_only_the_defaults_has_tuned():
    p = made.plan((*made.ENTRIES, TUNED))
    verdict = only(p, drawn(BETTER | {TUNED.label: 0.47}, noise=0.001))
    assert (verdict.verified, verdict.kind) == (True, "tuning")
    assert "a matter of tuning" in verdict.sentence


def test_a_tuned_baseline_that_failed_leaves_it_untold():
    p = made.plan((*made.ENTRIES, TUNED))
    held = [*first(drawn(BETTER, noise=0.001), 4), sat(TUNED.label, (), failed=True)]
    assert only(p, held).kind == "untold"
    assert not judge(p, held).more


def test_a_baseline_that_could_not_be_trained_is_not_beaten():
    held = [*first(drawn(BETTER, noise=0.001), 4)[:2], sat("deltanet", (), failed=True)]
    judged = judge(made.plan(), held)
    assert not judged.more
    assert not judged.verdicts[0].verified
    assert judged.verdicts[0].p is None
    assert "deltanet could not be trained on every seed, so it is not beaten" in (
        judged.verdicts[0].sentence
    )


def test_a_candidate_that_could_not_be_trained_is_not_verified():
    held = drawn(BETTER, noise=0.001)
    failed = first([held[0]], 2)[0].model_copy(update={"failed": True})
    verdict = only(made.plan(), [failed, *held[1:]])
    assert not verdict.verified
    assert "it could not be trained on every seed" in verdict.sentence


def test_a_failure_after_the_verdict_does_not_change_it():
    held = drawn(BETTER, noise=0.001)
    cut = [one.model_copy(update={"failed": True}) for one in first(held, 5)]
    assert only(made.plan(), cut) == only(made.plan(), first(held, 4))


def test_without_a_baseline_nothing_is_verified():
    p = made.plan((entry("found", "candidate"),))
    judged = judge(p, [sat("found", [0.4] * 12)])
    assert not judged.more
    assert not judged.verdicts[0].verified
    assert "no human baseline sat in this league" in judged.verdicts[0].sentence


def test_a_design_against_itself_is_equal_to_the_bit():
    twin = entry("found", "candidate", expression="lm(deltanet)")
    held = drawn(EQUAL)
    same = held[2].model_copy(update={"label": "found"})
    verdict = only(made.plan((twin, *made.ENTRIES[1:])), [same, *held[1:]])
    assert not verdict.verified
    assert verdict.p == 1.0


def lean(**changes: int | float) -> tuple[Entry, ...]:
    return (entry("found", "candidate", **changes), *made.ENTRIES[1:])


@pytest.mark.parametrize(
    ("changes", "verified"),
    [({"state_bytes": 2_048}, True), ({"flops_forward": 168_000.0}, True), ({}, False)],
    ids=["half-the-state", "half-the-flops", "neither"],
)
def test_as_good_with_half_of_what_the_strongest_needs_is_efficient(changes, verified):
    p = made.plan(lean(**changes), (hypothesis(claim="efficiency"),))
    verdict = only(p, drawn(EQUAL, noise=0.002, common=0.0))
    assert verdict.verified is verified
    assert not only(p, drawn(EQUAL | {"found": 0.37}, noise=0.002)).verified
    if not verified:
        assert "it needs more beside deltanet, which may be the strongest" in verdict.sentence


def test_an_efficient_design_is_small_beside_everyone_who_may_be_the_strongest():
    """A thrifty baseline that is about as strong as the costly one that leads by luck."""
    costly = entry("costly", state_bytes=90_000, baseline="costly")
    asked = (hypothesis(claim="efficiency"),)
    plan = made.plan((*lean(state_bytes=4_096), costly), asked)
    close = only(plan, drawn(EQUAL | {"costly": 0.4005}, noise=0.004, common=0.0))
    assert not close.verified
    assert "it needs more beside deltanet, which may be the strongest" in close.sentence
    ahead = only(plan, drawn(EQUAL | {"found": 0.45, "costly": 0.45}, noise=0.004, common=0.0))
    assert ahead.verified


def test_text_is_held_to_the_error_of_its_hypothesis():
    """What is at the margin passes as often as the ledger allows, not in one case of twenty."""
    strict = made.plan(hypotheses=(hypothesis(alpha=1e-4),))
    (text, *_) = [one for one in conditions(strict, strict.hypotheses[0]) if one.measure == "text"]
    assert text.alpha == 1e-4


def test_leagues_are_judged_apart():
    hybrid = entry("hybrid", constant_state=False, state_bytes=90_000)
    both = (hypothesis(), hypothesis(number=2, league="constant-state"))
    p = made.plan((*made.ENTRIES, hybrid), both)
    judged = judge(p, drawn(BETTER | {"hybrid": 0.50}, noise=0.001))
    assert [one.verified for one in judged.verdicts] == [False, True]
    assert [len(one.contrasts) for one in judged.verdicts] == [3, 2]


def test_a_baseline_stretched_for_a_candidate_is_for_it_alone():
    longer = entry("deltanet long", stretch=1.5, matches="found", baseline="deltanet")
    other = entry("other", "candidate")
    p = made.plan(
        (*made.ENTRIES, longer, other), (hypothesis(), hypothesis("other", 2)), paired=True
    )
    judged = judge(p, drawn(BETTER | {"deltanet long": 0.5, "other": 0.44}, noise=0.001))
    assert [one.verified for one in judged.verdicts] == [False, True]


PLACEBO = entry("deltanet again", "placebo", expression="lm(deltanet)", replica=1)


def test_a_placebo_is_judged_as_a_candidate_is_and_never_paired():
    p = made.plan((*made.ENTRIES, PLACEBO), (hypothesis(alpha=0.02),))
    (asked,) = placebo_hypotheses(p)
    assert (asked.number, asked.candidate, asked.alpha) == (0, PLACEBO.label, 0.02)
    judged = judge(p, drawn(EQUAL | {PLACEBO.label: 0.5}, noise=0.001))
    (verdict,) = judged.placebos
    assert verdict.verified  # so that a placebo which does get through is counted
    assert not any(one.paired for one in verdict.contrasts)
    assert all(one.paired for one in judged.verdicts[0].contrasts)


def test_a_design_that_is_no_baseline_is_no_placebo():
    root = entry("root again", "placebo", replica=1)
    assert placebo_hypotheses(made.plan((*made.ENTRIES, root))) == ()


def test_an_open_placebo_keeps_the_exam_going():
    p = made.plan((*made.ENTRIES, PLACEBO))
    held = first(drawn(EQUAL | {"found": 0.2, PLACEBO.label: 0.41}, noise=0.005, seed=5), 4)
    judged = judge(p, held)
    assert judged.verdicts[0].look == 1
    assert set(judged.wanted) <= {PLACEBO.label, "deltanet", "gpt2"}
    assert judged.more


def test_unpaired_plans_use_welch():
    verdict = only(made.plan(paired=False), drawn(BETTER, noise=0.001, common=0.0))
    assert verdict.verified
    assert not any(one.paired for one in verdict.contrasts)


def test_paired_entries_share_their_seeds():
    held = first(drawn(BETTER), 4)
    other = held[0].model_copy(update={"seeds": (1, 2, 3, 4)})
    with pytest.raises(AssertionError, match="are paired and have other seeds"):
        judge(made.plan(), [other, *held[1:]])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"shares": (0.1, 0.5, 1.0)}, "1 together"),
        ({"shares": (1.0,)}, "every look has its share"),
        ({"looks": (1, 2, 3)}, "after one seed"),
        ({"looks": (8, 4, 12)}, "looks rise"),
    ],
    ids=["cumulative", "too-few", "one-seed", "falling"],
)
def test_a_plan_that_cannot_be_judged_is_refused(changes, told):
    with pytest.raises(AssertionError, match=told):
        judge(made.plan(**changes), [])


LABELS = ("found", "gpt2", "deltanet", "hybrid", TUNED.label, PLACEBO.label)
MANY = (*made.ENTRIES, entry("hybrid", constant_state=False), TUNED, PLACEBO)
ASKED = (
    hypothesis(alpha=0.2),
    hypothesis(number=2, league="constant-state", alpha=0.1),
    hypothesis(number=3, claim="efficiency", alpha=0.1),
)


@st.composite
def exams(draw: st.DrawFn) -> tuple[ExamPlan, list[Sat]]:
    """Exams in which all outcomes are likely."""
    means = {label: draw(st.integers(0, 6)) / 100 for label in LABELS}
    means["found"] += draw(st.integers(0, 4)) / 100
    p = made.plan(MANY, ASKED, paired=draw(st.booleans()), text_margin_bits=0.01)
    return p, drawn(means, noise=0.008, text_noise=0.008, seed=draw(st.integers(0, 10_000)))


@settings(max_examples=25, deadline=None)
@given(exams())
def test_judge_and_the_rule_for_many_exams_agree(exam: tuple[ExamPlan, list[Sat]]) -> None:
    p, held = exam
    scores = {one.label: np.array([one.scores]) for one in held}
    text = {one.label: np.array([one.text_bits]) for one in held}
    for verdict in judge(p, held).verdicts:
        (same,) = verified_in(p, verdict.hypothesis, scores, text)
        if verdict.hypothesis.claim == "score":
            assert verdict.verified == same
        else:
            assert same or not verdict.verified


@settings(max_examples=25, deadline=None)
@given(exams(), st.lists(st.integers(0, 12), min_size=6, max_size=6), st.integers(0, 8))
def test_what_was_said_stands_whatever_comes_later(
    exam: tuple[ExamPlan, list[Sat]], had: list[int], more: int
) -> None:
    p, held = exam
    part = [first([one], n)[0] for one, n in zip(held, had, strict=True) if n]
    later = [
        first([one], min(12, n + more))[0] for one, n in zip(held, had, strict=True) if n + more
    ]
    before, after = judge(p, part), judge(p, later)
    pairs = [*zip(before.verdicts, after.verdicts, strict=True)]
    for old, new in (*pairs, *zip(before.placebos, after.placebos, strict=True)):
        if old.look is not None:
            kept = {"verified", "p", "look", "seeds", "text", "text_holds"}
            assert old.model_dump(include=kept) == new.model_dump(include=kept)
        if old.kind is not None:
            assert old == new


@settings(max_examples=20, deadline=None)
@given(exams(), st.randoms(use_true_random=False))
def test_the_order_of_entries_says_nothing(exam: tuple[ExamPlan, list[Sat]], random) -> None:
    p, held = exam
    entries, results = list(p.entries), list(held)
    random.shuffle(entries)
    random.shuffle(results)
    other = judge(p.model_copy(update={"entries": tuple(entries)}), results)
    kept = {"verified", "kind", "p", "look", "seeds", "text_holds", "carries"}
    for one, same in zip(judge(p, held).verdicts, other.verdicts, strict=True):
        assert one.model_dump(include=kept) == same.model_dump(include=kept)


@settings(max_examples=25, deadline=None)
@given(exams())
def test_giving_what_is_wanted_always_comes_to_an_end(exam: tuple[ExamPlan, list[Sat]]) -> None:
    """What is wanted leads to the verdicts of everybody trained to the end."""
    p, held = exam
    whole = {one.label: one for one in held}
    have: dict[str, int] = {}
    for _ in range(3 * len(p.looks)):
        judged = judge(p, [first([whole[label]], n)[0] for label, n in have.items()])
        if not judged.more:
            break
        assert all(seeds > have.get(label, 0) for label, seeds in judged.wanted.items())
        have.update(judged.wanted)
    assert not judged.more
    kept = {"verified", "kind", "p", "look"}
    for one, full in zip(judged.verdicts, judge(p, held).verdicts, strict=True):
        assert one.look is not None
        assert (one.kind is None) == (not one.verified)
        assert one.model_dump(include=kept) == full.model_dump(include=kept)
