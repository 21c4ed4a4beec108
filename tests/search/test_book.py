"""The book keeps the state of the ladder; what the store holds must always give the same one."""

from palmette.errors import TrialError
from palmette.ladder.results import ascents, score_at
from palmette.search.book import Book
from palmette.search.budget import Budget
from palmette.search.grow import grow
from palmette.search.start import Plan, open_campaign, prepare, schedule
from palmette.store import Store
from palmette.train.executor import Inline
from tests.ladder.made import result


def often_fails(spec, weights, tell):
    number = int(spec.key[:8], 16)
    if number % 7 == 0:
        raise TrialError("diverged: the loss is nan")
    if number % 11 == 0:
        raise MemoryError
    return result(number / 2**32)


def state(climbers, scale):
    return [
        (c.candidate, c.reached, c.pending, c.trials, score_at(c, 0, scale), score_at(c, 1, scale))
        for c in climbers
    ]


def outcomes(climbers):
    return [(t.trial, t.state) for c in climbers for own in c.trials.values() for t in own]


def test_the_ladder_in_the_book_is_the_one_that_its_trials_and_the_store_give(tmp_path):
    ground = prepare(Plan(suite="parity", scale="seedling"))
    scale = ground.scale
    with Store(f"sqlite:///{tmp_path / 'p.db'}") as store:
        campaign = open_campaign(store, ground)
        scheduler = schedule(campaign, ground, Budget.parse("6genomes"), 1)
        book = scheduler.book
        turns = 0

        def compared(update):
            nonlocal turns
            turns += 1
            fresh = ascents(book.candidates, book.trials.values(), scale)
            assert state(book.climbers, scale) == state(fresh, scale)

        with Inline(often_fails) as executor:
            grow(scheduler, executor, lambda: None, compared)
        assert turns == sum(trial.attempts for trial in campaign.trials())
        stored = ascents(campaign.candidates(), campaign.trials(), scale)
        assert outcomes(stored) == outcomes(book.climbers)
        assert {state for _, state in outcomes(stored)} == {"done", "failed"}


def test_a_crash_before_a_sweep_was_queued_is_made_good_on_opening(tmp_path):
    ground = prepare(Plan(suite="parity", scale="seedling"))
    with Store(f"sqlite:///{tmp_path / 'p.db'}") as store:
        campaign = open_campaign(store, ground)
        assert not campaign.trials()
        book = Book(campaign, ground.setting)
        wanted = len(ground.scale.learning_rates) * (1 + len(ground.scale.baselines))
        assert len(book.queued()) == len(campaign.trials()) == wanted
        assert not set(Book(campaign, ground.setting).trials) - set(book.trials)
