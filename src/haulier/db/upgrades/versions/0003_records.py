"""The transition log says which target an entry is about, and how far it was announced. Old events come to an end."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_END = """
UPDATE action_events SET result = 'Error', details = 'it had not answered when the action ended',
    finished_at = (SELECT finished_at FROM actions
        WHERE actions.server_id = action_events.server_id AND actions.request_id = action_events.request_id)
WHERE finished_at IS NULL AND EXISTS (SELECT 1 FROM actions
    WHERE actions.server_id = action_events.server_id AND actions.request_id = action_events.request_id
        AND actions.finished_at IS NOT NULL)
"""


def upgrade() -> None:
    with op.batch_alter_table("transitions") as transitions:
        transitions.add_column(sa.Column("target", sa.String(255)))
        transitions.add_column(sa.Column("attempt", sa.Integer(), nullable=False, server_default="0"))
    with op.batch_alter_table("migrations") as migrations:
        migrations.add_column(sa.Column("announced", sa.Integer(), nullable=False, server_default="-1"))
    op.execute("UPDATE migrations SET announced = generation")  # what nobody could listen to is not told afterwards
    op.create_index("ix_migrations_unannounced", "migrations", ["id"], sqlite_where=sa.text("announced < generation"))
    op.execute("DELETE FROM action_events WHERE request_id = ''")
    op.execute(_END)


def downgrade() -> None:
    op.drop_index("ix_migrations_unannounced", "migrations")
    with op.batch_alter_table("migrations") as migrations:
        migrations.drop_column("announced")
    with op.batch_alter_table("transitions") as transitions:
        transitions.drop_column("attempt")
        transitions.drop_column("target")
