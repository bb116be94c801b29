"""The journal's tables, as data. Times are seconds since the epoch, in UTC."""

from sqlalchemy import Column, Float, Index, Integer, LargeBinary, MetaData, SmallInteger, String, Table, Text, text

# States of an outcome: its event is to be published, or nothing is left to be published.
DECIDING, PUBLISHED = range(2)
# States of an answer.
DUE, SENDING, SENT = range(3)

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

# What one approval.requested asked: the half of a question that all its approvers share.
questions = Table(
    "questions",
    metadata,
    Column("source", String, primary_key=True),
    Column("approval_id", String, primary_key=True),
    Column("event_id", String, primary_key=True),
    Column("expires_at", Float),
    Column("requested_at", Float, nullable=False),  # the event's time
    Column("request_id", String, nullable=False),
    Column("title", String, nullable=False),
    Column("at", Float, nullable=False),
    Index("questions_at", "at"),
)

# Written out, not bound: only so does a database see that an index below serves.
IS_DECISION = text("type IN ('approval.approved', 'approval.rejected')")
IS_DECIDING = text(f"state = {DECIDING}")

# What a mail amounted to, named by its SHA-256. ``body`` is the whole event: a decision's stays, a stranger's words go
# once they are published. ``email`` is the approver asked, in lower case. One decision an approval and approver.
outcomes = Table(
    "outcomes",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("mailbox", String, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("type", String(32), nullable=False),
    Column("event_id", String(36), nullable=False),
    Column("body", LargeBinary),  # None where nothing is published, or nothing any more
    Column("disposal", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("source", String),
    Column("approval_id", String),
    Column("email", String),
    Column("at", Float, nullable=False),
    Column("place", Integer, nullable=False),  # among those settled at the same time
    Index(
        "outcomes_decision",
        "approval_id",  # first: there are few sources
        "source",
        "email",
        unique=True,
        sqlite_where=IS_DECISION,
        postgresql_where=IS_DECISION,
    ),
    Index("outcomes_deciding", "mailbox", sqlite_where=IS_DECIDING, postgresql_where=IS_DECIDING),
    Index("outcomes_at", "at"),
)

# An answer that an approver gets, named by the reply's SHA-256; ``details`` is JSON: what the answer has to say.
answers = Table(
    "answers",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("state", SmallInteger, nullable=False),
    Column("source", String, nullable=False),
    Column("approval_id", String, nullable=False),
    Column("event_id", String, nullable=False),
    Column("email", String, nullable=False),
    Column("reason", String(16), nullable=False),
    Column("details", Text, nullable=False),
    Column("at", Float, nullable=False),
    Index("answers_approver", "approval_id", "source", "email"),
    Index("answers_at", "at"),
)

# The one poller that reads a mailbox: it is its owner's until then.
leases = Table(
    "leases",
    metadata,
    Column("mailbox", String, primary_key=True),
    Column("owner", String(32), nullable=False),
    Column("until", Float, nullable=False),
)

# The mailboxes that a first start took on.
mailboxes = Table(
    "mailboxes",
    metadata,
    Column("mailbox", String, primary_key=True),
    Column("at", Float, nullable=False),
)
