"""The rule of the looks, on simulated exams whose truth is known."""

import math

import numpy as np
import pytest

from palmette.exam.rule import Condition, conditions, least_p, verified_in
from palmette.ladder.statistics import power_of
from palmette.records import ExamPlan, Hypothesis
from tests.exam import made

EXAMS = 6_000
RIVALS = ("gpt2", "deltanet", "hybrid")
ALL = (made.entry("found", "candidate"), *(made.entry(name) for name in RIVALS))


def world(
    plan: ExamPlan,
    means: tuple[float, ...],
    effect: float,
    common: float = 1.0,
    noise: float = 1.0,
    exams: int = EXAMS,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Scores of the baselines and of a candidate that is `effect` above the highest."""
    rng = np.random.default_rng(seed)
    shape = (exams, plan.looks[-1])
    shared = rng.normal(0, common, shape)
    levels = dict(zip(RIVALS, means, strict=True)) | {"found": max(means) + effect}
    return {label: level + shared + rng.normal(0, noise, shape) for label, level in levels.items()}


def highest(alpha: float) -> float:
    """What a rate of at most alpha stays below, but for one run in ten thousand."""
    return alpha + 3.7 * math.sqrt(alpha * (1 - alpha) / EXAMS)


@pytest.mark.parametrize("paired", [True, False], ids=["paired", "apart"])
@pytest.mark.parametrize(
    "means",
    [(0.0, 0.0, 0.0), (0.0, -30.0, -30.0), (0.0, -0.2, -1.0)],
    ids=["all-equal", "one-strong", "spread"],
)
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_nothing_is_verified_more_often_than_alpha(
    means: tuple[float, ...], paired: bool, alpha: float
) -> None:
    asked = made.hypothesis(alpha=alpha)
    plan = made.plan(ALL, (asked,), paired=paired)
    common = 1.0 if paired else 0.0
    rate = verified_in(plan, asked, world(plan, means, 0.0, common), None).mean()
    assert rate <= highest(alpha)
    if means[1] == -30.0:
        assert rate > 0.5 * alpha  # the least favourable case comes close: nothing is given away


def test_one_look_has_the_power_that_is_declared() -> None:
    asked = made.hypothesis(alpha=0.05)
    plan = made.plan(ALL, (asked,), looks=(8,), shares=(1.0,))
    means = (0.0, -30.0, -30.0)
    declared = power_of(effect=1.6, deviation=2**0.5, seeds=8, alpha=0.05, paired=True)
    rate = verified_in(plan, asked, world(plan, means, 1.6), None).mean()
    assert 0.7 < declared < 0.95
    assert rate == pytest.approx(declared, abs=0.02)


def test_looks_cost_little_power() -> None:
    asked = made.hypothesis(alpha=0.05)
    plan = made.plan(ALL, (asked,), looks=(6, 12), shares=(1 / 8, 7 / 8))
    means = (0.0, -30.0, -30.0)
    declared = power_of(effect=1.1, deviation=2**0.5, seeds=12, alpha=0.05, paired=True)
    rate = verified_in(plan, asked, world(plan, means, 1.1), None).mean()
    assert declared - 0.08 < rate < declared + 0.02


def test_held_out_text_that_is_worse_by_the_margin_lets_through_five_percent() -> None:
    asked = made.hypothesis(alpha=0.05)
    plan = made.plan(ALL, (asked,), text_margin_bits=1.0)
    scores = world(plan, (-30.0,) * 3, 60.0)
    rng = np.random.default_rng(1)
    shape = scores["found"].shape
    bits = {label: rng.normal(0, 1, shape) for label in scores}
    for name in RIVALS[1:]:
        bits[name] = bits[name] + 30.0
    bits["found"] = bits["found"] + plan.text_margin_bits
    assert verified_in(plan, asked, scores, bits).mean() <= highest(0.05)
    bits["found"] = bits["found"] - 3.0
    assert verified_in(plan, asked, scores, bits).mean() > 0.99


def test_a_design_worse_by_the_margin_is_called_as_good_at_most_alpha_often() -> None:
    asked = made.hypothesis(alpha=0.05, claim="efficiency")
    plan = made.plan(ALL, (asked,), score_margin=1.0)
    means = (0.0, -30.0, -30.0)
    assert verified_in(plan, asked, world(plan, means, -1.0), None).mean() <= highest(0.05)
    assert verified_in(plan, asked, world(plan, means, 1.0), None).mean() > 0.9


def test_p_is_at_most_alpha_where_it_is_verified_and_seldom_elsewhere() -> None:
    asked = made.hypothesis(alpha=0.05)
    plan = made.plan(ALL, (asked,))
    for effect in (0.0, 0.8):
        scores = world(plan, (0.0, -0.5, -30.0), effect)
        held, p = verified_in(plan, asked, scores, None), least_p(plan, asked, scores)
        assert (p[held] <= asked.alpha).all()
        stopped = (p <= asked.alpha) & ~held  # hopeless at an early look
        assert stopped.mean() < 0.1
    null = least_p(plan, asked, world(plan, (0.0, -30.0, -30.0), 0.0))
    for level in (0.01, 0.05, 0.2):
        assert (null <= level).mean() <= highest(level)


def test_the_earliest_look_decides() -> None:
    one = Condition("gpt2", "score", True, 0.0, alpha=0.1, shares=(0.5, 0.5))
    zero = np.zeros((3, 4))
    own = np.array([[1, 1.01, 1, 1.02], [1, -1.5, 1, 1], [1, 0.5, 1, 1.1]])
    # clear at once; hopeless at the first look, clear later; open at the first look, clear later
    assert one.met(own, zero, (2, 4)).tolist() == [1, 0, 2]


def test_without_a_baseline_nothing_is_verified() -> None:
    asked = made.hypothesis(alpha=0.5)
    plan = made.plan((made.entry("found", "candidate"),), (asked,))
    scores = {"found": np.arange(24.0).reshape(2, 12)}
    assert conditions(plan, asked) == ()
    assert not verified_in(plan, asked, scores, None).any()
    assert least_p(plan, asked, scores).tolist() == [1.0, 1.0]


def test_each_league_has_its_own_conditions() -> None:
    entries = (
        made.entry("found", "candidate"),
        made.entry("hybrid", constant_state=False),
        made.entry("deltanet"),
        made.entry("deltanet long", stretch=1.5, matches="found"),
        made.entry("deltanet longer", stretch=2.5, matches="other"),
        made.entry("deltanet tuned", "tuned"),
        made.entry("other", "candidate"),
    )

    def rivals(asked: Hypothesis) -> list[str]:
        plan = made.plan(entries, (asked,))
        return [c.rival for c in conditions(plan, asked) if c.measure == "score"]

    assert rivals(made.hypothesis()) == ["hybrid", "deltanet", "deltanet long"]
    assert rivals(made.hypothesis(league="constant-state")) == ["deltanet", "deltanet long"]
    assert rivals(made.hypothesis("other")) == ["hybrid", "deltanet", "deltanet longer"]
