from palmette.ladder.halving import next_promotion
from palmette.ladder.results import ascents
from tests.ladder.made import SETTING, Made, candidate

SCALE = SETTING.scale


def population(scores, role="found"):
    made = Made()
    candidates = [candidate(f"{role}{n}", role) for n in range(len(scores))]
    trials = [t for c, s in zip(candidates, scores, strict=True) for t in made.sweep(c, s)]
    return made, candidates, trials


def test_nobody_climbs_before_patience_is_over():
    _, candidates, trials = population([0.5] * (SCALE.patience - 1))
    assert next_promotion(ascents(candidates, trials, SCALE), SCALE) is None


def test_the_best_quarter_climbs_best_first_and_only_once():
    made, candidates, trials = population([0.1 * n for n in range(8)])
    climber, rung = next_promotion(ascents(candidates, trials, SCALE), SCALE)
    assert (climber.candidate, rung) == (candidates[7], 1)
    trials.append(made.trial(candidates[7], 1, None, state="running"))
    climber, _ = next_promotion(ascents(candidates, trials, SCALE), SCALE)
    assert climber.candidate == candidates[6]
    trials.append(made.trial(candidates[6], 1, None, state="running"))
    assert next_promotion(ascents(candidates, trials, SCALE), SCALE) is None


def test_baselines_climb_with_the_first_found_and_outside_the_quota():
    made, candidates, trials = population([0.1 * n for n in range(8)])
    human = candidate("human", "baseline")
    candidates, trials = [human, *candidates], [*made.sweep(human, 0.9), *trials]
    climber, _ = next_promotion(ascents(candidates, trials, SCALE), SCALE)
    assert climber.candidate.role == "found"
    for best in candidates[-2:]:
        trials.append(made.trial(best, 1, None, state="running"))
    climber, rung = next_promotion(ascents(candidates, trials, SCALE), SCALE)
    assert (climber.candidate, rung) == (human, 1)


def test_at_the_end_the_last_rung_gets_its_least():
    made, candidates, trials = population([0.1 * n for n in range(5)])
    seen = []
    while promotion := next_promotion(ascents(candidates, trials, SCALE), SCALE, True):
        climber, rung = promotion
        seen.append((climber.candidate.genome[:6], rung))
        trials.append(made.trial(climber.candidate, rung, 0.5 + len(seen) / 100, seed=len(seen)))
    assert len(seen) == 2 * SCALE.least
    assert {rung for _, rung in seen} == {1, 2}


def test_the_end_waits_for_what_is_pending():
    made, candidates, trials = population([0.1 * n for n in range(5)])
    late = candidate("late")
    waiting = [*trials, made.trial(late, 0, None, state="queued")]
    assert next_promotion(ascents([*candidates, late], waiting, SCALE), SCALE, True) is None


def test_a_bounded_ladder_is_not_climbed_further():
    _, candidates, trials = population([0.1 * n for n in range(8)])
    assert next_promotion(ascents(candidates, trials, SCALE), SCALE, True, highest=0) is None


def test_placebos_climb_beside_the_quota_and_take_nobodys_place():
    made, candidates, trials = population([0.1 * n for n in range(8)])
    placebo = candidate("found0", "placebo", replica=1)
    candidates, trials = [*candidates, placebo], [*trials, *made.sweep(placebo, 0.65)]
    climbed = []
    while promotion := next_promotion(ascents(candidates, trials, SCALE), SCALE):
        climber, rung = promotion
        climbed.append((climber.candidate.role, rung))
        trials.append(made.trial(climber.candidate, 1, None, state="running"))
    assert climbed == [("found", 1), ("placebo", 1), ("found", 1)]


def test_a_series_that_rises_promotes_no_more_than_its_share():
    made, candidates, trials = Made(), [], []
    for number in range(40):
        candidates.append(candidate(f"found{number}"))
        trials += made.sweep(candidates[-1], 0.01 * number)
        while promotion := next_promotion(ascents(candidates, trials, SCALE), SCALE, highest=1):
            climber, rung = promotion
            assert rung == 1
            trials.append(made.trial(climber.candidate, 1, None, state="running"))
        risen = sum(trial.spec.rung == SCALE.rungs[1].name for trial in trials)
        assert risen <= (number + 1) // SCALE.eta
    assert risen == 40 // SCALE.eta
