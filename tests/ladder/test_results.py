from dataclasses import replace

from palmette.ladder.results import (
    Ascent,
    ascents,
    bar_of,
    best_rates,
    score_at,
    seed_of,
    wanted_specs,
)
from tests.ladder.made import SETTING, Made, candidate

SCALE = SETTING.scale
LOW, MIDDLE, HIGH = SCALE.learning_rates


def test_a_new_candidate_wants_the_whole_sweep_on_one_seed():
    specs = wanted_specs(Ascent(candidate("a")), 0, SETTING)
    assert [spec.learning_rate for spec in specs] == [LOW, MIDDLE, HIGH]
    assert len({spec.seed for spec in specs}) == 1


def test_seeds_are_the_same_for_every_genome_and_fresh_at_every_rung():
    a, b = (wanted_specs(Ascent(candidate(name)), 0, SETTING)[0].seed for name in "ab")
    assert a == b
    assert len({seed_of(SETTING, rung, number) for rung in range(3) for number in range(2)}) == 6


def test_an_optimum_at_the_edge_extends_the_sweep_and_an_inner_one_ends_it():
    made, who = Made(), candidate("a")
    rising = [
        made.trial(who, 0, score, rate) for score, rate in ((0.1, LOW), (0.2, MIDDLE), (0.3, HIGH))
    ]
    (climber,) = ascents([who], rising, SCALE)
    (step,) = wanted_specs(climber, 0, SETTING)
    assert step.learning_rate == HIGH * SCALE.rate_factor
    (climber,) = ascents([who], [*rising, made.trial(who, 0, 0.25, step.learning_rate)], SCALE)
    assert wanted_specs(climber, 0, SETTING) == []
    (climber,) = ascents([who], made.sweep(who, 0.3), SCALE)
    assert wanted_specs(climber, 0, SETTING) == []


def test_a_sweep_ends_after_its_extensions():
    made, who = Made(), candidate("a")
    rates = [LOW / 4, LOW / 2, LOW, MIDDLE, HIGH]
    falling = [made.trial(who, 0, 0.5 - 0.05 * n, rate) for n, rate in enumerate(rates)]
    (climber,) = ascents([who], falling, SCALE)
    assert wanted_specs(climber, 0, SETTING) == []


def test_the_rate_is_chosen_on_select_and_the_score_read_on_score():
    made, who = Made(), candidate("a")
    trials = [
        made.trial(who, 0, 0.9, LOW, select=0.1),
        made.trial(who, 0, 0.4, MIDDLE, select=0.5),
        made.trial(who, 0, 0.8, HIGH, select=0.2),
    ]
    (climber,) = ascents([who], trials, SCALE)
    score = score_at(climber, 0, SCALE)
    assert score is not None
    assert (score.learning_rate, score.mean) == (MIDDLE, 0.4)


def test_no_score_before_all_trials_have_ended_nor_if_all_failed():
    made, who = Made(), candidate("a")
    pending = [*made.sweep(who, 0.3)[:2], made.trial(who, 0, None, HIGH, state="running")]
    (climber,) = ascents([who], pending, SCALE)
    assert climber.pending
    assert score_at(climber, 0, SCALE) is None
    failed = [made.trial(who, 0, None, rate) for rate in SCALE.learning_rates]
    (climber,) = ascents([who], failed, SCALE)
    assert not climber.pending
    assert score_at(climber, 0, SCALE) is None
    assert wanted_specs(climber, 0, SETTING) == []


def test_a_rate_at_which_one_seed_failed_is_not_scored_by_the_seeds_that_survived():
    made, who = Made(), candidate("a")
    sweep = made.sweep(who, 0.3)
    one_left = [made.trial(who, 2, 0.9, MIDDLE, 0), made.trial(who, 2, None, MIDDLE, 1)]
    (climber,) = ascents([who], [*sweep, *one_left], SCALE)
    assert score_at(climber, 2, SCALE) is None
    other = [made.trial(who, 2, 0.4, LOW, 0), made.trial(who, 2, 0.6, LOW, 1)]
    (climber,) = ascents([who], [*sweep, *one_left, *other], SCALE)
    score = score_at(climber, 2, SCALE)
    assert score is not None
    assert (score.learning_rate, score.values) == (LOW, (0.4, 0.6))


def test_higher_rungs_take_the_best_rates_with_fresh_seeds():
    made, who = Made(), candidate("a")
    (climber,) = ascents([who], made.sweep(who, 0.3), SCALE)
    second = wanted_specs(climber, 1, SETTING)
    assert [spec.learning_rate for spec in second] == [MIDDLE, LOW]
    assert {spec.seed for spec in second} == {seed_of(SETTING, 1, 0)}
    assert best_rates(climber.at(0), SCALE.rungs[0], 3) == [MIDDLE, LOW, HIGH]


GATED = replace(SCALE, gate=0.5, patience=2)


def first_trials(made, *scores):
    """Competitors in their order, each with its trial at the middle rate."""
    own = [candidate(letter) for letter in "abcdefgh"[: len(scores)]]
    trials = [made.trial(who, 0, score, MIDDLE) for who, score in zip(own, scores, strict=True)]
    return ascents(own, trials, GATED)


def test_a_gated_sweep_begins_in_the_middle():
    made = Made(GATED)
    (spec,) = wanted_specs(Ascent(candidate("a")), 0, made.setting)
    assert spec.learning_rate == MIDDLE


def test_a_gate_stops_the_worse_half_of_those_before():
    made = Made(GATED)
    climbers = first_trials(made, 0.3, 0.1, 0.2, 0.4)
    bars = [bar_of(climber, climbers, GATED) for climber in climbers]
    assert bars == [None, None, 0.3, 0.2]
    wanted = [wanted_specs(c, 0, made.setting, bar) for c, bar in zip(climbers, bars, strict=True)]
    assert [len(specs) for specs in wanted] == [2, 2, 0, 2]
    assert score_at(climbers[2], 0, GATED).mean == 0.2


def test_a_bar_does_not_move_with_those_that_come_later():
    made = Made(GATED)
    short, long = first_trials(made, 0.3, 0.1, 0.2), first_trials(made, 0.3, 0.1, 0.2, 0.9, 0.9)
    assert bar_of(short[2], short, GATED) == bar_of(long[2], long, GATED) == 0.3


def test_a_sweep_that_went_on_is_finished_whatever_the_bar():
    made, who = Made(GATED), candidate("a")
    two = [made.trial(who, 0, 0.1, MIDDLE), made.trial(who, 0, 0.2, LOW)]
    (climber,) = ascents([who], two, GATED)
    (spec,) = wanted_specs(climber, 0, made.setting, bar=0.9)
    assert spec.learning_rate == HIGH


def test_root_and_baselines_are_swept_whole():
    made = Made(GATED)
    for role in ("root", "baseline"):
        assert len(wanted_specs(Ascent(candidate("a", role)), 0, made.setting)) == 3


def test_a_gate_is_part_of_the_ladders_digest():
    assert GATED.digest != replace(GATED, gate=0.25).digest != SCALE.digest
