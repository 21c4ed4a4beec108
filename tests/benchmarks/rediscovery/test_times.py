import pytest

import palmette
from benchmarks.rediscovery import times
from benchmarks.rediscovery.campaigns import ROOT
from benchmarks.rediscovery.parts import parts
from benchmarks.rediscovery.times import Time, survival


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (ROOT, ()),
        ("stack(pre(lin(conv=0)), pre(lin(conv=0, decay='scalar')))", ("decay",)),
        ("stack(pre(lin()))", ("convolution",)),
        ("stack(pre(conv()), pre(glu()))", ("convolution",)),
        ("stack(pre(gate(attn(), glu())))", ("attention",)),
        ("stack(pre(scan(conv=0)), pre(nsa()))", ("decay", "attention")),
    ],
)
def test_parts_are_found_anywhere_in_a_genome(text, found):
    assert parts(palmette.parse(text)) == found


def row(arm, seed, number, score, found=(), role="found", replica=0):
    return {
        "arm": arm,
        "seed": seed,
        "role": role,
        "replica": replica,
        "number": number,
        "seconds": 10.0 * number,
        "score": score,
        "parts": list(found),
    }


def campaign(arm, seed, *genomes):
    yield row(arm, seed, 0, 0.5, role="root")
    for replica, score in ((1, 0.51), (2, 0.49)):
        yield row(arm, seed, 0, score, role="placebo", replica=replica)
    for number, (score, found) in enumerate(genomes, 1):
        yield row(arm, seed, number, score, found)


def test_a_part_counts_when_it_is_seen_and_again_when_it_scores():
    rows = [
        *campaign("a", 0, (0.4, ()), (0.45, ("decay",)), (None, ("attention",)), (0.9, ("decay",))),
        *campaign("a", 1, (0.4, ()), (0.4, ())),
    ]
    noise = times.noise_of(rows)
    assert noise is not None
    assert noise.deviation == pytest.approx(0.01)
    of = {
        sense: times.times_of(rows, "a", "decay", sense, "genomes", noise) for sense in times.SENSES
    }
    assert of["seen"] == [Time(2, True), Time(2, False)]
    assert of["scored"] == [Time(4, True), Time(2, False)]
    assert times.times_of(rows, "a", "decay", "scored", "seconds", noise)[0] == Time(40, True)
    assert times.times_of(rows, "a", "attention", "scored", "genomes", noise)[0] == Time(4, False)


def test_survival_by_hand():
    own = survival([Time(1, True), Time(2, True), Time(3, False), Time(4, True), Time(5, False)])
    # 4/5, then 3/5, then at 4 two are left: 3/10.
    assert (own.median, own.campaigns, own.found) == (4, 5, 3)
    assert own.low is not None
    assert own.low <= 2
    assert own.high is None


def test_what_is_never_found_has_no_median():
    assert survival([Time(9, False)] * 4).median is None


def test_arms_are_compared():
    rows = [
        line
        for seed in range(6)
        for arm, late in (("slow", 9), ("quick", 1))
        for line in campaign(
            arm, seed, *[(0.4, ("decay",) if n >= late else ()) for n in range(12)]
        )
    ]
    found = next(
        r for r in times.measured(rows) if (r.part, r.sense, r.unit) == ("decay", "seen", "genomes")
    )
    assert (found.arms["quick"].median, found.arms["slow"].median) == (2, 10)
    assert found.logrank_p is not None
    assert found.logrank_p < 0.01
    assert "2 [2, 2], 6 of 6" in times.markdown([found])
