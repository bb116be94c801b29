"""Schemas and the AsyncAPI document against the models that they are generated from."""

import copy
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from worker.asyncapi import asyncapi_document, schema_path, to_yaml
from worker.errors import InvalidEventError
from worker.events import STRUCTURED, TYPES, parse_event
from worker.examples import EXAMPLES
from worker.reply_events import DECISION_TYPES, REPLY_TYPES, DecisionEvent, ReplyEvent, event_bytes
from worker.reply_examples import REPLY_EXAMPLES
from worker.schema import event_schema, published_schema, schema_files
from worker.topology import PLAN

DOCS = Path(__file__).parent.parent / "docs"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4), lambda inner: st.lists(inner, max_size=2)
) | st.dictionaries(st.sampled_from(["text", "id", "name", "email", "to"]), st.text(max_size=3), max_size=2)


@cache
def validator(kind: str) -> Draft7Validator:
    """A validator for the schema of an event type."""
    return Draft7Validator(event_schema(kind))


def accepted(event: Any, kind: str) -> bool:
    """Whether a consumer takes the event as one of that type."""
    body = json.dumps(event).encode()
    try:
        return parse_event(body, STRUCTURED, None, family=kind.partition(".")[0], max_bytes=10**6).type == kind
    except InvalidEventError:
        return False


def paths(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where everything below a JSON value is."""
    steps = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for step, value in steps:
        yield (*path, step)
        yield from paths(value, (*path, step))


PLACES = [(kind, path) for kind in TYPES for path in paths(EXAMPLES[kind])]


def changed(kind: str, path: tuple[Any, ...], *value: Any) -> dict[str, Any]:
    """The example with the value at the path replaced, or removed where none is given."""
    event = copy.deepcopy(EXAMPLES[kind])
    node: Any = event
    for step in path[:-1]:
        node = node[step]
    if value:
        node[path[-1]] = value[0]
    else:
        del node[path[-1]]
    return event


@pytest.mark.parametrize("kind", TYPES)
def test_example_is_valid(kind: str) -> None:
    """Each type's schema is a schema, and takes its own example, as the consumer does, and no other type's."""
    Draft7Validator.check_schema(event_schema(kind))
    assert accepted(EXAMPLES[kind], kind)
    assert [other for other in TYPES if validator(kind).is_valid(EXAMPLES[other])] == [kind]


@pytest.mark.parametrize("kind", TYPES)
def test_removed_field(kind: str) -> None:
    """Whatever is removed from an example, the schema takes it exactly when the consumer does."""
    for place, path in PLACES:
        if place == kind:
            event = changed(kind, path)
            assert validator(kind).is_valid(event) == accepted(event, kind), path


@given(place=st.sampled_from(PLACES), value=JSON)
def test_replaced_value(place: tuple[str, tuple[Any, ...]], value: Any) -> None:
    """Whatever stands anywhere in an event: what the consumer takes, the schema takes."""
    kind, path = place
    event = changed(kind, path, value)
    if accepted(event, kind):
        assert validator(kind).is_valid(event)


@pytest.mark.parametrize(
    "log",
    [
        {},
        {"text": "a", "url": "https://logs.example/1"},
        {"text": "a", "base64": "YQ=="},
        {"text": None},
        {"url": "ftp://logs.example/1"},
    ],
    ids=str,
)
def test_log_is_one_of(log: dict[str, Any]) -> None:
    """A log that is not exactly one of text, base64 and url is refused by both."""
    event = changed("request.failed", ("data", "steps", 1, "log"), log)
    assert not validator("request.failed").is_valid(event)
    assert not accepted(event, "request.failed")


@pytest.mark.parametrize(
    "log", [{"text": "a"}, {"base64": "YQ==", "text": None}, {"url": "file:/logs/1"}, None], ids=str
)
def test_log_taken(log: dict[str, Any] | None) -> None:
    """A log that is exactly one of them, or none at all, is taken by both."""
    event = changed("request.failed", ("data", "steps", 1, "log"), log)
    assert validator("request.failed").is_valid(event)
    assert accepted(event, "request.failed")


def test_unknown_fields_are_ignored() -> None:
    """A field that nobody knows yet is no fault, on any level."""
    event = changed("request.failed", ("data", "new"), {"a": 1}) | {"new": True}
    assert validator("request.failed").is_valid(event)
    assert accepted(event, "request.failed")


PUBLISHED = (*DECISION_TYPES, *REPLY_TYPES)


@cache
def published_validator(kind: str) -> Draft7Validator:
    """A validator for the schema of an event that is published."""
    return Draft7Validator(published_schema(kind))


@pytest.mark.parametrize("kind", PUBLISHED)
def test_published_example_is_valid(kind: str) -> None:
    """Each published type's schema is a schema, and takes its own example and no other type's."""
    Draft7Validator.check_schema(published_schema(kind))
    assert [other for other in PUBLISHED if published_validator(kind).is_valid(REPLY_EXAMPLES[other])] == [kind]


@pytest.mark.parametrize("kind", PUBLISHED)
def test_published_example_is_what_we_write(kind: str) -> None:
    """The example has the fields, the order and the form of a real event, and nothing is null."""
    model = DecisionEvent if kind in DECISION_TYPES else ReplyEvent
    written = event_bytes(model.model_validate(REPLY_EXAMPLES[kind]))
    assert json.loads(written) == REPLY_EXAMPLES[kind]
    assert b"null" not in written
    assert "null" not in json.dumps(published_schema(kind))


@pytest.mark.parametrize("kind", PUBLISHED)
def test_published_field_missing(kind: str) -> None:
    """A decision has all its fields; a reply that decided nothing has its reason, its text and its mail."""
    data = REPLY_EXAMPLES[kind]["data"]
    wanted = data.keys() if kind in DECISION_TYPES else {"reason", "received_at", "typed_text", "mail"}
    for name in data:
        less = REPLY_EXAMPLES[kind] | {"data": {key: value for key, value in data.items() if key != name}}
        assert published_validator(kind).is_valid(less) == (name not in wanted), name


def test_late_has_one_of_four_reasons() -> None:
    """A consumer can tell them apart; a decision's type and its word agree."""
    late = copy.deepcopy(REPLY_EXAMPLES["reply.late"])
    late["data"]["reason"] = "too late"
    assert not published_validator("reply.late").is_valid(late)
    approved = copy.deepcopy(REPLY_EXAMPLES["approval.approved"])
    approved["data"]["decision"] = "rejected"
    assert not published_validator("approval.approved").is_valid(approved)


def test_files_are_current() -> None:
    """What lies in docs/ is what the models say now, and nothing is left over."""
    files = schema_files()
    for path, text in files.items():
        assert (DOCS / path).read_text(encoding="utf-8") == text, f"{path}: countersign schema --out docs"
    left_over = {f"schemas/{path.name}" for path in (DOCS / "schemas").iterdir()} - files.keys()
    assert left_over == set()


def test_asyncapi_has_its_parts() -> None:
    """The document has what AsyncAPI 3.0.0 requires, and names its version and those of its bindings."""
    document = asyncapi_document()
    assert document["asyncapi"] == "3.0.0"
    assert document["info"].keys() >= {"title", "version"}
    assert all(server.keys() >= {"host", "protocol"} for server in document["servers"].values())
    assert {operation["action"] for operation in document["operations"].values()} == {"receive", "send"}
    for part in (*document["channels"].values(), *document["operations"].values()):
        assert part["bindings"]["amqp"]["bindingVersion"] == "0.3.0"


def test_asyncapi_references() -> None:
    """Every reference leads somewhere: inside the document, or to a schema that is written with it."""
    document = asyncapi_document()
    references = [value for path, value in walked(document) if path[-1] == "$ref"]
    assert len(references) > 2 * len(TYPES)
    for reference in references:
        if reference.startswith("./"):
            assert reference.removeprefix("./") in schema_files()
        else:
            node: Any = document
            for step in reference.removeprefix("#/").split("/"):
                node = node[step]


def test_asyncapi_channels_exist() -> None:
    """Every channel is a queue of the topology, or an address with the types that its messages have."""
    document = asyncapi_document()
    queues = {queue.name for queue in PLAN.queues}
    for name, channel in document["channels"].items():
        if channel["bindings"]["amqp"]["is"] == "queue":
            assert channel["address"] == channel["bindings"]["amqp"]["queue"]["name"] == name
            assert name in queues
        else:
            keys = {channel["address"].format(what=what) for what in channel["parameters"]["what"]["enum"]}
            assert keys == channel["messages"].keys()


def test_asyncapi_examples() -> None:
    """Every example in the document is valid by the schema that stands beside it, headers included."""
    messages = asyncapi_document()["components"]["messages"]
    for kind in TYPES:
        assert messages[kind]["payload"]["schema"]["$ref"] == f"./{schema_path(kind)}"
        validator(kind).validate(messages[kind]["examples"][0]["payload"])
    for kind in PUBLISHED:
        assert messages[kind]["payload"]["schema"]["$ref"] == f"./{schema_path(kind)}"
        published_validator(kind).validate(messages[kind]["examples"][0]["payload"])
    dead = messages["dead-letter"]
    Draft7Validator(dead["headers"]["schema"]).validate(dead["examples"][0]["headers"])


def test_asyncapi_sends_every_published_type() -> None:
    """Each stands in the channel of its exchange and of its queue, as the topology binds it."""
    document = asyncapi_document()
    sent = [
        operation["channel"]["$ref"] for operation in document["operations"].values() if operation["action"] == "send"
    ]
    assert {"#/channels/approvals.decisions", "#/channels/approvals.replies"} < set(sent)
    assert document["channels"]["approvals"]["messages"].keys() == set(DECISION_TYPES)
    assert document["channels"]["approvals.undecided"]["messages"].keys() == set(REPLY_TYPES)


def test_asyncapi_yaml() -> None:
    """The YAML file says what the document says."""
    assert yaml.safe_load(schema_files()["asyncapi.yaml"]) == asyncapi_document()


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.sampled_from("\n\tä"), max_size=12)


@given(
    st.dictionaries(
        TEXT,
        st.recursive(
            TEXT
            | st.integers()
            | st.booleans()
            | st.none()
            | st.sampled_from(["yes", "No", "null", "~", "1e3", "0x1"]),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        ),
        min_size=1,
    )
)
def test_yaml_of_anything(value: dict[str, Any]) -> None:
    """JSON values written as YAML read back as they were: no text becomes a number, a boolean or a comment."""
    assert yaml.safe_load(to_yaml(value)) == value


def walked(node: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every path below a JSON value, with what is there."""
    for path in paths(node):
        value = node
        for step in path:
            value = value[step]
        yield path, value
