import numpy as np
import pytest

from benchmarks.calibration.analysis import schedules
from benchmarks.calibration.replay import PLAIN, Schedule, plain, replay
from tests.benchmarks.calibration.made import ladder

COUNT = 16
TRUTH = np.linspace(0.3, 0.6, COUNT)
SURE = Schedule("eta 4, synchronous", waits=True)


def arena(first=TRUTH, noise=0.0):
    made = ladder({"1": first, "2": TRUTH, "3": TRUTH}, noise)
    found = schedules.arena_of(made, ("text",) * 3)
    assert found is not None
    return found


def replayed(schedule, **made):
    return replay(arena(**made), schedule, range(COUNT), np.random.default_rng(0))


def test_the_work_of_a_ladder_is_what_the_hand_counts():
    # 16 sweeps of three; 4 on rung 2 with two rates; 3 (at least) on rung 3 with two seeds.
    ran = replayed(SURE)
    assert ran.trials == 16 * 3 + 4 * 2 + 3 * 2
    assert ran.seconds == 16 * 3 * 1 + 4 * 2 * 4 + 3 * 2 * 16
    assert ran.pick == COUNT - 1
    assert sorted(ran.finalists) == [13, 14, 15]


def test_the_plain_loop_is_three_trials_of_the_last_rung_each():
    ran = plain(arena(), range(COUNT), np.random.default_rng(0))
    assert (ran.trials, ran.seconds) == (3 * COUNT, 3 * COUNT * 16)
    assert sorted(ran.finalists) == list(range(COUNT))


def test_asynchronous_promotion_of_a_rising_series_promotes_no_more():
    assert replayed(Schedule("eta 4")).trials == replayed(SURE).trials


def test_a_race_stops_two_of_three_rates_and_keeps_the_best():
    ran = replayed(Schedule("race", waits=True, race=2))
    assert ran.trials == 16 * (1 + 2 * 2 / 8) + 4 * 2 + 3 * 2
    assert ran.pick == COUNT - 1


def test_a_gate_drops_what_is_worse_at_step_100():
    ran = replayed(Schedule("gate", waits=True, gate=0.5))
    falling = replay(
        arena(),
        Schedule("gate", waits=True, gate=0.5),
        range(COUNT)[::-1],
        np.random.default_rng(0),
    )
    share = 100 * 512 / 114_688
    # The best come last: nobody is dropped; the best come first: all but the first eight are.
    assert ran.trials == 16 * 3 + 4 * 2 + 3 * 2
    assert falling.trials == pytest.approx(8 * 3 + 8 * share + 3 * 2 + 3 * 2)


def test_a_sweep_that_stops_leaves_the_worse_half_with_its_middle_rate():
    stopping = Schedule("bar", waits=True, bar=0.5)
    falling = replay(arena(), stopping, range(COUNT)[::-1], np.random.default_rng(0))
    # The best come last: nobody is stopped; the best come first: all but the first eight are.
    assert replayed(stopping).trials == 16 * 3 + 4 * 2 + 3 * 2
    assert falling.trials == 8 * 3 + 8 * 1 + 4 * 2 + 3 * 2
    assert falling.seconds == 8 * 3 + 8 * 1 + 4 * 2 * 4 + 3 * 2 * 16
    assert falling.pick == COUNT - 1


def test_a_first_rung_that_says_nothing_keeps_the_best_by_chance_alone():
    rng = np.random.default_rng(5)
    blind = schedules.arena_of(
        ladder({"1": rng.permutation(TRUTH), "2": TRUTH, "3": TRUTH}, 0.001), ("text",) * 3
    )
    assert blind is not None
    seeing, blinded = (
        {row.schedule: row for row in schedules.rows(one, "text", (SURE,), outer=8, inner=10)}
        for one in (arena(noise=0.001), blind)
    )
    assert seeing[SURE.name].kept.value == 1
    assert seeing[SURE.name].enough
    assert blinded[SURE.name].kept.value < 0.7
    assert not blinded[SURE.name].enough
    assert seeing[PLAIN].faster.value == 1
    assert seeing[PLAIN].kept.value == 1
    assert seeing[SURE.name].faster.value > 2.5


def test_a_table_without_the_last_rung_has_no_arena():
    assert schedules.arena_of(ladder({"1": TRUTH, "2": TRUTH}), ("text",) * 3) is None
