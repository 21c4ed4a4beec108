"""What an exam runs: a pure function of its plan and of what has ended, in whatever order."""

import random
from collections import Counter, defaultdict

import pytest

from palmette.exam.judge import judge
from palmette.exam.recipe import stretched
from palmette.exam.results import ENDED, endpoint, sat, stands, sweep_seed, verdict_seed
from palmette.exam.sitting import OnPlan, wanted
from palmette.records import StoredTrial
from tests.exam.held import trained
from tests.exam.made import entry, hypothesis, plan, rung

ENTRIES = (
    entry("found", "candidate"),
    entry("gpt2", baseline="gpt2"),
    entry("mamba2", baseline="mamba2"),
    entry("gpt2 x1.25 for found", expression="lm(gpt2)", stretch=1.25, matches="found"),
    entry("gpt2 tuned", "tuned", expression="lm(gpt2, knob=2)", baseline="gpt2"),
    entry("mamba2 tuned", "tuned", expression="lm(mamba2)", baseline="mamba2"),
    entry("placebo 1 of gpt2", "placebo", expression="lm(gpt2)", replica=1),
)
PLAN = plan(
    ENTRIES,
    (hypothesis(alpha=0.05),),
    looks=(4, 6),
    shares=(0.3, 0.7),
    rungs=(rung("1", 2), rung("3", 6)),
)
FOUND = ENTRIES[0].genome


class Room:
    """Holds trials in memory and ends them in an order of its own."""

    def __init__(self, runner, order, made=PLAN):
        self.runner, self.random, self.plan = runner, random.Random(order), made
        self.trials: list[StoredTrial] = []

    def judged(self):
        return judge(self.plan, sat(self.plan, self.trials))

    def refill(self):
        specs = wanted(self.plan, self.trials, self.judged())
        for spec in specs:
            number = len(self.trials) + 1
            queued = StoredTrial(trial=number, key=spec.key, spec=spec, state="queued")
            self.trials.append(queued)
        return specs

    def end_one(self):
        left = [n for n, trial in enumerate(self.trials) if trial.state not in ENDED]
        place = self.random.choice(left)
        trial = self.trials[place]
        result = self.runner(trial.spec, None, None)
        state = "failed" if result is None else "done"
        self.trials[place] = trial.model_copy(update={"state": state, "result": result})

    def hold(self):
        self.refill()
        while any(trial.state not in ENDED for trial in self.trials):
            self.end_one()
            self.refill()
        return self


def keys(room):
    return sorted(trial.key for trial in room.trials)


@pytest.fixture(scope="module")
def better():
    return Room(trained({FOUND}), 0).hold()


@pytest.fixture(scope="module")
def equal():
    return Room(trained(), 0).hold()


@pytest.mark.parametrize("order", [1, 2])
def test_the_order_in_which_trials_end_changes_nothing(better, order):
    again = Room(trained({FOUND}), order).hold()
    assert keys(again) == keys(better)
    assert again.judged() == better.judged()


def test_it_is_complete_and_asks_for_nothing_twice(better, equal):
    for room in (better, equal):
        assert len(set(keys(room))) == len(room.trials)
        assert not room.judged().wanted
        assert wanted(PLAN, room.trials, room.judged()) == []
        for verdict in room.judged().verdicts:
            assert verdict.look is not None


def test_it_depends_on_nothing_but_plan_and_trials(better):
    half = better.trials[: len(better.trials) // 2]
    judged = judge(PLAN, sat(PLAN, half))
    first = wanted(PLAN, half, judged)
    assert first == wanted(PLAN, list(reversed(half)), judged)
    assert first == wanted(PLAN.model_copy(deep=True), half, judged)
    assert {spec.key for spec in first} <= set(keys(better))


def test_the_planted_design_is_verified_and_tuned_baselines_sit_for_it_alone(better, equal):
    (verdict,) = better.judged().verdicts
    assert verdict.verified
    assert verdict.kind == "structural"
    (other,) = equal.judged().verdicts
    assert not other.verified
    tuned = ENTRIES[4].genome
    assert any(trial.spec.genome == tuned for trial in better.trials)
    assert not any(trial.spec.genome == tuned for trial in equal.trials)


def test_sweeps_come_first_and_on_seeds_of_their_own(better):
    fresh = {verdict_seed(PLAN, r.name, n) for r in PLAN.rungs for n in range(r.seeds)}
    swept = {sweep_seed(PLAN, r.name) for r in PLAN.rungs}
    assert len(fresh) == sum(r.seeds for r in PLAN.rungs)
    assert len(swept) == len(PLAN.rungs)
    assert not fresh & swept
    assert {trial.spec.seed for trial in better.trials} <= fresh | swept
    first = Room(trained(), 0)
    first.refill()
    assert {trial.spec.seed for trial in first.trials} == swept
    assert {trial.spec.learning_rate for trial in first.trials} == set(PLAN.learning_rates)


def test_a_sweep_goes_on_past_its_edge_and_the_rate_is_then_frozen():
    def rising(spec, weights, tell):
        made = trained()(spec, weights, tell)
        up = {n: m.model_copy(update={"score": spec.learning_rate}) for n, m in made.select.items()}
        return made.model_copy(update={"select": up})

    room = Room(rising, 0).hold()
    top = PLAN.learning_rates[-1] * PLAN.rate_factor**PLAN.extensions
    for stand in stands(PLAN, room.trials):
        if stand.swept:
            assert stand.rate == top
            assert len(stand.swept) == len(PLAN.learning_rates) + PLAN.extensions
    seeds = {sweep_seed(PLAN, r.name) for r in PLAN.rungs}
    rates = {t.spec.learning_rate for t in room.trials if t.spec.seed not in seeds}
    assert rates == {top}


def test_entries_share_seeds_and_the_placebo_has_others_by_its_replica(better):
    last = [t.spec for t in better.trials if t.spec.rung.startswith("3")]
    by_place = defaultdict(set)
    for spec in last:
        by_place[spec.genome, spec.replica, spec.tokens].add(spec.seed)
    longest = max(by_place.values(), key=len)
    assert all(seeds <= longest for seeds in by_place.values())
    assert {spec.replica for spec in last} == {0, 1}


def test_one_genome_on_equal_tokens_is_trained_once(better):
    places = Counter(
        (t.spec.genome, t.spec.replica, t.spec.tokens, t.spec.seed, t.spec.learning_rate)
        for t in better.trials
    )
    assert set(places.values()) == {1}
    held = {one.label: one for one in sat(PLAN, better.trials) if one.rung == "3"}
    both = held["mamba2"], held["mamba2 tuned"]
    assert both[0].scores == both[1].scores


def test_a_stretched_entry_is_trained_on_more_tokens_with_the_same_seeds(better):
    name = stretched(PLAN.rungs[-1], 1.25).name
    longer = [t.spec for t in better.trials if t.spec.rung == name]
    assert {spec.tokens for spec in longer} == {round(1.25 * PLAN.rungs[-1].tokens)}
    assert {spec.seed for spec in longer} <= {
        sweep_seed(PLAN, "3"),
        *(verdict_seed(PLAN, "3", number) for number in range(6)),
    }


def test_values_are_those_of_the_trials_in_the_planned_order(better):
    by_seed = {(t.spec.genome, t.spec.rung, t.spec.seed): t for t in better.trials}
    for one in sat(PLAN, better.trials):
        if one.label != "found":
            continue
        planned = [verdict_seed(PLAN, one.rung, n) for n in range(len(one.seeds))]
        assert list(one.seeds) == planned
        for seed, score, bits in zip(one.seeds, one.scores, one.text_bits, strict=True):
            trial = by_seed[FOUND, one.rung, seed]
            assert trial.spec.learning_rate == one.learning_rate
            metrics = trial.result.metrics
            assert score == endpoint(metrics)
            assert score == pytest.approx(
                sum(own[one.seeds.index(seed)] for own in one.tasks.values()) / 3
            )
            assert bits == metrics["text"].bits
        assert set(one.tasks) == {"arithmetic", "grid", "lorenz"}


def test_a_candidate_of_which_every_rate_fails_is_out_and_nobody_waits_for_it():
    def fails(spec, weights, tell):
        return None if spec.genome == FOUND else trained()(spec, weights, tell)

    room = Room(fails, 0).hold()
    held = {(one.label, one.rung): one for one in sat(PLAN, room.trials)}
    assert held["found", "3"].failed
    assert held["found", "3"].learning_rate is None
    (verdict,) = room.judged().verdicts
    assert not verdict.verified
    assert not room.judged().wanted


def test_a_failed_seed_ends_the_values_of_its_entry():
    third = verdict_seed(PLAN, "3", 2)

    def fails(spec, weights, tell):
        gone = spec.genome == FOUND and spec.seed == third
        return None if gone else trained({FOUND})(spec, weights, tell)

    room = Room(fails, 0).hold()
    (one,) = [s for s in sat(PLAN, room.trials) if (s.label, s.rung) == ("found", "3")]
    assert one.failed
    assert len(one.seeds) == 2
    assert not room.judged().verdicts[0].verified


def test_the_last_rungs_weights_are_kept_those_of_stretched_entries_too(better):
    rule = OnPlan(PLAN)
    kept = {trial.spec.rung for trial in better.trials if rule.keeps(trial)}
    assert kept == {"3", "3 x1.250"}
