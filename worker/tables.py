"""The journal's tables, as data. Times are seconds since the epoch, in UTC."""

from sqlalchemy import Column, Float, Index, LargeBinary, MetaData, SmallInteger, String, Table, Text

metadata = MetaData()

# A mail: claimed by a living process, sent, or taken by some of its recipients.
mails = Table(
    "mails",
    metadata,
    Column("key", LargeBinary(16), primary_key=True),
    Column("state", SmallInteger, nullable=False),
    Column("owner", String(32), nullable=False),
    Column("at", Float, nullable=False),
    Column("taken", Text),  # JSON list of the addresses that have it, where others were refused
    Index("mails_at", "at"),
)

# A process that lives: its claims hold until then.
owners = Table(
    "owners",
    metadata,
    Column("owner", String(32), primary_key=True),
    Column("until", Float, nullable=False),
)

# An approval, as the newest event about it says; ``request`` is the newest approval.requested, whole.
approvals = Table(
    "approvals",
    metadata,
    Column("source", String, primary_key=True),
    Column("approval_id", String, primary_key=True),
    Column("event_id", String, nullable=False),
    Column("type", String(32), nullable=False),
    Column("time", Float, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("request", Text),
    Column("at", Float, nullable=False),
    Index("approvals_at", "at"),
)

# A person asked by one approval.requested. The token itself stands nowhere; without email approval its hash is
# empty. A mail tried again after the keys were rotated has a second token: both are known.
asked = Table(
    "asked",
    metadata,
    Column("source", String, primary_key=True),
    Column("approval_id", String, primary_key=True),
    Column("event_id", String, primary_key=True),
    Column("email", String, primary_key=True),
    Column("token_hash", LargeBinary(32), primary_key=True),
    Column("approver", Text, nullable=False),
    Column("mail_key", LargeBinary(16), nullable=False),
    Column("at", Float, nullable=False),
    Index("asked_token_hash", "token_hash"),
    Index("asked_at", "at"),
)
