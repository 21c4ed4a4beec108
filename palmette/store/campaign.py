"""One campaign in a store: its candidates, their trials, and what happened.

Each method that writes is one transaction: after a crash at any moment a trial is queued, running,
done or failed, never in between. `seconds` is campaign time throughout.

    queued --start--> running --finish--> done
       ^                 | --fail, lose--> failed
       +-lose, requeue---+
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar, cast

from sqlalchemy import ColumnElement, Connection, func, insert, select, update
from sqlalchemy.orm import InstrumentedAttribute

from palmette.errors import PalmetteError, StorageError
from palmette.records import (
    Attempt,
    CampaignConfig,
    CampaignState,
    Candidate,
    Draw,
    Event,
    StoredTrial,
    Stranger,
    Thought,
    TrialResult,
    TrialSpec,
    TrialState,
)
from palmette.store import attempts, candidates, draws, thoughts, trials
from palmette.store.database import Database
from palmette.store.lease import Holder, Lease, holder
from palmette.store.rows import record, storable
from palmette.store.schema import (
    CampaignTable,
    EventTable,
    StrangerTable,
    TrialTable,
)

T = TypeVar("T")
LOST_WITH_GROW = "lost: grow ended"


class Campaign:
    """One campaign. Made by `Store.create_campaign`, `Store.campaign` or `Store.latest`."""

    def __init__(
        self, database: Database, number: int, config: CampaignConfig, weights_directory: Path
    ) -> None:
        self.config = config
        self.weights_directory = weights_directory  # its writer makes it
        self._database = database
        self._id = number
        self._lease: Lease | None = None

    # --- candidates ---

    def add_candidate(self, candidate: Candidate) -> None:
        """Adds a candidate; adding the same again changes nothing.

        Raises `PalmetteError` if (genome, replica) is there with another origin.
        """
        self.propose(candidate, (), ())

    def candidates(self) -> list[Candidate]:
        """All candidates, in the order in which they were added."""
        with self._database.reading() as connection:
            return candidates.read(connection, self._id)

    def propose(
        self, candidate: Candidate, specs: Sequence[TrialSpec], events: Sequence[Event]
    ) -> list[StoredTrial]:
        """A candidate, its first trials and what is to be told about it: all of it or nothing."""
        with self._writing() as connection:
            candidates.add(connection, self._id, candidate)
            numbers = [self._queue(connection, spec) for spec in specs]
            for event in events:
                self._add_event(connection, event)
            return [self._trial(connection, number) for number in numbers]

    # --- strangers' files ---

    def add_stranger(self, stranger: Stranger) -> None:
        """Keeps a user's file, so that it can be trained and exported when it is gone from where
        it was; adding it again changes nothing.
        """
        row = {"campaign_id": self._id, "name": stranger.name}
        with self._writing() as connection:
            there = select(StrangerTable.name).filter_by(**row)
            if connection.scalar(there) is None:
                text = stranger.model_dump_json()
                connection.execute(insert(StrangerTable).values(**row, record=text))

    def strangers(self) -> list[Stranger]:
        """The users' files that genomes of this campaign have parts of, by name."""
        mine = select(StrangerTable.record).where(StrangerTable.campaign_id == self._id)
        with self._database.reading() as connection:
            texts = connection.scalars(mine.order_by(StrangerTable.name)).all()
        return [record(Stranger, text) for text in texts]

    # --- what designers thought ---

    def add_thought(self, thought: Thought, prompt: str | None) -> None:
        """Adds a designer's step at the end, with the text of its prompt where it has one.

        A text is kept once under the thought's `prompt`, its hash. What no database takes (a NUL,
        half a surrogate pair) is kept as its escape.
        """
        with self._writing() as connection:
            thoughts.add(connection, self._id, thought, prompt)

    def thoughts(self) -> list[Thought]:
        """All thoughts, in the order in which they were added; those of a proposal that came to
        nothing, too.
        """
        with self._database.reading() as connection:
            return thoughts.read(connection, self._id)

    def spent_on_models(self) -> tuple[int, float | None] | None:
        """Tokens, and US dollars where prices are known, of all that models were asked.

        None if none was.
        """
        with self._database.reading() as connection:
            return thoughts.spent(connection, self._id)

    def prompt(self, digest: str) -> str | None:
        """The text that `Thought.prompt` stands for, or None if it was not kept."""
        with self._database.reading() as connection:
            return thoughts.prompt_text(connection, self._id, digest)

    # --- trials ---

    def queue(self, spec: TrialSpec) -> StoredTrial:
        """The trial with this key; queued if it is new, in whatever state it is otherwise."""
        with self._writing() as connection:
            return self._trial(connection, self._queue(connection, spec))

    def trial(self, trial: int) -> StoredTrial:
        """One trial by its number; `PalmetteError` if there is none."""
        with self._database.reading() as connection:
            return self._trial(connection, trial)

    def trials(self) -> list[StoredTrial]:
        """All trials, in the order in which they were queued."""
        with self._database.reading() as connection:
            return trials.read(connection, self._id)

    def attempts(self, trial: int) -> list[Attempt]:
        """The attempts at one trial, first to last."""
        with self._database.reading() as connection:
            return attempts.read(connection, self._id, trial)

    def start(self, trial: int, seconds: float) -> None:
        """queued -> running, with a new attempt."""
        with self._writing() as connection:
            number = self._trial(connection, trial).attempts + 1
            self._move(
                connection,
                trial,
                "queued",
                "running",
                attempts=number,
                reason=None,
                started_seconds=seconds,
                ended_seconds=None,
            )
            attempts.begin(connection, self._id, trial, number, seconds)

    def finish(self, trial: int, result: TrialResult, seconds: float) -> None:
        """running -> done, with what it measured."""
        with self._writing() as connection:
            text = result.model_dump_json()
            self._move(connection, trial, "running", "done", result=text, ended_seconds=seconds)
            attempts.end(connection, self._id, trial, "done", None, seconds)

    def fail(self, trial: int, reason: str, seconds: float) -> None:
        """running -> failed, for a reason of the trial's own; it is not tried again."""
        reason = storable(reason)
        with self._writing() as connection:
            self._move(connection, trial, "running", "failed", reason=reason, ended_seconds=seconds)
            attempts.end(connection, self._id, trial, "failed", reason, seconds)

    def lose(self, trial: int, reason: str, seconds: float, retry: bool) -> None:
        """running -> queued (with `retry`) or failed: the worker was lost, not the trial wrong."""
        reason, after = storable(reason), "queued" if retry else "failed"
        with self._writing() as connection:
            self._move(connection, trial, "running", after, reason=reason, ended_seconds=seconds)
            attempts.end(connection, self._id, trial, "lost", reason, seconds)

    def requeue_running(self) -> list[int]:
        """After a crash of `grow`: every running trial is queued again; returns their numbers.

        Their attempts end as lost, at the campaign's last known time.
        """
        with self._writing() as connection:
            return self._requeue(connection)

    # --- events ---

    def add_event(self, event: Event) -> None:
        """Adds an event at the end."""
        with self._writing() as connection:
            self._add_event(connection, event)

    def events(self) -> list[Event]:
        """All events, in the order in which they were added."""
        mine = select(EventTable).where(EventTable.campaign_id == self._id).order_by(EventTable.id)
        with self._database.reading() as connection:
            rows = connection.execute(mine).all()
        return [
            Event(seconds=row.seconds, kind=row.kind, detail=json.loads(row.detail)) for row in rows
        ]

    # --- sealed tasks ---

    def commit_draw(self) -> Draw:
        """Draws the secret of new sealed tasks and tells its hash; an exam tells the rest."""
        with self._writing() as connection:
            return draws.commit(connection, self._id)

    def draws(self) -> list[Draw]:
        """What may be told of the campaign's draws: secrets only of those that were opened."""
        with self._database.reading() as connection:
            return draws.read(connection, self._id)

    # --- how far it came ---

    @property
    def state(self) -> CampaignState:
        """`running` while it is grown; after a crash until the next `grow`, too: ask `holder`."""
        with self._database.reading() as connection:
            return cast(CampaignState, self._own(connection, CampaignTable.state))

    def set_state(self, state: CampaignState) -> None:
        """Says whether the campaign is being grown, was stopped or has used its budget."""
        self._set(state=state)

    @property
    def elapsed_seconds(self) -> float:
        """Campaign time so far: seconds of growing, over all runs of `grow`."""
        with self._database.reading() as connection:
            return self._own(connection, CampaignTable.elapsed_seconds)

    def set_elapsed(self, seconds: float) -> None:
        """Notes the campaign time."""
        self._set(elapsed_seconds=seconds)

    def stop(self, seconds: float) -> None:
        """The end of an unfinished `grow`, in one write: time, state, running trials requeued."""
        with self._writing() as connection:
            own = update(CampaignTable).where(CampaignTable.id == self._id)
            connection.execute(own.values(elapsed_seconds=seconds, state="stopped"))
            self._requeue(connection)

    @property
    def budget(self) -> str:
        """The total budget as it was written, such as `10m` or `60genomes`; empty before."""
        with self._database.reading() as connection:
            return self._own(connection, CampaignTable.budget)

    def set_budget(self, text: str) -> None:
        """Notes the total budget."""
        self._set(budget=text)

    # --- the lease ---

    @contextmanager
    def lease(self, owner: str) -> Iterator[Lease]:
        """Holds the campaign: nobody else grows it meanwhile. Call `beat()` every few seconds.

        Raises `StorageError` naming the process that has it, and from any later write if another
        process took over because this one gave no sign for a minute.
        """
        taken = Lease(self._database, self._id, self.config.name)
        taken.take(owner)
        self._lease = taken
        try:
            yield taken
        finally:
            self._lease = None
            with suppress(StorageError):  # it is free again as soon as this process has ended
                taken.release()

    @property
    def holder(self) -> Holder | None:
        """The live process that grows this campaign, if there is one."""
        with self._database.reading() as connection:
            held = holder(connection, self._id)
        return held if held is not None and held.alive else None

    # --- within a transaction ---

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._database.writing() as connection:
            if self._lease is not None:
                self._lease.confirm(connection)
            yield connection

    def _queue(self, connection: Connection, spec: TrialSpec) -> int:
        mine = TrialTable.campaign_id == self._id
        key = spec.key
        there = connection.scalar(select(TrialTable.number).where(mine, TrialTable.key == key))
        if there is not None:
            return there
        if not candidates.has(connection, self._id, spec.genome, spec.replica):
            raise PalmetteError(
                f"a trial of genome {spec.genome[:12]} (replica {spec.replica}) wants it to be a "
                f"candidate of campaign {self.config.name!r}; add the candidate first"
            )
        number = (connection.scalar(select(func.max(TrialTable.number)).where(mine)) or 0) + 1
        connection.execute(
            insert(TrialTable).values(
                campaign_id=self._id,
                number=number,
                key=key,
                genome=spec.genome,
                replica=spec.replica,
                rung=spec.rung,
                state="queued",
                attempts=0,
                spec=spec.model_dump_json(),
            )
        )
        return number

    def _requeue(self, connection: Connection) -> list[int]:
        running = select(TrialTable.number).where(
            TrialTable.campaign_id == self._id, TrialTable.state == "running"
        )
        numbers = list(connection.scalars(running.order_by(TrialTable.number)))
        for number in numbers:
            started = self._trial(connection, number).started_seconds or 0.0
            seconds = max(started, self._own(connection, CampaignTable.elapsed_seconds))
            values = {"reason": LOST_WITH_GROW, "ended_seconds": seconds}
            self._move(connection, number, "running", "queued", **values)
            attempts.end(connection, self._id, number, "lost", LOST_WITH_GROW, seconds)
        return numbers

    def _trial(self, connection: Connection, trial: int) -> StoredTrial:
        row = connection.execute(select(TrialTable).where(*self._this(trial))).one_or_none()
        if row is None:
            raise PalmetteError(f"campaign {self.config.name!r} has no trial {trial}")
        return trials.stored(row)

    def _this(self, trial: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return TrialTable.campaign_id == self._id, TrialTable.number == trial

    def _move(
        self, connection: Connection, trial: int, before: TrialState, after: str, **values: object
    ) -> None:
        """One arrow of the diagram above; any other is a mistake of the caller's."""
        step = update(TrialTable).where(*self._this(trial), TrialTable.state == before)
        if connection.execute(step.values(state=after, **values)).rowcount != 1:
            state = self._trial(connection, trial).state
            raise PalmetteError(f"trial {trial} is {state}; only a {before} one becomes {after}")

    def _add_event(self, connection: Connection, event: Event) -> None:
        kept = event.model_copy(update={"detail": storable(event.detail)})
        connection.execute(
            insert(EventTable).values(
                campaign_id=self._id,
                seconds=event.seconds,
                kind=event.kind,
                detail=json.dumps(kept.model_dump(mode="json")["detail"]),
            )
        )

    def _own(self, connection: Connection, field: InstrumentedAttribute[T]) -> T:
        return connection.scalars(select(field).where(CampaignTable.id == self._id)).one()

    def _set(self, **values: object) -> None:
        with self._writing() as connection:
            own = update(CampaignTable).where(CampaignTable.id == self._id)
            connection.execute(own.values(**values))
