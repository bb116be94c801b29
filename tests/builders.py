"""Valid events, with only what a test is about changed: a dict as upstream writes it, and its bytes."""

import json
from typing import Any

from worker.events import STRUCTURED, Event, parse_event

DANA = {"name": "Dana Ito", "email": "dana@corp.example"}


def a_request_event(
    kind: str = "request.completed", *, event_id: str = "e-1", steps: int | list[dict[str, Any]] = 0, **data: Any
) -> dict[str, Any]:
    """A ``request.*`` event with so many succeeded steps, or those given; ``data`` replaces parts of its data."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "/deploy/prod",
        "type": kind,
        "time": "2026-11-23T07:24:00Z",
        "data": {
            "request": {"id": "48213", "title": "Deploy Billing 4.2 to PROD", "instance": "BillingService"},
            "steps": [a_step(number) for number in range(1, steps + 1)] if isinstance(steps, int) else steps,
            "recipients": {"to": [DANA]},
        }
        | data,
    }


def a_step(number: int = 1, *, status: str = "succeeded", **more: Any) -> dict[str, Any]:
    """One step; ``log={"text": …}`` gives it a log."""
    return {
        "number": number,
        "name": f"Step {number}",
        "status": status,
        "endpoint": "db-01",
        "execution_id": 90210 + number,
    } | more


def an_approval_event(*, event_id: str = "a-1", time: str = "2026-11-23T07:24:00Z", **data: Any) -> dict[str, Any]:
    """An ``approval.requested`` event with one approver."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "/deploy/prod",
        "type": "approval.requested",
        "time": time,
        "data": {
            "approval": {"id": "A-77", "title": "Deploy Billing 4.2 to PROD?", "url": "https://deploy.example/a/77"},
            "request": {"id": "48213"},
            "approvers": [DANA],
        }
        | data,
    }


def a_withdrawal(
    *, event_id: str = "w-1", time: str = "2026-11-23T08:24:00Z", approval: str = "A-77", reason: str | None = None
) -> dict[str, Any]:
    """An ``approval.withdrawn`` event about that approval."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "/deploy/prod",
        "type": "approval.withdrawn",
        "time": time,
        "data": {"approval": {"id": approval}, "reason": reason},
    }


def as_bytes(event: dict[str, Any]) -> bytes:
    """The event as upstream publishes it."""
    return json.dumps(event).encode()


def parsed(event: dict[str, Any]) -> Event:
    """The event as we read it."""
    family = event["type"].partition(".")[0]
    return parse_event(as_bytes(event), STRUCTURED, {}, family=family, max_bytes=2**24)
