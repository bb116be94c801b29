"""Built-in sample values for each kind of mail: a changed template is tried on them before it meets a real event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from pydantic_core import to_json

from worker.events import TYPES, ApprovalRequested, RequestEvent
from worker.reply_events import Asked, Decided

KINDS: Final = (*TYPES, "reply.undecided", "reply.late")
"""Every kind of mail: one for each event, and what an approver hears whose reply decided nothing."""

WHYS: Final = (
    "empty",
    "no-word",
    "both-words",
    "comment",
    "disagree",
    "hidden",
    "subject",
    "too-long",
    "unclear",
)
"""Why a reply can't be read as a decision; the last where none of the others is known."""

LATE: Final = ("withdrawn", "superseded", "expired", "decided")
"""Why a decision came too late."""

_DANA: Final = {"name": "Dana Ito", "email": "dana@corp.example"}
_REQUEST: Final = {
    "id": "48213",
    "title": "Deploy Billing 4.2 to PROD",
    "instance": "BillingService",
    "project": "Billing",
    "environment": "PROD",
    "release": "4.2",
    "url": "https://deploy.example/requests/48213",
    "submitted_by": _DANA,
    "started_at": "2026-11-23T07:19:55Z",
    "finished_at": "2026-11-23T07:24:00Z",
    "message": "step 3 failed: exit status 1",
}
_STATUSES: Final = ("succeeded", "running", "skipped", "failed")


class Anything(dict[str, Any]):
    """Variables that have every name: which ones an event will bring, a template alone knows."""

    def __missing__(self, _name: str) -> "Anything":
        return Anything()

    def __str__(self) -> str:
        return "sample"


@dataclass(frozen=True, slots=True)
class SampleFile:
    """A log that is attached, cut or left out."""

    filename: str = "BillingService_3_Migrate_db-01(90211).log"
    size: int = 48_213
    missing_bytes: int = 1_200_000
    reason: str = "too_large"


@dataclass(frozen=True, slots=True)
class SampleLogs:
    """What a mail says about its logs."""

    attachments: tuple[SampleFile, ...] = (SampleFile(),)
    shortened: tuple[SampleFile, ...] = (SampleFile(),)
    left_out: tuple[SampleFile, ...] = tuple(
        SampleFile(reason=reason) for reason in ("not_allowed", "unreadable", "too_large")
    )
    tails: Mapping[int, Sequence[str]] = field(
        default_factory=lambda: {3: ("ALTER TABLE invoice ADD COLUMN vat_id text;", "ERROR: lock timeout")}
    )


@dataclass(frozen=True, slots=True)
class SampleLinks:
    """How an approver answers."""

    approve: str = "mailto:deploy+token@corp.example?subject=Re%3A%20Deploy&body=Approve%0D%0A"
    reject: str = "mailto:deploy+token@corp.example?subject=Re%3A%20Deploy&body=Reject%0D%0A"
    approve_word: str = "approve"
    reject_word: str = "reject"
    reply_line: str = "Reply above this line"


@cache
def samples(kind: str) -> Sequence[Mapping[str, Any]]:
    """What a template of that kind is rendered with: everything given, and nothing that may be missing."""
    if kind.startswith("request."):
        return _requests(kind)
    full, bare = question(), _bare_question()
    if kind == "reply.undecided":
        return [
            _asked(about, links) | {"why": why}
            for about, links in ((full, SampleLinks()), (bare, None))
            for why in WHYS
        ]
    if kind == "reply.late":
        return [_asked(about, None) | _late(reason) for about in (full, bare) for reason in LATE]
    if kind == "approval.requested":
        return (_asked(full, SampleLinks()), _asked(full, None), _asked(bare, SampleLinks()), _asked(bare, None))
    return (_asked(full, None) | {"reason": "superseded by 4.3"}, _asked(bare, None) | {"reason": None})


def question() -> ApprovalRequested:
    """An approval as it may have been asked: what a withdrawal is shown with where the original is not known."""
    approval = {
        "id": "A-77",
        "title": "Deploy Billing 4.2 to PROD",
        "description": "Adds the VAT id to invoices.\nTen minutes without billing.",
        "expires_at": "2026-11-24T18:00:00Z",
        "url": "https://deploy.example/approvals/A-77",
    }
    return _question(approval=approval, request=_REQUEST, timezone="Europe/Berlin")


def _bare_question() -> ApprovalRequested:
    return _question(approval={"id": "1", "title": "A"}, request={"id": "2"})


def _question(**data: Any) -> ApprovalRequested:
    envelope = {"specversion": "1.0", "id": "1", "source": "/sample", "time": "2026-11-23T07:24:00Z"}
    event = envelope | {"type": "approval.requested", "data": data | {"approvers": [_DANA]}}
    return ApprovalRequested.model_validate_json(to_json(event))


def _asked(event: ApprovalRequested, links: SampleLinks | None) -> dict[str, Any]:
    return {
        "event": event,
        "approval": event.data.approval,
        "request": event.data.request,
        "approver": event.data.approvers[0],
        "variables": Anything(),
        "links": links,
    }


def _late(reason: str) -> dict[str, Any]:
    moment = datetime(2026, 11, 24, 18, tzinfo=UTC)
    decided = Decided(decision="rejected", approver=Asked(**_DANA), time=moment) if reason == "decided" else None
    return {"reason": reason, "newer": reason == "superseded", "decided": decided, "since": moment}


def _requests(event_type: str) -> Sequence[Mapping[str, Any]]:
    steps = [_step(number, status) for number, status in enumerate(_STATUSES, 1)]
    full = _request(event_type, request=_REQUEST, steps=steps)
    bare = _request(event_type, request={"id": "1", "title": "A", "instance": "B"})
    steps_only = _request(
        event_type,
        request={"id": "1", "title": "A", "instance": "B"},
        steps=[{"number": 0, "name": "C", "status": status} for status in _STATUSES],
    )
    return (full | {"logs": SampleLogs()}, bare | {"logs": None}, steps_only | {"logs": SampleLogs((), (), (), {})})


def _step(number: int, status: str) -> dict[str, Any]:
    return {
        "number": number,
        "name": "Migrate",
        "endpoint": "db-01",
        "execution_id": 90211,
        "status": status,
        "started_at": "2026-11-23T07:21:30Z",
        "finished_at": "2026-11-23T07:23:58Z",
        "message": "exit status 1",
    }


def _request(event_type: str, **data: Any) -> dict[str, Any]:
    event = RequestEvent.model_validate_json(
        to_json(
            {
                "specversion": "1.0",
                "id": "1",
                "source": "/sample",
                "type": event_type,
                "data": data | {"recipients": {"to": [_DANA]}},
            }
        )
    )
    return {
        "event": event,
        "request": event.data.request,
        "steps": event.data.steps,
        "variables": Anything(),
    }
