"""Findings to what stands in the journal: the outcome of each mail, decided once, and found again after a crash.

The order is the safety: an event is committed whole (deciding), published as it stands, marked (published), and only
then its mail leaves the folder. What is found deciding is published again, byte for byte.
"""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Table,
    and_,
    case,
    delete,
    insert,
    null,
    or_,
    select,
    update,
)

from worker.events import ApprovalRequested, Approver
from worker.journal import Journal
from worker.reply_events import Decided, DecisionEvent, decision_id
from worker.reply_poller.docket import Approval, Docket, Newest
from worker.reply_poller.due import AnswerDue
from worker.reply_poller.known import Known
from worker.reply_poller.lease import Leases
from worker.reply_poller.outcome import Outcome
from worker.reply_poller.verdict import Finding
from worker.reply_token import Question, token_hash
from worker.tables import (
    DECIDING,
    DUE,
    IS_DECIDING,
    IS_DECISION,
    PUBLISHED,
    answers,
    approvals,
    asked,
    leases,
    mailboxes,
    outcomes,
    questions,
)

ANSWER_EVERY = 3600.0
"""Seconds in which an approver gets one answer about an approval, however many replies come."""

_AT_ONCE = 500

T = TypeVar("T")


class Ledger:
    """The inbound half of the journal, as one poller sees it.

    Every method raises ``OutageError`` when the journal can't be reached: nothing was written.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._leases = Leases(journal)

    # -- the mailbox --------------------------------------------------------------------------------------------

    def hold(self, mailbox: str) -> bool:
        """Take the mailbox's lease, or renew it; False while another poller holds it."""
        return self._leases.hold(mailbox)

    def release(self, mailbox: str) -> None:
        """Give the lease up: another poller may take it at once."""
        self._leases.release(mailbox)

    def is_adopted(self, mailbox: str) -> bool:
        """Whether a first start has taken this mailbox on."""
        with self._journal.transaction() as connection:
            found = connection.execute(select(mailboxes.c.at).where(mailboxes.c.mailbox == mailbox)).first()
        return found is not None

    def adopt(self, mailbox: str) -> None:
        """Note that the mailbox was looked through, and is ours to read."""
        row = {"mailbox": mailbox, "at": time.time()}
        with self._journal.transaction() as connection:
            connection.execute(self._journal.insert(mailboxes).values(row).on_conflict_do_nothing())

    # -- questions ----------------------------------------------------------------------------------------------

    def find(self, tokens: Iterable[str]) -> Mapping[str, Known]:
        """What each of the tokens stands for; those that nobody was given are left out.

        A token found is no proof: only its signature is.
        """
        hashes = {token: token_hash(token) for token in tokens}
        found: dict[bytes, Row[Any]] = {}
        with self._journal.transaction() as connection:
            for some in _portions(set(hashes.values())):
                rows = connection.execute(_ASKED.where(asked.c.token_hash.in_(some)))
                found |= {bytes(row.token_hash): row for row in rows}
        known = {token: _known(found[hashed], token) for token, hashed in hashes.items() if hashed in found}
        return {token: what for token, what in known.items() if what is not None}

    # -- outcomes -----------------------------------------------------------------------------------------------

    def settle(self, mailbox: str, findings: Sequence[Finding], now: datetime) -> Sequence[Outcome]:
        """The outcome of each finding, committed in one transaction that holds the mailbox's lease.

        A mail settled before keeps its outcome, so a mail read twice says the same. Answers that become due are
        noted with it.

        Raises:
            LeaseLostError: the lease is not ours; nothing was written.
        """
        with self._journal.transaction() as connection:
            self._leases.require(connection, mailbox)
            docket = _read(connection, findings, now)
            settled = [docket.settle(finding) for finding in findings]
            self._write(connection, mailbox, docket)
        return settled

    def rehearse(self, finding: Finding, now: datetime) -> Outcome:
        """What ``settle`` would say of a finding, without writing it down."""
        with self._journal.transaction() as connection:
            return _read(connection, [finding], now).settle(finding)

    def _write(self, connection: Connection, mailbox: str, docket: Docket) -> None:
        at = docket.now.timestamp()
        for some in _portions(docket.outcomes):
            connection.execute(delete(outcomes).where(outcomes.c.digest.in_(some)))
        rows = [_row(outcome, mailbox, at, place) for place, outcome in enumerate(docket.outcomes.values())]
        if rows:
            connection.execute(insert(outcomes), rows)
        if docket.answers:
            statement = self._journal.insert(answers).on_conflict_do_nothing()
            connection.execute(statement, [_answer_row(due, at) for due in docket.answers])

    def unfinished(self, mailbox: str) -> Sequence[Outcome]:
        """What is still to be published, oldest first, as it stands.

        What another mailbox left behind is among it when nobody reads that one any more: a folder renamed in the
        settings must not bury a decision.
        """
        abandoned = or_(leases.c.until.is_(None), leases.c.until < self._journal.now)
        statement = (
            select(outcomes)
            .select_from(outcomes.outerjoin(leases, leases.c.mailbox == outcomes.c.mailbox))
            .where(IS_DECIDING, or_(outcomes.c.mailbox == mailbox, abandoned))
            .order_by(outcomes.c.at, outcomes.c.place)
        )
        with self._journal.transaction() as connection:
            return [_outcome(row) for row in connection.execute(statement)]

    def published(self, mailbox: str, digests: Collection[bytes]) -> None:
        """Mark what the broker has confirmed. A stranger's words are forgotten with that; a decision is kept.

        Raises:
            LeaseLostError: the lease is not ours; nothing was written.
        """
        body = case((IS_DECISION, outcomes.c.body), else_=null())
        with self._journal.transaction() as connection:
            self._leases.require(connection, mailbox)
            for some in _portions(digests):
                statement = update(outcomes).where(outcomes.c.digest.in_(some), outcomes.c.state == DECIDING)
                connection.execute(statement.values(state=PUBLISHED, body=body))


_ASKED = (
    select(asked, questions.c.expires_at, questions.c.requested_at, questions.c.request_id, questions.c.title)
    .add_columns(approvals.c.request)
    .select_from(
        asked.outerjoin(
            questions,
            and_(
                questions.c.source == asked.c.source,
                questions.c.approval_id == asked.c.approval_id,
                questions.c.event_id == asked.c.event_id,
            ),
        ).outerjoin(
            approvals,
            and_(approvals.c.source == asked.c.source, approvals.c.approval_id == asked.c.approval_id),
        )
    )
)


def _known(row: Row[Any], token: str) -> Known | None:
    approver = Approver.model_validate_json(row.approver)
    if row.requested_at is None:
        return _known_from_event(row, approver, token)
    expires_at = None if row.expires_at is None else _moment(row.expires_at)
    return Known(
        question=Question(row.source, row.approval_id, row.event_id, approver.email, expires_at),
        approver=approver,
        request_id=row.request_id,
        title=row.title,
        requested_at=_moment(row.requested_at),
        token_id=decision_id(token),
    )


def _known_from_event(row: Row[Any], approver: Approver, token: str) -> Known | None:
    # Asked by a version that kept no questions: the event itself says it, as long as no newer one has come.
    event = ApprovalRequested.model_validate_json(row.request) if row.request else None
    if event is None or event.id != row.event_id:
        return None
    approval = event.data.approval
    return Known(
        question=Question(row.source, row.approval_id, row.event_id, approver.email, approval.expires_at),
        approver=approver,
        request_id=event.data.request.id,
        title=approval.title,
        requested_at=event.time,
        token_id=decision_id(token),
    )


def _moment(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError):
        # The calendar's last microsecond rounds up and out of it; what lies further out is told by a time zone.
        return datetime.max.replace(tzinfo=UTC) if seconds > 0 else datetime.min.replace(tzinfo=UTC)


def _read(connection: Connection, findings: Sequence[Finding], now: datetime) -> Docket:
    docket = Docket(now)
    wanted = {(known.question.source, known.question.approval_id) for known in _knowns(findings)}
    # The approvals first: they are locked, and what is read behind them stands until the end of the transaction.
    docket.newest = {key: newest for some in _portions(sorted(wanted)) for key, newest in _newest(connection, some)}
    for some in _portions(wanted):
        docket.decided |= _decided(connection, some)
        docket.answered |= _answered(connection, some, now)
    for digests in _portions([finding.digest for finding in findings]):
        rows = connection.execute(select(outcomes).where(outcomes.c.digest.in_(digests)))
        docket.stored |= {bytes(row.digest): _outcome(row) for row in rows}
    return docket


def _knowns(findings: Iterable[Finding]) -> Iterator[Known]:
    return (finding.known for finding in findings if finding.known is not None)


def _newest(connection: Connection, wanted: Sequence[Approval]) -> Iterator[tuple[Approval, Newest]]:
    statement = (
        select(approvals.c.source, approvals.c.approval_id, approvals.c.event_id, approvals.c.type)
        .where(_is_about(approvals, wanted))
        .order_by(approvals.c.source, approvals.c.approval_id)
        .with_for_update()
    )
    for row in connection.execute(statement):
        yield (row.source, row.approval_id), Newest(row.event_id, row.type)


def _decided(connection: Connection, wanted: Sequence[Approval]) -> dict[tuple[str, str, str], Decided]:
    rows = connection.execute(select(outcomes).where(_is_about(outcomes, wanted), IS_DECISION)).all()
    events = [(row, DecisionEvent.model_validate_json(row.body)) for row in rows]
    return {
        (row.source, row.approval_id, row.email): Decided(
            decision=event.data.decision, approver=event.data.approver, time=event.time
        )
        for row, event in events
    }


def _answered(connection: Connection, wanted: Sequence[Approval], now: datetime) -> set[tuple[str, str, str]]:
    recent = answers.c.at > now.timestamp() - ANSWER_EVERY
    columns = answers.c.source, answers.c.approval_id, answers.c.email
    rows = connection.execute(select(*columns).where(_is_about(answers, wanted), recent))
    return {(row.source, row.approval_id, row.email) for row in rows}


def _is_about(table: Table, wanted: Sequence[Approval]) -> ColumnElement[bool]:
    # More than is wanted, where two sources use one id. As pairs, neither database would look them up in its index.
    sources, ids = {source for source, _ in wanted}, {approval_id for _, approval_id in wanted}
    return and_(table.c.source.in_(sources), table.c.approval_id.in_(ids))


def _outcome(row: Row[Any]) -> Outcome:
    return Outcome(
        digest=bytes(row.digest),
        event_id=UUID(row.event_id),
        type=row.type,
        body=None if row.body is None else bytes(row.body),
        disposal=row.disposal,
        published=row.state == PUBLISHED,
        reason=row.reason,
        source=row.source,
        approval_id=row.approval_id,
        email=row.email,
    )


def _row(outcome: Outcome, mailbox: str, at: float, place: int) -> dict[str, object]:
    return {
        "digest": outcome.digest,
        "mailbox": mailbox,
        "state": PUBLISHED if outcome.published else DECIDING,
        "type": outcome.type,
        "event_id": str(outcome.event_id),
        "body": outcome.body,
        "disposal": outcome.disposal,
        "reason": outcome.reason,
        "source": outcome.source,
        "approval_id": outcome.approval_id,
        "email": outcome.email,
        "at": at,
        "place": place,
    }


def _answer_row(due: AnswerDue, at: float) -> dict[str, object]:
    return {
        "digest": due.digest,
        "state": DUE,
        "source": due.source,
        "approval_id": due.approval_id,
        "event_id": due.event_id,
        "email": due.email,
        "reason": due.reason,
        "details": due.details.model_dump_json(),
        "at": at,
    }


def _portions(items: Iterable[T]) -> Iterator[list[T]]:
    # A statement takes some ten thousand parameters, and no more.
    left = iter(items)
    while some := list(islice(left, _AT_ONCE)):
        yield some
