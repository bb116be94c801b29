"""Outcomes to the exchange ``approvals``: many at once, and which of them a queue holds now."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pika

from worker.broker import ERRAND_SECONDS, first_of
from worker.errors import CountersignError, OutageError, PermanentError
from worker.reply_poller.broker_line import BrokerLine, Receipt
from worker.reply_poller.outcome import Outcome

AT_ONCE = 100
"""Events in flight; each may weigh as much as the longest comment."""


class ReplyPublisher:
    """The poller's way to the broker: connects when it has something to publish, and stays connected."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        ca_file: Path | None = None,
        name: str = "countersign poll",
        seconds: float = ERRAND_SECONDS,
    ) -> None:
        """``urls`` are tried in turn; ``seconds`` is the time that the confirms of one batch may take."""
        self._urls = urls
        self._ca_file = ca_file
        self._name = name
        self._seconds = seconds
        self._line: BrokerLine | None = None
        self._aborted = threading.Event()

    def publish(self, outcomes: Sequence[Outcome]) -> Receipt:
        """Publish them in their order: persistent, mandatory, confirmed. What has no event is left out.

        One that is not confirmed may have been published all the same: publish it again as it stands.

        Raises:
            SettingsError: a URL is none, or ``ca_file`` holds no certificates.
            OutageError: no broker takes a connection, or the publisher was aborted; nothing was published.
        """
        self._connected()
        receipt, left = Receipt(), [outcome for outcome in outcomes if outcome.body is not None]
        while left and receipt.outage is None:
            some, left = left[:AT_ONCE], left[AT_ONCE:]
            receipt += self._publish(some)
        return receipt + (_all_failed(left, receipt.outage) if receipt.outage else Receipt())

    def close(self) -> None:
        """Say goodbye to the broker."""
        if self._line is not None:
            self._line.close()

    def abort(self) -> None:
        """Cut the connection, from any thread, and make none again: a ``publish`` that waits returns."""
        self._aborted.set()
        if self._line is not None:
            self._line.abort()

    def _publish(self, outcomes: Sequence[Outcome]) -> Receipt:
        try:
            batch = self._connected().publish(outcomes)
        except OutageError as outage:
            return _all_failed(outcomes, outage)
        left, receipt = batch.left, batch.receipt
        if isinstance(batch.error, PermanentError) and len(left) > 1:
            # The broker closed the channel over one of them, and does not say which.
            half = len(left) // 2
            return receipt + self._publish(left[:half]) + self._publish(left[half:])
        return receipt + (_all_failed(left, batch.error) if batch.error else Receipt())

    def _connected(self) -> BrokerLine:
        if self._aborted.is_set():
            raise OutageError("publishing was given up")
        if self._line is None or self._line.ended:
            self.close()
            self._line = first_of(self._urls, self._dial, ca_file=self._ca_file, name=self._name)
        return self._line

    def _dial(self, parameters: pika.ConnectionParameters) -> BrokerLine:
        line = self._line = BrokerLine(parameters, self._seconds)
        if self._aborted.is_set():
            line.abort()
        line.open()
        return line


def _all_failed(outcomes: Sequence[Outcome], error: CountersignError) -> Receipt:
    outage = error if isinstance(error, OutageError) else None
    return Receipt(failed=dict.fromkeys((outcome.digest for outcome in outcomes), error), outage=outage)
