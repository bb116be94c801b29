"""The demo's events: a deployment to production in a few scenes, and what each should lead to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic_core import to_json

SOURCE = "/demo/deploy"

_DANA = {"name": "Dana Ito", "email": "dana@corp.example"}
_BO = {"name": "Bo Müller", "email": "bo@corp.example"}
_LOGS = {
    1: "uploading billing-4.2.tar.gz\nchecksum ok\n",
    2: "draining node billing-1\nnode billing-1 is idle\n",
    3: "ALTER TABLE invoice ADD COLUMN vat_id text;\nERROR: canceling statement due to lock timeout\nexit status 1\n",
}
_STEPS = {1: ("Upload", "files-01"), 2: ("Drain", "lb-01"), 3: ("Migrate", "db-01")}


@dataclass(frozen=True, slots=True)
class Scene:
    """One delivery, and what must come of it: who gets a mail, with which attachments, or a dead letter."""

    says: str
    routing_key: str
    body: bytes
    mails_to: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()
    dead_letter: bool = False


def tell(now: datetime) -> Sequence[Scene]:
    """The scenes, in the order to publish them."""
    to_dana, to_bo = "dana@corp.example", "bo@corp.example"
    failed = _request("request.failed", "4", now, _steps(now, "failed"), attach_logs="on_failure")
    return (
        _scene("a deployment is scheduled", _request("request.scheduled", "1", now, []), to_dana),
        _scene("two people are asked to approve it", _approval(now), to_dana, to_bo),
        _scene("and told that they need not any more", _withdrawal(now), to_dana, to_bo),
        _scene(
            "it completes; three steps left a log",
            _request("request.completed", "3", now, _steps(now, "succeeded")),
            to_dana,
            attachments=("BillingService_logs.zip",),
        ),
        _scene(
            "the next one fails; its log comes along",
            failed,
            to_dana,
            attachments=("BillingService_3_Migrate_db-01(90213).log",),
        ),
        _scene("the same event is delivered again: no second mail", failed),
        Scene("something arrives that is no event", "request.failed", b'{"type": "request.failed"}', dead_letter=True),
    )


def _scene(says: str, event: dict[str, Any], *mails_to: str, attachments: tuple[str, ...] = ()) -> Scene:
    return Scene(says, event["type"], to_json(event), mails_to, attachments)


def _event(kind: str, event_id: str, time: datetime, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": kind,
        "time": time.isoformat(),
        "data": data,
    }


def _about(now: datetime) -> dict[str, Any]:
    return {
        "id": "48213",
        "title": "Deploy Billing 4.2 to PROD",
        "instance": "BillingService",
        "project": "Billing",
        "environment": "PROD",
        "release": "4.2",
        "url": "https://deploy.example/requests/48213",
        "submitted_by": _BO,
        "started_at": (now - timedelta(minutes=9)).isoformat(),
    }


def _request(kind: str, event_id: str, now: datetime, steps: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    finished = {"finished_at": now.isoformat()} if steps else {"started_at": None}
    message = {"message": "step 3 failed: exit status 1"} if kind == "request.failed" else {}
    data = {"request": _about(now) | finished | message, "steps": steps, "recipients": {"to": [_DANA]}}
    return _event(kind, event_id, now, data | {"timezone": "Europe/Berlin"} | more)


def _steps(now: datetime, last: str) -> list[dict[str, Any]]:
    begin = now - timedelta(minutes=9)
    return [
        {
            "number": number,
            "name": name,
            "endpoint": endpoint,
            "execution_id": 90210 + number,
            "status": last if number == len(_STEPS) else "succeeded",
            "started_at": (begin + timedelta(minutes=3 * (number - 1))).isoformat(),
            "finished_at": (begin + timedelta(minutes=3 * number)).isoformat(),
            "log": {"text": _LOGS[number]},
        }
        for number, (name, endpoint) in _STEPS.items()
    ]


def _approval(now: datetime) -> dict[str, Any]:
    approval = {
        "id": "A-77",
        "title": "Deploy Billing 4.2 to PROD?",
        "description": "Adds the VAT id to invoices. Ten minutes without billing.",
        "expires_at": (now + timedelta(days=1)).isoformat(),
        "url": "https://deploy.example/approvals/A-77",
    }
    people = [_DANA, _BO | {"locale": "de"}]
    data = {"approval": approval, "request": _about(now), "approvers": people, "timezone": "Europe/Berlin"}
    return _event("approval.requested", "2", now, data)


def _withdrawal(now: datetime) -> dict[str, Any]:
    data = {"approval": {"id": "A-77"}, "reason": "Approved by the change board meanwhile."}
    return _event("approval.withdrawn", "2b", now + timedelta(seconds=1), data)
