"""Contents in, entries out to consumers in order: one queue's state, without names, sockets or clocks of its own."""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Protocol

from worker.demo.arguments import Terms
from worker.demo.contents import Content, Reason

Bury = Callable[["Queue", Content, Reason], None]


class Timer(Protocol):
    """What a clock gives to call off a call."""

    def cancel(self) -> None:
        """Do not call."""


class Clock(Protocol):
    """Seconds, and calls after some of them; an asyncio loop is one."""

    def time(self) -> float:
        """Seconds since some moment."""

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call back after so many seconds."""


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """A content in a queue; the smallest place is next."""

    place: tuple[int, int]
    content: Content = field(compare=False)
    expires_at: float | None = field(compare=False)


class Consumer(Protocol):
    """What a queue delivers to."""

    tag: str
    exclusive: bool

    def has_room(self) -> bool:
        """Whether it takes one more now."""

    def deliver(self, entry: Entry) -> None:
        """Take that one."""

    def cancelled(self) -> None:
        """The queue is gone."""


class Queue:
    """A queue: entries that are ready, and who wants them.

    ``bury`` is called with what leaves for a dead-letter exchange, ``idle`` when it was unused for ``x-expires``.
    ``owner`` is the connection that an exclusive queue belongs to.
    """

    def __init__(self, name: str, terms: Terms, clock: Clock, *, bury: Bury, idle: Callable[["Queue"], object]) -> None:
        self.name = name
        self.terms = terms
        self.consumers: deque[Consumer] = deque()
        self._clock = clock
        self._bury = bury
        self._idle = idle
        self._ready: list[Entry] = []
        self._bytes = 0
        self._serial = count()
        self._expiry: Timer | None = None
        self._idle_timer: Timer | None = None
        self._closed = False
        self.used()

    def __len__(self) -> int:
        return len(self._ready)

    def offer(self, content: Content) -> bool:
        """Take a content, unless the queue is full and refuses more."""
        if self.terms.overflow != "drop-head" and self._is_full_for(content):
            if self.terms.overflow == "reject-publish-dlx" and not self.terms.quorum:
                self._bury(self, content, "maxlen")
            return False
        self._add(Entry((1, next(self._serial)), content, self._deadline(content)))
        return True

    def take(self) -> Entry | None:
        """The next entry, or none."""
        self.used()
        self._expire()
        return self._pop() if self._ready else None

    def give_back(self, entry: Entry, *, failed: bool) -> None:
        """Take an entry back: to its place, or (quorum) behind what was given back before; or bury it."""
        if self._closed:
            return
        content = entry.content.given_back(failed=failed)
        limit = self.terms.delivery_limit
        if failed and limit is not None and content.failed > limit:
            self._bury(self, content, "delivery_limit")
            return
        place = (0, next(self._serial)) if self.terms.quorum else entry.place
        self._add(replace(entry, place=place, content=content))

    def reject(self, entry: Entry, *, failed: bool) -> None:
        """Bury an entry that a consumer does not want back in the queue."""
        if not self._closed:
            self._bury(self, entry.content.given_back(failed=True) if failed else entry.content, "rejected")

    def dispatch(self) -> None:
        """Deliver what is ready to whoever has room, in turns."""
        self._expire()
        while self._ready and (consumer := self._next_consumer()) is not None:
            consumer.deliver(self._pop())
        self._expire()
        self._set_expiry()

    def purge(self) -> int:
        """Drop all that is ready, and say how many that was."""
        dropped = len(self._ready)
        self._ready.clear()
        self._bytes = 0
        return dropped

    def join(self, consumer: Consumer) -> None:
        """Add a consumer."""
        self.consumers.append(consumer)
        self.dispatch()

    def leave(self, consumer: Consumer) -> None:
        """Remove a consumer; another may be active then."""
        if consumer in self.consumers:
            self.consumers.remove(consumer)
            self.used()
            self.dispatch()

    def used(self) -> None:
        """Start the time of ``x-expires`` anew."""
        _cancel(self._idle_timer)
        if self.terms.expires is not None:
            self._idle_timer = self._clock.call_later(self.terms.expires, self._check_idle)

    def close(self) -> None:
        """End it: no timer is left, and the consumers are told."""
        self._closed = True
        _cancel(self._expiry)
        _cancel(self._idle_timer)
        self.purge()
        consumers = list(self.consumers)
        self.consumers.clear()
        for consumer in consumers:
            consumer.cancelled()

    def _next_consumer(self) -> Consumer | None:
        if self.terms.single_active:
            return next((first for first in list(self.consumers)[:1] if first.has_room()), None)
        for _ in range(len(self.consumers)):
            consumer = self.consumers[0]
            self.consumers.rotate(-1)
            if consumer.has_room():
                return consumer
        return None

    def _add(self, entry: Entry) -> None:
        self._push(entry)
        self.dispatch()
        if self.terms.overflow == "drop-head":
            self._trim()

    def _push(self, entry: Entry) -> None:
        heapq.heappush(self._ready, entry)
        self._bytes += len(entry.content.body)

    def _pop(self) -> Entry:
        entry = heapq.heappop(self._ready)
        self._bytes -= len(entry.content.body)
        return entry

    def _is_full_for(self, content: Content) -> bool:
        # A quorum queue takes one more than it may hold: it looks at what it holds already.
        more, size = (0, 0) if self.terms.quorum else (1, len(content.body))
        return _over(len(self) + more, self.terms.max_length) or _over(self._bytes + size, self.terms.max_bytes)

    def _trim(self) -> None:
        while self._ready and (_over(len(self), self.terms.max_length) or _over(self._bytes, self.terms.max_bytes)):
            self._bury(self, self._pop().content, "maxlen")

    def _deadline(self, content: Content) -> float | None:
        times = [seconds for seconds in (self.terms.ttl, content.seconds_to_live) if seconds is not None]
        return self._clock.time() + min(times) if times else None

    def _expire(self) -> None:
        # Only what is next expires, as in RabbitMQ: what stands behind it waits.
        while self._ready and _is_due(self._ready[0], self._clock.time()):
            self._bury(self, self._pop().content, "expired")

    def _set_expiry(self) -> None:
        _cancel(self._expiry)
        if self._ready and (due := self._ready[0].expires_at) is not None:
            self._expiry = self._clock.call_later(max(0.0, due - self._clock.time()), self.dispatch)

    def _check_idle(self) -> None:
        if self.consumers:
            self.used()
        else:
            self._idle(self)


def _over(value: int, limit: int | None) -> bool:
    return limit is not None and value > limit


def _is_due(entry: Entry, now: float) -> bool:
    return entry.expires_at is not None and entry.expires_at <= now


def _cancel(timer: Timer | None) -> None:
    if timer is not None:
        timer.cancel()
