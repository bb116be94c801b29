"""The answers in the journal to what is due, one at a time: claimed before it is sent, and noted afterwards.

An answer is due, on its way, or settled. What is on its way when a process dies stays so for good: an answer lost is
better than one sent twice.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Row, and_, bindparam, select, update

from worker.events import ApprovalRequested
from worker.journal import Journal
from worker.reply_poller.answer import Background
from worker.reply_poller.due import AnswerDetails, AnswerDue
from worker.tables import DUE, SENDING, answers, approvals, asked

MOST = 100
"""Answers looked at in one turn."""


class Outbox:
    """The answers of all approvals.

    Every method raises ``OutageError`` when the journal can't be reached.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def due(self, besides: Collection[bytes] = ()) -> Sequence[tuple[bytes, datetime]]:
        """What is due, oldest first, with the time since when; ``besides`` are left out."""
        statement = (
            select(answers.c.digest, answers.c.at)
            .where(answers.c.state == DUE, answers.c.digest.not_in(besides))
            .order_by(answers.c.at, answers.c.digest)
            .limit(MOST)
        )
        with self._journal.transaction() as connection:
            rows = connection.execute(statement).all()
        return [(bytes(digest), datetime.fromtimestamp(at, UTC)) for digest, at in rows]

    def claim(self, digest: bytes) -> bool:
        """Take an answer on its way; False where it is not due any more, because another process took it."""
        statement = update(answers).where(answers.c.digest == digest, answers.c.state == DUE).values(state=SENDING)
        with self._journal.transaction() as connection:
            return connection.execute(statement).rowcount == 1

    def read(self, digest: bytes) -> tuple[AnswerDue, Background] | None:
        """What is to be said; None where the approval is not known any more, or another version wrote it."""
        about = and_(approvals.c.source == answers.c.source, approvals.c.approval_id == answers.c.approval_id)
        statement = (
            select(answers, approvals.c.time, approvals.c.request)
            .join(approvals, about)
            .where(answers.c.digest == digest, approvals.c.request.is_not(None))
        )
        with self._journal.transaction() as connection:
            row = connection.execute(statement).first()
            if row is None:
                return None
            hashes = connection.scalars(select(asked.c.token_hash).where(_is_asked(row))).all()
        try:
            return _due(row), _background(row, hashes)
        except ValidationError:
            return None

    def note(self, states: Mapping[bytes, int]) -> None:
        """Write what became of claimed answers: settled, or due again."""
        if not states:
            return
        statement = update(answers).where(answers.c.digest == bindparam("which")).values(state=bindparam("now"))
        with self._journal.transaction() as connection:
            connection.execute(statement, [{"which": digest, "now": state} for digest, state in states.items()])


def _is_asked(row: Row[Any]) -> ColumnElement[bool]:
    return and_(
        asked.c.source == row.source,
        asked.c.approval_id == row.approval_id,
        asked.c.event_id == row.event_id,
        asked.c.email == row.email,
    )


def _due(row: Row[Any]) -> AnswerDue:
    return AnswerDue(
        digest=bytes(row.digest),
        source=row.source,
        approval_id=row.approval_id,
        event_id=row.event_id,
        email=row.email,
        reason=row.reason,
        details=AnswerDetails.model_validate_json(row.details),
    )


def _background(row: Row[Any], hashes: Iterable[bytes]) -> Background:
    return Background(
        question=ApprovalRequested.model_validate_json(row.request),
        closed_at=datetime.fromtimestamp(row.time, UTC),
        token_hashes=frozenset(bytes(one) for one in hashes),
    )
