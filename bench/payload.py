"""A number to an event of the contract, 1.4 kB long, and to the Celery task that carries the same event."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

EVENT_BYTES = 1400
STRUCTURED = "application/cloudevents+json"
CELERY_TASK = "bench.mail"

Published = tuple[bytes, dict[str, Any]]

_STEPS = (
    ("Stop services", "succeeded", "3 of 3 instances stopped"),
    ("Back up schema", "succeeded", "412 tables, 18.3 GB"),
    ("Migrate", "succeeded", "changes 4188 to 4203 applied"),
)
_LINE = "2026-11-23T07:{:02}:{:02}.{:03}Z INFO  migrate[{}] change {} applied to table billing_item in {} ms\n"


def event(number: int, log_bytes: int = 0) -> dict[str, Any]:
    """A ``request.completed``: 1.4 kB as JSON, and beside that a log of ``log_bytes`` at the last step."""
    made: dict[str, Any] = {
        "specversion": "1.0",
        "id": str(uuid.UUID(int=number + (1 << 96))),
        "source": "/deploy/prod",
        "type": "request.completed",
        "time": "2026-11-23T07:24:00Z",
        "data": {
            "request": _request(number),
            "steps": [_step(index, number) for index in range(len(_STEPS))],
            "recipients": {"to": [{"name": "Dana Ito", "email": "dana@corp.example"}]},
            "variables": {"note": ""},
        },
    }
    made["data"]["variables"]["note"] = "n" * (EVENT_BYTES - len(json.dumps(made)))
    if log_bytes:
        made["data"]["attach_logs"] = "always"
        made["data"]["steps"][-1]["log"] = {"text": log_text(log_bytes)}
    return made


def _request(number: int) -> dict[str, Any]:
    return {
        "id": str(48000 + number),
        "title": "Deploy Billing 4.2 to PROD",
        "instance": "BillingService",
        "project": "Billing",
        "environment": "PROD",
        "release": "4.2",
        "url": f"https://deploy.example/requests/{48000 + number}",
        "submitted_by": {"name": "Dana Ito", "email": "dana@corp.example"},
        "started_at": "2026-11-23T07:20:00Z",
        "finished_at": "2026-11-23T07:24:00Z",
        "message": "All steps done",
    }


def _step(index: int, number: int) -> dict[str, Any]:
    name, status, message = _STEPS[index]
    return {
        "number": index + 1,
        "name": name,
        "endpoint": "db-01",
        "execution_id": 90000 + number,
        "status": status,
        "message": message,
    }


def log_text(size: int) -> str:
    """A log of exactly ``size`` bytes with lines as a migration writes them."""
    lines = (
        _LINE.format(i // 60 % 60, i % 60, i * 7 % 1000, 900 + i % 9, i, i * 13 % 997) for i in range(size // 80 + 1)
    )
    return "".join(lines)[:size].ljust(size, ".")


def plain(count: int, log_bytes: int) -> Iterator[Published]:
    """Bodies and properties of ``count`` CloudEvents."""
    for number in range(count):
        made = event(number, log_bytes)
        yield json.dumps(made).encode(), {"content_type": STRUCTURED, "message_id": made["id"], "delivery_mode": 2}


def celery(count: int, log_bytes: int) -> Iterator[Published]:
    """The same events as tasks, in Celery's message protocol 2."""
    for number in range(count):
        made = event(number, log_bytes)
        embedded = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
        yield (
            json.dumps([[made], {}, embedded]).encode(),
            {
                "content_type": "application/json",
                "content_encoding": "utf-8",
                "correlation_id": made["id"],
                "delivery_mode": 2,
                "headers": _task_headers(made["id"]),
            },
        )


def _task_headers(task_id: str) -> dict[str, Any]:
    nothing = ("parent_id", "group", "eta", "expires", "shadow")
    limits: dict[str, Any] = {"timelimit": [None, None], "retries": 0, "ignore_result": True}
    named = {"lang": "py", "task": CELERY_TASK, "id": task_id, "root_id": task_id, "origin": "bench"}
    return dict.fromkeys(nothing) | limits | named | {"argsrepr": "", "kwargsrepr": "{}"}
