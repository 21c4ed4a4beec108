"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "campaign",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("budget", sa.String(length=100), nullable=False),
        sa.Column("elapsed_seconds", sa.Double(), nullable=False),
        sa.Column("used", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_campaign"),
        sa.UniqueConstraint("name", name="uq_campaign_name"),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("kind", sa.String(length=100), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name="fk_event_campaign"),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
    )
    op.create_index("ix_event_campaign_id_id", "event", ["campaign_id", "id"])
    op.create_table(
        "genome",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("genome", sa.String(length=64), nullable=False),
        sa.Column("replica", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("expression", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=True),
        sa.Column("proposal", sa.Integer(), nullable=True),
        sa.Column("island", sa.Integer(), nullable=True),
        sa.Column("parameters", sa.BigInteger(), nullable=True),
        sa.Column("flops_forward", sa.Double(), nullable=True),
        sa.Column("state_bytes", sa.BigInteger(), nullable=True),
        sa.Column("fingerprint", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name="fk_genome_campaign"),
        sa.PrimaryKeyConstraint("campaign_id", "genome", "replica", name="pk_genome"),
        sa.UniqueConstraint("campaign_id", "number", name="uq_genome_campaign_id_number"),
    )
    op.create_table(
        "lease",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("process_started", sa.Double(), nullable=False),
        sa.Column("heartbeat", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name="fk_lease_campaign"),
        sa.PrimaryKeyConstraint("campaign_id", name="pk_lease"),
    )
    op.create_table(
        "edge",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("child", sa.String(length=64), nullable=False),
        sa.Column("replica", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("parent", sa.String(length=64), nullable=True),
        sa.Column("edit", sa.String(length=50), nullable=True),
        sa.Column("edit_text", sa.Text(), nullable=True),
        sa.Column("motivation", sa.Text(), nullable=True),
        sa.Column("prediction", sa.Text(), nullable=True),
        sa.Column("proposer", sa.String(length=100), nullable=True),
        sa.ForeignKeyConstraint(
            ["campaign_id", "child", "replica"],
            ["genome.campaign_id", "genome.genome", "genome.replica"],
            name="fk_edge_genome",
        ),
        sa.PrimaryKeyConstraint("campaign_id", "child", "replica", "position", name="pk_edge"),
    )
    op.create_index("ix_edge_campaign_id_parent", "edge", ["campaign_id", "parent"])
    op.create_table(
        "trial",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("genome", sa.String(length=64), nullable=False),
        sa.Column("replica", sa.Integer(), nullable=False),
        sa.Column("rung", sa.String(length=100), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("started_seconds", sa.Double(), nullable=True),
        sa.Column("ended_seconds", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["campaign_id", "genome", "replica"],
            ["genome.campaign_id", "genome.genome", "genome.replica"],
            name="fk_trial_genome",
        ),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name="fk_trial_campaign"),
        sa.PrimaryKeyConstraint("campaign_id", "number", name="pk_trial"),
        sa.UniqueConstraint("campaign_id", "key", name="uq_trial_campaign_id_key"),
    )
    op.create_index(
        "ix_trial_campaign_id_genome_replica", "trial", ["campaign_id", "genome", "replica"]
    )
    op.create_index("ix_trial_campaign_id_state", "trial", ["campaign_id", "state"])
    op.create_table(
        "attempt",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("trial", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("started_seconds", sa.Double(), nullable=False),
        sa.Column("ended_seconds", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["campaign_id", "trial"], ["trial.campaign_id", "trial.number"], name="fk_attempt_trial"
        ),
        sa.PrimaryKeyConstraint("campaign_id", "trial", "number", name="pk_attempt"),
    )
