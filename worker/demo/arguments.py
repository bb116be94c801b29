"""The arguments of a declaration: what they mean for a queue, and RabbitMQ's words where they are wrong or differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal, NoReturn, Self, cast

from pamqp.exceptions import AMQPPreconditionFailed

Overflow = Literal["drop-head", "reject-publish", "reject-publish-dlx"]

DELIVERY_LIMIT: Final = 20
_OVERFLOWS: Final = ("drop-head", "reject-publish", "reject-publish-dlx")
_QUEUE_TYPES: Final = ("classic", "quorum")
_MILLISECONDS_MAX: Final = 4_294_967_295
_STREAM_ONLY: Final = {"x-max-age", "x-stream-max-segment-size-bytes", "x-initial-cluster-size"}
_NOT_CLASSIC: Final = {
    "x-delivery-limit", "x-dead-letter-strategy", "x-quorum-initial-group-size", "x-quorum-target-group-size",
    "x-delayed-retry-type", "x-delayed-retry-min", "x-delayed-retry-max", *_STREAM_ONLY,
}  # fmt: skip
_NOT_QUORUM: Final = {"x-max-priority", "x-queue-mode", "x-queue-master-locator", *_STREAM_ONLY}
_PRIORITY_MAX: Final = 255
_COMPARED: Final = (
    "x-dead-letter-exchange", "x-dead-letter-routing-key", "x-dead-letter-strategy", "x-delivery-limit", "x-expires",
    "x-max-length", "x-max-length-bytes", "x-max-priority", "x-message-ttl", "x-overflow",
    "x-single-active-consumer",
)  # fmt: skip
_FIELD_TYPES: Final[dict[type, str]] = {
    bool: "bool",
    str: "longstr",
    bytes: "longstr",
    float: "double",
    type(None): "void",
    list: "array",
    datetime: "timestamp",
    Decimal: "decimal",
}


@dataclass(frozen=True, slots=True)
class Terms:
    """What a queue was declared with; times in seconds, ``None`` is without limit."""

    quorum: bool = False
    ttl: float | None = None
    expires: float | None = None
    max_length: int | None = None
    max_bytes: int | None = None
    overflow: Overflow = "drop-head"
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    delivery_limit: int | None = None
    single_active: bool = False

    @classmethod
    def read(cls, queue: str, arguments: Mapping[str, Any]) -> Self:
        """The terms in a declaration's arguments.

        Raises:
            AMQPPreconditionFailed: an argument that RabbitMQ refuses, in its words.
        """
        quorum = queue_type(queue, arguments) == "quorum"
        _check_support(queue, arguments, quorum=quorum)
        _check_priority(queue, arguments)
        ttl = _whole(queue, arguments, "x-message-ttl", most=_MILLISECONDS_MAX)
        expires = _whole(queue, arguments, "x-expires", most=_MILLISECONDS_MAX, zero=False)
        return cls(
            quorum=quorum,
            ttl=None if ttl is None else ttl / 1000,
            expires=None if expires is None else expires / 1000,
            max_length=_whole(queue, arguments, "x-max-length"),
            max_bytes=_whole(queue, arguments, "x-max-length-bytes"),
            overflow=_overflow(queue, arguments),
            **_dead_letter_names(queue, arguments),
            delivery_limit=_delivery_limit(arguments) if quorum else None,
            single_active=_flag(queue, arguments, "x-single-active-consumer"),
        )


def queue_type(queue: str, arguments: Mapping[str, Any]) -> str:
    """``classic`` or ``quorum``.

    Raises:
        AMQPPreconditionFailed: neither of them.
    """
    value = arguments.get("x-queue-type", "classic")
    if not isinstance(value, str):
        _refuse(queue, "x-queue-type", f"{{unacceptable_type,{field_type(value)}}}")
    if value not in _QUEUE_TYPES:
        _refuse(queue, "x-queue-type", f"\"unsupported queue type '{value}'\"")
    return value


def assert_same(subject: str, name: str, received: Any, current: Any) -> None:
    """Compare a property or an argument that is there on both sides.

    Raises:
        AMQPPreconditionFailed: they differ.
    """
    if received != current:
        raise AMQPPreconditionFailed(
            f"inequivalent arg '{name}' for {subject}: received '{_text(received)}' but current is '{_text(current)}'"
        )


def assert_same_arguments(
    subject: str, received: Mapping[str, Any], current: Mapping[str, Any], names: tuple[str, ...] = _COMPARED
) -> None:
    """Compare the arguments that matter; by default those of queues.

    Raises:
        AMQPPreconditionFailed: one differs, or stands on one side alone.
    """
    for name in names:
        if name in received and name in current:
            assert_same(subject, name, received[name], current[name])
        elif name in received or name in current:
            sides = f"received {_described(received, name)} but current is {_described(current, name)}"
            raise AMQPPreconditionFailed(f"inequivalent arg '{name}' for {subject}: {sides}")


def exchange_name(subject: str, arguments: Mapping[str, Any], name: str) -> str | None:
    """An argument that names an exchange.

    Raises:
        AMQPPreconditionFailed: it is no string.
    """
    value = arguments.get(name)
    if name in arguments and not isinstance(value, str):
        raise AMQPPreconditionFailed(f"invalid type '{field_type(value)}' for arg '{name}' in {subject}")
    return value


def field_type(value: Any) -> str:
    """RabbitMQ's name for the type of a field; both widths of integer look alike once decoded."""
    if isinstance(value, int) and not isinstance(value, bool):
        return "signedint" if -(2**31) <= value < 2**31 else "long"
    return _FIELD_TYPES.get(type(value), "table")


def _check_support(queue: str, arguments: Mapping[str, Any], *, quorum: bool) -> None:
    kind = "rabbit_quorum_queue" if quorum else "rabbit_classic_queue"
    for name in sorted((_NOT_QUORUM if quorum else _NOT_CLASSIC) & arguments.keys()):
        raise AMQPPreconditionFailed(f"invalid arg '{name}' for queue '{queue}' in vhost '/' of queue type {kind}")


def _whole(
    queue: str, arguments: Mapping[str, Any], name: str, *, most: int | None = None, zero: bool = True
) -> int | None:
    if name not in arguments:
        return None
    value = arguments[name]
    if not isinstance(value, int) or isinstance(value, bool):
        _refuse(queue, name, f'"expected integer, got {field_type(value)}"')
    if value < 0:
        _refuse(queue, name, f"{{value_negative,{value}}}")
    if value == 0 and not zero:
        _refuse(queue, name, "{value_zero,0}")
    if most is not None and value > most:
        _refuse(queue, name, f"{{value_too_large,{value}}}")
    return value


def _check_priority(queue: str, arguments: Mapping[str, Any]) -> None:
    value = _whole(queue, arguments, "x-max-priority")
    if value is not None and value > _PRIORITY_MAX:
        _refuse(queue, "x-max-priority", f"{{max_value_exceeded,{value}}}")


def _overflow(queue: str, arguments: Mapping[str, Any]) -> Overflow:
    value = arguments.get("x-overflow", "drop-head")
    if value not in _OVERFLOWS:
        _refuse(queue, "x-overflow", "invalid_overflow")
    return cast("Overflow", value)


def _dead_letter_names(queue: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    exchange = exchange_name(f"queue '{queue}' in vhost '/'", arguments, "x-dead-letter-exchange")
    routing_key = arguments.get("x-dead-letter-routing-key")
    if routing_key is not None and not isinstance(routing_key, str):
        _refuse(queue, "x-dead-letter-routing-key", f"{{unacceptable_type,{field_type(routing_key)}}}")
    if routing_key is not None and exchange is None:
        _refuse(queue, "x-dead-letter-routing-key", "routing_key_but_no_dlx_defined")
    return {"dead_letter_exchange": exchange, "dead_letter_routing_key": routing_key}


def _delivery_limit(arguments: Mapping[str, Any]) -> int | None:
    value = arguments.get("x-delivery-limit", DELIVERY_LIMIT)
    if not isinstance(value, int):
        return DELIVERY_LIMIT
    return value if value >= 0 else None


def _flag(queue: str, arguments: Mapping[str, Any], name: str) -> bool:
    value = arguments.get(name, False)
    if not isinstance(value, bool):
        _refuse(queue, name, f"{{unacceptable_type,{field_type(value)}}}")
    return value


def _refuse(queue: str, name: str, why: str) -> NoReturn:
    raise AMQPPreconditionFailed(f"invalid arg '{name}' for queue '{queue}' in vhost '/': {why}")


def _described(arguments: Mapping[str, Any], name: str) -> str:
    if name not in arguments:
        return "none"
    return f"the value '{_text(arguments[name])}' of type '{field_type(arguments[name])}'"


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
