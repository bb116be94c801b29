"""Events about replies, with only what a test is about changed."""

from datetime import UTC, datetime
from uuid import UUID

from worker.reply_events import (
    Asked,
    DecisionData,
    DecisionEvent,
    DecisionType,
    Mail,
    ReplyData,
    ReplyEvent,
    ReplyType,
)

DANA = "dana@corp.example"
_NOW = datetime(2026, 11, 26, 15, 4, tzinfo=UTC)
_MAIL = Mail(message_id="<1@corp.example>", sender=DANA, authentication="")


def a_decision(
    kind: DecisionType = "approval.approved", *, approval: str = "A-77", email: str = DANA, comment: str = ""
) -> DecisionEvent:
    """One approver's decision."""
    return DecisionEvent(
        specversion="1.0",
        id=UUID(int=1),
        source="countersign",
        type=kind,
        time=_NOW,
        data=DecisionData(
            approval_id=approval,
            approval_source="/demo",
            requested_event_id="1",
            request_id="48213",
            decision="approved" if kind == "approval.approved" else "rejected",
            comment=comment,
            approver=Asked(name="Dana Ito", email=email),
            received_at=_NOW,
            requested_at=_NOW,
            mail=_MAIL,
        ),
    )


def a_reply_event(kind: ReplyType = "reply.undecided", *, approval: str | None = "A-77") -> ReplyEvent:
    """A reply that decided nothing."""
    return ReplyEvent(
        specversion="1.0",
        id=UUID(int=2),
        source="countersign",
        type=kind,
        time=_NOW,
        data=ReplyData(reason="why", approval_id=approval, received_at=_NOW, typed_text="", mail=_MAIL),
    )
