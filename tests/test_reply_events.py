"""What is published about a reply: the contract's JSON, whatever the mail holds."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from findings import NOON
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from pydantic import ValidationError

from worker.reply_events import (
    COMMENT_BYTES,
    LINE_CHARACTERS,
    TYPED_BYTES,
    Asked,
    DecisionData,
    DecisionEvent,
    Mail,
    ReplyData,
    ReplyEvent,
    decision_id,
    encodable,
    event_bytes,
    reply_id,
    storable,
)
from worker.schema import published_schema

DANA = Asked(name="Dana Ito", email="dana@corp.example")
ANYTHING = st.text(st.characters(codec=None), max_size=40)
UNREADABLE = Draft7Validator(published_schema("reply.unreadable"))
APPROVED = Draft7Validator(published_schema("approval.approved"))


CONTRACT = """{{"specversion":"1.0","id":"{id}","source":"countersign","type":"approval.approved",
"time":"2026-11-23T12:00:00Z","data":{{"approval_id":"A-77","approval_source":"/deploy/prod",
"requested_event_id":"01J9","request_id":"48213","decision":"approved","comment":"checked the change list",
"approver":{{"name":"Dana Ito","email":"dana@corp.example"}},
"received_at":"2026-11-23T12:00:00Z","requested_at":"2026-11-23T12:00:00Z",
"mail":{{"message_id":"dana@corp.example","from":"dana@corp.example","authentication":"dana@corp.example"}}}}}}"""


def a_mail(text: str = "dana@corp.example") -> Mail:
    """A mail that holds the text wherever it can."""
    return Mail(message_id=text, sender=text, authentication=text)


def a_decision(**replaced: Any) -> DecisionEvent:
    """An approval."""
    data: dict[str, Any] = {
        "approval_id": "A-77",
        "approval_source": "/deploy/prod",
        "requested_event_id": "01J9",
        "request_id": "48213",
        "decision": "approved",
        "comment": "checked the change list",
        "approver": DANA,
        "received_at": NOON,
        "requested_at": NOON,
        "mail": a_mail(),
    }
    return DecisionEvent(
        specversion="1.0",
        id=decision_id("token"),
        source="countersign",
        type="approval.approved",
        time=NOON,
        data=DecisionData(**data | replaced),
    )


def a_reply(**replaced: Any) -> ReplyEvent:
    """A mail that can't be read."""
    data: dict[str, Any] = {"reason": "too long", "received_at": NOON, "typed_text": "", "mail": a_mail()}
    return ReplyEvent(
        specversion="1.0",
        id=reply_id(bytes(32)),
        source="countersign",
        type="reply.unreadable",
        time=NOON,
        data=ReplyData(**data | replaced),
    )


def test_a_decision_as_in_the_contract() -> None:
    """Field by field, in the contract's order."""
    assert event_bytes(a_decision()).decode() == CONTRACT.format(id=decision_id("token")).replace("\n", "")


def test_ids_never_change() -> None:
    """They follow from token and mail alone, today as in a year: a consumer knows an event again by them."""
    assert decision_id("abcdefghijklmnopqrstuvwxyz234567") == UUID("ac5d9594-46a8-5546-813c-cb29b7dc25f9")
    assert decision_id("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == UUID("ac5d9594-46a8-5546-813c-cb29b7dc25f9")
    assert reply_id(bytes(range(32))) == UUID("8c61f9ca-f113-5bf7-962e-6f17874ba792")


def test_what_is_not_said_is_left_out() -> None:
    """No null stands in an event."""
    assert json.loads(event_bytes(a_reply()))["data"].keys() == {"reason", "received_at", "typed_text", "mail"}


@given(text=ANYTHING)
def test_any_text_is_published(text: str) -> None:
    """Control characters and lone surrogates make valid UTF-8, valid JSON, and an event of the schema."""
    reply = event_bytes(a_reply(reason=text, detail=text, address=text, typed_text=text, mail=a_mail(text)))
    UNREADABLE.validate(json.loads(reply.decode()))
    decision = json.loads(event_bytes(a_decision(comment=text, mail=a_mail(text))).decode())
    APPROVED.validate(decision)
    assert decision["data"]["comment"] == encodable(text)


@given(text=ANYTHING)
def test_only_what_cannot_be_encoded_is_replaced(text: str) -> None:
    """Every other character stays."""
    kept = encodable(text)
    kept.encode()
    if all(not 0xD800 <= ord(character) <= 0xDFFF for character in text):
        assert kept == text
    assert "\0" not in storable(text)


@pytest.mark.parametrize("character", ["x", "ä", "\U0001f600", "\udc80"])
def test_nothing_grows_without_bound(character: str) -> None:
    """However long a header or a text is, an event stays small, and no character is cut in two."""
    endless = character * 1_000_000
    data = json.loads(event_bytes(a_reply(reason=endless, typed_text=endless, mail=a_mail(endless))))["data"]
    assert {len(data["reason"]), len(data["mail"]["from"])} == {LINE_CHARACTERS}
    assert TYPED_BYTES - 4 < len(data["typed_text"].encode()) <= TYPED_BYTES
    comment = json.loads(event_bytes(a_decision(comment=endless)))["data"]["comment"]
    assert COMMENT_BYTES - 4 < len(comment.encode()) <= COMMENT_BYTES
    assert set(comment) == {encodable(character)}


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        (datetime(2026, 11, 23, 8, 24, tzinfo=timezone(timedelta(hours=1))), "2026-11-23T07:24:00Z"),
        (datetime(2026, 11, 23, 7, 24, 0, 250_000, tzinfo=UTC), "2026-11-23T07:24:00.250000Z"),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), "0001-01-01T00:00:00Z"),
        (datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=12))), "9999-12-31T23:00:00Z"),
    ],
)
def test_times_are_utc(moment: datetime, written: str) -> None:
    """Whatever zone a mail server thinks in; the ends of the calendar are no crash."""
    assert json.loads(event_bytes(a_reply(received_at=moment)))["data"]["received_at"] == written


def test_a_time_without_zone_is_a_fault_of_ours() -> None:
    """Nobody can say which moment it was."""
    with pytest.raises(ValidationError, match="timezone"):
        a_reply(received_at=datetime(2026, 11, 23, 7, 24))  # noqa: DTZ001 - the point


def test_an_event_reads_back() -> None:
    """Who decided what, and when, is read from what was published."""
    event = a_decision(comment="\udc80 und los")
    again = DecisionEvent.model_validate_json(event_bytes(event))
    assert again == event
    assert event_bytes(again) == event_bytes(event)
