"""Whatever the server does, the relay tells the truth about each mail."""

import threading
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mail.envelopes import an_envelope, name_of
from mail.scripted import ALL, BARE, NO_CHUNKING, Play, Scripted

from worker.mail.relay import Envelope, Relay, Sent, Server

FINE = Play()
REFUSALS = [
    Play(b"250-2.0.0 fine\r\n250-and\r\n250 good\r\n"),
    Play(b"450 4.7.1 later\r\n"),
    Play(b"451-4.3.0 not\r\n451 4.3.0 now\r\n"),
    Play(b"550 5.1.1 never\r\n"),
    Play(b"552 too many recipients\r\n"),
    Play(b"503 5.5.1 bad sequence\r\n"),
]
ENDS = [
    Play(b"421 4.3.2 closing\r\n"),
    Play(b"421 4.3.2 closing\r\n", reset=True),
    Play(cut=True, part=0),
    Play(cut=True, part=9),
    Play(cut=True),
    Play(cut=True, reset=True, part=0),
    Play(b"550 5.7.1 go away\r\n", cut=True),
]
OUTAGES = [
    Play(b"530 5.7.0 log in first\r\n"),
    Play(b"452 4.3.1 disk full\r\n"),
    Play(b"what?\r\n"),
    Play(b"354 go on\r\n"),
    Play(b"550 5.3.0 enough\r\n", early=True),
]
PLAYS = st.sampled_from([FINE] * 40 + REFUSALS * 2 + ENDS + OUTAGES)


@dataclass
class Script:
    """Plays in their order, whichever connection asks; fine when they are used up."""

    plays: list[Play]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, verb: str, _line: str) -> Play:
        """The next play; set-up and farewell go well."""
        if verb in {"CONNECT", "EHLO", "QUIT", "NOOP"}:
            return FINE
        with self.lock:
            return self.plays.pop(0) if self.plays else FINE


def check(server: Scripted, envelopes: list[Envelope], sent: Sent) -> None:
    """Compare what the relay reports with what the server did."""
    final: dict[str, set[str]] = {}
    maybe: Counter[str] = Counter()
    for mail in server.transactions:
        name = name_of(mail.content)
        assert not maybe[name], "sent again although it was taken, or may have been"
        assert mail.sender == "deploy@corp.example"
        assert all(address.endswith(f"{name}.example") for address in mail.recipients), "it went to another's recipient"
        # A reply that broke off, or is none, leaves the fate open.
        maybe[name] += 200 <= mail.code < 400 or not mail.told or not mail.code
        if mail.code == 250 and mail.told:
            final[name] = set(mail.recipients)
    for envelope, receipt in zip(envelopes, sent.receipts, strict=True):
        name = name_of(b"".join(envelope.content))
        if receipt is None:
            assert sent.outage is not None
            assert name not in final, "the server said that it took the mail"
        else:
            assert set(receipt.taken) == final.get(name, set())
            assert set(receipt.taken) | set(receipt.refused) == set(envelope.recipients)
            assert not set(receipt.taken) & set(receipt.refused)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(PLAYS, max_size=60),
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from([0, 0, 0, 5_000, 1_200_000])), min_size=1, max_size=8),
    st.sampled_from([ALL, NO_CHUNKING, BARE]),
    st.sampled_from([0, 0, 1, 7]),
    st.sampled_from([1, 2, 8]),
    st.sampled_from([1, 1, 2]),
)
def test_the_fate_reported_is_the_fate(
    plays: list[Play],
    mails: list[tuple[int, int]],
    offers: tuple[str, ...],
    segment: int,
    depth: int,
    connections: int,
) -> None:
    """Taken means answered 250, answered 250 means taken, and nothing is sent twice that may have been taken."""
    envelopes = [
        an_envelope(f"m{i}", *(f"{letter}@m{i}.example" for letter in "abc"[:recipients]), size=size)
        for i, (recipients, size) in enumerate(mails)
    ]
    with Scripted(Script(list(plays)), offers, segment=segment) as server:
        relay = Relay(Server("127.0.0.1", server.port, timeout=10), connections=connections, depth=depth)
        sent = relay.send_many(envelopes)
        relay.close()
    check(server, envelopes, sent)
