"""A published content: what it was published with, and what happened to it since, as headers.

Deaths and counts are kept beside the headers, as RabbitMQ 4 does: what a client writes into ``x-death`` itself
is passed on and means nothing.
"""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal, Self

from pamqp.commands import Basic
from pamqp.exceptions import AMQPPreconditionFailed

from worker.demo.wire import encode_header

Reason = Literal["rejected", "expired", "maxlen", "delivery_limit"]

_INTEGER: Final = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True, slots=True)
class Death:
    """How often a content left one queue for one reason; the rest is of the first time."""

    queue: str
    reason: Reason
    time: datetime
    exchange: str
    routing_key: str
    expiration: str | None
    count: int = 1

    def as_header(self) -> dict[str, Any]:
        """One entry of ``x-death``."""
        expiration = {} if self.expiration is None else {"original-expiration": self.expiration}
        return expiration | {
            "count": self.count,
            "reason": self.reason,
            "queue": self.queue,
            "time": self.time,
            "exchange": self.exchange,
            "routing-keys": [self.routing_key],
        }


@dataclass(frozen=True, slots=True)
class Content:
    """Properties and body with the names they were published under.

    ``header`` is the properties as written on the wire. ``deaths``: the latest first. ``acquired`` counts how often
    a consumer gave it back or lost it, ``failed`` how often that was a failure.
    """

    exchange: str
    routing_key: str
    properties: Basic.Properties
    header: bytes
    body: bytes
    deaths: tuple[Death, ...] = ()
    acquired: int = 0
    failed: int = 0

    @classmethod
    def published(cls, exchange: str, routing_key: str, properties: Basic.Properties, body: bytes) -> Self:
        """As it came from a client.

        Raises:
            AMQPSyntaxError: the properties cannot be written.
            AMQPPreconditionFailed: the expiration is no number of milliseconds.
        """
        _check_expiration(properties.expiration)
        return cls(exchange, routing_key, properties, encode_header(properties, len(body)), body)

    @property
    def headers(self) -> Mapping[str, Any]:
        """The headers, empty where there are none."""
        return self.properties.headers or {}

    @property
    def seconds_to_live(self) -> float | None:
        """The expiration that it was published with."""
        return None if self.properties.expiration is None else int(self.properties.expiration) / 1000

    def given_back(self, *, failed: bool) -> Self:
        """The same after a consumer gave it back."""
        return replace(self, acquired=self.acquired + 1, failed=self.failed + failed)

    def counted_header(self) -> bytes:
        """The header with what a quorum queue adds on redelivery."""
        if not self.acquired:
            return self.header
        counts = {"x-acquired-count": self.acquired} | ({"x-delivery-count": self.failed} if self.failed else {})
        return encode_header(_with_headers(self.properties, {**self.headers, **counts}), len(self.body))

    def buried(self, queue: str, reason: Reason, exchange: str, routing_key: str | None) -> Self:
        """The same on its way to a dead-letter exchange; ``routing_key``: ``None`` keeps its own."""
        deaths = self._deaths_with(queue, reason)
        properties = _with_headers(self.properties, {**self.headers, **self._death_headers(deaths)})
        properties.expiration = None  # or it would expire again where it goes
        return replace(
            self,
            exchange=exchange,
            routing_key=self.routing_key if routing_key is None else routing_key,
            properties=properties,
            header=encode_header(properties, len(self.body)),
            deaths=deaths,
        )

    def would_cycle(self, queue: str) -> bool:
        """Whether it died in that queue before, and nobody rejected it since."""
        reasons: list[Reason] = []
        for death in self.deaths:
            reasons.append(death.reason)
            if death.queue == queue:
                return "rejected" not in reasons
        return False

    def _deaths_with(self, queue: str, reason: Reason) -> tuple[Death, ...]:
        now = datetime.now(UTC).replace(microsecond=0)
        before = [death for death in self.deaths if (death.queue, death.reason) == (queue, reason)]
        others = tuple(death for death in self.deaths if death not in before)
        if before:
            return replace(before[0], count=before[0].count + 1), *others
        expiration = self.properties.expiration
        return Death(queue, reason, now, self.exchange, self.routing_key, expiration), *others

    def _death_headers(self, deaths: tuple[Death, ...]) -> dict[str, Any]:
        headers = {"x-death": [death.as_header() for death in deaths], **_summary("last", deaths[0])}
        return headers if self.deaths else headers | _summary("first", deaths[0])


def _summary(which: str, death: Death) -> dict[str, str]:
    prefix = f"x-{which}-death-"
    return {f"{prefix}exchange": death.exchange, f"{prefix}queue": death.queue, f"{prefix}reason": death.reason}


def _with_headers(properties: Basic.Properties, headers: dict[str, Any]) -> Basic.Properties:
    changed = copy.copy(properties)
    changed.headers = headers
    return changed


def _check_expiration(value: str | None) -> None:
    if value is None:
        return
    number = _INTEGER.match(value)
    if number is None:
        raise AMQPPreconditionFailed(f"invalid expiration '{value}': no_integer")
    if rest := value[number.end() :]:
        raise AMQPPreconditionFailed(f"invalid expiration '{value}': {{leftover_string,\"{rest}\"}}")
    if int(value) < 0:
        raise AMQPPreconditionFailed(f"invalid expiration '{value}': {{value_negative,{value}}}")
