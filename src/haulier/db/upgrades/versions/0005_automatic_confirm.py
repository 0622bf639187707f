"""What a request said of the automatic confirm of its move, and when that confirm is due."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("migrations") as migrations:
        migrations.add_column(sa.Column("confirm_after", sa.Float(precision=53)))
        migrations.add_column(sa.Column("confirms_at", sa.Float(precision=53)))


def downgrade() -> None:
    with op.batch_alter_table("migrations") as migrations:
        for column in ("confirm_after", "confirms_at"):
            migrations.drop_column(column)
