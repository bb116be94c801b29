"""One example a type of what Countersign publishes: they stand in the schemas, for a consumer to try itself on."""

from collections.abc import Mapping
from typing import Any

_DANA = {"name": "Dana Ito", "email": "dana@corp.example"}
_APPROVAL = {
    "approval_id": "A-77",
    "approval_source": "/deploy/prod",
    "requested_event_id": "01JDBX5M0000REQUESTED00000",
    "request_id": "48213",
}
_ASKED = {"approver": _DANA, "requested_at": "2026-11-23T06:01:00Z"}


def _mail(name: str, sender: str = "dana@corp.example", authentication: str | None = None) -> dict[str, str]:
    domain = sender.rpartition("@")[2]
    proven = f"dmarc=pass header.from={domain}" if authentication is None else authentication
    return {"message_id": f"<{name}@{domain}>", "from": sender, "authentication": proven}


def _event(kind: str, event_id: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "countersign",
        "type": kind,
        "time": "2026-11-23T06:40:02Z",
        "data": data,
    }


def _decision(decision: str, event_id: str, comment: str) -> dict[str, Any]:
    said = {"decision": decision, "comment": comment, "approver": _DANA}
    times = {"received_at": "2026-11-23T06:40:00Z", "requested_at": "2026-11-23T06:01:00Z"}
    return _event(f"approval.{decision}", event_id, {**_APPROVAL, **said, **times, "mail": _mail(decision)})


def _reply(kind: str, event_id: str, reason: str, **more: Any) -> dict[str, Any]:
    mail = more.pop("mail", _mail(kind.partition(".")[2]))
    typed = more.pop("typed_text", "")
    received = {"received_at": "2026-11-23T06:40:00Z", "typed_text": typed, "mail": mail}
    return _event(kind, event_id, {"reason": reason, **more, **received})


REPLY_EXAMPLES: Mapping[str, dict[str, Any]] = {
    example["type"]: example
    for example in (
        _decision("approved", "6c0a6ac5-3b8e-5d8f-9c11-0f1f6a5f2a01", "checked the change list"),
        _decision("rejected", "6c0a6ac5-3b8e-5d8f-9c11-0f1f6a5f2a02", "not during the close of books"),
        _reply(
            "reply.undecided",
            "6c0a6ac5-3b8e-5d8f-9c11-0f1f6a5f2a03",
            "the first line is neither an approve word nor a reject word",
            typed_text="Who else has looked at this?",
            **_APPROVAL,
            **_ASKED,
        ),
        _reply(
            "reply.late",
            "6c0a6ac5-3b8e-5d8f-9c11-0f1f6a5f2a04",
            "decided",
            detail="this approver had rejected it already at 2026-11-23T06:20:00Z, and the first decision counts",
            decided={"decision": "rejected", "approver": _DANA, "time": "2026-11-23T06:20:00Z"},
            typed_text="Approved",
            **_APPROVAL,
            **_ASKED,
        ),
        _reply(
            "reply.untrusted",
            "6c0a6ac5-3b8e-5d8f-9c11-0f1f6a5f2a05",
            "the sender is not the approver that the token was issued to",
            typed_text="Approved",
            mail=_mail("forged", "dana@c0rp.example", ""),
            **_APPROVAL,
            **_ASKED,
        ),
        _reply(
            "reply.automatic",
            "6c0a6ac5-3b8e-5d8f-9c11-0f1f6a5f2a06",
            "an absence notice",
            typed_text="I am out of the office until Monday.",
            **_APPROVAL,
            **_ASKED,
        ),
        _reply(
            "reply.bounced",
            "6c0a6ac5-3b8e-5d8f-9c11-0f1f6a5f2a07",
            "550 5.1.1 no such user",
            address="dana@corp.example",
            mail=_mail("bounce", "mailer-daemon@mx.corp.example", ""),
            **_APPROVAL,
            **_ASKED,
        ),
        _reply(
            "reply.unreadable",
            "6c0a6ac5-3b8e-5d8f-9c11-0f1f6a5f2a08",
            "the mail has more than 1,000 parts",
            mail={"message_id": "", "from": "", "authentication": ""},
        ),
    )
}
