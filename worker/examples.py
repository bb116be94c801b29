"""One example event a type, as upstream writes it: they stand in the schemas, and each is a valid event."""

from collections.abc import Mapping
from typing import Any

_DANA = {"name": "Dana Ito", "email": "dana@corp.example"}
_OLE = {"name": "Ole Berg", "email": "ole@corp.example"}

_REQUEST = {
    "id": "48213",
    "title": "Deploy Billing 4.2 to PROD",
    "instance": "BillingService",
    "project": "Billing",
    "environment": "PROD",
    "release": "4.2",
    "url": "https://deploy.example/requests/48213",
    "submitted_by": _DANA,
}
_MIGRATE = {
    "number": 3,
    "name": "Migrate",
    "endpoint": "db-01",
    "execution_id": 90211,
    "status": "failed",
    "started_at": "2026-11-23T07:21:30Z",
    "finished_at": "2026-11-23T07:23:58Z",
    "message": "exit status 1",
    "log": {"text": "ALTER TABLE invoice ADD COLUMN vat_id text;\nERROR: lock timeout\n"},
}
_APPROVAL = {
    "id": "A-77",
    "title": "Deploy Billing 4.2 to PROD?",
    "description": "Adds the VAT id to invoices. Ten minutes without billing.",
    "expires_at": "2026-11-24T18:00:00Z",
    "url": "https://deploy.example/approvals/A-77",
}


def _event(kind: str, event_id: str, time: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "/deploy/prod",
        "type": kind,
        "time": f"2026-11-23T{time}Z",
        "datacontenttype": "application/json",
        "data": data,
    }


def _request(kind: str, event_id: str, time: str, *, request: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    data = {"request": {**_REQUEST, **request}, "recipients": {"to": [_DANA]}, **more}
    return _event(kind, event_id, time, data)


EXAMPLES: Mapping[str, dict[str, Any]] = {
    example["type"]: example
    for example in (
        _request(
            "request.scheduled",
            "01JDBX5M0000SCHEDULED00000",
            "06:00:00",
            request={"message": "starts at 08:15"},
            timezone="Europe/Berlin",
        ),
        _request(
            "request.deploying",
            "01JDBX5M0000DEPLOYING00000",
            "07:15:00",
            request={"started_at": "2026-11-23T07:15:00Z"},
        ),
        _request(
            "request.completed",
            "01JDBX5M0000COMPLETED00000",
            "07:24:00",
            request={"started_at": "2026-11-23T07:15:00Z", "finished_at": "2026-11-23T07:24:00Z"},
            steps=[{"number": 1, "name": "Copy", "status": "succeeded"}],
        ),
        _request(
            "request.failed",
            "01JDBX5M0000FAILED00000000",
            "07:24:00",
            request={
                "started_at": "2026-11-23T07:15:00Z",
                "finished_at": "2026-11-23T07:24:00Z",
                "message": "step 3 failed: exit status 1",
            },
            steps=[{"number": 1, "name": "Copy", "status": "succeeded"}, _MIGRATE],
            locale="en",
            timezone="Europe/Berlin",
            attach_logs="on_failure",
            variables={"change": "CHG0041"},
        ),
        _request(
            "request.rejected",
            "01JDBX5M0000REJECTED000000",
            "07:02:00",
            request={"message": "Ole Berg rejected it: not during the close of books"},
        ),
        _event(
            "approval.requested",
            "01JDBX5M0000REQUESTED00000",
            "06:01:00",
            {
                "approval": _APPROVAL,
                "request": _REQUEST,
                "approvers": [{**_DANA, "aliases": ["dana.ito@corp.example"]}, {**_OLE, "locale": "nb"}],
                "timezone": "Europe/Berlin",
            },
        ),
        _event(
            "approval.withdrawn",
            "01JDBX5M0000WITHDRAWN00000",
            "06:40:00",
            {"approval": {"id": "A-77"}, "reason": "release 4.2 was recalled"},
        ),
    )
}
