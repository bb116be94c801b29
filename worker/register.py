"""Approval events to what stands: is an approval open, superseded or withdrawn, and who was asked.

The newest event by ``time`` counts (contract, section 3): a newer ``approval.requested`` supersedes the older, an
older one that comes late does nothing, a withdrawal closes the approval even when it overtakes the request.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, select, update

from worker.errors import InvalidEventError
from worker.events import ApprovalEvent, ApprovalRequested, Approver
from worker.journal import CLAIMED, PARTIAL, SENT, Journal
from worker.tables import approvals, asked, mails, questions


class Standing(Enum):
    """What an approval event amounts to."""

    CURRENT = "current"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Asked:
    """One approver asked by one event; ``token_hash`` is empty where email approval is off."""

    approver: Approver
    mail_key: bytes
    token_hash: bytes


class Register:
    """The approvals in the journal.

    Every method raises ``OutageError`` when the journal can't be reached.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def admit(self, event: ApprovalEvent) -> Standing:
        """Note the event, and say whether it is the newest about its approval.

        Raises:
            InvalidEventError: another event of the same time says something else.
        """
        row = _row(event)
        with self._journal.transaction() as connection:
            fresh = connection.execute(
                self._journal.insert(approvals).values(row).on_conflict_do_nothing().returning(approvals.c.time)
            ).first()
            if fresh is not None:
                return Standing.CURRENT
            standing = _compare(_current(connection, event, lock=True), event)
            if standing is None:
                newer = row | ({} if isinstance(event, ApprovalRequested) else {"request": approvals.c.request})
                connection.execute(update(approvals).where(_is_about(event)).values(newer))
            return standing or Standing.CURRENT

    def is_current(self, event: ApprovalEvent) -> bool:
        """Whether no newer event has come meanwhile."""
        with self._journal.transaction() as connection:
            row = _current(connection, event)
        return row is not None and row.event_id == event.id and row.type == event.type

    def ask(self, event: ApprovalRequested, people: Iterable[Asked]) -> None:
        """Note what is asked, whom, and the hash of each one's token, before the mails leave."""
        rows = [
            {
                "source": event.source,
                "approval_id": event.data.approval.id,
                "event_id": event.id,
                "email": person.approver.email.lower(),
                "approver": person.approver.model_dump_json(),
                "mail_key": person.mail_key,
                "token_hash": person.token_hash,
                "at": time.time(),
            }
            for person in people
        ]
        insert = self._journal.insert
        with self._journal.transaction() as connection:
            connection.execute(insert(questions).values(_question(event)).on_conflict_do_nothing())
            connection.execute(insert(asked).on_conflict_do_nothing(), rows)

    def told(self, event: ApprovalEvent) -> Sequence[Approver]:
        """Everybody who has a mail about this approval, or may have: claimed, taken or taken in part."""
        statement = (
            select(asked.c.email, asked.c.approver)
            .join(mails, mails.c.key == asked.c.mail_key)
            .where(asked.c.source == event.source, asked.c.approval_id == event.data.approval.id)
            .where(mails.c.state.in_((CLAIMED, SENT, PARTIAL)))
            .order_by(asked.c.at)
        )
        with self._journal.transaction() as connection:
            rows = connection.execute(statement).all()
        newest = {row.email: row.approver for row in rows}
        return [Approver.model_validate_json(approver) for approver in newest.values()]

    def request(self, event: ApprovalEvent) -> ApprovalRequested | None:
        """The newest ``approval.requested`` of the same approval; None where it never came."""
        with self._journal.transaction() as connection:
            row = _current(connection, event)
        return ApprovalRequested.model_validate_json(row.request) if row is not None and row.request else None


def _row(event: ApprovalEvent) -> dict[str, object]:
    return {
        "source": event.source,
        "approval_id": event.data.approval.id,
        "event_id": event.id,
        "type": event.type,
        "time": event.time.timestamp(),
        "digest": _digest(event),
        "request": event.model_dump_json() if isinstance(event, ApprovalRequested) else None,
        "at": time.time(),
    }


def _question(event: ApprovalRequested) -> dict[str, object]:
    approval = event.data.approval
    return {
        "source": event.source,
        "approval_id": approval.id,
        "event_id": event.id,
        "expires_at": approval.expires_at.timestamp() if approval.expires_at else None,
        "requested_at": event.time.timestamp(),
        "request_id": event.data.request.id,
        "title": approval.title,
        "at": time.time(),
    }


def _digest(event: ApprovalEvent) -> bytes:
    return sha256(f"{event.type}\0{event.data.model_dump_json()}".encode()).digest()


def _is_about(event: ApprovalEvent) -> ColumnElement[bool]:
    return and_(approvals.c.source == event.source, approvals.c.approval_id == event.data.approval.id)


def _current(connection: Connection, event: ApprovalEvent, *, lock: bool = False) -> Row[Any] | None:
    statement = select(approvals).where(_is_about(event))
    return connection.execute(statement.with_for_update() if lock else statement).first()


def _compare(row: Row[Any] | None, event: ApprovalEvent) -> Standing | None:
    """What the event is beside the newest one noted; None where it is newer itself."""
    moment = event.time.timestamp()
    if row is None or moment > row.time:
        return None
    if moment < row.time:
        return Standing.STALE
    if bytes(row.digest) != _digest(event):
        raise InvalidEventError(
            f"time: another event about approval {event.data.approval.id} has the same time and says something else; "
            "publish the right one again with a newer time"
        )
    return Standing.CURRENT if row.event_id == event.id else Standing.STALE
