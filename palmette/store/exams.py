"""The exam room: the only reader of exam rows, and the only opener of draws.

What proposes, selects or explains never imports this file; a test watches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, text, update

from palmette.errors import PalmetteError, StorageError, UserError
from palmette.records import (
    CanaryRow,
    Draw,
    ExamPlan,
    Hypothesis,
    LedgerRow,
    NullExams,
    StoredExam,
    Verdict,
)
from palmette.store import draws
from palmette.store.campaign import Campaign
from palmette.store.rows import listed, of_columns, record, records, storable
from palmette.store.schema import CampaignTable, CanaryTable, DrawTable, ExamTable, LedgerTable
from palmette.store.store import Store

Make = Callable[[int, list[LedgerRow]], ExamPlan | StoredExam]


class ExamRoom:
    """The exams of a store: what was fixed, what it spent, what came of it.

    Each method that writes is one transaction. An exam's trials are not here: they are those of the
    campaign of kind `exam` that `StoredExam.sitting` names.
    """

    def __init__(self, store: Store) -> None:
        self._database = store.database

    # --- draws ---

    def open_draw(self, campaign: Campaign, number: int) -> Draw:
        """A draw with its secret. The first call notes the time, and from then on it is public.

        Raises `UserError` if the campaign has no such draw, `StorageError` if its secret is not the
        one that was committed to.
        """
        name = campaign.config.name
        with self._database.writing() as connection:
            return draws.unseal(connection, _id(connection, name), name, number)

    # --- exams ---

    def begin(self, campaign: Campaign, make: Make) -> int:
        """Begins an exam and returns its number: the exam and its hypotheses, or nothing.

        `make` is given the number and all hypotheses that the store ever sent to an exam, and
        returns the plan, its hypotheses numbered on from there, with their alphas; or an exam that
        somebody else has begun in the meantime, whose number is returned then. Nobody begins
        another while `make` runs, so that no alpha is spent twice: it has to be quick and must not
        write to the store. Raises whatever `make` does, `PalmetteError` for a plan of another
        campaign, of a draw that was not opened, or with other numbers.
        """
        with self._database.writing() as connection:
            if connection.dialect.name == "postgresql":  # SQLite's writers exclude one another
                connection.execute(text("LOCK TABLE exam, ledger IN SHARE ROW EXCLUSIVE MODE"))
            owner = _id(connection, campaign.config.name)
            number, before = _next(connection), _ledger(connection)
            plan = make(number, before)
            if isinstance(plan, StoredExam):
                return plan.number
            _check(connection, owner, campaign.config.name, plan, len(before))
            row = {"number": number, "campaign_id": owner, "sitting": sitting_of(number)}
            held = {**row, "state": "running", "plan": plan.model_dump_json()}
            connection.execute(insert(ExamTable).values(held))
            for hypothesis in plan.hypotheses:
                _enter(connection, number, hypothesis)
        return number

    def exams(self, campaign: Campaign | None = None) -> list[StoredExam]:
        """All exams, or those of one campaign's genomes, first to last."""
        wanted = _exams()
        if campaign is not None:
            wanted = wanted.where(CampaignTable.name == campaign.config.name)
        with self._database.reading() as connection:
            rows = connection.execute(wanted).all()
        return [_stored(row) for row in rows]

    def exam(self, number: int) -> StoredExam:
        """One exam; `UserError` if there is none of this number."""
        with self._database.reading() as connection:
            return self._exam(connection, number)

    def finish(
        self,
        number: int,
        verdicts: Sequence[Verdict],
        placebos: Sequence[Verdict],
        nulls: NullExams | None,
    ) -> None:
        """Keeps what came of an exam and writes it into the ledger; done once.

        Raises `PalmetteError` if the exam is finished already, or unless there is one verdict for
        each of its hypotheses.
        """
        with self._database.writing() as connection:
            exam = self._exam(connection, number)
            if exam.state == "finished":
                raise PalmetteError(f"exam {number} is finished; what came of it stays as it is")
            wanted = sorted(one.number for one in exam.plan.hypotheses)
            got = sorted(verdict.hypothesis.number for verdict in verdicts)
            if got != wanted:
                raise PalmetteError(
                    f"exam {number} wants one verdict for each of the hypotheses {wanted}, got "
                    f"verdicts for {got}"
                )
            connection.execute(
                update(ExamTable)
                .where(ExamTable.number == number)
                .values(
                    state="finished",
                    verdicts=listed(verdicts),
                    placebos=listed(placebos),
                    nulls=nulls.model_dump_json() if nulls else None,
                )
            )
            for verdict in verdicts:
                this = update(LedgerTable).where(LedgerTable.number == verdict.hypothesis.number)
                connection.execute(this.values(p=verdict.p, verified=verdict.verified))

    def ledger(self) -> list[LedgerRow]:
        """Every hypothesis that this store ever sent to an exam, first to last."""
        with self._database.reading() as connection:
            return _ledger(connection)

    # --- canaries ---

    def add_canary(self, number: int, row: CanaryRow) -> None:
        """Keeps one model's figures; adding the same again changes nothing.

        Raises `PalmetteError` if there are other figures for its label and seed.
        """
        with self._database.writing() as connection:
            self._exam(connection, number)
            kept = {one.label: one for one in _canary(connection, number) if one.seed == row.seed}
            if (there := kept.get(row.label)) is None:
                key = {"exam": number, "label": storable(row.label), "seed": row.seed}
                connection.execute(insert(CanaryTable).values(**key, record=row.model_dump_json()))
            elif there != row:
                raise PalmetteError(
                    f"exam {number} has a canary of {row.label!r} with seed {row.seed} already, "
                    "with other figures; the first ones stay"
                )

    def canary(self, number: int) -> list[CanaryRow]:
        """The canaries of an exam, by label and seed; `UserError` if there is no such exam."""
        with self._database.reading() as connection:
            self._exam(connection, number)
            return _canary(connection, number)

    def _exam(self, connection: Connection, number: int) -> StoredExam:
        row = connection.execute(_exams().where(ExamTable.number == number)).one_or_none()
        if row is not None:
            return _stored(row)
        known = list(connection.scalars(select(ExamTable.number).order_by(ExamTable.number)))
        if not known:
            raise UserError(
                f"the store {self._database.shown} holds no exam yet; run `palmette verify` first"
            )
        raise UserError(
            f"the store {self._database.shown} holds no exam {number}; it holds "
            f"{', '.join(map(str, known))}"
        )


def sitting_of(number: int) -> str:
    """The name of the campaign that holds an exam's trials."""
    return f"exam-{number}"


def _id(connection: Connection, campaign: str) -> int:
    return connection.scalars(select(CampaignTable.id).where(CampaignTable.name == campaign)).one()


def _next(connection: Connection) -> int:
    """The next number whose sitting is not the name of someone's campaign."""
    number = (connection.scalar(select(func.max(ExamTable.number))) or 0) + 1
    taken = set(connection.scalars(select(CampaignTable.name)))
    while sitting_of(number) in taken:
        number += 1
    return number


def _check(connection: Connection, owner: int, name: str, plan: ExamPlan, before: int) -> None:
    """Refuses a plan that would leave the store at odds with itself."""
    if plan.campaign != name:
        raise PalmetteError(f"an exam of campaign {name!r} was given a plan for {plan.campaign!r}")
    wanted = [before + 1 + n for n in range(len(plan.hypotheses))]
    got = [hypothesis.number for hypothesis in plan.hypotheses]
    if got != wanted:
        raise PalmetteError(f"the ledger goes on with the hypotheses {wanted}, got {got}")
    opened = select(DrawTable.opened_at).where(
        DrawTable.campaign_id == owner, DrawTable.number == plan.draw
    )
    if connection.scalar(opened) is None:
        raise PalmetteError(
            f"an exam wants a draw that was opened, and draw {plan.draw} of campaign {name!r} was "
            "not; call open_draw first"
        )


def _enter(connection: Connection, exam: int, hypothesis: Hypothesis) -> None:
    connection.execute(
        insert(LedgerTable).values(
            number=hypothesis.number,
            exam=exam,
            hypothesis=hypothesis.model_dump_json(),
            alpha=hypothesis.alpha,
        )
    )


def _ledger(connection: Connection) -> list[LedgerRow]:
    rows = connection.execute(select(LedgerTable).order_by(LedgerTable.number)).all()
    if [row.number for row in rows] != list(range(1, len(rows) + 1)):
        raise StorageError(
            "the ledger of this store is damaged: hypotheses are missing from it, so that nobody "
            "can tell how much error is left; use a backup, or grow and verify in another store"
        )
    return [
        of_columns(
            LedgerRow,
            number=row.number,
            exam=row.exam,
            hypothesis=record(Hypothesis, row.hypothesis),
            p=row.p,
            verified=row.verified,
        )
        for row in rows
    ]


def _canary(connection: Connection, number: int) -> list[CanaryRow]:
    mine = select(CanaryTable.record).where(CanaryTable.exam == number)
    texts = connection.scalars(mine.order_by(CanaryTable.label, CanaryTable.seed)).all()
    return [record(CanaryRow, held) for held in texts]


def _exams() -> Any:
    return (
        select(ExamTable, CampaignTable.name.label("campaign"))
        .join(CampaignTable, CampaignTable.id == ExamTable.campaign_id)
        .order_by(ExamTable.number)
    )


def _stored(row: Row[Any]) -> StoredExam:
    return of_columns(
        StoredExam,
        number=row.number,
        campaign=row.campaign,
        sitting=row.sitting,
        state=row.state,
        plan=record(ExamPlan, row.plan),
        verdicts=records(Verdict, row.verdicts) if row.verdicts else (),
        placebos=records(Verdict, row.placebos) if row.placebos else (),
        nulls=record(NullExams, row.nulls) if row.nulls else None,
    )
