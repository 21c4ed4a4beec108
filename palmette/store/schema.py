"""The tables of a store, as typed SQLAlchemy mappings.

    campaign   one whole search: what it is, how far it came
    genome     its candidates, keyed (campaign, genome hash, replica)
    edge       parent -> child with edit, motivation, prediction; a genome without parents that a
               proposer made has one edge from nothing
    trial      training runs, unique by (campaign, key)
    attempt    each time that a trial was begun
    event      what happened, in order
    stranger   the users' files that genomes have parts of, with their text
    thought    each step of a designer: who was asked, what came of it, what it cost
    prompt     the texts that designers were given, by the hash that a thought names
    lease      who grows the campaign right now
    draw       the secrets from which sealed tasks are made, and what was told of them
    exam       what was fixed before an exam's first trial, and what came of it
    ledger     every hypothesis that was ever sent to an exam, with the error it may spend
    canary     models of exams that another process has evaluated again

Whole records (a trial's spec and result, a prediction) are JSON text, written and read by pydantic:
exact for every float, and one column stays one record when the record gains a field. What a person
would ask for in SQL has a column of its own. A change here comes with a file in
`migrations/versions/`; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

CONVENTION = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(referred_table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}
HASH = String(64)  # SHA-256 as hex


class Table(DeclarativeBase):
    """The base of all tables."""

    metadata = MetaData(naming_convention=CONVENTION)


class CampaignTable(Table):
    """One whole search. `used` is the Unix time at which it was last created or grown."""

    __tablename__ = "campaign"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    config: Mapped[str] = mapped_column(Text)  # records.CampaignConfig
    state: Mapped[str] = mapped_column(String(16))  # records.CampaignState
    budget: Mapped[str] = mapped_column(String(100))
    elapsed_seconds: Mapped[float] = mapped_column(Double)
    used: Mapped[float] = mapped_column(Double)


class GenomeTable(Table):
    """A candidate. `number` counts from 1 in the order in which they were added."""

    __tablename__ = "genome"
    __table_args__ = (UniqueConstraint("campaign_id", "number"),)

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    genome: Mapped[str] = mapped_column(HASH, primary_key=True)
    replica: Mapped[int] = mapped_column(Integer, primary_key=True)
    number: Mapped[int] = mapped_column(Integer)
    expression: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(String(16))  # records.Role
    name: Mapped[str | None] = mapped_column(String(200))
    proposal: Mapped[int | None] = mapped_column(Integer)
    island: Mapped[int | None] = mapped_column(Integer)
    parameters: Mapped[int | None] = mapped_column(BigInteger)
    flops_forward: Mapped[float | None] = mapped_column(Double)
    state_bytes: Mapped[int | None] = mapped_column(BigInteger)
    fingerprint: Mapped[str | None] = mapped_column(Text)  # JSON list of numbers


class EdgeTable(Table):
    """How a candidate came about: one row a parent, position 0 first; `parent` may be nothing."""

    __tablename__ = "edge"
    __table_args__ = (
        ForeignKeyConstraint(
            ["campaign_id", "child", "replica"],
            ["genome.campaign_id", "genome.genome", "genome.replica"],
        ),
        Index(None, "campaign_id", "parent"),
    )

    campaign_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    child: Mapped[str] = mapped_column(HASH, primary_key=True)
    replica: Mapped[int] = mapped_column(Integer, primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    parent: Mapped[str | None] = mapped_column(HASH)
    edit: Mapped[str | None] = mapped_column(String(50))
    edit_text: Mapped[str | None] = mapped_column(Text)
    motivation: Mapped[str | None] = mapped_column(Text)
    prediction: Mapped[str | None] = mapped_column(Text)  # records.Prediction
    proposer: Mapped[str | None] = mapped_column(String(100))


class TrialTable(Table):
    """A training run. `number` counts from 1 in the order in which they were queued."""

    __tablename__ = "trial"
    __table_args__ = (
        UniqueConstraint("campaign_id", "key"),
        ForeignKeyConstraint(
            ["campaign_id", "genome", "replica"],
            ["genome.campaign_id", "genome.genome", "genome.replica"],
        ),
        Index(None, "campaign_id", "state"),
        Index(None, "campaign_id", "genome", "replica"),
    )

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    key: Mapped[str] = mapped_column(HASH)
    genome: Mapped[str] = mapped_column(HASH)
    replica: Mapped[int] = mapped_column(Integer)
    rung: Mapped[str] = mapped_column(String(100))
    state: Mapped[str] = mapped_column(String(16))  # records.TrialState
    reason: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(Integer)
    spec: Mapped[str] = mapped_column(Text)  # records.TrialSpec
    result: Mapped[str | None] = mapped_column(Text)  # records.TrialResult
    started_seconds: Mapped[float | None] = mapped_column(Double)
    ended_seconds: Mapped[float | None] = mapped_column(Double)


class AttemptTable(Table):
    """One time that a trial was begun. `number` counts from 1 within the trial."""

    __tablename__ = "attempt"
    __table_args__ = (
        ForeignKeyConstraint(["campaign_id", "trial"], ["trial.campaign_id", "trial.number"]),
    )

    campaign_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    trial: Mapped[int] = mapped_column(Integer, primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    outcome: Mapped[str] = mapped_column(String(16))  # records.AttemptOutcome
    reason: Mapped[str | None] = mapped_column(Text)
    started_seconds: Mapped[float] = mapped_column(Double)
    ended_seconds: Mapped[float | None] = mapped_column(Double)


class EventTable(Table):
    """Something that happened; `id` gives the order."""

    __tablename__ = "event"
    __table_args__ = (Index(None, "campaign_id", "id"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"))
    seconds: Mapped[float] = mapped_column(Double)
    kind: Mapped[str] = mapped_column(String(100))
    detail: Mapped[str] = mapped_column(Text)  # JSON object


class StrangerTable(Table):
    """A class of a user's file; `name` is that of its node."""

    __tablename__ = "stranger"

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    record: Mapped[str] = mapped_column(Text)  # records.Stranger


class ThoughtTable(Table):
    """A designer's step. `number` counts from 1 in the order in which they ended; the candidate
    that came of it has its `proposal`. `prompt` names a row of `prompt` if its text was kept.
    """

    __tablename__ = "thought"
    __table_args__ = (Index(None, "campaign_id", "proposal"),)

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    proposal: Mapped[int] = mapped_column(Integer)
    proposer: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    attempt: Mapped[int] = mapped_column(Integer)
    model: Mapped[str | None] = mapped_column(Text)
    prompt: Mapped[str | None] = mapped_column(HASH)
    outcome: Mapped[str] = mapped_column(String(16))  # records.ThoughtOutcome
    origin: Mapped[str | None] = mapped_column(String(16))  # records.Origin
    tokens_in: Mapped[int] = mapped_column(BigInteger)
    tokens_out: Mapped[int] = mapped_column(BigInteger)
    usd: Mapped[float | None] = mapped_column(Double)
    seconds: Mapped[float] = mapped_column(Double)  # of the endpoint
    record: Mapped[str] = mapped_column(Text)  # records.Thought


class PromptTable(Table):
    """What a designer was given, kept once a campaign however often it was sent."""

    __tablename__ = "prompt"

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    hash: Mapped[str] = mapped_column(HASH, primary_key=True)
    text: Mapped[str] = mapped_column(Text)


class LeaseTable(Table):
    """The process that grows a campaign. Times are Unix seconds; `token` is new for each lease."""

    __tablename__ = "lease"

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    token: Mapped[str] = mapped_column(String(32))
    owner: Mapped[str] = mapped_column(String(200))
    pid: Mapped[int] = mapped_column(BigInteger)
    host: Mapped[str] = mapped_column(String(255))
    process_started: Mapped[float] = mapped_column(Double)
    heartbeat: Mapped[float] = mapped_column(Double)


class DrawTable(Table):
    """A secret, 32 bytes as hex, and its SHA-256. `number` counts from 1 within the campaign."""

    __tablename__ = "draw"

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    commitment: Mapped[str] = mapped_column(HASH)
    secret: Mapped[str] = mapped_column(HASH)
    committed_at: Mapped[str] = mapped_column(String(40))  # UTC, ISO 8601
    opened_at: Mapped[str | None] = mapped_column(String(40))


class ExamTable(Table):
    """An exam of a campaign's genomes. `sitting` names the campaign that holds its trials; what
    came of it is there once its state is finished.
    """

    __tablename__ = "exam"
    __table_args__ = (UniqueConstraint("sitting"), Index(None, "campaign_id"))

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"))
    sitting: Mapped[str] = mapped_column(String(100))
    state: Mapped[str] = mapped_column(String(16))  # records.ExamState
    plan: Mapped[str] = mapped_column(Text)  # records.ExamPlan
    verdicts: Mapped[str | None] = mapped_column(Text)  # JSON list of records.Verdict
    placebos: Mapped[str | None] = mapped_column(Text)  # JSON list of records.Verdict
    nulls: Mapped[str | None] = mapped_column(Text)  # records.NullExams


class LedgerTable(Table):
    """A hypothesis. `number` counts from 1 over the life of the store."""

    __tablename__ = "ledger"
    __table_args__ = (Index(None, "exam"),)

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    exam: Mapped[int] = mapped_column(ForeignKey("exam.number"))
    hypothesis: Mapped[str] = mapped_column(Text)  # records.Hypothesis
    alpha: Mapped[float] = mapped_column(Double)
    p: Mapped[float | None] = mapped_column(Double)
    verified: Mapped[bool | None] = mapped_column(Boolean)


class CanaryTable(Table):
    """A model that was saved, loaded by another process and evaluated again."""

    __tablename__ = "canary"

    exam: Mapped[int] = mapped_column(ForeignKey("exam.number"), primary_key=True)
    label: Mapped[str] = mapped_column(Text, primary_key=True)
    seed: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    record: Mapped[str] = mapped_column(Text)  # records.CanaryRow
