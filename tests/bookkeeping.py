"""A ledger's two sides in tests: what upstream tells, and what stands in the journal."""

import json
from datetime import datetime, timedelta
from typing import Any

from builders import DANA, an_approval_event, parsed
from findings import NOON
from jsonschema import Draft7Validator
from sqlalchemy import func, select

from worker.events import ApprovalRequested, Approver, RequestEvent, mail_key
from worker.journal import Journal
from worker.register import Asked, Register
from worker.reply_poller.due import AnswerDetails
from worker.reply_poller.ledger import Ledger
from worker.reply_poller.outcome import Outcome
from worker.reply_poller.verdict import (
    Finding,
)
from worker.reply_token import Question, TokenKeys, token_hash
from worker.schema import published_schema
from worker.tables import answers

DAY = 86_400.0
BOX = "imap.corp.example/countersign/INBOX"
LATER = NOON + timedelta(minutes=5)
KEYS = TokenKeys([b"k" * 32])


def tell(register: Register, event: dict[str, Any] | None = None) -> None:
    """An approval event comes."""
    told = parsed(event or an_approval_event())
    assert not isinstance(told, RequestEvent)
    register.admit(told)


def ask(register: Register, **approval: Any) -> tuple[ApprovalRequested, str]:
    """An approval is asked for, and Dana has a token."""
    event = parsed(an_approval_event(approval={"id": "A-77", "title": "Go?"} | approval))
    assert isinstance(event, ApprovalRequested)
    approver = Approver.model_validate(DANA | {"aliases": ("dana.ito@corp.example",)})
    token = KEYS.mint(
        Question(event.source, event.data.approval.id, event.id, approver.email, event.data.approval.expires_at)
    )
    register.admit(event)
    register.ask(event, [Asked(approver, mail_key(event.source, event.id, approver.email), token_hash(token))])
    return event, token


def settle(ledger: Ledger, finding: Finding, now: datetime = NOON) -> Outcome:
    """The outcome of one mail."""
    [outcome] = ledger.settle(BOX, [finding], now)
    return outcome


def said(outcome: Outcome) -> dict[str, Any]:
    """What is published, valid by its schema."""
    assert outcome.body is not None
    event: dict[str, Any] = json.loads(outcome.body)
    Draft7Validator(published_schema(outcome.type)).validate(event)
    assert (event["type"], event["id"]) == (outcome.type, str(outcome.event_id))
    return event


def owed(journal: Journal) -> list[tuple[str, AnswerDetails]]:
    """The answers that are due, oldest first."""
    with journal.transaction() as connection:
        rows = connection.execute(select(answers).order_by(answers.c.at)).all()
    return [(row.reason, AnswerDetails.model_validate_json(row.details)) for row in rows]


def count(journal: Journal, table: Any) -> int:
    """How many rows a table has."""
    with journal.transaction() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())
