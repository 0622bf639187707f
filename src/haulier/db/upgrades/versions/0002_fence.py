"""Fencing a host, and what its agent says it has files of."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("hosts") as hosts:
        hosts.add_column(sa.Column("guests", sa.Text(), nullable=False, server_default="[]"))
        hosts.add_column(sa.Column("fenced_at", sa.Float(precision=53)))
        hosts.add_column(sa.Column("fenced_by", sa.String(255)))
        hosts.add_column(sa.Column("fence_reason", sa.Text()))


def downgrade() -> None:
    with op.batch_alter_table("hosts") as hosts:
        for column in ("guests", "fenced_at", "fenced_by", "fence_reason"):
            hosts.drop_column(column)
