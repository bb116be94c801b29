"""Names to exchanges and queues, and contents through them: all that the broker knows, in memory.

What RabbitMQ refuses is refused with its code and its words. Left out: priorities of contents and consumers,
sender-selected routing (``CC``), direct reply-to, policies; and at-least-once dead-lettering is accepted, but what
has nowhere to go is dropped.
"""

import secrets
from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pamqp.commands import Exchange as ExchangeMethod
from pamqp.commands import Queue as QueueMethod
from pamqp.exceptions import (
    AMQPAccessRefused,
    AMQPNotFound,
    AMQPNotImplemented,
    AMQPPreconditionFailed,
    AMQPResourceLocked,
)

from worker.demo.arguments import Terms, assert_same, assert_same_arguments, exchange_name, queue_type
from worker.demo.contents import Content, Reason
from worker.demo.exchanges import TYPES, Binding, Destination, Exchange
from worker.demo.queues import Clock, Queue

_PREDECLARED: Final = {
    "amq.direct": "direct",
    "amq.fanout": "fanout",
    "amq.topic": "topic",
    "amq.headers": "headers",
    "amq.match": "headers",
}


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a queue was declared with; ``owner`` is the connection of an exclusive one."""

    durable: bool
    auto_delete: bool
    owner: object | None
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether a content was for any queue, and whether all of these took it."""

    routed: bool
    accepted: bool


class VirtualHost:
    """The one virtual host, ``/``."""

    def __init__(self, clock: Clock) -> None:
        self.queues: dict[str, Queue] = {}
        self.exchanges = {name: Exchange(name, kind) for name, kind in _PREDECLARED.items()}
        self._declarations: dict[str, Declaration] = {}
        self._clock = clock
        self._graves: deque[tuple[Queue, Content, Reason]] = deque()
        self._burying = False

    def publish(self, content: Content) -> Outcome:
        """Put a content into every queue it is for.

        Raises:
            AMQPNotFound: no such exchange.
            AMQPAccessRefused: nobody may publish there.
        """
        if content.exchange and self._exchange(content.exchange).internal:
            raise AMQPAccessRefused(f"cannot publish to internal {_exchange_subject(content.exchange)}")
        accepted = [queue.offer(content) for queue in self._route(content)]
        return Outcome(bool(accepted), all(accepted))

    def declare_exchange(self, wanted: ExchangeMethod.Declare) -> None:
        """Make an exchange, or find that it is there already.

        Raises:
            AMQPNotFound: passive, and it is not there.
            AMQPPreconditionFailed: unknown type, wrong arguments, or it is there and different.
            AMQPAccessRefused: the name is reserved.
        """
        _not_default(wanted.exchange)
        current = self.exchanges.get(wanted.exchange)
        if wanted.passive:
            self._exchange(wanted.exchange)
        elif current is not None:
            _assert_same_exchange(wanted, current)
        else:
            self._create_exchange(wanted)

    def delete_exchange(self, name: str, *, if_unused: bool) -> None:
        """Delete an exchange and its bindings, if it is there.

        Raises:
            AMQPPreconditionFailed: in use, and it should not be.
            AMQPAccessRefused: it is one of the broker's own.
        """
        _not_default(name)
        if name in _PREDECLARED:
            raise AMQPAccessRefused(f"deletion of system {_exchange_subject(name)} not allowed")
        if name not in self.exchanges:
            return
        if if_unused and self.exchanges[name].bindings:
            raise AMQPPreconditionFailed(f"{_exchange_subject(name)} in use")
        self._drop_exchange(name)

    def bind(self, source: str, binding: Binding, connection: object) -> None:
        """Bind a queue or an exchange to an exchange.

        Raises:
            AMQPNotFound: one of them is not there.
            AMQPAccessRefused: the default exchange has bindings of its own.
        """
        _not_default(source)
        exchange = self._exchange(source)
        kind, name = binding.destination
        if kind == "queue":
            self.queue(name, connection)
        else:
            _not_default(name)
            self._exchange(name)
        exchange.bind(binding)

    def unbind(self, source: str, binding: Binding) -> None:
        """Undo a binding, if it is there.

        Raises:
            AMQPAccessRefused: the default exchange has bindings of its own.
        """
        _not_default(source)
        exchange = self.exchanges.get(source)
        if exchange is not None and binding in exchange.bindings:
            exchange.bindings.remove(binding)
            self._drop_unused(exchange)

    def queue(self, name: str, connection: object) -> Queue:
        """The queue of that name.

        Raises:
            AMQPNotFound: it is not there.
            AMQPResourceLocked: it belongs to another connection alone.
        """
        if name not in self.queues:
            raise AMQPNotFound(f"no {_queue_subject(name)}")
        owner = self._declarations[name].owner
        if owner is not None and owner is not connection:
            raise _locked(name)
        return self.queues[name]

    def declare_queue(self, wanted: QueueMethod.Declare, connection: object) -> Queue:
        """Make a queue, or find that it is there already.

        Raises:
            AMQPNotFound: passive, and it is not there.
            AMQPPreconditionFailed: wrong arguments, or it is there and different.
            AMQPResourceLocked: it belongs to another connection alone, or would from now on.
            AMQPAccessRefused: the name is reserved.
        """
        if not wanted.passive and wanted.queue not in self.queues:
            return self._create_queue(wanted, connection)
        queue = self.queue(wanted.queue, connection)
        if not wanted.passive:
            self._assert_same_queue(wanted, connection)
        queue.used()
        return queue

    def delete_queue(self, name: str, connection: object, *, if_unused: bool, if_empty: bool) -> int:
        """Delete a queue, if it is there, and say how many entries were ready.

        Raises:
            AMQPPreconditionFailed: in use or not empty, and it should not be.
            AMQPNotImplemented: a quorum queue does not look.
            AMQPResourceLocked: it belongs to another connection alone.
        """
        if name not in self.queues:
            return 0
        queue = self.queue(name, connection)
        if queue.terms.quorum and (if_unused or if_empty):
            raise _unconditional(name, "if-unused" if if_unused else "if-empty")
        if if_unused and queue.consumers:
            raise AMQPPreconditionFailed(f"{_queue_subject(name)} in use")
        if if_empty and len(queue):
            raise AMQPPreconditionFailed(f"{_queue_subject(name)} not empty")
        return self.drop_queue(queue)

    def drop_queue(self, queue: Queue) -> int:
        """Delete that queue whatever it holds, and say how much that was."""
        if self.queues.get(queue.name) is not queue:
            return 0
        held = len(queue)
        del self.queues[queue.name], self._declarations[queue.name]
        self._drop_bindings(Destination("queue", queue.name))
        queue.close()
        return held

    def consumer_left(self, queue: Queue) -> None:
        """Delete the queue if it should go with its last consumer."""
        declaration = self._declarations.get(queue.name)
        if declaration is not None and declaration.auto_delete and not queue.consumers:
            self.drop_queue(queue)

    def connection_lost(self, connection: object) -> None:
        """Delete what belonged to that connection alone."""
        owned = [name for name, declaration in self._declarations.items() if declaration.owner is connection]
        for name in owned:
            self.drop_queue(self.queues[name])

    def _route(self, content: Content) -> list[Queue]:
        if not content.exchange:
            return [self.queues[content.routing_key]] if content.routing_key in self.queues else []
        found: dict[str, None] = {}  # in the order of binding
        seen, ahead = {content.exchange}, [content.exchange]
        while ahead:
            for kind, name in self._destinations(ahead.pop(0), content):
                if kind == "queue":
                    found[name] = None
                elif name not in seen:
                    seen.add(name)
                    ahead.append(name)
        return [self.queues[name] for name in found]

    def _destinations(self, name: str, content: Content) -> list[Destination]:
        exchange = self.exchanges[name]
        alternate = exchange.arguments.get("alternate-exchange")
        found = list(exchange.destinations(content))
        return found or ([Destination("exchange", alternate)] if alternate in self.exchanges else [])

    def _bury(self, queue: Queue, content: Content, reason: Reason) -> None:
        # One dead letter can push out the next: a loop, as a chain of full queues would be a deep recursion.
        self._graves.append((queue, content, reason))
        if self._burying:
            return
        self._burying = True
        try:
            while self._graves:
                self._bury_one(*self._graves.popleft())
        finally:
            self._burying = False

    def _bury_one(self, queue: Queue, content: Content, reason: Reason) -> None:
        exchange = queue.terms.dead_letter_exchange
        if exchange is None or (exchange and exchange not in self.exchanges):
            return
        dead = content.buried(queue.name, reason, exchange, queue.terms.dead_letter_routing_key)
        for target in self._route(dead):
            if not dead.would_cycle(target.name):
                target.offer(dead)

    def _exchange(self, name: str) -> Exchange:
        if name not in self.exchanges:
            raise AMQPNotFound(f"no {_exchange_subject(name)}")
        return self.exchanges[name]

    def _create_exchange(self, wanted: ExchangeMethod.Declare) -> None:
        name, kind, arguments = wanted.exchange, wanted.exchange_type, wanted.arguments or {}
        if kind not in TYPES:
            raise AMQPPreconditionFailed(f"invalid exchange type '{kind}'")
        if name.startswith("amq."):
            raise AMQPAccessRefused(f"exchange name '{name}' contains reserved prefix 'amq.*'")
        exchange_name(_exchange_subject(name), arguments, "alternate-exchange")
        self.exchanges[name] = Exchange(
            name, kind, wanted.durable, wanted.auto_delete, bool(wanted.internal), arguments
        )

    def _drop_exchange(self, name: str) -> None:
        del self.exchanges[name]
        self._drop_bindings(Destination("exchange", name))

    def _drop_bindings(self, destination: Destination) -> None:
        for exchange in list(self.exchanges.values()):
            kept = [binding for binding in exchange.bindings if binding.destination != destination]
            if len(kept) < len(exchange.bindings):
                exchange.bindings[:] = kept
                self._drop_unused(exchange)

    def _drop_unused(self, exchange: Exchange) -> None:
        if exchange.auto_delete and not exchange.bindings and exchange.name in self.exchanges:
            self._drop_exchange(exchange.name)

    def _create_queue(self, wanted: QueueMethod.Declare, connection: object) -> Queue:
        arguments = wanted.arguments or {}
        if wanted.queue.startswith("amq."):
            raise AMQPAccessRefused(f"queue name '{wanted.queue}' contains reserved prefix 'amq.*'")
        quorum = queue_type(wanted.queue, arguments) == "quorum"
        if quorum and not wanted.queue:
            raise AMQPPreconditionFailed("Cannot declare a server-named queue for type rabbit_quorum_queue")
        if quorum:
            _check_quorum_properties(wanted)
        name = wanted.queue or _generated_name()
        queue = Queue(name, Terms.read(name, arguments), self._clock, bury=self._bury, idle=self.drop_queue)
        self.queues[name] = queue
        self._declarations[name] = Declaration(
            wanted.durable, wanted.auto_delete, connection if wanted.exclusive else None, arguments
        )
        return queue

    def _assert_same_queue(self, wanted: QueueMethod.Declare, connection: object) -> None:
        current, subject, arguments = self._declarations[wanted.queue], _queue_subject(wanted.queue), wanted.arguments
        assert_same(subject, "durable", wanted.durable, current.durable)
        assert_same(subject, "auto_delete", wanted.auto_delete, current.auto_delete)
        if (connection if wanted.exclusive else None) is not current.owner:
            raise _locked(wanted.queue)
        assert_same_arguments(subject, arguments or {}, current.arguments)
        received = queue_type(wanted.queue, arguments or {})
        assert_same(subject, "x-queue-type", received, queue_type(wanted.queue, current.arguments))


def _assert_same_exchange(wanted: ExchangeMethod.Declare, current: Exchange) -> None:
    subject = _exchange_subject(current.name)
    assert_same(subject, "type", wanted.exchange_type, current.type)
    assert_same(subject, "durable", wanted.durable, current.durable)
    assert_same(subject, "auto_delete", wanted.auto_delete, current.auto_delete)
    assert_same(subject, "internal", bool(wanted.internal), current.internal)
    assert_same_arguments(subject, wanted.arguments or {}, current.arguments, ("alternate-exchange",))


def _check_quorum_properties(wanted: QueueMethod.Declare) -> None:
    faults = {
        "non-durable": not wanted.durable,
        "exclusive-owner": wanted.exclusive,
        "auto-delete": wanted.auto_delete,
    }
    for name, present in faults.items():
        if present:
            raise AMQPPreconditionFailed(f"invalid property '{name}' for {_queue_subject(wanted.queue)}")


def _not_default(exchange: str) -> None:
    if not exchange:
        raise AMQPAccessRefused("operation not permitted on the default exchange")


def _generated_name() -> str:
    return "amq.gen-" + urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")


def _queue_subject(name: str) -> str:
    return f"queue '{name}' in vhost '/'"


def _exchange_subject(name: str) -> str:
    return f"exchange '{name}' in vhost '/'"


def _locked(queue: str) -> AMQPResourceLocked:
    return AMQPResourceLocked(
        f"cannot obtain exclusive access to locked {_queue_subject(queue)}. It could be originally declared on "
        "another connection or the exclusive property value does not match that of the original declaration."
    )


def _unconditional(queue: str, flag: str) -> AMQPNotImplemented:
    return AMQPNotImplemented(
        f"cannot delete {_queue_subject(queue)}. queue.delete operations with {flag} flag set are not supported "
        "by quorum queues"
    )
