"""The loop of a campaign: a scheduler decides, an executor trains, every result is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from palmette.errors import StorageError
from palmette.records import StoredTrial, Stranger
from palmette.search.book import Book
from palmette.train.executor import Executor, Finished, Member

BEAT_SECONDS = 5.0
WAIT_SECONDS = 0.5  # for whatever ends first
THOUGHT_SECONDS = 0.01  # while a worker is idle, for which a thought may come


class Asks(Protocol):
    """Whoever decides what runs next, and keeps the book of it."""

    @property
    def book(self) -> Book:
        """The campaign's book."""
        ...

    def ask(self) -> StoredTrial | None:
        """The next trial, marked as running; None if there is nothing to do just now."""
        ...

    def beside(self, trial: StoredTrial) -> list[StoredTrial]:
        """What is trained together with a trial that has been asked for, marked as running."""
        ...

    def attend(self, seconds: float = 0.0) -> bool:
        """Takes in what is thought, waiting at most so long for it; whether to ask again then."""
        ...

    def adopted(self) -> list[Stranger]:
        """The inventions that have joined the language since the last time."""
        ...

    def close(self) -> None:
        """Keeps what has been thought by now; waits for nobody."""
        ...


@dataclass(frozen=True)
class Update:
    """What a display may want to know after each turn of the loop."""

    running: tuple[StoredTrial, ...]
    finished: tuple[StoredTrial, ...]  # since the update before


def grow(
    scheduler: Asks,
    executor: Executor,
    beat: Callable[[], None],
    on_update: Callable[[Update], None] = lambda update: None,
) -> None:
    """Runs a campaign until its scheduler has nothing more to ask for and nothing is thought of.

    `beat` renews the campaign's lease. On an error or KeyboardInterrupt the executor is closed, its
    trials go back into the queue, the campaign is marked as stopped, and the error goes on to the
    caller.

    Raises `StorageError` if a trial's weights cannot be kept; what else has ended by then is told.
    """
    book = scheduler.book
    campaign = book.campaign
    running: dict[str, StoredTrial] = {}
    beaten = -BEAT_SECONDS
    campaign.set_state("running")
    try:
        while True:
            while executor.free and (trial := scheduler.ask()):
                for stranger in scheduler.adopted():
                    executor.admit(stranger)
                pack = [trial, *scheduler.beside(trial)]
                _submit(executor, [_member(book, each) for each in pack])
                running.update({each.key: each for each in pack})
            if running:
                scheduler.attend()
                ended = executor.wait(WAIT_SECONDS if not executor.free else THOUGHT_SECONDS)
            elif scheduler.attend(WAIT_SECONDS):
                ended = []
            else:
                break
            done = [_keep(book, running.pop(f.key), f) for f in ended if f.outcome != "blocked"]
            for blocked in ended:
                if blocked.outcome == "blocked":
                    raise StorageError(
                        f"the weights of a trial cannot be kept in {campaign.weights_directory}: "
                        f"{blocked.reason}; make room or mend the folder's rights, then run the "
                        "same command again (nothing is lost)"
                    )
            if book.elapsed - beaten >= BEAT_SECONDS:
                beat()
                campaign.set_elapsed(book.elapsed)
                beaten = book.elapsed
            on_update(Update(tuple(running.values()), tuple(done)))
    except BaseException:
        executor.close()
        with suppress(StorageError):
            scheduler.close()
        # A store that cannot be written now is put in order by the next `grow`; what matters to
        # the user is the first error.
        with suppress(StorageError):
            campaign.stop(book.elapsed)
        raise
    scheduler.close()
    campaign.set_elapsed(book.elapsed)
    campaign.set_state("finished")


def _submit(executor: Executor, members: Sequence[Member]) -> None:
    if len(members) > 1:
        executor.submit_pack(members)
    else:
        executor.submit(members[0].spec, members[0].weights)


def _member(book: Book, trial: StoredTrial) -> Member:
    """The trial, with a file for its weights where the book's rule keeps them."""
    weights = book.campaign.weights_directory / f"{trial.key}.pt"
    return Member(trial.spec, weights if book.rule.keeps(trial) else None)


def _keep(book: Book, trial: StoredTrial, finished: Finished) -> StoredTrial:
    if finished.outcome == "done":
        assert finished.result is not None, "a finished trial has a result"
        book.tell(trial.trial, finished.result)
    elif finished.outcome == "failed":
        book.failed(trial.trial, finished.reason or "no reason given")
    else:
        book.lost(trial.trial, finished.reason or "no reason given")
    return book.trials[trial.trial]
