"""Events to their words, as tests ask for them; and a folder of overrides that changes under running templates."""

import json
import re
from pathlib import Path
from typing import Any

from pages import Page

from worker.events import STRUCTURED, ApprovalRequested, RequestEvent, parse_event
from worker.mail.email import Words
from worker.mail.rendering import Templates


class Wall:
    """A clock that stands until it is moved, and what was reported meanwhile."""

    def __init__(self) -> None:
        self.now = 0.0
        self.reports: list[str] = []

    def __call__(self) -> float:
        """The time now."""
        return self.now


class Overrides:
    """A folder of overrides, the templates over it, and what they reported."""

    def __init__(self, folder: Path, default_locale: str = "en") -> None:
        self.folder = folder
        self.default_locale = default_locale
        self.wall = Wall()
        self._templates: Templates | None = None

    @property
    def reports(self) -> list[str]:
        """Every sentence so far."""
        return self.wall.reports

    @property
    def templates(self) -> Templates:
        """Built when first asked for, so that a test can put files there before."""
        if self._templates is None:
            self._templates = Templates(
                directory=self.folder,
                default_locale=self.default_locale,
                report=self.wall.reports.append,
                clock=self.wall,
            )
        return self._templates

    def put(self, name: str, text: str) -> Path:
        """Write a file and let a second pass."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        self.wait()
        return path

    def drop(self, name: str) -> None:
        """Remove a file and let a second pass."""
        (self.folder / name).unlink()
        self.wait()

    def wait(self) -> None:
        """A second passes and the next batch begins."""
        self.wall.now += 1.1
        if self._templates is not None:
            self._templates.refresh()


def a_request(
    kind: str = "request.failed", *, steps: list[dict[str, Any]] | None = None, **request: Any
) -> RequestEvent:
    """A request event with those fields of its request."""
    body = {
        "specversion": "1.0",
        "id": "1",
        "source": "/s",
        "type": kind,
        "data": {
            "request": {"id": "48213", "title": "Deploy Billing", "instance": "BillingService"} | request,
            "steps": steps or [],
            "recipients": {"to": [{"email": "dana@corp.example"}]},
        },
    }
    event = parse_event(json.dumps(body).encode(), STRUCTURED, None, family="request", max_bytes=2**30)
    assert isinstance(event, RequestEvent)
    return event


def a_question(approval: dict[str, Any] | None = None, **request: Any) -> ApprovalRequested:
    """An approval with those fields, of a request with those."""
    body = {
        "specversion": "1.0",
        "id": "1",
        "source": "/s",
        "type": "approval.requested",
        "time": "2026-11-23T07:24:00Z",
        "data": {
            "approval": {"id": "A-77", "title": "Deploy Billing"} | (approval or {}),
            "request": {"id": "48213"} | request,
            "approvers": [{"email": "dana@corp.example"}],
        },
    }
    event = parse_event(json.dumps(body).encode(), STRUCTURED, None, family="approval", max_bytes=2**30)
    assert isinstance(event, ApprovalRequested)
    return event


def words(
    templates: Templates,
    event: RequestEvent,
    *,
    locale: str | None = None,
    timezone: str | None = "Europe/Berlin",
    logs: Any = None,
) -> Words:
    """The words of a request event."""
    return templates.render(
        event.type,
        locale=locale,
        timezone=timezone,
        event=event,
        request=event.data.request,
        steps=event.data.steps,
        variables=event.data.variables,
        logs=logs,
    )


def asked(
    templates: Templates,
    event: ApprovalRequested,
    *,
    kind: str = "approval.requested",
    locale: str | None = None,
    **more: Any,
) -> Words:
    """The words of an approval's mail; ``links`` or ``reason`` as given, else None."""
    return templates.render(
        kind,
        locale=locale,
        timezone="Europe/Berlin",
        event=event,
        approval=event.data.approval,
        request=event.data.request,
        approver=event.data.approvers[0],
        variables=event.data.variables,
        **({"links": None, "reason": None} | more),
    )


def sound(found: Words) -> None:
    """Assert what holds for the words of every mail."""
    page = Page(found.html)
    assert page.faults == []
    assert found.subject.strip()
    assert "\n" not in found.subject
    assert len(found.subject) <= 200
    assert len(found.html.encode()) < 102_000
    for shown in (found.subject, found.text, "\n".join(page.lines)):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
