"""What replies amount to, as events: models, and the bytes of one (CloudEvents 1.0, structured).

The models are the contract: JSON Schemas and the AsyncAPI document are generated from them. Whatever stands in a mail
makes valid JSON here: what UTF-8 can't hold is replaced, what is longer than anybody reads is cut.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal, get_args
from uuid import UUID, uuid5

from pydantic import AfterValidator, AliasChoices, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

DecisionType = Literal["approval.approved", "approval.rejected"]
ReplyType = Literal[
    "reply.undecided", "reply.late", "reply.untrusted", "reply.automatic", "reply.bounced", "reply.unreadable"
]

DECISION_TYPES: tuple[str, ...] = get_args(DecisionType)
REPLY_TYPES: tuple[str, ...] = get_args(ReplyType)

LINE_CHARACTERS = 1000
TYPED_BYTES = 4096
COMMENT_BYTES = 65_536

_NAMESPACE = UUID("c6209760-bd9a-4d0c-ba6f-74fb701608b6")


def decision_id(token: str) -> UUID:
    """The id of the decision that this token may bring: the same for every mail that carries it."""
    return uuid5(_NAMESPACE, token.lower())


def reply_id(digest: bytes) -> UUID:
    """The id of the ``reply.*`` event about the mail with that SHA-256."""
    return uuid5(_NAMESPACE, digest.hex())


def encodable(text: str) -> str:
    """The text, each lone surrogate replaced: the rest can be written in UTF-8."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def storable(text: str) -> str:
    """The text, as published, without what a database's text can't hold."""
    return _line(text).replace("\0", "")


def utc(moment: datetime) -> datetime:
    """The same moment in UTC."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        # Within a day of the calendar's ends.
        return moment.replace(tzinfo=UTC)


def _line(text: str) -> str:
    return encodable(text[:LINE_CHARACTERS])


def _bytes(text: str, size: int) -> str:
    return encodable(text[:size]).encode()[:size].decode(errors="ignore")


def _typed(text: str) -> str:
    return _bytes(text, TYPED_BYTES)


def _comment(text: str) -> str:
    return _bytes(text, COMMENT_BYTES)


Moment = Annotated[AwareDatetime, AfterValidator(utc)]
Words = Annotated[str, BeforeValidator(_line), Field(max_length=LINE_CHARACTERS)]
Typed = Annotated[str, BeforeValidator(_typed), Field(max_length=TYPED_BYTES)]
Comment = Annotated[str, BeforeValidator(_comment), Field(max_length=COMMENT_BYTES)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class Mail(_Model):
    """The mail it came by: its Message-ID, the address in From, and what proved that address."""

    message_id: Words
    sender: Words = Field(serialization_alias="from", validation_alias=AliasChoices("from", "sender"))
    authentication: Words


class Asked(_Model):
    """The approver that was asked; the mail may come from one of this person's other addresses."""

    name: str
    email: str


class DecisionData(_Model):
    """``data`` of a decision."""

    approval_id: str
    approval_source: str
    requested_event_id: str
    request_id: str
    decision: Literal["approved", "rejected"]
    comment: Comment
    approver: Asked
    received_at: Moment
    requested_at: Moment
    mail: Mail


class Decided(_Model):
    """The decision that came first."""

    decision: Literal["approved", "rejected"]
    approver: Asked
    time: Moment


class ReplyData(_Model):
    """``data`` of ``reply.*``; the approval is there where a genuine token names it.

    ``reason`` of ``reply.late`` is one of ``withdrawn``, ``superseded``, ``expired`` and ``decided``, of
    ``reply.undecided`` a code such as ``no-word``, with ``detail`` in words; of any other, a sentence for a person.
    ``address`` is the one that could not be reached.
    """

    reason: Words
    detail: Words | None = None
    address: Words | None = None
    approval_id: str | None = None
    approval_source: str | None = None
    requested_event_id: str | None = None
    request_id: str | None = None
    approver: Asked | None = None
    requested_at: Moment | None = None
    decided: Decided | None = None
    received_at: Moment
    typed_text: Typed
    mail: Mail


class _CloudEvent(_Model):
    specversion: Literal["1.0"]
    id: UUID
    source: Literal["countersign"]


class DecisionEvent(_CloudEvent):
    """One approver's decision; how many are needed is the consumer's business. It may come twice, always the same."""

    type: DecisionType
    time: Moment
    data: DecisionData


class ReplyEvent(_CloudEvent):
    """A reply that decided nothing, and why."""

    type: ReplyType
    time: Moment
    data: ReplyData


def event_bytes(event: DecisionEvent | ReplyEvent) -> bytes:
    """The event as it is published; what it does not say is left out."""
    return event.model_dump_json(by_alias=True, exclude_none=True).encode()
