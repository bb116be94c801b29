"""The event models to files for others: a JSON Schema an event type, and the AsyncAPI document over them."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from worker.asyncapi import asyncapi_document, schema_path, to_yaml
from worker.events import TYPES, ApprovalRequested, ApprovalWithdrawn, RequestEvent
from worker.examples import EXAMPLES

# What AsyncAPI 3 reads without an extension, and every validator knows.
DIALECT = "http://json-schema.org/draft-07/schema#"

_MODELS: Mapping[str, type[BaseModel]] = {
    **dict.fromkeys((kind for kind in TYPES if kind.startswith("request.")), RequestEvent),
    "approval.requested": ApprovalRequested,
    "approval.withdrawn": ApprovalWithdrawn,
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


def event_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (draft 7) of the event type ``kind``, as a whole CloudEvent.

    What the schema refuses, the consumer dead-letters. The consumer is stricter in what a schema can't say:
    control characters, domain names, time zones.
    """
    schema: dict[str, Any] = _tidy(_MODELS[kind].model_json_schema(ref_template="#/definitions/{model}"))
    definitions = schema.pop("$defs")
    return (
        {"$schema": DIALECT, "$id": f"urn:countersign:schema:{kind}", "title": kind}
        | schema
        | {
            "properties": schema["properties"] | {"type": {"const": kind}},
            "definitions": {name: definitions[name] | _RULES.get(name, {}) for name in sorted(definitions)},
            "examples": [EXAMPLES[kind]],
        }
    )


def schema_files() -> dict[str, str]:
    """Every file of the contract and its text; paths are relative to the folder it is written to (``docs``)."""
    schemas = {schema_path(kind): _json(event_schema(kind)) for kind in TYPES}
    return schemas | {"asyncapi.yaml": to_yaml(asyncapi_document())}


def _json(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


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
