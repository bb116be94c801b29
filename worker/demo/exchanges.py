"""A content to the names of what is bound for it: direct, fanout, topic and headers exchanges."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

from pamqp.exceptions import AMQPPreconditionFailed

from worker.demo.arguments import field_type
from worker.demo.contents import Content

TYPES: Final = ("direct", "fanout", "topic", "headers")
_MATCHES: Final = ("all", "any", "all-with-x", "any-with-x")


class Destination(NamedTuple):
    """Where a binding leads."""

    kind: Literal["queue", "exchange"]
    name: str


@dataclass(frozen=True, slots=True)
class Binding:
    """Bindings are the same when all of it is."""

    destination: Destination
    routing_key: str
    arguments: Mapping[str, Any]


@dataclass(slots=True)
class Exchange:
    """An exchange and what is bound to it, in the order of binding."""

    name: str
    type: str
    durable: bool = True
    auto_delete: bool = False
    internal: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)
    bindings: list[Binding] = field(default_factory=list)

    def bind(self, binding: Binding) -> None:
        """Add a binding, once.

        Raises:
            AMQPPreconditionFailed: a headers exchange does not know that ``x-match``.
        """
        if self.type == "headers":
            _check_match(binding.arguments.get("x-match", "all"))
        if binding not in self.bindings:
            self.bindings.append(binding)

    def destinations(self, content: Content) -> Iterator[Destination]:
        """Where a content goes from here; one binding after another, a destination perhaps twice."""
        return (binding.destination for binding in self.bindings if self._leads(binding, content))

    def _leads(self, binding: Binding, content: Content) -> bool:
        match self.type:
            case "fanout":
                return True
            case "direct":
                return binding.routing_key == content.routing_key
            case "topic":
                return topic_matches(binding.routing_key, content.routing_key)
            case _:
                return headers_match(binding.arguments, content.headers)


@lru_cache(maxsize=4096)
def topic_matches(pattern: str, routing_key: str) -> bool:
    """Whether a topic pattern matches: ``*`` is one word, ``#`` any number of them.

    Follows all readings of the pattern at once, so that no pattern is slow.
    """
    parts = _words(pattern)
    places = _past_hashes(parts, {0})
    for word in _words(routing_key):
        places = _past_hashes(parts, {place for before in places for place in _after(parts, before, word)})
    return len(parts) in places


def headers_match(arguments: Mapping[str, Any], headers: Mapping[str, Any]) -> bool:
    """Whether a headers binding's arguments match; a void argument asks for presence alone."""
    how = arguments.get("x-match", "all")
    wanted = {k: v for k, v in arguments.items() if k != "x-match" and (how.endswith("-with-x") or k[:2] != "x-")}
    found = (name in headers and _equals(value, headers[name]) for name, value in wanted.items())
    return any(found) if how.startswith("any") else all(found)


def _words(text: str) -> list[str]:
    return text.split(".") if text else []


def _after(parts: list[str], place: int, word: str) -> Iterator[int]:
    if place < len(parts) and parts[place] == "#":
        yield place
    elif place < len(parts) and parts[place] in {"*", word}:
        yield place + 1


def _past_hashes(parts: list[str], places: set[int]) -> set[int]:
    reached = set(places)
    for place in range(len(parts)):
        if place in reached and parts[place] == "#":
            reached.add(place + 1)
    return reached


def _equals(wanted: Any, found: Any) -> bool:
    return wanted is None or (type(wanted) is type(found) and bool(wanted == found))


def _check_match(how: Any) -> None:
    if not isinstance(how, str):
        raise AMQPPreconditionFailed(f"Invalid x-match field type {field_type(how)} (value {how}); expected longstr")
    if how not in _MATCHES:
        raise AMQPPreconditionFailed(
            f'Invalid x-match field value <<"{how}">>; expected all, any, all-with-x, or any-with-x'
        )
