"""The newest event about an approval counts, in whatever order they come."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from builders import DANA, a_withdrawal, an_approval_event, parsed
from sqlalchemy import func, select

from worker.errors import InvalidEventError, OutageError
from worker.events import ApprovalEvent, ApprovalRequested, Approver, RequestEvent, mail_key
from worker.journal import Journal, Records
from worker.register import Asked, Register, Standing
from worker.tables import asked, questions


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An open journal."""
    opened = Journal(f"sqlite:///{tmp_path}/journal.db", retention=86_400.0)
    opened.open()
    yield opened
    opened.close()


@pytest.fixture
def register(journal: Journal) -> Register:
    """The approvals in it."""
    return Register(journal)


def approval(**more: Any) -> ApprovalRequested:
    """A request for approval."""
    event = parsed(an_approval_event(**more))
    assert isinstance(event, ApprovalRequested)
    return event


def about(event: dict[str, Any]) -> ApprovalEvent:
    """An approval event."""
    result = parsed(event)
    assert not isinstance(result, RequestEvent)
    return result


def test_the_first_event_is_current(register: Register) -> None:
    """And stays so when it is delivered again."""
    event = approval()
    assert register.admit(event) is Standing.CURRENT
    assert register.admit(event) is Standing.CURRENT
    assert register.is_current(event)


def test_in_any_order_the_newest_stays(journal: Journal) -> None:
    """Two requests and a withdrawal, permuted: the newest is current, whatever overtook it."""
    events = [
        about(an_approval_event(event_id="a-1", time="2026-11-23T07:00:00Z")),
        about(an_approval_event(event_id="a-2", time="2026-11-23T08:00:00Z", timezone="UTC")),
        about(a_withdrawal(time="2026-11-23T09:00:00Z")),
    ]
    for number, order in enumerate(permutations(events)):
        register = Register(journal)
        moved = [event.model_copy(update={"source": f"/{number}"}) for event in order]
        for event in moved:
            register.admit(event)
        assert [event.id for event in moved if register.is_current(event)] == ["w-1"]
        assert all(register.admit(event) is Standing.STALE for event in moved if event.id != "w-1")


def test_a_withdrawal_that_overtakes_closes(register: Register) -> None:
    """The request that comes behind it is stale."""
    assert register.admit(about(a_withdrawal())) is Standing.CURRENT
    assert register.admit(approval()) is Standing.STALE


def test_equal_times_with_different_content_are_refused(register: Register) -> None:
    """Nobody can say which is newer; equal content is no contradiction."""
    register.admit(approval(event_id="a-1"))
    assert register.admit(approval(event_id="a-2")) is Standing.STALE
    with pytest.raises(InvalidEventError, match="same time"):
        register.admit(approval(event_id="a-3", timezone="Europe/Berlin"))


def test_a_withdrawal_keeps_the_request(register: Register) -> None:
    """Its mail can say what was withdrawn."""
    register.admit(approval())
    withdrawal = about(a_withdrawal())
    register.admit(withdrawal)
    request = register.request(withdrawal)
    assert request is not None
    assert request.data.approval.title == "Deploy Billing 4.2 to PROD?"


def test_what_is_asked_is_noted(journal: Journal, register: Register) -> None:
    """Once for all approvers of an event, in the transaction that notes them; the first asking stays."""
    event = approval(approval={"id": "A-77", "title": "Go?", "expires_at": "2026-11-24T18:00:00Z"})
    person = Asked(Approver.model_validate(DANA), mail_key("/deploy/prod", event.id, DANA["email"]), b"\1" * 32)
    register.ask(event, [person])
    changed = event.model_copy(update={"time": event.time + timedelta(hours=1)})
    register.ask(changed, [replace(person, token_hash=b"\2" * 32)])
    with journal.transaction() as connection:
        [row] = connection.execute(select(questions)).all()
        assert connection.execute(select(func.count()).select_from(asked)).scalar() == 2
    assert (row.source, row.approval_id, row.event_id) == (event.source, "A-77", event.id)
    assert (row.request_id, row.title, row.requested_at) == ("48213", "Go?", event.time.timestamp())
    assert row.expires_at == datetime(2026, 11, 24, 18, tzinfo=UTC).timestamp()


def test_nobody_is_asked_without_the_question(journal: Journal, register: Register) -> None:
    """Where it can't be noted, neither is who was asked: an outage, and no mail leaves."""
    with journal.transaction() as connection:
        questions.drop(connection)
    with pytest.raises(OutageError):
        register.ask(event := approval(), [Asked(Approver.model_validate(DANA), mail_key("/", event.id), b"\1" * 32)])
    with journal.transaction() as connection:
        assert connection.execute(select(asked)).all() == []


def test_who_may_have_a_mail_is_told(journal: Journal, register: Register) -> None:
    """Claimed or sent: yes; asked but released: no. Each person once, over several requests."""
    for event_id, time in (("a-1", "2026-11-23T07:00:00Z"), ("a-2", "2026-11-23T07:30:00Z")):
        event = approval(event_id=event_id, time=time)
        people = [Approver.model_validate(DANA), Approver(email="bo@corp.example"), Approver(email="cy@corp.example")]
        noted = [Asked(person, mail_key("/deploy/prod", event_id, person.email), b"") for person in people]
        register.admit(event)
        register.ask(event, noted)
        register.ask(event, noted)
        journal.claim([person.mail_key for person in noted])
        journal.record(Records(sent=[noted[0].mail_key], released=[noted[2].mail_key]))
    assert {person.email for person in register.told(about(a_withdrawal()))} == {DANA["email"], "bo@corp.example"}
