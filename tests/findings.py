"""What a mail amounts to, with only what a test is about changed: questions asked, and findings about them."""

import os
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from worker.events import Approver
from worker.reply_events import decision_id
from worker.reply_poller.known import Known
from worker.reply_poller.outcome import Outcome
from worker.reply_poller.verdict import Approved, Finding, Verdict
from worker.reply_token import Question

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def a_known(
    event_id: str = "a-1",
    *,
    source: str = "/deploy/prod",
    approval: str = "A-77",
    email: str = "dana@corp.example",
    expires_at: datetime | None = None,
) -> Known:
    """A question to an approver, and its token's id."""
    return Known(
        question=Question(source, approval, event_id, email, expires_at),
        approver=Approver(name="Dana Ito", email=email),
        request_id="48213",
        title="Deploy Billing 4.2 to PROD?",
        requested_at=NOON.replace(hour=7),
        token_id=decision_id(f"{source} {approval} {event_id} {email.lower()}"),
    )


def a_finding(verdict: Verdict | None = None, **replaced: Any) -> Finding:
    """A mail from an approver that says yes, or what the verdict says."""
    given: dict[str, Any] = {
        "digest": os.urandom(32),
        "received_at": NOON.replace(hour=11),
        "verdict": verdict or Approved("go ahead"),
        "known": a_known(),
        "message_id": "<reply@corp.example>",
        "sender": "dana@corp.example",
        "authentication": "dmarc=pass header.from=corp.example",
        "typed_text": "Approved: go ahead",
    }
    return Finding(**given | replaced)


def an_outcome(kind: str = "approval.approved", body: bytes | None = b"{}") -> Outcome:
    """Something to publish."""
    return Outcome(os.urandom(32), uuid4(), kind, body, "remove", published=body is None)
