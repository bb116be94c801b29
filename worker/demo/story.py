"""The demo's events and replies: a deployment to production in a few scenes, and what each should lead to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic_core import to_json

from worker.demo.replies import Write, absence, gmail, outlook

SOURCE = "/demo/deploy"

DANA, BO = "dana@corp.example", "bo@corp.example"
_DANA = {"name": "Dana Ito", "email": DANA}
_BO = {"name": "Bo Müller", "email": BO}
_LOGS = {
    1: "uploading billing-4.2.tar.gz\nchecksum ok\n",
    2: "draining node billing-1\nnode billing-1 is idle\n",
    3: "ALTER TABLE invoice ADD COLUMN vat_id text;\nERROR: canceling statement due to lock timeout\nexit status 1\n",
}
_STEPS = {1: ("Upload", "files-01"), 2: ("Drain", "lb-01"), 3: ("Migrate", "db-01")}


@dataclass(frozen=True, slots=True)
class Scene:
    """One delivery, and what must come of it: who gets a mail, with which attachments, or a dead letter.

    ``approval`` is what it asks about, where it asks.
    """

    says: str
    routing_key: str
    body: bytes
    mails_to: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()
    dead_letter: bool = False
    approval: str = ""


@dataclass(frozen=True, slots=True)
class ReplyScene:
    """One mail that comes back from who was asked, and what must come of it: what is published, who gets a mail.

    ``dmarc`` is what our gateway found out about its sender. The mail is kept in quarantine, or gone.
    """

    says: str
    approval: str
    approver: str
    write: Write
    published: str
    comment: str = ""
    mails_to: tuple[str, ...] = ()
    dmarc: Literal["pass", "fail"] = "pass"
    quarantined: bool = False


def tell(now: datetime) -> Sequence[Scene | ReplyScene]:
    """The scenes, in the order to play them."""
    return (
        _scene("a deployment is scheduled", _request("request.scheduled", "1", now, []), DANA),
        _scene("two people are asked to approve it", _approval(now, "A-77", _about(now)), DANA, BO),
        *_answers("A-77"),
        _scene(
            "it completes; three steps left a log",
            _request("request.completed", "3", now, _steps(now, "succeeded")),
            DANA,
            attachments=("BillingService_logs.zip",),
        ),
        _scene("they are asked about the next one", _approval(now, "A-78", _next(now)), DANA, BO),
        _rejection("A-78"),
        _scene("so nobody needs to decide any more", _withdrawal(now, "A-78"), DANA, BO),
        *_troubles(now),
    )


def _answers(approval: str) -> Sequence[ReplyScene]:
    away = absence("I am away until Monday. Bo Müller can approve in my place.")
    return (
        ReplyScene("from her mail server", approval, DANA, away, "reply.automatic"),
        ReplyScene(
            "from somebody else, in her name",
            approval,
            DANA,
            gmail("Approve"),
            "reply.untrusted",
            dmarc="fail",
            quarantined=True,
        ),
        ReplyScene(
            "none of the words that decide",
            approval,
            DANA,
            gmail("Looks good to me"),
            "reply.undecided",
            mails_to=(DANA,),
        ),
        ReplyScene(
            "from Gmail",
            approval,
            DANA,
            gmail("Approve: checked the change list"),
            "approval.approved",
            "checked the change list",
        ),
        ReplyScene("from Outlook", approval, BO, outlook("Approved"), "approval.approved"),
    )


def _rejection(approval: str) -> ReplyScene:
    reason = "no migration before the backup is done"
    return ReplyScene("from Outlook", approval, BO, outlook(f"Reject: {reason}"), "approval.rejected", reason)


def _troubles(now: datetime) -> Sequence[Scene]:
    failed = _request("request.failed", "4", now, _steps(now, "failed"), attach_logs="on_failure")
    return (
        _scene(
            "another one fails; its log comes along",
            failed,
            DANA,
            attachments=("BillingService_3_Migrate_db-01(90213).log",),
        ),
        _scene("the same event is delivered again: no second mail", failed),
        Scene("something arrives that is no event", "request.failed", b'{"type": "request.failed"}', dead_letter=True),
    )


def _scene(says: str, event: dict[str, Any], *mails_to: str, attachments: tuple[str, ...] = ()) -> Scene:
    approval = event["data"].get("approval", {}).get("id", "")
    return Scene(says, event["type"], to_json(event), mails_to, attachments, approval=approval)


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


def _next(now: datetime) -> dict[str, Any]:
    newer = {"id": "48214", "title": "Deploy Billing 4.3 to PROD", "release": "4.3"}
    return _about(now) | newer | {"url": "https://deploy.example/requests/48214", "started_at": None}


def _approval(now: datetime, approval_id: str, request: dict[str, Any]) -> dict[str, Any]:
    approval = {
        "id": approval_id,
        "title": f"{request['title']}?",
        "description": "Adds the VAT id to invoices. Ten minutes without billing.",
        "expires_at": (now + timedelta(days=1)).isoformat(),
        "url": f"https://deploy.example/approvals/{approval_id}",
    }
    people = [_DANA, _BO | {"locale": "de"}]
    data = {"approval": approval, "request": request, "approvers": people, "timezone": "Europe/Berlin"}
    return _event("approval.requested", f"{approval_id}-asked", now, data)


def _withdrawal(now: datetime, approval_id: str) -> dict[str, Any]:
    data = {"approval": {"id": approval_id}, "reason": "Rejected by Bo Müller."}
    return _event("approval.withdrawn", f"{approval_id}-withdrawn", now + timedelta(seconds=1), data)
