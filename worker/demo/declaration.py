"""A method of the classes exchange and queue to its answer, by way of the virtual host."""

from typing import Any

from pamqp.base import Frame
from pamqp.commands import Exchange, Queue
from pamqp.exceptions import AMQPNotFound

from worker.demo.exchanges import Binding, Destination
from worker.demo.vhost import VirtualHost
from worker.demo.wire import DeclareOk

Declaring = (
    Exchange.Declare | Exchange.Delete | Exchange.Bind | Exchange.Unbind
    | Queue.Declare | Queue.Delete | Queue.Bind | Queue.Unbind | Queue.Purge
)  # fmt: skip


class Declarer:
    """Answers for one channel, which remembers the queue that it declared last."""

    def __init__(self, vhost: VirtualHost, connection: object) -> None:
        self._vhost = vhost
        self._connection = connection
        self._last_queue = ""

    def answer(self, method: Declaring) -> Frame:
        """Do what a method asks for, and answer it.

        Raises:
            AMQPError: refused.
        """
        match method:
            case Queue.Declare() | Queue.Delete() | Queue.Bind() | Queue.Unbind() | Queue.Purge():
                return self._answer_queue(method)
            case _:
                return self._answer_exchange(method)

    def queue_name(self, name: str) -> str:
        """The name, or for an empty one that of the queue declared last.

        Raises:
            AMQPNotFound: none was.
        """
        if not name and not self._last_queue:
            raise AMQPNotFound("no previously declared queue")
        return name or self._last_queue

    def _answer_queue(self, method: Queue.Declare | Queue.Delete | Queue.Bind | Queue.Unbind | Queue.Purge) -> Frame:
        match method:
            case Queue.Declare():
                return self._declare_queue(method)
            case Queue.Delete():
                return self._delete_queue(method)
            case Queue.Bind():
                self._vhost.bind(method.exchange, self._queue_binding(method), self._connection)
                return Queue.BindOk()
            case Queue.Unbind():
                self._vhost.unbind(method.exchange, self._queue_binding(method))
                return Queue.UnbindOk()
            case Queue.Purge():
                return Queue.PurgeOk(self._vhost.queue(self.queue_name(method.queue), self._connection).purge())

    def _answer_exchange(self, method: Exchange.Declare | Exchange.Delete | Exchange.Bind | Exchange.Unbind) -> Frame:
        match method:
            case Exchange.Declare():
                self._vhost.declare_exchange(method)
                return Exchange.DeclareOk()
            case Exchange.Delete():
                self._vhost.delete_exchange(method.exchange, if_unused=bool(method.if_unused))
                return Exchange.DeleteOk()
            case Exchange.Bind():
                self._vhost.bind(method.source, _exchange_binding(method), self._connection)
                return Exchange.BindOk()
            case Exchange.Unbind():
                self._vhost.unbind(method.source, _exchange_binding(method))
                return Exchange.UnbindOk()

    def _declare_queue(self, method: Queue.Declare) -> Frame:
        queue = self._vhost.declare_queue(method, self._connection)
        self._last_queue = queue.name
        return DeclareOk(queue.name, len(queue), len(queue.consumers))

    def _delete_queue(self, method: Queue.Delete) -> Frame:
        name = self.queue_name(method.queue)
        return Queue.DeleteOk(
            self._vhost.delete_queue(
                name, self._connection, if_unused=bool(method.if_unused), if_empty=bool(method.if_empty)
            )
        )

    def _queue_binding(self, method: Queue.Bind | Queue.Unbind) -> Binding:
        name = self.queue_name(method.queue)
        # Both left empty mean the same queue twice (queue.bind, rule 08 of the specification).
        key = method.routing_key if method.queue or method.routing_key else name
        return Binding(Destination("queue", name), key or "", _arguments(method))


def _exchange_binding(method: Exchange.Bind | Exchange.Unbind) -> Binding:
    return Binding(Destination("exchange", method.destination), method.routing_key or "", _arguments(method))


def _arguments(method: Any) -> dict[str, Any]:
    return dict(method.arguments or {})
