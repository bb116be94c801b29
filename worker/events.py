"""Bytes from the broker to an ``Event``: CloudEvents 1.0, structured or binary, over AMQP 0-9-1.

The models are the contract: JSON Schemas and the AsyncAPI document are generated from them.
Source: CloudEvents 1.0.2, its JSON format and its AMQP protocol binding.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, from_json, to_json

from worker.errors import InvalidEventError

RequestType = Literal[
    "request.scheduled", "request.deploying", "request.completed", "request.failed", "request.rejected"
]
AttachLogs = Literal["never", "on_failure", "always"]

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch"
ATTRIBUTE_PREFIXES = ("cloudEvents:", "cloudEvents_", "ce-")

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u2028\u2029]")
_ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
# A dot-atom of RFC 5322 3.2.3 widened to UTF-8 (RFC 6531), and a domain name; no quoted strings, no literals.
_ADDRESS = re.compile(r"[^\s\x00-\x20\x7f-\x9f()<>\[\]:;@\\,\"]{1,64}@[^\s\x00-\x20\x7f-\x9f()<>\[\]:;@\\,\"]{1,253}")


def _readable(value: str) -> str:
    # Deployment tools colour their messages (ANSI escapes): worth showing, not worth refusing.
    return value if value.isprintable() else _CONTROL.sub("", value.replace("\r\n", "\n"))


def _address(value: str) -> str:
    local, _, domain = value.rpartition("@")
    dots = value.startswith(".") or ".." in value or ".@" in value or "@." in value or value.endswith(".")
    if dots or not _ADDRESS.fullmatch(value):
        raise ValueError("not an email address of the form local@domain")
    if domain.isascii():
        return value
    try:
        return f"{local}@{domain.encode('idna').decode('ascii')}"
    except UnicodeError:
        raise ValueError("not a domain name that can be written in ASCII (IDNA)") from None


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """The time zone of that IANA name.

    Raises:
        ValueError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError("not a time zone of the IANA database, such as Europe/Berlin") from None


def _zone_name(value: str) -> str:
    return zone(value).key


# Checked by pydantic's own core, which costs a tenth of a call into Python.
Line = Annotated[str, StringConstraints(pattern=_ONE_LINE)]
Name = Annotated[str, StringConstraints(pattern=_ONE_LINE, min_length=1)]
Paragraph = Annotated[str, AfterValidator(_readable)]
Address = Annotated[str, AfterValidator(_address)]
Url = Annotated[str, StringConstraints(pattern=r'^https?://[^\s\x00-\x20\x7f<>"]+$', max_length=2000)]
Locale = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$")]
TimeZone = Annotated[str, AfterValidator(_zone_name)]


class _Model(BaseModel):
    # Unknown fields are ignored: upstream may be newer than we are.
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", hide_input_in_errors=True)


class Person(_Model):
    """A mailbox in the sense of RFC 5322: an address, perhaps with a display name."""

    name: Line = ""
    email: Address


class Log(_Model):
    """A step's log: inline as text or base64, or by reference (``file:`` or ``https:``). Exactly one of them."""

    text: str | None = None
    base64: str | None = None
    url: Annotated[str, StringConstraints(pattern=r"^(file|https):[^\s\x00-\x20\x7f]+$")] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(value is not None for value in (self.text, self.base64, self.url)) != 1:
            raise ValueError("a log has exactly one of text, base64 and url")
        return self


class Step(_Model):
    """One step of a request's workflow."""

    number: Annotated[int, Field(ge=0)]
    name: Name
    status: Literal["succeeded", "failed", "skipped", "running"]
    endpoint: Line | None = None
    execution_id: int | Name | None = None
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    message: Paragraph | None = None
    log: Log | None = None

    @model_validator(mode="after")
    def _log_has_a_name(self) -> Self:
        if self.log is not None and (not self.endpoint or self.execution_id is None):
            raise ValueError("a step with a log needs endpoint and execution_id")
        return self


class Request(_Model):
    """What is deployed, where, and by whom."""

    id: Name
    title: Name
    instance: Name
    project: Line | None = None
    environment: Line | None = None
    release: Line | None = None
    url: Url | None = None
    submitted_by: Person | None = None
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    message: Paragraph | None = None


class ApprovalRequest(Request):
    """The request behind an approval: only its id is required."""

    title: Name | None = None  # type: ignore[assignment]
    instance: Name | None = None  # type: ignore[assignment]


class Recipients(_Model):
    """Who gets the mail; ``bcc`` stands in the envelope only."""

    to: Annotated[tuple[Person, ...], Field(min_length=1)]
    cc: tuple[Person, ...] = ()
    bcc: tuple[Person, ...] = ()


class RequestData(_Model):
    """``data`` of ``request.*``."""

    request: Request
    steps: tuple[Step, ...] = ()
    recipients: Recipients
    locale: Locale | None = None
    timezone: TimeZone | None = None
    attach_logs: AttachLogs | None = None
    variables: dict[str, Any] = Field(default_factory=dict)


class Approval(_Model):
    """What is to be approved."""

    id: Name
    title: Name
    description: Paragraph | None = None
    expires_at: AwareDatetime | None = None
    url: Url | None = None


class Approver(Person):
    """A person who may decide, and the other addresses that this person writes from."""

    locale: Locale | None = None
    aliases: tuple[Address, ...] = ()


class ApprovalData(_Model):
    """``data`` of ``approval.requested``."""

    approval: Approval
    request: ApprovalRequest
    approvers: Annotated[tuple[Approver, ...], Field(min_length=1)]
    timezone: TimeZone | None = None
    variables: dict[str, Any] = Field(default_factory=dict)


class ApprovalReference(_Model):
    """The approval that is withdrawn."""

    id: Name


class WithdrawalData(_Model):
    """``data`` of ``approval.withdrawn``."""

    approval: ApprovalReference
    reason: Paragraph | None = None


class _CloudEvent(_Model):
    specversion: Literal["1.0"]
    id: Name
    source: Name
    traceparent: Line | None = None


class RequestEvent(_CloudEvent):
    """Something happened to a request."""

    type: RequestType
    time: AwareDatetime | None = None
    data: RequestData


class ApprovalRequested(_CloudEvent):
    """People are asked to decide."""

    type: Literal["approval.requested"]
    time: AwareDatetime
    data: ApprovalData


class ApprovalWithdrawn(_CloudEvent):
    """Nobody needs to decide any more."""

    type: Literal["approval.withdrawn"]
    time: AwareDatetime
    data: WithdrawalData


ApprovalEvent = ApprovalRequested | ApprovalWithdrawn
Event = RequestEvent | ApprovalRequested | ApprovalWithdrawn

TYPES: tuple[str, ...] = (*RequestType.__args__, "approval.requested", "approval.withdrawn")  # type: ignore[attr-defined]

_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Discriminator("type")])


def mail_key(source: str, event_id: str, approver: str = "") -> bytes:
    """16 bytes that name a mail: the event, and for approval mails the approver (letter case aside)."""
    return sha256(f"{source}\0{event_id}\0{approver.lower()}".encode()).digest()[:16]


def parse_event(
    body: bytes, content_type: str | None, headers: Mapping[str, Any] | None, *, family: str, max_bytes: int
) -> Event:
    """The event in a delivery.

    ``family`` is what the delivery's queue carries: ``request`` or ``approval``.

    Raises:
        InvalidEventError: too large, not JSON, not an event, a field missing or wrong, an unknown type,
            or a type that belongs into the other queue. The text names the field.
    """
    if len(body) > max_bytes:
        raise InvalidEventError(f"body: {len(body)} bytes, more than MAX_EVENT_BYTES ({max_bytes})")
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type.startswith(BATCH):
        raise InvalidEventError("content_type: batches of CloudEvents are not taken; publish one event a message")
    if b'"data_base64"' in body and _has_member(body, "data_base64"):
        raise InvalidEventError("data_base64: is not taken; publish the data as JSON in data")
    attributes = {} if media_type == STRUCTURED else _binary_attributes(headers or {})
    try:
        event = _EVENT.validate_json(_as_structured(attributes, body) if attributes else body)
    except ValidationError as error:
        raise InvalidEventError(_explain(error.errors(include_url=False, include_input=False)[0])) from None
    if not event.type.startswith(family + "."):
        raise InvalidEventError(f"type: {event.type} does not belong into the queue of {family}.* events")
    return event


def _has_member(body: bytes, name: str) -> bool:
    try:
        value = from_json(body)
    except ValueError:
        return False
    return isinstance(value, dict) and name in value


def _binary_attributes(headers: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name[len(prefix) :].lower(): value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        for name, value in headers.items()
        for prefix in ATTRIBUTE_PREFIXES
        if isinstance(name, str) and name.startswith(prefix)
    }


def _as_structured(attributes: dict[str, Any], body: bytes) -> bytes:
    try:
        data = from_json(body)
    except ValueError as error:
        raise InvalidEventError(f"data: not JSON: {error}") from None
    # An AMQP timestamp has no zone: it counts seconds of UTC.
    times = {
        name: (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
        for name, value in attributes.items()
        if isinstance(value, datetime)
    }
    try:
        return to_json(attributes | times | {"data": data})
    except ValueError as error:
        raise InvalidEventError(f"headers: an attribute can't be read: {error}") from None


def _explain(error: ErrorDetails) -> str:
    if error["type"] == "json_invalid":
        return f"body: not JSON: {error['ctx']['error']}"
    if error["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        return f"type: one of {', '.join(TYPES)} is expected" + (
            f", not {error['ctx']['tag']}" if error["type"] == "union_tag_invalid" else ""
        )
    if error["type"] == "string_pattern_mismatch" and error["ctx"]["pattern"] == _ONE_LINE:
        return f"{_path(error)}: a control character or line break is not allowed here"
    return f"{_path(error)}: {error['msg'].removeprefix('Value error, ')}"


def _path(error: ErrorDetails) -> str:
    return ".".join(str(part) for part in error["loc"] if part not in TYPES) or "body"
