"""The draws of sealed tasks, exams, their ledger and their canaries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "draw",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("commitment", sa.String(length=64), nullable=False),
        sa.Column("secret", sa.String(length=64), nullable=False),
        sa.Column("committed_at", sa.String(length=40), nullable=False),
        sa.Column("opened_at", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name="fk_draw_campaign"),
        sa.PrimaryKeyConstraint("campaign_id", "number", name="pk_draw"),
    )
    op.create_table(
        "exam",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("sitting", sa.String(length=100), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("verdicts", sa.Text(), nullable=True),
        sa.Column("placebos", sa.Text(), nullable=True),
        sa.Column("nulls", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name="fk_exam_campaign"),
        sa.PrimaryKeyConstraint("number", name="pk_exam"),
        sa.UniqueConstraint("sitting", name="uq_exam_sitting"),
    )
    op.create_index("ix_exam_campaign_id", "exam", ["campaign_id"])
    op.create_table(
        "canary",
        sa.Column("exam", sa.Integer(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("seed", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["exam"], ["exam.number"], name="fk_canary_exam"),
        sa.PrimaryKeyConstraint("exam", "label", "seed", name="pk_canary"),
    )
    op.create_table(
        "ledger",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("exam", sa.Integer(), nullable=False),
        sa.Column("hypothesis", sa.Text(), nullable=False),
        sa.Column("alpha", sa.Double(), nullable=False),
        sa.Column("p", sa.Double(), nullable=True),
        sa.Column("verified", sa.Boolean(), nullable=True),
        sa.ForeignKeyConstraint(["exam"], ["exam.number"], name="fk_ledger_exam"),
        sa.PrimaryKeyConstraint("number", name="pk_ledger"),
    )
    op.create_index("ix_ledger_exam", "ledger", ["exam"])
