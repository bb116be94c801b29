"""The event models to files for others: a JSON Schema an event type, and the AsyncAPI document over them."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from worker.asyncapi import asyncapi_document, schema_path, to_yaml
from worker.events import TYPES, ApprovalRequested, ApprovalWithdrawn, RequestEvent
from worker.examples import EXAMPLES
from worker.reply_events import DECISION_TYPES, REPLY_TYPES, DecisionEvent, ReplyEvent
from worker.reply_examples import REPLY_EXAMPLES

# What AsyncAPI 3 reads without an extension, and every validator knows.
DIALECT = "http://json-schema.org/draft-07/schema#"

_MODELS: Mapping[str, type[BaseModel]] = {
    **dict.fromkeys((kind for kind in TYPES if kind.startswith("request.")), RequestEvent),
    "approval.requested": ApprovalRequested,
    "approval.withdrawn": ApprovalWithdrawn,
}
_PUBLISHED: Mapping[str, type[BaseModel]] = {
    **dict.fromkeys(DECISION_TYPES, DecisionEvent),
    **dict.fromkeys(REPLY_TYPES, ReplyEvent),
}

# What the models check in code, said in the schema's words.
_RULES: Mapping[str, dict[str, Any]] = {
    "Log": {
        "oneOf": [{"required": [name], "properties": {name: {"type": "string"}}} for name in ("text", "base64", "url")]
    },
    "Step": {
        "if": {"required": ["log"], "properties": {"log": {"type": "object"}}},
        "then": {
            "required": ["endpoint", "execution_id"],
            "properties": {
                "endpoint": {"type": "string", "minLength": 1},
                "execution_id": {"type": ["integer", "string"]},
            },
        },
    },
}


# What one type alone says.
_SAID: Mapping[str, dict[str, Any]] = {
    "approval.approved": {"decision": {"const": "approved"}},
    "approval.rejected": {"decision": {"const": "rejected"}},
    "reply.late": {"reason": {"enum": ["withdrawn", "superseded", "expired", "decided"]}},
}


def event_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (draft 7) of the event type ``kind``, as a whole CloudEvent.

    What the schema refuses, the consumer dead-letters. The consumer is stricter in what a schema can't say:
    control characters, domain names, time zones.
    """
    return _schema(kind, _MODELS[kind], EXAMPLES[kind])


def published_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (draft 7) of an event that Countersign publishes, as a whole CloudEvent.

    A field that an event has nothing to say in is left out, never null. More fields may come.
    """
    schema: dict[str, Any] = _never_null(_schema(kind, _PUBLISHED[kind], REPLY_EXAMPLES[kind]))
    data = schema["definitions"]["ReplyData" if kind.startswith("reply.") else "DecisionData"]
    data["properties"] |= _SAID.get(kind, {})
    return schema


def _schema(kind: str, model: type[BaseModel], example: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = _tidy(model.model_json_schema(ref_template="#/definitions/{model}"))
    definitions = schema.pop("$defs")
    return (
        {"$schema": DIALECT, "$id": f"urn:countersign:schema:{kind}", "title": kind}
        | schema
        | {
            "properties": schema["properties"] | {"type": {"const": kind}},
            "definitions": {name: definitions[name] | _RULES.get(name, {}) for name in sorted(definitions)},
            "examples": [example],
        }
    )


def schema_files() -> dict[str, str]:
    """Every file of the contract and its text; paths are relative to the folder it is written to (``docs``)."""
    taken = {schema_path(kind): _json(event_schema(kind)) for kind in TYPES}
    published = {schema_path(kind): _json(published_schema(kind)) for kind in _PUBLISHED}
    return taken | published | {"asyncapi.yaml": to_yaml(asyncapi_document())}


def _json(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _never_null(node: Any) -> Any:
    match node:
        case {"anyOf": [some, {"type": "null"}], "default": None}:
            return _never_null(some)
        case dict():
            return {name: _never_null(value) for name, value in node.items()}
        case list():
            return [_never_null(value) for value in node]
        case _:
            return node


def _tidy(node: Any) -> Any:
    # Generated titles only repeat the names, and docstrings quote code as reStructuredText does.
    match node:
        case dict():
            return {name: _tidy(value) for name, value in node.items() if name != "title" or isinstance(value, dict)}
        case list():
            return [_tidy(value) for value in node]
        case str():
            return node.replace("``", "`")
        case _:
            return node
