"""The frames of one channel to what the virtual host does, and what comes back to frames."""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from pamqp.base import Frame
from pamqp.commands import Basic, Confirm, Exchange, Queue, Tx
from pamqp.commands import Channel as ChannelMethod
from pamqp.exceptions import (
    AMQPAccessRefused,
    AMQPCommandInvalid,
    AMQPNotAllowed,
    AMQPNotImplemented,
    AMQPPreconditionFailed,
)
from pamqp.frame import marshal

from worker.demo import queues
from worker.demo.contents import Content
from worker.demo.declaration import Declarer
from worker.demo.publication import Publication
from worker.demo.queues import Entry
from worker.demo.vhost import VirtualHost
from worker.demo.wire import AnyFrame, Deliver, GetOk, Return, encode_content


class Link(Protocol):
    """What a channel needs of its connection."""

    user: str
    frame_max: int
    writable: bool
    hears_cancels: bool

    def send(self, octets: bytes) -> None:
        """Write to the client."""


@dataclass(frozen=True, slots=True)
class Held:
    """An entry that the client has not settled; ``subscription`` is ``None`` after a ``basic.get``."""

    entry: Entry
    queue: queues.Queue
    subscription: "Subscription | None"


class Subscription:
    """A consumer: a queue's entries to ``basic.deliver``, as long as there is room."""

    def __init__(self, channel: "Channel", queue: queues.Queue, method: Basic.Consume, prefetch: int) -> None:
        self.tag = method.consumer_tag or f"amq.ctag-{secrets.token_urlsafe(16)}"
        self.exclusive = bool(method.exclusive)
        self.queue = queue
        self.unsettled = 0
        self._no_ack = bool(method.no_ack)
        self._prefetch = prefetch
        self._channel = channel

    def has_room(self) -> bool:
        """Whether one more may be sent: prefetch of consumer and channel, and what the socket takes."""
        mine = not self._prefetch or self.unsettled < self._prefetch
        return self._channel.link.writable and (self._no_ack or (mine and self._channel.has_room()))

    def deliver(self, entry: Entry) -> None:
        """Send an entry."""
        if not self._no_ack:
            self.unsettled += 1
        tag = self._channel.hold(Held(entry, self.queue, self), no_ack=self._no_ack)
        content = entry.content
        method = Deliver(self.tag, tag, content.acquired > 0, content.exchange, content.routing_key)
        self._channel.send_content(method, content, self.queue)

    def cancelled(self) -> None:
        """The queue is gone: tell the client."""
        self._channel.subscription_lost(self.tag)


class Channel:
    """One channel, from open to closed."""

    def __init__(self, number: int, link: Link, vhost: VirtualHost) -> None:
        self.link = link
        self._number = number
        self._vhost = vhost
        self._declarer = Declarer(vhost, link)
        self._publication: Publication | None = None
        self._subscriptions: dict[str, Subscription] = {}
        self._held: dict[int, Held] = {}  # in the order of delivery tags
        self._delivered = 0
        self._prefetch = 0
        self._limit = 0
        self._confirming = False
        self._published = 0
        self._confirmed = 0

    def receive(self, frame: AnyFrame) -> None:
        """Take the next frame of this channel.

        Raises:
            AMQPError: soft ones close the channel, hard ones the connection.
        """
        if self._publication is not None:
            self._continue(self._publication, frame)
        elif not isinstance(frame, Frame) or type(frame) not in self._ANSWERS:
            raise AMQPCommandInvalid("unimplemented method")
        else:
            answer = self._ANSWERS[type(frame)](self, frame)
            if answer is not None and not getattr(frame, "nowait", False):
                self._send(answer)

    def flush(self) -> None:
        """Confirm what was published and is not confirmed yet, in one go."""
        if self._confirming and self._confirmed < self._published:
            self._send(Basic.Ack(self._published, multiple=self._published - self._confirmed > 1))
            self._confirmed = self._published

    def resume(self) -> None:
        """The socket takes more again."""
        for subscription in list(self._subscriptions.values()):
            subscription.queue.dispatch()

    def close(self) -> None:
        """Leave the queues, and give back what was not settled."""
        subscriptions, held = list(self._subscriptions.values()), list(self._held.values())
        self._subscriptions.clear()
        self._held.clear()
        for subscription in subscriptions:
            subscription.queue.leave(subscription)
        for one in held:
            one.queue.give_back(one.entry, failed=True)
        for subscription in subscriptions:
            self._vhost.consumer_left(subscription.queue)

    def has_room(self) -> bool:
        """Whether the prefetch of the whole channel allows one more."""
        return not self._limit or len(self._held) < self._limit

    def hold(self, held: Held, *, no_ack: bool) -> int:
        """Remember a delivery until it is settled, and give its tag."""
        self._delivered += 1
        if not no_ack:
            self._held[self._delivered] = held
        return self._delivered

    def send_content(self, method: Frame, content: Content, queue: queues.Queue | None = None) -> None:
        """Send a method with a content; one from a quorum queue with its counts."""
        header = content.counted_header() if queue is not None and queue.terms.quorum else content.header
        self.link.send(encode_content(self._number, method, header, content.body, self.link.frame_max))

    def subscription_lost(self, tag: str) -> None:
        """A queue went, and with it the subscription."""
        self._subscriptions.pop(tag, None)
        if self.link.hears_cancels:
            self._send(Basic.Cancel(tag, nowait=True))

    def _send(self, method: Frame) -> None:
        self.link.send(marshal(method, self._number))

    def _continue(self, publication: Publication, frame: AnyFrame) -> None:
        content = publication.add(frame)
        if content is None:
            return
        self._publication = None
        outcome = self._vhost.publish(content)
        if publication.mandatory and not outcome.routed:
            self.send_content(Return(312, "NO_ROUTE", content.exchange, content.routing_key), content)
        if self._confirming:
            self._confirm(accepted=outcome.accepted)

    def _confirm(self, *, accepted: bool) -> None:
        if not accepted:
            self.flush()
            self._confirmed += 1
            self._send(Basic.Nack(self._confirmed, multiple=False, requeue=False))
        self._published += 1

    def _start_publication(self, method: Basic.Publish) -> None:
        self._publication = Publication(method, self.link.user)

    def _declare(self, method: Any) -> Frame:
        return self._declarer.answer(method)

    def _qos(self, method: Basic.Qos) -> Frame:
        if method.prefetch_size:
            raise AMQPNotImplemented(f"prefetch_size!=0 ({method.prefetch_size})")
        if method.global_:
            self._limit = method.prefetch_count
            self.resume()
        else:
            self._prefetch = method.prefetch_count
        return Basic.QosOk()

    def _consume(self, method: Basic.Consume) -> None:
        if method.consumer_tag in self._subscriptions:
            raise AMQPNotAllowed(f"attempt to reuse consumer tag '{method.consumer_tag}'")
        queue = self._vhost.queue(self._declarer.queue_name(method.queue), self.link)
        _check_exclusive(queue, exclusive=bool(method.exclusive))
        subscription = Subscription(self, queue, method, self._prefetch)
        self._subscriptions[subscription.tag] = subscription
        if not method.nowait:  # before the first delivery, hence here
            self._send(Basic.ConsumeOk(subscription.tag))
        queue.join(subscription)

    def _cancel(self, method: Basic.Cancel) -> Frame:
        subscription = self._subscriptions.pop(method.consumer_tag or "", None)
        if subscription is not None:
            subscription.queue.leave(subscription)
            self._vhost.consumer_left(subscription.queue)
        return Basic.CancelOk(method.consumer_tag)

    def _get(self, method: Basic.Get) -> Frame | None:
        queue = self._vhost.queue(self._declarer.queue_name(method.queue), self.link)
        entry = queue.take()
        if entry is None:
            return Basic.GetEmpty()
        tag = self.hold(Held(entry, queue, None), no_ack=bool(method.no_ack))
        content = entry.content
        answer = GetOk(tag, content.acquired > 0, content.exchange, content.routing_key, len(queue))
        self.send_content(answer, content, queue)
        return None

    def _ack(self, method: Basic.Ack) -> None:
        _dispatch(self._settled(method.delivery_tag, multiple=bool(method.multiple)))

    def _nack(self, method: Basic.Nack) -> None:
        settled = self._settled(method.delivery_tag, multiple=bool(method.multiple))
        # Only reject counts towards a quorum queue's delivery limit, as from RabbitMQ 4.3 on.
        _return(settled, requeue=bool(method.requeue), failed=False)

    def _reject(self, method: Basic.Reject) -> None:
        _return(self._settled(method.delivery_tag or 0, multiple=False), requeue=bool(method.requeue), failed=True)

    def _recover(self, method: Basic.Recover) -> Frame:
        if not method.requeue:
            raise AMQPNotImplemented("requeue=false")
        _return(self._settled(0, multiple=True), requeue=True, failed=False)
        return Basic.RecoverOk()

    def _settled(self, tag: int, *, multiple: bool) -> list[Held]:
        if tag not in self._held and not (multiple and tag == 0):
            raise AMQPPreconditionFailed(f"unknown delivery tag {tag}")
        tags = [held for held in self._held if held <= tag or tag == 0] if multiple else [tag]
        settled = [self._held.pop(one) for one in tags]
        for held in settled:
            if held.subscription is not None:
                held.subscription.unsettled -= 1
        return settled

    def _select_confirms(self, _method: Confirm.Select) -> Frame:
        self._confirming = True
        return Confirm.SelectOk()

    def _flow(self, method: ChannelMethod.Flow) -> Frame:
        if not method.active:
            raise AMQPNotImplemented("active=false")
        return ChannelMethod.FlowOk(active=True)

    def _refuse_transaction(self, _method: Tx.Select) -> None:
        raise AMQPNotImplemented("transactions")

    _ANSWERS: ClassVar[dict[type[Frame], Callable[["Channel", Any], Frame | None]]] = {
        **dict.fromkeys(
            (
                *(Exchange.Declare, Exchange.Delete, Exchange.Bind, Exchange.Unbind),
                *(Queue.Declare, Queue.Delete, Queue.Bind, Queue.Unbind, Queue.Purge),
            ),
            _declare,
        ),
        Basic.Publish: _start_publication,
        Basic.Qos: _qos,
        Basic.Consume: _consume,
        Basic.Cancel: _cancel,
        Basic.Get: _get,
        Basic.Ack: _ack,
        Basic.Nack: _nack,
        Basic.Reject: _reject,
        Basic.Recover: _recover,
        Confirm.Select: _select_confirms,
        ChannelMethod.Flow: _flow,
        Tx.Select: _refuse_transaction,
    }


def _check_exclusive(queue: queues.Queue, *, exclusive: bool) -> None:
    # A quorum queue takes exclusive consumers beside others, as RabbitMQ does.
    taken = any(consumer.exclusive for consumer in queue.consumers)
    if not queue.terms.quorum and (taken or (exclusive and queue.consumers)):
        raise AMQPAccessRefused(f"queue '{queue.name}' in vhost '/' in exclusive use")


def _return(settled: Iterable[Held], *, requeue: bool, failed: bool) -> None:
    settled = list(settled)
    for held in settled:
        if requeue:
            held.queue.give_back(held.entry, failed=failed)
        else:
            held.queue.reject(held.entry, failed=failed)
    _dispatch(settled)


def _dispatch(settled: Iterable[Held]) -> None:
    for queue in {held.queue.name: held.queue for held in settled}.values():
        queue.dispatch()
