"""Envelopes in, octets to write out; octets read in, receipts out: the pipelined exchange of SMTP, without a socket.

Which commands may stand behind one another follows from what the server offers:

* CHUNKING (RFC 3030) with PIPELINING: ``MAIL RCPT BDAT`` of many mails, nothing waited for;
* PIPELINING (RFC 2920): ``MAIL RCPT DATA``, and the next envelope behind the dot;
* neither: one command at a time.

A mail written before the fate of the one in front is known begins with ``RSET``: whatever the server makes of a
failure, no recipient or sender of one mail is left over for the next.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from worker.errors import OutageError
from worker.mail.envelope import Content, Envelope, Receipt, Refusal
from worker.mail.flight import Flight
from worker.mail.response import (
    BDAT,
    CLOSING,
    DATA,
    DOT,
    MAIL,
    OK,
    RCPT,
    RSET,
    SEND_CONTENT,
    SEQUENCE,
    Response,
    ResponseReader,
)

BLOCK = 65536  # octets of one write: small mails share it
LARGE = 1 << 20  # octets from where a mail is streamed, and written only once a recipient is accepted


@dataclass(frozen=True, slots=True)
class Features:
    """What the server offers behind EHLO; ``size`` is the largest mail in octets, ``None`` without a limit."""

    chunking: bool = False
    pipelining: bool = False
    eightbitmime: bool = False
    smtputf8: bool = False
    sizes: bool = False
    size: int | None = None


class Exchange:
    """The mails in flight on one session.

    ``settled`` collects index and receipt of mails whose fate is known, ``returned`` the indexes of mails that nobody
    took through no fault of their own; the session empties both. ``closing``: nothing more can be written;
    ``farewell``: since the server said 421. ``confused``: the server calls a mail out of sequence, no more are begun.
    ``fault``: the step and response that speak of an outage.
    """

    def __init__(self, features: Features, depth: int) -> None:
        self.settled: list[tuple[int, Receipt]] = []
        self.returned: list[int] = []
        self.closing = False
        self.farewell = False
        self.confused = False
        self.fault: tuple[str, Response] | None = None
        self._features = features
        self._chunking = features.chunking and features.pipelining
        self._most = depth if self._chunking else min(depth, 2 if features.pipelining else 1)
        self._reader = ResponseReader()
        self._flights: deque[Flight] = deque()
        self._pieces: list[bytes] = []
        self._pending = 0
        self._stream: tuple[Flight, Content] | None = None
        self._written = 0
        self._dirty = False

    @property
    def in_flight(self) -> int:
        """Mails begun and not settled."""
        return len(self._flights)

    @property
    def quiet(self) -> bool:
        """Whether nothing is in flight, and nothing half said."""
        return not self._flights and self._reader.empty

    @property
    def awaits_end(self) -> bool:
        """Whether the next response speaks of a mail whose content is written."""
        return bool(self._flights) and self._flights[0].awaits_end

    @property
    def pending(self) -> int:
        """Octets that wait to be written; a streamed mail counts as a block."""
        return self._pending + (BLOCK if self._stream else 0)

    @property
    def streaming(self) -> bool:
        """Whether a large mail is being written."""
        return self._stream is not None

    @property
    def half_empty(self) -> bool:
        """Whether it is worth while to begin more: mails begun together share a write."""
        return len(self._flights) <= self._most // 2

    def room(self, most: int) -> bool:
        """Whether another mail may be begun, of ``most`` in flight."""
        if self.closing or self.confused or self.fault or self._stream or len(self._flights) >= min(most, self._most):
            return False
        return not self._flights or self._flights[-1].final

    def begin(self, index: int, envelope: Envelope) -> None:
        """Put a mail behind the others; one that this server cannot take is settled at once."""
        content = envelope.content
        recipients, refused = self._possible(envelope)
        if not recipients:
            self.settled.append((index, Receipt((), refused)))
            return
        flight = Flight(index, recipients, refused, content.size)
        try:
            body = None if flight.size > LARGE else _whole(content, flight.size)
        except (OSError, ValueError) as error:
            self.settled.append((index, Receipt((), dict.fromkeys(envelope.recipients, _unreadable(error)))))
            return
        reset = b"RSET\r\n" if self._flights or self._dirty else b""
        self._dirty = False
        lines = [reset, self._mail(envelope, flight), *(b"RCPT TO:<%b>\r\n" % each.encode() for each in recipients)]
        flight.script = self._script(flight, lines, content, body)
        self._flights.append(flight)
        next(flight.script)

    def _possible(self, envelope: Envelope) -> tuple[tuple[str, ...], dict[str, Refusal]]:
        features, size = self._features, envelope.content.size
        addresses = "".join((envelope.sender, *envelope.recipients))
        if features.size is not None and size > features.size:
            text = f"5.3.4 the mail has {size} octets, the server takes {features.size}"
            return (), dict.fromkeys(envelope.recipients, Refusal(552, text))
        if not addresses.isprintable() or ">" in addresses or " " in addresses:
            text = "5.1.3 a mail address with a control character, a space or an angle bracket"
            return (), dict.fromkeys(envelope.recipients, Refusal(553, text))
        if features.smtputf8 or (addresses.isascii() and not envelope.content.smtputf8):
            return envelope.recipients, {}
        return _without_utf8(envelope)

    def _mail(self, envelope: Envelope, flight: Flight) -> bytes:
        line = b"MAIL FROM:<%b>" % envelope.sender.encode()
        if self._features.sizes:
            line += b" SIZE=%d" % flight.size
        if envelope.content.smtputf8 or not (envelope.sender + "".join(flight.recipients)).isascii():
            line += b" BODY=8BITMIME SMTPUTF8" if self._features.eightbitmime else b" SMTPUTF8"
        return line + b"\r\n"

    # Scripts: each ``yield`` waits until all that was asked is answered.

    def _script(self, flight: Flight, lines: list[bytes], content: Content, body: bytes | None) -> Iterator[None]:
        steps = [MAIL, *(RCPT for _ in flight.recipients)]
        if lines[0]:
            steps.insert(0, RSET)
        else:
            del lines[0]
        if self._chunking:
            return self._chunked(flight, steps, lines, content, body)
        if self._features.pipelining:
            return self._pipelined(flight, steps, lines, content, body)
        return self._patient(flight, steps, lines, content, body)

    def _chunked(
        self, flight: Flight, steps: list[str], lines: list[bytes], content: Content, body: bytes | None
    ) -> Iterator[None]:
        size = b"BDAT %d LAST\r\n" % flight.size
        if body is not None:
            self._ask(flight, [*steps, BDAT], [*lines, size, body], final=True)
            yield
            return
        self._ask(flight, steps, lines)
        yield
        if flight.accepted:
            self._ask(flight, [BDAT], [size])
            self._follow(flight, content)
            yield

    def _pipelined(
        self, flight: Flight, steps: list[str], lines: list[bytes], content: Content, body: bytes | None
    ) -> Iterator[None]:
        self._ask(flight, [*steps, DATA], [*lines, b"DATA\r\n"])
        yield
        if self._invited(flight):
            self._end_data(flight, content, body)
            yield

    def _patient(
        self, flight: Flight, steps: list[str], lines: list[bytes], content: Content, body: bytes | None
    ) -> Iterator[None]:
        for step, line in zip(steps, lines, strict=True):
            self._ask(flight, [step], [line])
            yield
            if step == MAIL and flight.responses[-1].refuses:
                return
        if not flight.accepted:
            return
        self._ask(flight, [DATA], [b"DATA\r\n"])
        yield
        if self._invited(flight):
            self._end_data(flight, content, body)
            yield

    def _invited(self, flight: Flight) -> bool:
        response = flight.responses[-1]
        if response.code != SEND_CONTENT and not response.refuses:
            raise OutageError(f"the server answers DATA with {response}")
        return response.code == SEND_CONTENT

    def _end_data(self, flight: Flight, content: Content, body: bytes | None) -> None:
        if not flight.accepted:
            # RFC 2920 3.1: invited though every recipient was refused; a lone dot ends it.
            self._ask(flight, [DOT], [b".\r\n"], final=True)
        elif body is None:
            self._ask(flight, [DOT], [])
            self._follow(flight, content)
        else:
            self._ask(flight, [DOT], [stuffed(body, b"\n"), b".\r\n"], final=True)

    def _follow(self, flight: Flight, content: Content) -> None:
        flight.final = True
        self._stream = (flight, content)

    def _ask(self, flight: Flight, steps: list[str], pieces: list[bytes], *, final: bool = False) -> None:
        flight.asked += steps
        flight.final = final
        self._pieces += pieces
        self._pending += sum(map(len, pieces))
        if final:
            flight.end = self._written + self._pending

    # Writing.

    def output(self) -> Iterator[bytes]:
        """What waits to be written, in pieces of about a block; a large mail chunk by chunk."""
        while self._pieces or self._stream:
            if self._stream and not self._pieces:
                yield from self._streamed(*self._stream)
                continue
            pieces, self._pieces = b"".join(self._pieces), []
            self._written += len(pieces)
            self._pending = 0
            yield pieces

    def _streamed(self, flight: Flight, content: Content) -> Iterator[bytes]:
        data = flight.asked[-1] == DOT
        left = flight.size
        before = b"\n"
        try:
            for chunk in content:
                left -= len(chunk)
                if left < 0 or self._stream is None:
                    break
                piece = stuffed(chunk, before) if data else chunk
                before = chunk[-1:] or before
                self._written += len(piece)
                if not left:
                    flight.end = self._written
                yield piece
            if left:
                raise ValueError("its length is not the one announced")  # noqa: TRY301 - as if it could not be read
        except (OSError, ValueError) as error:
            self._spoil(flight, error)
            return
        finally:
            answered, self._stream = self._stream is None, None
        if data and not answered:
            self._written += 3
            flight.end = self._written
            yield b".\r\n"

    def _spoil(self, flight: Flight, error: Exception) -> None:
        # The server waits for the rest: only the end of the session ends this mail.
        self.closing = True
        if flight in self._flights:
            self._flights.remove(flight)
            self.settled.append((flight.index, Receipt((), dict.fromkeys(flight.recipients, _unreadable(error)))))

    # Reading.

    def receive(self, octets: bytes) -> None:
        """Match what was read to the mails in flight.

        Raises:
            OutageError: what the server says makes no sense; the session cannot go on.
        """
        flights = self._flights
        for response in self._reader.feed(octets):
            if response.code == CLOSING:
                self.closing = self.farewell = True
            if not flights:
                if response.code == CLOSING:
                    return
                raise OutageError(f"the server sent a response that nobody asked for: {response}")
            flight = flights[0]
            flight.responses.append(response)
            if response is not OK:
                self._check(flight, response)
            if len(flight.responses) == len(flight.asked):
                self._advance(flight)

    def _check(self, flight: Flight, response: Response) -> None:
        step = flight.asked[len(flight.responses) - 1]
        if 300 <= response.code < 400 and step != DATA:  # noqa: PLR2004 - RFC 5321 4.2.1: 3yz is for DATA alone
            raise OutageError(f"the server answers {step} with {response}")

    def _advance(self, flight: Flight) -> None:
        asked = len(flight.asked)
        next(flight.script, None)
        if len(flight.asked) == asked:
            self._flights.popleft()
            self._settle(flight)

    def _settle(self, flight: Flight) -> None:
        receipt = flight.receipt()
        self._dirty = not flight.clean
        if self._stream and self._stream[0] is flight:
            # Answered before all was written: the rest of it must not be taken for commands.
            self._stream = None
            self.closing = True
        if flight.fault and flight.fault[1].code == SEQUENCE:
            self.confused = True
        elif flight.fault and flight.fault[1].code != CLOSING:
            self.fault = self.fault or flight.fault
        if receipt:
            self.settled.append((flight.index, receipt))
        else:
            self.returned.append(flight.index)

    def end(self, handed: int, *, farewell: bool) -> list[int]:
        """Settle or return what is in flight when the session is gone; the indexes in doubt are given back.

        ``handed`` counts the octets that may have reached the server. With ``farewell`` the server said 421 and then
        closed: what it had not answered by then it did not do.
        """
        doubtful = []
        while self._flights:
            flight = self._flights.popleft()
            if flight.hopeless:
                self._settle(flight)
            elif farewell or flight.end is None or flight.end > handed:
                self.returned.append(flight.index)
            else:
                doubtful.append(flight.index)
        return doubtful


def stuffed(chunk: bytes, before: bytes) -> bytes:
    """A chunk with a second dot where a line begins with one (RFC 5321 4.5.2); ``before`` is the octet in front."""
    if b"\n." in chunk:
        chunk = chunk.replace(b"\n.", b"\n..")
    return b"." + chunk if before == b"\n" and chunk[:1] == b"." else chunk


def _whole(content: Content, size: int) -> bytes:
    body = b"".join(content)
    if len(body) != size:
        raise ValueError("its length is not the one announced")
    return body


def _unreadable(error: Exception) -> Refusal:
    return Refusal(451, f"4.3.0 the content of the mail cannot be read: {error}")


def _without_utf8(envelope: Envelope) -> tuple[tuple[str, ...], dict[str, Refusal]]:
    refusal = Refusal(553, "5.6.7 the server takes no addresses or header fields in UTF-8 (SMTPUTF8)")
    if envelope.content.smtputf8 or not envelope.sender.isascii():
        return (), dict.fromkeys(envelope.recipients, refusal)
    possible = tuple(address for address in envelope.recipients if address.isascii())
    return possible, {address: refusal for address in envelope.recipients if not address.isascii()}
