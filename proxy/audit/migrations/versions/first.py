"""Records, the two ends of their chain, and the texts of policies."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "records",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", sa.String(64), nullable=False, index=True),
        sa.Column("at", sa.Double, nullable=False, index=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("about", sa.String(64), index=True),
        sa.Column("route", sa.String(64)),
        sa.Column("key", sa.String(64)),
        sa.Column("policy", sa.String(80)),
        sa.Column("action", sa.String(8)),
        sa.Column("answer", sa.String(8)),
        sa.Column("status", sa.Integer),
        sa.Column("subject", sa.String(40), index=True),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("private", sa.LargeBinary),
        sa.Column("code", sa.LargeBinary(32), nullable=False),
    )
    op.create_table(
        "ends",
        sa.Column("name", sa.String(8), primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("code", sa.LargeBinary(32), nullable=False),
        sa.Column("tag", sa.LargeBinary(32), nullable=False),
    )
    op.create_table(
        "policies",
        sa.Column("sha", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
