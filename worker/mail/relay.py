"""Envelopes in, receipts out: what the mail server took, what it refused, and whether it is there at all.

::

    Relay ─ Lane ─ Session ─ Exchange      which octets, which receipts: pure
                      ├───── Wire          octets to and from a socket
                      └───── connect       smtplib's session set-up: TLS, login

Three kinds of failure: a mail refused for good or for now stands in its ``Receipt``; whatever is not the mail's
fault is an ``OutageError``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

from worker.errors import OutageError
from worker.mail.connection import Password, Server, Token
from worker.mail.envelope import Content, Envelope, Receipt, Refusal
from worker.mail.lane import Lane
from worker.mail.response import MAIL, is_outage
from worker.mail.work import Settled, Work

__all__ = ["Content", "Envelope", "Password", "Receipt", "Refusal", "Relay", "Sent", "Server", "Token"]


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of the envelopes, in their order.

    ``None`` instead of a receipt: not taken as far as anyone knows. Without an ``outage`` that is because it was not
    to be begun; with one, it was not begun, was given back, or (the session was cut before the last response) may
    have been taken nevertheless.
    """

    receipts: list[Receipt | None]
    outage: OutageError | None = None


class Relay:
    """Holds up to ``connections`` sessions with a mail server, each with up to ``depth`` mails in flight.

    Sessions are opened when there is work and kept. One call at a time; others wait. ``abort`` alone may come from
    any thread or signal at any time.
    """

    def __init__(self, server: Server, *, connections: int, depth: int) -> None:
        self._server = server
        self._lanes = [Lane(server, depth) for _ in range(connections)]
        self._turn = Lock()

    def send_many(
        self,
        envelopes: Sequence[Envelope],
        may_start: Callable[[], bool] = lambda: True,
        settled: Settled = lambda _: None,
    ) -> Sent:
        """Send all of them, in no fixed order; never raises for what a server does.

        ``may_start`` is asked before each mail is begun; after its first ``False`` none is. It is asked in the threads
        of the sessions, by one at a time. ``settled`` is told of receipts there, too, and before that session begins
        another mail: what it writes down by then bounds what a crash can double to the mails in flight.
        """
        with self._turn:
            lanes = self._choose(len(envelopes))
            if not lanes:
                return Sent([])
            work = Work(envelopes, may_start, settled, len(lanes))
            try:
                self._share(work, lanes)
            except BaseException:
                self.abort()
                raise
            return Sent(work.receipts, work.outage())

    def _choose(self, most: int) -> list[Lane]:
        lanes = [lane for lane in self._lanes if lane.ready] or self._lanes
        return sorted(lanes, key=lambda lane: not lane.open)[:most]

    def _share(self, work: Work, lanes: list[Lane]) -> None:
        if len(lanes) == 1 and not lanes[0].busy:
            lanes[0].run(work)
            return
        # None of them here: a session that is hard to open would keep the caller waiting for what others have done.
        for lane in lanes:
            lane.post(work)
        work.wait()

    def probe(self, sender: str) -> Refusal | None:
        """Connect anew, log in, and name the sender: how the end of an outage is noticed without a mail.

        A refusal of the sender that would meet each of its mails is given back.

        Raises:
            OutageError: the outage goes on; the sentence names the server, the step, and what the server said.
        """
        with self._turn:
            lane = next((lane for lane in self._lanes if not lane.busy), None)
            if lane is None:
                raise OutageError(f"{self._server.name}: connecting: every session is still waiting for the server")
            response = lane.renew().probe(sender)
        if not response.refuses:
            return None
        if is_outage(MAIL, response):
            raise OutageError(f"{self._server.name}: {MAIL}: the server said {response}")
        return Refusal(response.code, response.text)

    def close_idle(self) -> None:
        """Close sessions that were not used for a minute; for a loop that has a moment."""
        with self._turn:
            for lane in self._lanes:
                lane.close_idle()

    def abort(self) -> None:
        """Cut every session at once and open none again: a ``send_many`` that waits returns, with an outage."""
        for lane in self._lanes:
            lane.abort()

    def close(self) -> None:
        """Say goodbye on every session; the relay can be used no more."""
        with self._turn:
            for lane in self._lanes:
                lane.end()
