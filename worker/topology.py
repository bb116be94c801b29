"""Exchanges, queues, retry and dead-letter routes as data, and a broker to where it differs from them.

::

    events ──request.*──→ countersign.requests ─┐ tried again: countersign.retry.<seconds>, and back by itself
           ──approval.*─→ countersign.approvals ┘ given up:    countersign.dead ──→ countersign.dead-letters
    approvals ──approval.approved, approval.rejected──→ approvals
              ──reply.*───────────────────────────────→ approvals.undecided
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker
from rich.console import Console
from rich.table import Table

from worker.broker import open_channel
from worker.errors import OutageError

EVENTS_EXCHANGE = "events"
REQUESTS_QUEUE = "countersign.requests"
APPROVALS_QUEUE = "countersign.approvals"
REPLIES_EXCHANGE = "approvals"
DECISIONS_QUEUE = "approvals"
UNDECIDED_QUEUE = "approvals.undecided"
DEAD_EXCHANGE = "countersign.dead"
DEAD_QUEUE = "countersign.dead-letters"
RETRY_SECONDS = (1, 10, 60, 600)
UNDECIDED_BYTES = 100_000_000

_QUORUM = {"x-queue-type": "quorum"}
# RabbitMQ before 4.3 counts each delivery handed back, and an outage hands back without end: nothing may be dropped
# or dead-lettered for that. -1 is "no limit" as a queue's argument from 4.0 on (tried on 4.0.5 and 4.3.6); an
# operator's policy can still set one.
_UNLIMITED = {"x-delivery-limit": -1}


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange."""

    name: str
    kind: Literal["topic", "direct"]

    def __str__(self) -> str:
        return f"exchange {self.name}"


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue; ``arguments`` can't change once it is declared."""

    name: str
    arguments: Mapping[str, str | int] = field(hash=False)

    def __str__(self) -> str:
        return f"queue {self.name}"


@dataclass(frozen=True, slots=True)
class Binding:
    """What is published to ``exchange`` with a routing key of ``pattern`` goes to ``queue``."""

    exchange: str
    queue: str
    pattern: str

    def __str__(self) -> str:
        return f"binding of queue {self.queue} to exchange {self.exchange} by {self.pattern!r}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What must be there."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]

    def __add__(self, other: "Plan") -> "Plan":
        return Plan(self.exchanges + other.exchanges, self.queues + other.queues, self.bindings + other.bindings)


@dataclass(frozen=True, slots=True)
class Difference:
    """Something on the broker that is not as planned.

    ``missing``: not there. ``differs``: there, with another argument. ``refused``: not there, and the user may not
    create it. ``unchecked``: the user may not see it; it may well be right.
    """

    subject: str
    problem: Literal["missing", "differs", "refused", "unchecked"]
    detail: str

    @property
    def blocking(self) -> bool:
        """Whether it is known to be wrong; a process must not start on it."""
        return self.problem != "unchecked"

    def __str__(self) -> str:
        return f"{self.subject}: {self.detail}"


def retry_route(seconds: int) -> str:
    """The exchange that keeps a delivery for so long and returns it to the queue named by its routing key.

    Raises:
        ValueError: not one of ``RETRY_SECONDS``.
    """
    if seconds not in RETRY_SECONDS:
        raise ValueError(f"no retry queue of {seconds} s, only {RETRY_SECONDS}")
    return f"countersign.retry.{seconds}"


def _returning_to(exchange: str) -> dict[str, str | int]:
    # At least once: the broker keeps the original until the queue behind the exchange has confirmed its copy, and
    # at-least-once asks for reject-publish.
    return {
        "x-dead-letter-exchange": exchange,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def _retry_queue(seconds: int) -> Queue:
    # No routing key is set, so a delivery keeps its own when its time is up: the name of its origin queue, to which
    # the default exchange takes it. The exchange in front is what lets it carry that name meanwhile, and takes the
    # names of our two queues only: a detour to another queue, such as approvals, is not to be had.
    return Queue(retry_route(seconds), {**_QUORUM, "x-message-ttl": seconds * 1000, **_returning_to("")})


CONSUMER_PLAN = Plan(
    exchanges=(
        Exchange(EVENTS_EXCHANGE, "topic"),
        Exchange(DEAD_EXCHANGE, "topic"),
        *(Exchange(retry_route(seconds), "direct") for seconds in RETRY_SECONDS),
    ),
    queues=(
        Queue(REQUESTS_QUEUE, {**_QUORUM, **_UNLIMITED, **_returning_to(DEAD_EXCHANGE)}),
        Queue(APPROVALS_QUEUE, {**_QUORUM, **_UNLIMITED, **_returning_to(DEAD_EXCHANGE)}),
        # Unlimited: on 4.0 a look at a dead letter counts as a delivery, and over the limit it would be dropped.
        Queue(DEAD_QUEUE, {**_QUORUM, **_UNLIMITED}),
        *(_retry_queue(seconds) for seconds in RETRY_SECONDS),
    ),
    bindings=(
        Binding(EVENTS_EXCHANGE, REQUESTS_QUEUE, "request.*"),
        Binding(EVENTS_EXCHANGE, APPROVALS_QUEUE, "approval.*"),
        Binding(DEAD_EXCHANGE, DEAD_QUEUE, "#"),
        *(
            Binding(retry_route(seconds), retry_route(seconds), origin)
            for seconds in RETRY_SECONDS
            for origin in (REQUESTS_QUEUE, APPROVALS_QUEUE)
        ),
    ),
)

POLLER_PLAN = Plan(
    exchanges=(Exchange(REPLIES_EXCHANGE, "topic"),),
    queues=(
        # Others consume it: the broker's own delivery limit sets a poisonous one aside, in the dead letters, and a
        # policy may choose another.
        Queue(DECISIONS_QUEUE, {**_QUORUM, **_returning_to(DEAD_EXCHANGE)}),
        Queue(
            UNDECIDED_QUEUE,
            {**_QUORUM, **_UNLIMITED, "x-max-length-bytes": UNDECIDED_BYTES, "x-overflow": "drop-head"},
        ),
    ),
    bindings=(
        Binding(REPLIES_EXCHANGE, DECISIONS_QUEUE, "approval.approved"),
        Binding(REPLIES_EXCHANGE, DECISIONS_QUEUE, "approval.rejected"),
        Binding(REPLIES_EXCHANGE, UNDECIDED_QUEUE, "reply.*"),
    ),
)

PLAN = CONSUMER_PLAN + POLLER_PLAN


def compare(connection: pika.BlockingConnection, plan: Plan = PLAN) -> tuple[Difference, ...]:
    """Where the broker differs from ``plan``; changes nothing.

    Bindings are left out: AMQP has no way to look at one. ``declare`` sets them again, which is harmless.

    Raises:
        OutageError: the broker went away, or refuses for a reason of its own.
    """
    items: tuple[Exchange | Queue, ...] = (*plan.exchanges, *plan.queues)
    return tuple(_found(_compare_one(connection, item) for item in items))


def declare(connection: pika.BlockingConnection, plan: Plan = PLAN) -> tuple[Difference, ...]:
    """Create what is missing, and return what could not be made as planned. Deletes and changes nothing.

    Raises:
        OutageError: the broker went away, or refuses for a reason of its own.
    """
    items: tuple[Exchange | Queue, ...] = (*plan.exchanges, *plan.queues)
    differences = list(_found(_declare_one(connection, item) for item in items))
    return (*differences, *_found(_bind(connection, binding) for binding in plan.bindings))


def definitions(plan: Plan = PLAN, *, vhost: str = "/") -> dict[str, Any]:
    """The plan as a RabbitMQ definitions file: what ``rabbitmqctl import_definitions`` takes."""
    durable = {"vhost": vhost, "durable": True, "auto_delete": False}
    return {
        "exchanges": [
            {"name": item.name, "type": item.kind, "internal": False, "arguments": {}, **durable}
            for item in plan.exchanges
        ],
        "queues": [{"name": item.name, "arguments": dict(item.arguments), **durable} for item in plan.queues],
        "bindings": [
            {
                "source": item.exchange,
                "vhost": vhost,
                "destination": item.queue,
                "destination_type": "queue",
                "routing_key": item.pattern,
                "arguments": {},
            }
            for item in plan.bindings
        ],
    }


def show(console: Console, plan: Plan = PLAN) -> None:
    """Print the plan as tables: the queues with their arguments, and what is bound to them."""
    bindings = Table("exchange", "kind", "routing key", "queue", title="Exchanges and bindings", title_justify="left")
    kinds = {exchange.name: exchange.kind for exchange in plan.exchanges}
    for binding in plan.bindings:
        bindings.add_row(binding.exchange, kinds[binding.exchange], binding.pattern, binding.queue)
    queues = Table("queue", "arguments", title="Queues (durable)", title_justify="left", show_lines=True)
    for queue in plan.queues:
        queues.add_row(queue.name, "\n".join(f"{name} = {value!r}" for name, value in queue.arguments.items()))
    console.print(bindings, queues)


_INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<argument>[^']+)'.*: received (?P<ours>.+) but current is (?P<theirs>.+)$"
)
_VALUE = re.compile(r"^(?:the value )?'(?P<value>.*?)'(?: of type '.*')?$")


def _found(results: Iterable[Difference | None]) -> Iterator[Difference]:
    return (difference for difference in results if difference is not None)


def _compare_one(connection: pika.BlockingConnection, item: Exchange | Queue) -> Difference | None:
    refusal = _ask(connection, lambda channel: _look(channel, item))
    if refusal is None:
        # Only of what exists: an active declare of something missing would create it.
        refusal = _ask(connection, lambda channel: _create(channel, item))
    return None if refusal is None else _difference(item, refusal)


def _declare_one(connection: pika.BlockingConnection, item: Exchange | Queue) -> Difference | None:
    refusal = _ask(connection, lambda channel: _create(channel, item))
    if refusal is None:
        return None
    difference = _difference(item, refusal)
    if difference.blocking:
        return difference
    seen = _ask(connection, lambda channel: _look(channel, item))
    if seen is not None and _difference(item, seen).problem == "missing":
        return Difference(str(item), "refused", f"is missing, and {_permission(refusal)}")
    return difference


def _bind(connection: pika.BlockingConnection, binding: Binding) -> Difference | None:
    refusal = _ask(connection, lambda channel: channel.queue_bind(binding.queue, binding.exchange, binding.pattern))
    return None if refusal is None else _difference(binding, refusal)


def _ask(connection: pika.BlockingConnection, question: Callable[[BlockingChannel], object]) -> Any:
    # A refusal closes the channel, so each question has one of its own. Typed Any: pika has no types.
    try:
        with open_channel(connection) as channel:
            question(channel)
    except ChannelClosedByBroker as refusal:
        return refusal
    return None


def _look(channel: BlockingChannel, item: Exchange | Queue) -> None:
    if isinstance(item, Exchange):
        channel.exchange_declare(item.name, item.kind, passive=True)
    else:
        channel.queue_declare(item.name, passive=True)


def _create(channel: BlockingChannel, item: Exchange | Queue) -> None:
    if isinstance(item, Exchange):
        channel.exchange_declare(item.name, item.kind, durable=True)
    else:
        channel.queue_declare(item.name, durable=True, arguments=dict(item.arguments))


def _difference(item: Exchange | Queue | Binding, refusal: ChannelClosedByBroker) -> Difference:
    match refusal.reply_code:
        case 404:
            return Difference(str(item), "missing", f"is missing: {refusal.reply_text.removeprefix('NOT_FOUND - ')}")
        case 403:
            return Difference(str(item), "unchecked", f"can't be checked: {_permission(refusal)}")
        case 405 | 406:
            return Difference(str(item), "differs", _inequivalence(refusal.reply_text))
        case _:
            raise OutageError(f"{item}: {refusal.reply_text}")


def _permission(refusal: ChannelClosedByBroker) -> str:
    return f"a permission lacks: {refusal.reply_text.removeprefix('ACCESS_REFUSED - ')}"


def _inequivalence(reply_text: str) -> str:
    found = _INEQUIVALENT.search(reply_text)
    if found is None:
        return reply_text
    ours, theirs = (_VALUE.sub(r"\g<value>", found[side]) for side in ("ours", "theirs"))
    return f"{found['argument']} is {theirs} on the broker and {ours} here"
