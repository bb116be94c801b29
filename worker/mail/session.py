"""A connection and the mails given out by a ``Work``, to receipts: writes and reads at once until all is answered."""

import contextlib
import time
from dataclasses import dataclass

from worker.errors import OutageError
from worker.mail.connection import Server, connect
from worker.mail.envelope import Receipt
from worker.mail.exchange import BLOCK, Exchange
from worker.mail.response import CLOSING, MAIL, Response, ResponseReader
from worker.mail.wire import Handle, Wire
from worker.mail.work import Work

IDLE_SECONDS = 60.0  # a session unused for longer is closed: servers do so too, from 5 minutes on

_END_SECONDS = 600.0  # RFC 5321 4.5.3.2.6: the patience at the final dot
_FAREWELL_SECONDS = 5.0
_PROOF_SECONDS = 10.0
_FRESH_SECONDS = 2.0
_SOON_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Loss:
    """A session that ended before the work did. ``doubtful``: it took mails along whose fate nobody knows."""

    reason: str
    doubtful: int
    achieved: int


class Session:
    """A logged-in session that can be used for one piece of work after the other, by one thread at a time."""

    def __init__(self, server: Server, depth: int, handle: Handle) -> None:
        connection = connect(server, handle.hold)
        self._server = server
        self._wire = Wire(connection.sock)
        self._exchange = Exchange(connection.features, depth)
        self._depth = depth
        self._told: list[tuple[int, Receipt]] = []
        self._spoiled = bool(connection.left_over)
        self._aside = 0
        self._achieved = 0
        self._at_end = False
        self._used = time.monotonic()

    @property
    def idle(self) -> bool:
        """Whether it was not used for so long that it should be closed."""
        return time.monotonic() - self._used > IDLE_SECONDS

    def alive(self) -> bool:
        """Whether the server still listens; asked before a mail is risked on an old session."""
        if self._spoiled or self.idle:
            return False
        try:
            if self._wire.receive() is not None:
                return False
            if time.monotonic() - self._used < _FRESH_SECONDS:
                return True
            return not self._ask(b"NOOP\r\n", _PROOF_SECONDS).refuses
        except (OSError, OutageError):
            return False

    def carry(self, work: Work) -> Loss | None:
        """Send what ``work`` gives out until it gives no more; ``None``: the session is good for more.

        Raises:
            OutageError: the server refuses everybody, or speaks no SMTP; what was in flight is settled or abandoned.
        """
        self._achieved = 0
        reason = None
        try:
            reason = self._pump(work)
        except TimeoutError as error:
            reason = str(error)
        except OSError as error:
            reason = str(error) or type(error).__name__
            self._salvage()
        except OutageError as error:
            raise OutageError(f"{self._server.name}: {error}") from None
        finally:
            doubtful = self._wind_up(work)
            self._used = time.monotonic()
        if self._exchange.fault:
            step, response = self._exchange.fault
            raise OutageError(f"{self._server.name}: {step}: the server said {response}")
        return Loss(reason, doubtful, self._achieved) if reason else None

    def probe(self, sender: str) -> Response:
        """What the server says to this sender; no mail is begun.

        Raises:
            OutageError: it says nothing, or no SMTP.
        """
        try:
            response = self._ask(b"MAIL FROM:<%b>\r\n" % sender.encode(), self._server.timeout)
            if response.code != CLOSING:
                self._ask(b"RSET\r\n", self._server.timeout)
        except (OSError, OutageError) as error:
            raise OutageError(f"{self._server.name}: {MAIL}: {error}") from error
        return response

    def quit(self) -> None:
        """Say goodbye, whatever the server makes of it, and close."""
        with contextlib.suppress(OSError, OutageError):
            self._ask(b"QUIT\r\n", _FRESH_SECONDS)
        self.close()

    def close(self) -> None:
        """Close without a word: the server drops a mail that it has not wholly."""
        self._wire.close()

    def _pump(self, work: Work) -> str | None:
        exchange = self._exchange
        self._fill(work)
        while exchange.in_flight and not exchange.closing:
            self._drain(work)
            self._fill(work)
        if exchange.farewell:
            self._read_on()
            return "the server closes the session (421)"
        return self._unfit()

    def _unfit(self) -> str | None:
        if self._exchange.closing:
            return "a mail could not be sent to its end"
        if self._exchange.confused:
            return "the server found the commands out of sequence (503)"
        return None if self._exchange.quiet else "the server said more than it was asked"

    def _fill(self, work: Work) -> None:
        exchange = self._exchange
        while not exchange.closing:
            if exchange.half_empty or exchange.pending:
                self._begin(work)
            if not exchange.pending:
                return
            self._write(work)

    def _begin(self, work: Work) -> None:
        exchange = self._exchange
        while exchange.pending < BLOCK and exchange.room(work.most):
            if len(self._told) + exchange.in_flight >= self._depth:
                self._settle(work)
            claimed = work.claim()
            if claimed is None:
                break
            exchange.begin(*claimed)
        self._hand_over(work)

    def _write(self, work: Work) -> None:
        for piece in self._exchange.output():
            view = memoryview(piece)
            while view:
                sent = self._wire.send(view)
                view = view[sent:]
                if not sent:
                    self._settle(work)
                    self._wire.wait(self._server.timeout, writing=True)
                if not sent or self._exchange.streaming:
                    self._notice()
                if self._exchange.closing:
                    return

    def _notice(self) -> None:
        octets = self._wire.receive()
        if octets == b"":
            raise ConnectionError("the server closed the connection")
        if octets:
            self._exchange.receive(octets)

    def _drain(self, work: Work) -> None:
        exchange = self._exchange
        while True:
            octets = self._read(work)
            if not octets:
                raise ConnectionError("the server closed the connection")
            exchange.receive(octets)
            self._hand_over(work)
            if exchange.pending or exchange.half_empty or exchange.closing:
                return

    def _read(self, work: Work) -> bytes:
        if self._told:
            try:
                return self._wire.read(_SOON_SECONDS)
            except TimeoutError:
                # The server takes its time: what it has taken is settled meanwhile.
                self._settle(work)
        return self._wire.read(_END_SECONDS if self._exchange.awaits_end else self._server.timeout)

    def _salvage(self) -> None:
        """After a cut: what the server had said before it counts."""
        with contextlib.suppress(OSError, OutageError):
            self._read_on()

    def _read_on(self) -> None:
        """Read to the end of the connection: what the server has done by then is all it does."""
        try:
            while octets := self._wire.read(_FAREWELL_SECONDS):
                self._exchange.receive(octets)
        except TimeoutError:
            return
        except ConnectionError:
            pass
        self._at_end = True

    def _wind_up(self, work: Work) -> int:
        exchange = self._exchange
        farewell = exchange.farewell and self._at_end
        doubtful = exchange.end(self._wire.handed - self._aside, farewell=farewell)
        self._hand_over(work)
        self._settle(work)
        return len(doubtful)

    def _hand_over(self, work: Work) -> None:
        exchange = self._exchange
        if exchange.settled:
            self._achieved += len(exchange.settled)
            self._told += exchange.settled
            exchange.settled = []
        if exchange.returned:
            work.give_back(exchange.returned)
            exchange.returned = []

    def _ask(self, command: bytes, timeout: float) -> Response:
        view = memoryview(command)
        self._aside += len(command)
        while view:
            sent = self._wire.send(view)
            view = view[sent:]
            if not sent:
                self._wire.wait(timeout, writing=True)
        reader, found = ResponseReader(), list[Response]()
        while not found:
            octets = self._wire.read(timeout)
            if not octets:
                raise ConnectionError("the server closed the connection")
            found = reader.feed(octets)
        self._used = time.monotonic()
        return found[0]

    def _settle(self, work: Work) -> None:
        # Many at once, for who writes them down; but never more, with those in flight, than may be in flight.
        if self._told:
            told, self._told = self._told, []
            work.settle(told)
