"""Bytes become events, or an error that names the field."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from builders import a_request_event, a_step, a_withdrawal, an_approval_event, as_bytes
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import InvalidEventError
from worker.events import STRUCTURED, TYPES, RequestEvent, mail_key, parse_event


def read(event: dict[str, Any] | bytes, family: str = "request", content_type: str = STRUCTURED, **headers: Any) -> Any:
    """The event in a delivery with that body."""
    body = event if isinstance(event, bytes) else as_bytes(event)
    return parse_event(body, content_type, headers, family=family, max_bytes=100_000)


def complaint(event: dict[str, Any] | bytes, family: str = "request", **more: Any) -> str:
    """What is said about an event that is refused."""
    with pytest.raises(InvalidEventError) as caught:
        read(event, family, **more)
    return str(caught.value)


def changed(path: str, value: Any, event: dict[str, Any] | None = None) -> dict[str, Any]:
    """A valid event with one field replaced; ``...`` removes it."""
    result: dict[str, Any] = json.loads(as_bytes(event or a_request_event("request.failed", steps=1)))
    *folders, name = path.split(".")
    place: Any = result
    for folder in folders:
        place = place[int(folder)] if folder.isdecimal() else place[folder]
    key: Any = int(name) if name.isdecimal() else name
    if value is ...:
        del place[key]
    else:
        place[key] = value
    return result


def test_a_structured_event_is_read() -> None:
    """Every field of the contract arrives typed."""
    event = read(a_request_event("request.failed", steps=2, timezone="Europe/Berlin", variables={"any": [1]}))
    assert isinstance(event, RequestEvent)
    assert event.time == datetime(2026, 11, 23, 7, 24, tzinfo=UTC)
    assert [step.number for step in event.data.steps] == [1, 2]
    assert event.data.recipients.to[0].email == "dana@corp.example"
    assert event.data.variables == {"any": [1]}


@pytest.mark.parametrize("prefix", ["cloudEvents:", "cloudEvents_", "ce-"])
def test_a_binary_event_is_read(prefix: str) -> None:
    """Attributes in headers with each of the three prefixes, data in the body."""
    event = a_request_event()
    data = as_bytes(event.pop("data"))
    headers = {prefix + name: value for name, value in event.items()}
    assert parse_event(data, "application/json", headers, family="request", max_bytes=10_000).id == "e-1"


def test_a_binary_time_may_be_a_timestamp() -> None:
    """AMQP has a type for times; clients that use it are understood."""
    event = a_request_event()
    data = as_bytes(event.pop("data"))
    headers = {f"ce-{name}": value for name, value in event.items()} | {"ce-time": datetime(2026, 1, 2, tzinfo=UTC)}
    read_event = parse_event(data, "application/json", headers, family="request", max_bytes=10_000)
    assert read_event.time == datetime(2026, 1, 2, tzinfo=UTC)


def test_an_amqp_timestamp_is_utc() -> None:
    """Clients give it without a zone."""
    event = a_request_event()
    data = as_bytes(event.pop("data"))
    naive = datetime(2026, 1, 2)  # noqa: DTZ001 - as a client reads it
    headers = {f"ce-{name}": value for name, value in event.items()} | {"ce-time": naive}
    assert parse_event(data, "application/json", headers, family="request", max_bytes=10_000).time == datetime(
        2026, 1, 2, tzinfo=UTC
    )


def test_the_body_of_a_binary_event_cannot_change_its_attributes() -> None:
    """What the body holds is data, whatever its names are."""
    event = a_request_event()
    headers = {f"ce-{name}": value for name, value in event.items() if name != "data"}
    with pytest.raises(InvalidEventError, match=r"data\.request"):
        parse_event(as_bytes(event), "application/json", headers, family="request", max_bytes=10_000)


@pytest.mark.parametrize("kind", [kind for kind in TYPES if kind.startswith("request.")])
def test_each_request_type_is_known(kind: str) -> None:
    """All five belong into the queue of requests."""
    assert read(a_request_event(kind)).type == kind


def test_the_approval_types_are_known() -> None:
    """Both belong into the queue of approvals."""
    assert read(an_approval_event(), "approval").type == "approval.requested"
    assert read(a_withdrawal(), "approval").type == "approval.withdrawn"


def test_unknown_fields_are_ignored() -> None:
    """Upstream may be newer than we are."""
    assert read(changed("data.request.colour", "blue"))


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("specversion", "0.3", "specversion"),
        ("id", ..., "id: Field required"),
        ("source", "", "source"),
        ("time", "2026-11-23T07:24:00", "time"),
        ("data.request.title", ..., "data.request.title: Field required"),
        ("data.request.title", "a\r\nBcc: x@y", "data.request.title: a control character"),
        ("data.request.instance", ..., "data.request.instance: Field required"),
        ("data.request.url", "javascript:alert(1)", "data.request.url"),
        ("data.recipients.to", [], "data.recipients.to"),
        ("data.recipients.to.0.email", "dana\n@corp.example", "data.recipients.to.0.email: not an email address"),
        ("data.recipients.to.0.email", "dana", "data.recipients.to.0.email"),
        ("data.recipients.to.0.name", "Dana\x00", "data.recipients.to.0.name: a control character"),
        ("data.steps.0.status", "exploded", "data.steps.0.status"),
        ("data.steps.0.number", "1", "data.steps.0.number"),
        ("data.steps.0.log", {"text": "a", "base64": "YQ=="}, "exactly one"),
        ("data.steps.0.log", {}, "exactly one"),
        ("data.steps.0.log", {"url": "ftp://x/y"}, "data.steps.0.log.url"),
        ("data.timezone", "../../etc/passwd", "data.timezone: not a time zone"),
        ("data.locale", "en/../..", "data.locale"),
        ("data.attach_logs", "sometimes", "data.attach_logs"),
    ],
)
def test_a_wrong_field_is_named(path: str, value: Any, said: str) -> None:
    """The reason names the field, and what was expected."""
    assert said in complaint(changed(path, value))


def test_a_log_needs_what_its_file_is_named_after() -> None:
    """Endpoint and execution are part of the attachment's name."""
    step = a_step(log={"text": "x"}, endpoint=None)
    assert "needs endpoint and execution_id" in complaint(a_request_event(steps=0) | {"data": _data(step)})


def _data(step: dict[str, Any]) -> dict[str, Any]:
    return {**a_request_event()["data"], "steps": [step]}


def test_approval_events_need_a_time() -> None:
    """By it the newer of two is known."""
    assert complaint(changed("time", ..., an_approval_event()), "approval") == "time: Field required"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'"text"', b"{}"])
def test_what_is_no_event_is_refused(body: bytes) -> None:
    """Not JSON, or JSON of another kind: a sentence either way."""
    assert complaint(body)


def test_an_unknown_type_is_refused_with_the_known_ones() -> None:
    """The reason lists what would be understood."""
    assert "request.completed" in complaint(a_request_event("request.exploded"))


def test_a_type_in_the_wrong_queue_is_refused() -> None:
    """An approval event in the queue of requests is not mailed by chance."""
    assert "does not belong" in complaint(an_approval_event(), "request")


def test_batches_and_data_base64_are_refused() -> None:
    """Neither is taken, and both are named."""
    assert "batches" in complaint(b"[]", content_type="application/cloudevents-batch+json")
    event = a_request_event()
    del event["data"]
    assert "data_base64" in complaint(event | {"data_base64": "e30="})


def test_a_body_over_the_limit_is_refused() -> None:
    """The limit and the setting are named."""
    assert "MAX_EVENT_BYTES" in complaint(a_request_event(variables={"x": "y" * 100_000}))


def test_a_message_loses_its_colours() -> None:
    """Escape sequences of terminals are not shown, and no reason to refuse an event."""
    event = read(changed("data.request.message", "\x1b[31mstep 3\r\nfailed\x1b[0m"))
    assert event.data.request.message == "[31mstep 3\nfailed[0m"


def test_a_domain_is_written_in_ascii() -> None:
    """A name in another script becomes its IDNA form, which every server understands."""
    assert read(changed("data.recipients.to.0.email", "dana@bücher.example")).data.recipients.to[0].email == (
        "dana@xn--bcher-kva.example"
    )


def test_keys_name_mails() -> None:
    """Equal for the same event and approver, letter case aside; different for anything else."""
    assert mail_key("s", "1", "Dana@x.y") == mail_key("s", "1", "dana@x.y")
    assert len({mail_key("s", "1"), mail_key("s", "2"), mail_key("t", "1"), mail_key("s", "1", "a@b")}) == 4


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(body: bytes) -> None:
    """Whatever arrives is an event or an ``InvalidEventError``."""
    assert complaint(body)


DATA_FIELDS = (
    "request",
    "request.id",
    "recipients",
    "recipients.to.0",
    "steps",
    "steps.0",
    "steps.0.log",
    "locale",
    "timezone",
    "variables",
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    path=st.sampled_from(
        [
            "id",
            "source",
            "time",
            "data",
            "data.request",
            "data.request.id",
            "data.recipients",
            "data.recipients.to.0",
            "data.steps",
            "data.steps.0",
            "data.steps.0.log",
            "data.locale",
            "data.timezone",
            "data.variables",
        ]
    ),
    value=json_values,
)
def test_no_value_does_more_than_be_refused(path: str, value: Any) -> None:
    """Any JSON in any place is read, or refused with a sentence that fits one line."""
    try:
        said = str(read(changed(path, value)).id)
    except InvalidEventError as error:
        said = str(error)
    assert "\n" not in said


@given(st.text(max_size=80))
def test_no_line_break_enters_a_header(text: str) -> None:
    """A title or a name that is accepted holds no control character (header injection)."""
    try:
        event = read(changed("data.request.title", text))
    except InvalidEventError:
        return
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in event.data.request.title)
