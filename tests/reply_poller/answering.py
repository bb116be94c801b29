"""Answers that are due, with only what a test is about changed: as values, and as rows in a journal."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from builders import DANA, an_approval_event, parsed
from sqlalchemy import insert, select

from worker.consumers.approvals import ReplyRoute
from worker.consumers.draft import Addressing, Identity
from worker.events import ApprovalRequested, Approver, Person, mail_key
from worker.journal import Journal
from worker.mail.rendering import Templates
from worker.register import Asked, Register
from worker.reply_poller.answer import AnswerComposer, Background
from worker.reply_poller.due import AnswerDetails, AnswerDue, AnswerReason
from worker.reply_token import Question, TokenKeys, token_hash
from worker.tables import DUE, answers

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
EXPIRES = "2026-11-24T18:00:00Z"
KEY, OLD_KEY = b"k" * 32, b"o" * 32


def a_question(**more: Any) -> ApprovalRequested:
    """What Dana was asked."""
    event = parsed(an_approval_event(**more))
    assert isinstance(event, ApprovalRequested)
    return event


def a_token(question: ApprovalRequested, key: bytes = KEY, approver: str = DANA["email"]) -> str:
    """An approver's token for it."""
    approval = question.data.approval
    return TokenKeys([key]).mint(Question(question.source, approval.id, question.id, approver, approval.expires_at))


def a_due(number: int = 1, *, reason: AnswerReason = "undecided", event_id: str = "a-1", **details: Any) -> AnswerDue:
    """An answer to Dana's reply with that number."""
    plain = {
        "approver": Approver.model_validate(DANA),
        "title": "Deploy Billing 4.2 to PROD?",
        "request_id": "48213",
        "requested_at": NOW - timedelta(hours=2),
        "received_at": NOW - timedelta(minutes=1),
        "message_id": f"<r{number}@corp.example>",
        "undecided": "comment" if reason == "undecided" else None,
    }
    return AnswerDue(
        digest=sha256(b"%d" % number).digest(),
        source="/deploy/prod",
        approval_id="A-77",
        event_id=event_id,
        email=DANA["email"],
        reason=reason,
        details=AnswerDetails.model_validate(plain | details),
    )


def a_background(question: ApprovalRequested | None = None, key: bytes = KEY) -> Background:
    """What the register knows about it; the token was made with that key."""
    question = question or a_question()
    return Background(question, question.time, {token_hash(a_token(question, key))})


def a_composer(
    *, templates: Templates | None = None, addressing: Addressing | None = None, keys: Sequence[bytes] = (KEY,)
) -> AnswerComposer:
    """What composes answers, with a reply address at corp.example."""
    return AnswerComposer(
        templates=templates or Templates(directory=None, default_locale="en", report=lambda _: None),
        identity=Identity(Person(name="Deployments", email="deploy@corp.example")),
        addressing=addressing or Addressing(),
        replies=ReplyRoute("approvals@corp.example", "+", TokenKeys(keys), "approve", "reject"),
    )


def ask(journal: Journal, *people: dict[str, Any]) -> ApprovalRequested:
    """Note in the journal that they were asked; Dana where nobody is named."""
    question = a_question(approvers=list(people) or [DANA])
    register = Register(journal)
    register.admit(question)
    register.ask(
        question,
        [
            Asked(
                approver,
                mail_key(question.source, question.id, approver.email),
                token_hash(a_token(question, approver=approver.email)),
            )
            for approver in question.data.approvers
        ],
    )
    return question


def owe(journal: Journal, due: AnswerDue, *, at: datetime | None = None, state: int = DUE) -> bytes:
    """Note an answer as due, as the poller does when it settles a mail; its digest."""
    row = {
        "digest": due.digest,
        "state": state,
        "source": due.source,
        "approval_id": due.approval_id,
        "event_id": due.event_id,
        "email": due.email,
        "reason": due.reason,
        "details": due.details.model_dump_json(),
        "at": (at or NOW).timestamp(),
    }
    with journal.transaction() as connection:
        connection.execute(insert(answers).values(row))
    return due.digest


def state(journal: Journal, digest: bytes) -> int:
    """What became of that answer."""
    with journal.transaction() as connection:
        return int(connection.execute(select(answers.c.state).where(answers.c.digest == digest)).scalar_one())
