"""A finding and the ruling on it to an ``Outcome``: the event to publish, whole, and where its mail goes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from worker.reply_events import (
    DECISION_TYPES,
    Asked,
    Decided,
    DecisionData,
    DecisionEvent,
    DecisionType,
    Mail,
    ReplyData,
    ReplyEvent,
    ReplyType,
    event_bytes,
    reply_id,
    storable,
)
from worker.reply_poller.known import Known
from worker.reply_poller.verdict import Approved, Finding, Rejected

Disposal = Literal["remove", "quarantine"]

_TYPES: Mapping[str, DecisionType] = {"approved": "approval.approved", "rejected": "approval.rejected"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one mail, as the journal has it.

    ``type`` is the event's, or what it would be; ``body`` its bytes, None where there is nothing to publish (any more).
    ``published`` says that nothing is left to be published, so the mail may go where ``disposal`` says.
    ``reason`` is one for a person, or the short one of ``reply.late``; empty for a decision. ``source``,
    ``approval_id`` and ``email`` (of the approver asked) are there where a genuine token names them.
    """

    digest: bytes
    event_id: UUID
    type: str
    body: bytes | None
    disposal: Disposal
    published: bool
    reason: str = ""
    source: str | None = None
    approval_id: str | None = None
    email: str | None = None

    @property
    def decides(self) -> bool:
        """Whether it is an approver's decision."""
        return self.type in DECISION_TYPES

    @property
    def is_quarantined(self) -> bool:
        """Whether its mail was, or can be, put into quarantine."""
        return self.published and self.disposal == "quarantine"


@dataclass(frozen=True, slots=True)
class Ruling:
    """Why a finding decides nothing; ``silent`` where nobody is told."""

    type: ReplyType
    reason: str
    disposal: Disposal
    detail: str | None = None
    address: str | None = None
    decided: Decided | None = None
    silent: bool = False


def decision_outcome(finding: Finding, known: Known, verdict: Approved | Rejected, now: datetime) -> Outcome:
    """The approver's decision on what ``known`` asks, settled ``now``."""
    data = DecisionData(
        approval_id=known.question.approval_id,
        approval_source=known.question.source,
        requested_event_id=known.question.event_id,
        request_id=known.request_id,
        decision="approved" if isinstance(verdict, Approved) else "rejected",
        comment=verdict.comment,
        approver=asked(known),
        received_at=finding.received_at,
        requested_at=known.requested_at,
        mail=_mail(finding),
    )
    event = DecisionEvent(
        specversion="1.0",
        id=known.token_id,
        source="countersign",
        type=_TYPES[data.decision],
        time=now,
        data=data,
    )
    return _outcome(finding, known.token_id, event.type, "remove", event_bytes(event), "")


def reply_outcome(finding: Finding, ruling: Ruling, now: datetime) -> Outcome:
    """What decided nothing, settled ``now``; without an event where the ruling is silent."""
    event_id = reply_id(finding.digest)
    body = None if ruling.silent else event_bytes(_reply(finding, ruling, event_id, now))
    return _outcome(finding, event_id, ruling.type, ruling.disposal, body, ruling.reason)


def asked(known: Known) -> Asked:
    """The approver, as published."""
    return Asked(name=known.approver.name, email=known.approver.email)


def _reply(finding: Finding, ruling: Ruling, event_id: UUID, now: datetime) -> ReplyEvent:
    known = finding.known
    data = ReplyData(
        reason=ruling.reason,
        detail=ruling.detail,
        address=ruling.address,
        approval_id=known.question.approval_id if known else None,
        approval_source=known.question.source if known else None,
        requested_event_id=known.question.event_id if known else None,
        request_id=known.request_id if known else None,
        approver=asked(known) if known else None,
        requested_at=known.requested_at if known else None,
        decided=ruling.decided,
        received_at=finding.received_at,
        typed_text=finding.typed_text,
        mail=_mail(finding),
    )
    return ReplyEvent(specversion="1.0", id=event_id, source="countersign", type=ruling.type, time=now, data=data)


def _mail(finding: Finding) -> Mail:
    return Mail(message_id=finding.message_id, sender=finding.sender, authentication=finding.authentication)


def _outcome(
    finding: Finding,
    event_id: UUID,
    kind: DecisionType | ReplyType,
    disposal: Disposal,
    body: bytes | None,
    reason: str,
) -> Outcome:
    question = finding.known.question if finding.known else None
    return Outcome(
        digest=finding.digest,
        event_id=event_id,
        type=kind,
        body=body,
        disposal=disposal,
        published=body is None,
        reason=storable(reason),
        source=question.source if question else None,
        approval_id=question.approval_id if question else None,
        email=question.approver.lower() if question else None,
    )
