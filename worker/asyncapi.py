"""Topology, event types and examples to an AsyncAPI 3 document: what can be published, and what comes out."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from worker.events import STRUCTURED, TYPES
from worker.examples import EXAMPLES
from worker.reply_events import DECISION_TYPES, REPLY_TYPES
from worker.reply_examples import REPLY_EXAMPLES
from worker.topology import (
    APPROVALS_QUEUE,
    DEAD_QUEUE,
    DECISIONS_QUEUE,
    EVENTS_EXCHANGE,
    REPLIES_EXCHANGE,
    REQUESTS_QUEUE,
    UNDECIDED_QUEUE,
)

CONTRACT_VERSION = "1.0.0"
BINDING_VERSION = "0.3.0"
DRAFT_7 = "application/schema+json;version=draft-07"

_FAMILIES = {"request": REQUESTS_QUEUE, "approval": APPROVALS_QUEUE}

# What goes out, by the routing keys' first word where two families meet in one exchange.
_REPLIES = {"decisions": (DECISIONS_QUEUE, DECISION_TYPES), "replies": (UNDECIDED_QUEUE, REPLY_TYPES)}

_PUBLISHED = (
    "CloudEvents 1.0 in structured mode; its id is the message id, too. Published again as it stands where a confirm"
    " was lost: it may come twice with one id, and a decision never comes differently."
)

_BINARY_MODE = (
    "CloudEvents 1.0 in structured mode; binary mode is taken as well: attributes as headers with the prefix"
    " cloudEvents:, cloudEvents_ or ce-, and data alone as the body, application/json. One event a message,"
    " no data_base64. Publish persistent, mandatory and confirmed."
)

_DEAD_HEADERS = {
    "type": "object",
    "description": "Beside the headers that the delivery came with.",
    "required": ["x-reason", "x-error", "x-origin-queue", "x-failed-at", "x-attempts"],
    "properties": {
        "x-reason": {
            "type": "string",
            "description": "Why it was given up, for a person: the field, the template's line, or the server's words.",
        },
        "x-error": {
            "type": "string",
            "description": "The kind of failure, for a machine: InvalidEventError, TemplateError, RefusedError…",
        },
        "x-origin-queue": {"type": "string", "enum": [REQUESTS_QUEUE, APPROVALS_QUEUE]},
        "x-failed-at": {"type": "string", "format": "date-time"},
        "x-attempts": {"type": "integer", "minimum": 1, "description": "Tries that failed, the last one included."},
    },
}


def schema_path(kind: str) -> str:
    """Where the schema of an event type lies, relative to the document."""
    return f"schemas/{kind}.json"


def asyncapi_document() -> dict[str, Any]:
    """The AsyncAPI 3.0.0 document, from Countersign's side: it receives events, sends decisions and dead letters."""
    return {
        "asyncapi": "3.0.0",
        "info": _info(),
        "defaultContentType": STRUCTURED,
        "servers": {
            "broker": _server("amqp", "localhost:5672"),
            "broker-tls": _server("amqps", "localhost:5671"),
        },
        "channels": {
            **{f"events.{family}": _events_channel(family) for family in _FAMILIES},
            **{queue: _queue_channel(queue, _types(family)) for family, queue in _FAMILIES.items()},
            **{f"approvals.{name}": _replies_channel(*what) for name, what in _REPLIES.items()},
            **{queue: _queue_channel(queue, types) for queue, types in _REPLIES.values()},
            DEAD_QUEUE: _queue_channel(DEAD_QUEUE, ["dead-letter"]),
        },
        "operations": {
            **{f"receive.{family}": _operation("receive", f"events.{family}") for family in _FAMILIES},
            **{f"send.{name}": _operation("send", f"approvals.{name}") for name in _REPLIES},
            "send.dead-letter": _operation("send", DEAD_QUEUE),
        },
        "components": {
            "messages": {
                **{kind: _message(kind, _BINARY_MODE, EXAMPLES[kind]) for kind in TYPES},
                **{kind: _message(kind, _PUBLISHED, example) for kind, example in REPLY_EXAMPLES.items()},
                "dead-letter": _dead_letter(),
            }
        },
    }


def _info() -> dict[str, Any]:
    return {
        "title": "Countersign",
        "version": CONTRACT_VERSION,
        "description": "Deployment events on RabbitMQ become emails, and the approvers' replies become approvals.",
        "license": {"name": "Apache-2.0"},
    }


def _server(protocol: str, host: str) -> dict[str, Any]:
    return {"host": host, "protocol": protocol, "protocolVersion": "0.9.1", "description": "RabbitMQ 4.0 or later"}


def _types(family: str) -> list[str]:
    return [kind for kind in TYPES if kind.startswith(f"{family}.")]


def _events_channel(family: str) -> dict[str, Any]:
    return _exchange_channel(EVENTS_EXCHANGE, _FAMILIES[family], _types(family))


def _replies_channel(queue: str, types: Sequence[str]) -> dict[str, Any]:
    return _exchange_channel(REPLIES_EXCHANGE, queue, types)


def _exchange_channel(exchange: str, queue: str, types: Sequence[str]) -> dict[str, Any]:
    family = types[0].partition(".")[0]
    return {
        "address": f"{family}.{{what}}",
        "title": f"Exchange {exchange}, routing keys {family}.*",
        "description": f"The routing key is the event's type. Bound to the queue {queue}.",
        "messages": _references(types),
        "parameters": {"what": {"enum": [kind.partition(".")[2] for kind in types]}},
        "bindings": _amqp(
            {"is": "routingKey"},
            exchange={"name": exchange, "type": "topic", "durable": True, "autoDelete": False},
        ),
    }


def _queue_channel(queue: str, messages: Sequence[str]) -> dict[str, Any]:
    return {
        "address": queue,
        "title": f"Queue {queue}",
        "messages": _references(messages),
        "bindings": _amqp(
            {"is": "queue"}, queue={"name": queue, "durable": True, "exclusive": False, "autoDelete": False}
        ),
    }


def _references(messages: Sequence[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in messages}


def _amqp(binding: Mapping[str, Any], **more: Mapping[str, Any]) -> dict[str, Any]:
    return {"amqp": {**binding, **more, "bindingVersion": BINDING_VERSION}}


def _operation(action: str, channel: str) -> dict[str, Any]:
    binding = {"deliveryMode": 2} if action == "send" else {"ack": True}
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "bindings": _amqp(binding)}


def _message(kind: str, description: str, example: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": kind,
        "contentType": STRUCTURED,
        "description": description,
        "payload": {"schemaFormat": DRAFT_7, "schema": {"$ref": f"./{schema_path(kind)}"}},
        "examples": [{"name": kind, "payload": example}],
    }


def _dead_letter() -> dict[str, Any]:
    return {
        "name": "dead-letter",
        "description": "A delivery that can't be processed: its body and properties as they came, and the reason.",
        "headers": {"schemaFormat": DRAFT_7, "schema": _DEAD_HEADERS},
        "payload": {"schemaFormat": DRAFT_7, "schema": {"description": "Whatever was published, as it was."}},
        "examples": [
            {
                "name": "no-recipient",
                "headers": {
                    "x-reason": "data.recipients.to: Tuple should have at least 1 item after validation, not 0",
                    "x-error": "InvalidEventError",
                    "x-origin-queue": REQUESTS_QUEUE,
                    "x-failed-at": "2026-11-23T07:24:01+00:00",
                    "x-attempts": 1,
                },
                "payload": {"specversion": "1.0", "type": "request.failed"},
            }
        ],
    }


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the hook's form
        """What stands in two places is written in both: a reader need not follow anchors."""
        return True


def to_yaml(document: Mapping[str, Any]) -> str:
    """The document as YAML, in the order it has."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
