import pytest

from palmette.exam.carry import carry
from palmette.exam.judge import judge
from tests.exam import made
from tests.exam.made import drawn, entry, hypothesis, sat


def rungs(by_rung: dict[str, dict[str, float]], noise: float = 0.001) -> list:
    return [
        one
        for number, (at, means) in enumerate(by_rung.items())
        for one in drawn(means, 12 if at == "3" else 4, noise=noise, seed=number, at=at)
    ]


LOW = {"found": 0.24, "gpt2": 0.20, "deltanet": 0.10}
MIDDLE = {"found": 0.34, "gpt2": 0.30, "deltanet": 0.31}
HIGH = {"found": 0.45, "gpt2": 0.30, "deltanet": 0.40}


def test_the_strongest_baseline_may_be_another_at_every_rung():
    verdict = judge(made.plan(), rungs({"1": LOW, "2": MIDDLE, "3": HIGH})).verdicts[0]
    assert [one.against for one in verdict.carry] == ["gpt2", "deltanet", "deltanet"]
    values = [one.advantage.value for one in verdict.carry if one.advantage]
    assert values == pytest.approx([0.04, 0.03, 0.05], abs=0.005)
    assert verdict.carries == "carries"
    assert "carries over the rungs: +0.0" in verdict.sentence


def test_an_advantage_that_is_gone_does_not_carry():
    gone = HIGH | {"found": 0.40}
    verdict = judge(made.plan(), rungs({"1": LOW, "2": MIDDLE, "3": gone})).verdicts[0]
    assert verdict.carries == "does not carry"


def test_a_verified_advantage_may_shrink_all_the_same():
    less = HIGH | {"found": 0.41}
    verdict = judge(made.plan(), rungs({"1": LOW, "2": MIDDLE, "3": less})).verdicts[0]
    assert verdict.verified
    assert verdict.carries == "does not carry"
    assert "does not carry over the rungs" in verdict.sentence


def test_a_missing_baseline_leaves_a_rung_untold():
    held = rungs({"1": LOW, "2": MIDDLE, "3": HIGH})
    without = [one for one in held if (one.label, one.rung) != ("deltanet", "1")]
    without.append(sat("deltanet", (), at="1", failed=True))
    verdict = judge(made.plan(), without).verdicts[0]
    assert verdict.carry[0].advantage is None
    assert verdict.carry[0].against is None
    assert verdict.carries == "not told"


def test_nothing_is_said_of_an_open_verdict():
    held = [one for one in rungs({"1": LOW, "2": MIDDLE, "3": HIGH}) if one.rung != "3"]
    verdict = judge(made.plan(), held).verdicts[0]
    assert verdict.carries == "not told"
    assert verdict.carry[0].advantage is not None
    assert verdict.carry[2].advantage is None


def test_one_rung_has_nothing_to_carry():
    plan = made.plan(rungs=(made.rung("3", 12),))
    verdict = judge(plan, rungs({"3": HIGH})).verdicts[0]
    assert verdict.verified
    assert verdict.carries == "not told"


def test_as_good_within_the_margin_carries_too():
    lean = entry("found", "candidate", state_bytes=1_000)
    asked = hypothesis(claim="efficiency")
    plan = made.plan((lean, *made.ENTRIES[1:]), (asked,), score_margin=0.02)
    equal = {
        "1": LOW | {"found": 0.19},
        "2": MIDDLE | {"found": 0.30},
        "3": HIGH | {"found": 0.40},
    }
    held = rungs(equal, noise=0.0005)
    verdict = judge(plan, held).verdicts[0]
    assert verdict.verified
    assert verdict.carries == "carries"
    points, said = carry(plan, hypothesis(), held, verdict.contrasts)
    assert said == "not told"
    assert len(points) == 3
