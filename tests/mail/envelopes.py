"""Valid envelopes and a relay to send them with, with only what a test is about changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from worker.mail.relay import Envelope, Relay, Server


@dataclass(frozen=True)
class Octets:
    """Content held in memory, given out in chunks of so many octets."""

    octets: bytes
    smtputf8: bool = False
    chunk: int = 65536

    @property
    def size(self) -> int:
        """Octets in all."""
        return len(self.octets)

    def __iter__(self) -> Iterator[bytes]:
        """The octets, cut into chunks."""
        return (self.octets[start : start + self.chunk] for start in range(0, len(self.octets), self.chunk))


def an_envelope(
    name: str = "one",
    *recipients: str,
    size: int = 0,
    sender: str = "deploy@corp.example",
    body: bytes = b"",
    chunk: int = 65536,
    smtputf8: bool = False,
) -> Envelope:
    """A mail whose subject is its name, at least ``size`` octets long, to ``<name>@corp.example`` unless said."""
    line = b"x" * 76 + b"\r\n"
    octets = b"Subject: %b\r\n\r\n%b" % (name.encode(), body or b"Hello.\r\n") + line * (size // len(line))
    return Envelope(sender, recipients or (f"{name}@corp.example",), Octets(octets, smtputf8, chunk))


def name_of(content: bytes) -> str:
    """The name of a mail that a server got."""
    return content.partition(b"\r\n")[0].removeprefix(b"Subject: ").decode()


def some(count: int, *, size: int = 0) -> list[Envelope]:
    """So many mails, ``m0`` and on."""
    return [an_envelope(f"m{number}", size=size) for number in range(count)]


@contextmanager
def a_relay(port: int, *, connections: int = 1, depth: int = 8, timeout: float = 10) -> Iterator[Relay]:
    """A relay to that port of this machine, closed afterwards."""
    relay = Relay(Server("127.0.0.1", port, timeout=timeout), connections=connections, depth=depth)
    try:
        yield relay
    finally:
        relay.close()
