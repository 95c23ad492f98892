"""The tables. How they came to be is in `migrations`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Integer, LargeBinary, MetaData, String, Table, Text

VERSION = "0001"  # the newest migration
metadata = MetaData()

records = Table(
    "records",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("id", String(64), nullable=False, index=True),
    Column("at", Double, nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("about", String(64), index=True),
    # What lists are filtered by; the same stands in `facts`.
    Column("route", String(64)),
    Column("key", String(64)),
    Column("policy", String(80)),
    Column("action", String(8)),
    Column("answer", String(8)),
    Column("status", Integer),
    Column("subject", String(40), index=True),
    Column("facts", Text, nullable=False),
    Column("private", LargeBinary),
    Column("code", LargeBinary(32), nullable=False),
)

ends = Table(
    "ends",
    metadata,
    Column("name", String(8), primary_key=True),  # first: the record before the first one that is kept; last: the newest
    Column("seq", BigInteger, nullable=False),
    Column("code", LargeBinary(32), nullable=False),
    Column("tag", LargeBinary(32), nullable=False),
)

policies = Table(
    "policies",
    metadata,
    Column("sha", String(64), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("text", Text, nullable=False),
)
