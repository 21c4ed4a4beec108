"""The whole search with a made-up trial, so that a hundred decisions take a few seconds."""

import errno
import hashlib
from collections import Counter
from dataclasses import replace

import pytest

from palmette.errors import StorageError
from palmette.ladder.results import ascents, score_at
from palmette.search.book import ATTEMPTS
from palmette.search.budget import Budget
from palmette.search.grow import grow
from palmette.search.start import Plan, open_campaign, prepare, schedule
from palmette.store import Store
from palmette.train.executor import Inline
from tests.ladder.made import result


def share(text):
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32


def made_up(spec, weights, tell):
    """A score that depends on the genome, the seed and the rate, in a hundredth of a second."""
    score = 0.5 + 0.1 * share(spec.genome) + 0.02 * share(spec.key) - abs(spec.learning_rate - 1e-2)
    return result(score)


@pytest.fixture(scope="module")
def ground():
    made = prepare(Plan(suite="parity"))
    return replace(made, scale=replace(made.scale, baselines=("gpt2", "mamba2"), patience=4))


def run(ground, path, budget, runner=made_up, workers=1):
    with Store(f"sqlite:///{path}") as store:
        campaign = open_campaign(store, ground)
        with campaign.lease("test") as lease:
            campaign.requeue_running()
            scheduler = schedule(campaign, ground, Budget.parse(budget), workers)
            with Inline(runner) as executor:
                grow(scheduler, executor, lease.beat)
        return campaign.candidates(), campaign.trials(), campaign.events()


def facts(candidates, trials):
    return [c.model_dump_json() for c in candidates], [
        (t.trial, t.key, t.state, t.result and t.result.metrics) for t in trials
    ]


@pytest.fixture(scope="module")
def whole(ground, tmp_path_factory):
    return run(ground, tmp_path_factory.mktemp("whole") / "p.db", "12genomes")


def test_a_budget_in_genomes_is_kept_and_everyone_climbs(ground, whole):
    candidates, trials, _ = whole
    roles = Counter(c.role for c in candidates)
    assert roles == {"root": 1, "baseline": 2, "found": 12, "placebo": 1}
    assert {t.state for t in trials} == {"done"}
    climbers = ascents(candidates, trials, ground.scale)
    for climber in climbers:
        assert score_at(climber, 0, ground.scale)
        if climber.candidate.role in ("root", "baseline"):
            assert climber.reached == 2
    second = [c for c in climbers if c.candidate.role == "found" and c.reached >= 1]
    last = [c for c in climbers if c.candidate.role == "found" and c.reached == 2]
    assert 3 <= len(second) <= 6
    assert ground.scale.least - 1 <= len(last) <= 6


def test_every_found_genome_has_a_complete_edge(whole):
    candidates, _, _ = whole
    hashes = {c.genome for c in candidates}
    for candidate in candidates:
        if candidate.role == "found":
            assert set(candidate.parents) <= hashes
            assert candidate.edit
            assert candidate.edit_text
            assert candidate.motivation
            assert candidate.prediction is not None
            assert candidate.fingerprint
    assert len({c.genome for c in candidates if c.replica == 0}) == sum(
        c.replica == 0 for c in candidates
    )


def test_no_island_takes_everything(ground, whole):
    candidates, _, _ = whole
    islands = Counter(c.island for c in candidates if c.role == "found")
    assert set(islands.values()) == {12 // ground.scale.islands}


@pytest.mark.parametrize("stops", [(7,), (1, 30, 31)])
def test_the_same_tree_killed_or_not(ground, whole, tmp_path, stops):
    path = tmp_path / "p.db"
    for stop in stops:
        count = 0

        def dies(spec, weights, tell, last=stop):
            nonlocal count
            count += 1
            if count > last:
                raise KeyboardInterrupt
            return made_up(spec, weights, tell)

        with pytest.raises(KeyboardInterrupt):
            run(ground, path, "12genomes", dies)
    candidates, trials, _ = run(ground, path, "12genomes")
    assert facts(candidates, trials) == facts(*whole[:2])


def test_a_larger_budget_continues_the_same_tree(ground, whole, tmp_path):
    path = tmp_path / "p.db"
    run(ground, path, "6genomes")
    candidates, trials, _ = run(ground, path, "9genomes")
    assert sum(c.role == "found" for c in candidates) == 9
    assert len({t.key for t in trials}) == len(trials)


def test_failed_trials_are_not_repeated_and_do_not_stop_the_search(ground, tmp_path):
    from palmette.errors import TrialError

    seen = Counter()

    def fails(spec, weights, tell):
        seen[spec.key] += 1
        if share(spec.key) < 0.3:
            raise TrialError("diverged: the loss is nan")
        return made_up(spec, weights, tell)

    _, trials, events = run(ground, tmp_path / "p.db", "6genomes", fails)
    assert max(seen.values()) == 1
    failed = [t for t in trials if t.state == "failed"]
    assert failed
    assert {t.reason for t in failed} == {"diverged: the loss is nan"}
    assert sum(e.kind == "trial failed" for e in events) == len(failed)


def test_a_lost_trial_is_tried_again_a_few_times_only(ground, tmp_path):
    seen = Counter()

    def lost(spec, weights, tell):
        seen[spec.key] += 1
        if share(spec.key) < 0.1 or (share(spec.key) < 0.3 and seen[spec.key] == 1):
            raise MemoryError
        return made_up(spec, weights, tell)

    _, trials, events = run(ground, tmp_path / "p.db", "6genomes", lost)
    assert max(seen.values()) == ATTEMPTS
    again = [t for t in trials if t.state == "done" and t.attempts == 2]
    assert again
    assert any(e.kind == "worker lost" for e in events)
    assert all(t.attempts == ATTEMPTS for t in trials if t.state == "failed")


def test_a_budget_in_time_ends_in_time_with_all_rungs(ground, tmp_path):
    """A clock that a trial moves on by its rung's expected seconds."""
    now = 0.0
    seconds = {rung.name: rung.expected_seconds for rung in ground.scale.rungs}

    def slow(spec, weights, tell):
        nonlocal now
        now += seconds[spec.rung]
        return made_up(spec, weights, tell).model_copy(update={"wall_seconds": seconds[spec.rung]})

    with Store(f"sqlite:///{tmp_path / 'p.db'}") as store:
        campaign = open_campaign(store, ground)
        scheduler = schedule(campaign, ground, Budget.parse("8m"), 1)
        scheduler.book._clock = lambda: now
        scheduler.book._began = 0.0
        with Inline(slow) as executor:
            grow(scheduler, executor, lambda: None)
        climbers = ascents(campaign.candidates(), campaign.trials(), ground.scale)
    assert 400 < now <= 480
    assert all(c.reached == 2 for c in climbers if c.candidate.role in ("root", "baseline"))
    last = [c for c in climbers if c.candidate.role == "found" and score_at(c, 2, ground.scale)]
    assert len(last) >= ground.scale.least - 1
    assert sum(c.pending for c in climbers) <= 2


def test_a_short_budget_gives_up_the_high_rungs_first(ground):
    from palmette.search.timing import Timing

    timing = Timing.of(ground.scale, [])
    assert timing.highest(3600) == 2
    assert timing.highest(150) < 2
    assert timing.highest(1) == 0


def no_room(spec, weights, tell):
    if weights is not None:
        raise OSError(errno.ENOSPC, "No space left on device", str(weights))
    return made_up(spec, weights, tell)


def test_weights_that_cannot_be_kept_stop_the_search_and_cost_no_trial_anything(
    ground, whole, tmp_path
):
    with pytest.raises(StorageError, match=r"(?s)No space left on device.*run the same command"):
        run(ground, tmp_path / "p.db", "12genomes", no_room)
    with Store(f"sqlite:///{tmp_path / 'p.db'}") as store:
        campaign = store.latest()
        assert campaign.state == "stopped"
        assert {trial.state for trial in campaign.trials()} == {"done", "queued"}
    candidates, trials, _ = run(ground, tmp_path / "p.db", "12genomes")
    assert facts(candidates, trials)[0] == facts(*whole[:2])[0]
    assert {trial.state for trial in trials} == {"done"}


def test_a_grow_that_ended_counts_as_no_attempt_of_a_trial(ground, tmp_path):
    url = f"sqlite:///{tmp_path / 'p.db'}"
    with Store(url) as store:
        campaign = open_campaign(store, ground)
        book = schedule(campaign, ground, Budget.parse("1genomes"), 1).book
        first = book.queued()[0]
        for _ in range(ATTEMPTS):
            book.start(book.trials[first.trial])
            campaign.requeue_running()
            book = schedule(campaign, ground, Budget.parse("1genomes"), 1).book
        for number in range(ATTEMPTS):
            book.start(book.trials[first.trial])
            book.lost(first.trial, "killed by SIGKILL")
            state = book.trials[first.trial].state
            assert state == ("queued" if number < ATTEMPTS - 1 else "failed")


def test_a_budget_in_trials_pays_for_the_climb_as_well(ground, tmp_path):
    path = tmp_path / "p.db"
    candidates, trials, _ = run(ground, path, "60trials")
    most = 60 + ground.scale.extensions
    assert 50 <= len(trials) <= most
    climbers = ascents(candidates, trials, ground.scale)
    assert max(c.reached for c in climbers if c.candidate.role == "found") == 2
    again = run(ground, path, "60trials")
    assert facts(*again[:2]) == facts(candidates, trials)
    more = run(ground, path, "75trials")  # what is found now may climb beside who climbed before
    climb = sum(rung.rates * rung.seeds for rung in ground.scale.rungs[1:])
    assert len(trials) < len(more[1]) <= 75 + ground.scale.extensions + climb
