"""A number to approvals that were asked for: the journal that knows their tokens, and the mails that approvers have."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from worker.consumers.approvals import ApprovalComposer, ReplyRoute
from worker.consumers.draft import Addressing, Draft, Identity
from worker.events import ApprovalRequested, Person
from worker.journal import Journal
from worker.mail.email import Words
from worker.mail.rendering import Templates
from worker.register import Register
from worker.reply_token import TokenKeys

SENDER = "Deployments <deploy@corp.example>"
REPLY_ADDRESS = "approvals@corp.example"
TOKEN_KEY = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI"
APPROVERS = 2
"""Of each approval; each has a mail and a token of their own."""

_KEY = b"12345678901234567890123456789012"
_OURS = Person(name="Deployments", email="deploy@corp.example")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Question:
    """An approval mail in an approver's mailbox."""

    name: str
    email: str
    token: str
    reply_to: str
    message_id: str
    words: Words


def ask(count: int, journal_file: Path) -> list[Question]:
    """Ask so many approvers as the approval consumer does; the journal there holds what was asked."""
    journal = Journal(f"sqlite:///{journal_file}", retention=90 * 86400.0)
    journal.open()
    try:
        composer = _composer(journal)
        found = [question for number in range(-(-count // APPROVERS)) for question in _ask(composer, number)]
    finally:
        journal.close()
    return found[:count]


def _composer(journal: Journal) -> ApprovalComposer:
    return ApprovalComposer(
        templates=Templates(directory=None, default_locale="en", report=print),
        register=Register(journal),
        identity=Identity(_OURS),
        addressing=Addressing(),
        own_addresses=frozenset({_OURS.email, REPLY_ADDRESS}),
        replies=ReplyRoute(REPLY_ADDRESS, "+", TokenKeys([_KEY]), "approve", "reject"),
        clock=lambda: datetime.now(UTC),
    )


def _ask(composer: ApprovalComposer, number: int) -> Iterator[Question]:
    people = [_person(number * APPROVERS + each) for each in range(APPROVERS)]
    for person, draft in zip(
        people, composer.compose(ApprovalRequested.model_validate_json(_event(number, people))), strict=True
    ):
        yield _question(person, draft)


def _person(number: int) -> dict[str, str]:
    return {"name": f"Dana Ito {number}", "email": f"dana.{number}@corp.example"}


def _question(person: dict[str, str], draft: Draft) -> Question:
    email = draft.email
    reply_to = email.reply_to
    assert reply_to
    token = reply_to.partition("+")[2].partition("@")[0]
    return Question(person["name"], person["email"], token, reply_to, email.message_id, email.words)


def _event(number: int, people: list[dict[str, str]]) -> str:
    now = datetime.now(UTC)
    made = {
        "specversion": "1.0",
        "id": f"01J9{number:08}",
        "source": "/deploy/prod",
        "type": "approval.requested",
        "time": now.isoformat(),
        "data": {
            "approval": {
                "id": f"A-{number}",
                "title": f"Deploy Billing 4.{number} to PROD",
                "description": "Changes 4188 to 4203 of the billing schema; the window is tonight from 22:00.",
                "expires_at": (now + _DAY).isoformat(),
                "url": f"https://deploy.example/approvals/{number}",
            },
            "request": {
                "id": f"{48000 + number}",
                "title": f"Deploy Billing 4.{number} to PROD",
                "instance": "BillingService",
                "project": "Billing",
                "environment": "PROD",
                "release": f"4.{number}",
                "url": f"https://deploy.example/requests/{48000 + number}",
                "submitted_by": {"name": "Robin Vale", "email": "robin@corp.example"},
            },
            "approvers": people,
        },
    }
    return json.dumps(made)
