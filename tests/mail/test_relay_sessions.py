"""The relay against a scripted server: sessions lost, reopened, shared, and when that is an outage."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from mail.envelopes import Octets, a_relay, an_envelope, name_of, some
from mail.scripted import ALL, BARE, NO_CHUNKING, Play, Scripted, at

from worker.errors import OutageError
from worker.mail.relay import Envelope, Receipt, Refusal, Relay

EVERY_KIND = pytest.mark.parametrize("offers", [ALL, NO_CHUNKING, BARE], ids=["chunking", "pipelining", "bare"])


@EVERY_KIND
@pytest.mark.parametrize("reset", [False, True])
def test_a_farewell_costs_a_reconnect_and_nothing_else(offers: tuple[str, ...], *, reset: bool) -> None:
    """A server that ends each session with 421 after three mails: no outage, and nothing twice."""
    taken = [0]

    def choose(verb: str, _line: str) -> Play:
        if verb in {"BDAT", "."}:
            taken[0] += 1
        if verb == "EHLO":
            taken[0] = 0
        return Play(b"421 4.7.0 enough for now\r\n", reset=reset) if verb == "MAIL" and taken[0] == 3 else Play()

    with Scripted(choose, offers) as server, a_relay(server.port) as relay:
        sent = relay.send_many(some(20))
    assert sent.outage is None
    assert all(receipt and receipt.taken for receipt in sent.receipts)
    assert sorted(server.taken()) == sorted(f"m{number}" for number in range(20))
    assert server.connections == 7


@EVERY_KIND
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "content"])
def test_a_farewell_to_every_mail_is_an_outage(offers: tuple[str, ...], verb: str) -> None:
    """Where nothing is achieved since the session was opened again, the relay stops."""
    verb = ("BDAT" if offers == ALL else ".") if verb == "content" else verb
    with Scripted(at(verb, Play(b"421 4.3.2 down\r\n"), times=9), offers) as server, a_relay(server.port) as relay:
        sent = relay.send_many(some(3))
    assert sent.receipts == [None, None, None]
    assert "421" in str(sent.outage)
    assert server.connections == 1


def test_a_mail_cut_before_its_response_is_in_doubt() -> None:
    """Where the content was written and the answer never came, the mail is not sent again by the relay."""
    with (
        Scripted(at("BDAT", Play(cut=True, part=0), after=1)) as server,
        a_relay(server.port, depth=1) as relay,
    ):
        sent = relay.send_many(some(3))
    assert sent.receipts == [Receipt(("m0@corp.example",), {}), None, None]
    assert "closed the connection" in str(sent.outage)
    assert [name_of(mail.content) for mail in server.transactions] == ["m0", "m1"]


@pytest.mark.parametrize("reset", [False, True])
def test_what_was_said_before_a_cut_is_heard_while_writing(*, reset: bool) -> None:
    """A write that fails is no reason not to read: the mail answered in time is taken, and not sent again."""
    with (
        Scripted(at("BDAT", Play(cut=True, reset=reset))) as server,
        a_relay(server.port, depth=64) as relay,
    ):
        sent = relay.send_many([an_envelope("m0"), *(an_envelope("large", size=500_000) for _ in range(63))])
    assert sent.receipts[0] == Receipt(("m0@corp.example",), {})
    assert server.taken().count("m0") == 1


@pytest.mark.parametrize("offers", [NO_CHUNKING, BARE], ids=["pipelining", "bare"])
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
def test_a_mail_cut_before_its_content_is_sent_again(offers: tuple[str, ...], verb: str) -> None:
    """Where the content was not written the mail continues on a new session, once, without an outage."""
    with (
        Scripted(at(verb, Play(cut=True, part=0), after=1), offers) as server,
        a_relay(server.port, depth=1) as relay,
    ):
        sent = relay.send_many(some(3))
    assert sent.outage is None
    assert all(receipt and receipt.taken for receipt in sent.receipts)
    assert server.taken() == ["m0", "m1", "m2"]
    assert server.connections == 2


@EVERY_KIND
@pytest.mark.parametrize("verb", ["MAIL", "RCPT"])
def test_a_refusal_before_a_cut_is_heard(offers: tuple[str, ...], verb: str) -> None:
    """A server that refuses a sender or recipient and then closes has refused: nothing is in doubt."""
    blocked = at(verb, Play(b"550 5.7.1 blocked\r\n", cut=True), containing="bad@")
    bad = an_envelope("bad", "bad@corp.example", sender="bad@corp.example")
    with Scripted(blocked, offers) as server, a_relay(server.port, depth=1) as relay:
        sent = relay.send_many([an_envelope("one"), bad, an_envelope("two")])
    assert sent.outage is None
    assert sent.receipts[1] == Receipt((), {"bad@corp.example": Refusal(550, "5.7.1 blocked")})
    assert server.taken() == ["one", "two"]


def test_a_server_that_is_not_there_is_an_outage() -> None:
    """No connection: no receipt, an outage that names host and port."""
    with Scripted() as server, a_relay(server.port) as relay:
        server.stop_listening()
        sent = relay.send_many(some(2))
        assert sent.receipts == [None, None]
        assert f"127.0.0.1:{server.port}: connecting" in str(sent.outage)
        with pytest.raises(OutageError, match="connecting"):
            relay.probe("deploy@corp.example")


@pytest.mark.parametrize(
    ("verb", "reply"),
    [
        ("MAIL", b"530 5.7.0 Authentication required\r\n"),
        ("MAIL", b"535 5.7.8 the password has expired\r\n"),
        ("MAIL", b"452 4.3.1 Insufficient system storage\r\n"),
        ("MAIL", b"452 insufficient system storage\r\n"),
        ("RCPT", b"550 5.4.5 Daily user sending limit exceeded\r\n"),
        ("BDAT", b"554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException\r\n"),
        ("BDAT", b"432 4.3.2 Concurrent connections limit exceeded\r\n"),
    ],
)
def test_what_is_nobodys_fault_is_an_outage(verb: str, reply: bytes) -> None:
    """A refusal that any mail would meet refuses no mail; the sentence names step, code and the server's words."""
    with Scripted(at(verb, Play(reply), times=99)) as server, a_relay(server.port) as relay:
        sent = relay.send_many(some(3))
    assert sent.receipts == [None, None, None]
    assert reply.decode().strip() in str(sent.outage)
    assert server.taken() == []


def test_an_outage_at_one_recipient_keeps_what_was_taken() -> None:
    """Taken is final; the recipient that met the outage is to be tried again, even with a 5yz."""
    choose = at("RCPT", Play(b"550 5.4.5 Daily user sending limit exceeded\r\n"), containing="b@")
    with Scripted(choose) as server, a_relay(server.port, depth=1) as relay:
        sent = relay.send_many([an_envelope("one", "a@x.example", "b@x.example"), an_envelope("two")])
    first, second = sent.receipts
    assert first is not None
    assert first.taken == ("a@x.example",)
    assert not first.refused["b@x.example"].permanent
    assert second is None
    assert sent.outage is not None


def test_a_sequence_error_opens_a_new_session() -> None:
    """A 503 at MAIL is about the session: the mail is not refused but sent on another."""
    choose = at("MAIL", Play(b"503 5.5.1 nested MAIL command\r\n"), after=1)
    with Scripted(choose) as server, a_relay(server.port) as relay:
        sent = relay.send_many(some(4))
    assert sent.outage is None
    assert all(receipt and receipt.taken for receipt in sent.receipts)
    assert server.connections == 2


@pytest.mark.parametrize(
    "reply",
    [b"banana\r\n", b"2500 x\r\n", b"\xff\xfe\r\n", b"x" * 20_000, b"299-" * 9000],
)
def test_a_server_that_speaks_no_smtp_is_an_outage(reply: bytes) -> None:
    """What cannot be matched to a mail ends the session; nothing is refused for it."""
    with Scripted(at("BDAT", Play(reply), after=1)) as server, a_relay(server.port, timeout=2) as relay:
        sent = relay.send_many(some(3))
    assert sent.outage is not None
    assert f"127.0.0.1:{server.port}" in str(sent.outage)
    assert all(receipt is None or receipt.taken for receipt in sent.receipts)


def test_a_response_that_nobody_asked_for_ends_the_session() -> None:
    """Behind a response too many none can be matched any more: what was taken stays taken, the rest goes elsewhere."""
    choose = at("BDAT", Play(b"250 ok\r\n250 and another\r\n"))
    with Scripted(choose) as server, a_relay(server.port, depth=1) as relay:
        sent = relay.send_many(some(3))
    assert sent.receipts[0] == Receipt(("m0@corp.example",), {})
    assert "nobody asked for" in str(sent.outage)
    assert server.taken() == ["m0"]


def test_a_silent_server_is_an_outage() -> None:
    """Patience ends: who does not answer in time has had the mail, perhaps."""
    with Scripted(at("MAIL", Play(delay=1.0))) as server, a_relay(server.port, timeout=0.3) as relay:
        sent = relay.send_many(some(1))
    assert sent.receipts == [None]
    assert "no answer within 0.3 seconds" in str(sent.outage)


def test_sessions_are_kept_between_calls() -> None:
    """Two calls, one connection, one login."""
    with Scripted() as server, a_relay(server.port) as relay:
        relay.send_many(some(2))
        relay.send_many(some(2))
    assert server.connections == 1


@pytest.mark.parametrize("farewell", [b"421 4.4.2 idle for too long\r\n", b""])
def test_a_session_that_the_server_closed_meanwhile_is_replaced(farewell: bytes) -> None:
    """An idle session closed by the server costs a reconnect, no outage and no mail."""
    with Scripted() as server, a_relay(server.port) as relay:
        relay.send_many(some(1))
        server._open[0].sendall(farewell)
        server._open[0].shutdown(socket.SHUT_RDWR)
        time.sleep(0.05)
        sent = relay.send_many(some(2))
    assert sent.outage is None
    assert server.taken() == ["m0", "m0", "m1"]
    assert server.connections == 2


def test_two_sessions_share_the_work() -> None:
    """A session that is slow does not hold the mails of the other."""
    first = threading.Event()
    seen: list[int] = []

    def choose(verb: str, _line: str) -> Play:
        if verb == "BDAT" and not first.is_set():
            first.set()
            deadline = time.monotonic() + 5
            while len(server.transactions) < 38 and time.monotonic() < deadline:
                time.sleep(0.01)
            seen.append(len(server.transactions))
        return Play()

    with Scripted(choose) as server, a_relay(server.port, connections=2, depth=2) as relay:
        sent = relay.send_many(some(40))
    assert sent.outage is None
    assert server.connections == 2
    assert sorted(server.taken()) == sorted(f"m{number}" for number in range(40))
    assert seen == [38]


def test_one_session_more_than_the_server_allows_is_no_outage() -> None:
    """Where a second connection is refused the first does all the work."""
    choose = at("CONNECT", Play(b"421 4.7.0 too many connections\r\n"), times=99, after=1)
    with Scripted(choose) as server, a_relay(server.port, connections=2, depth=1) as relay:
        sent = relay.send_many(some(10))
        again = relay.send_many(some(10))
    assert (sent.outage, again.outage) == (None, None)
    assert len(server.taken()) == 20
    assert server.connections <= 2


def test_a_session_hard_to_open_keeps_nobody_waiting() -> None:
    """The call returns when every mail is settled, though the second session still waits for its greeting."""
    choose = at("CONNECT", Play(delay=1.5), after=1)
    with Scripted(choose) as server, a_relay(server.port, connections=2, depth=1) as relay:
        begun = time.monotonic()
        assert relay.send_many(some(4)).outage is None
        assert time.monotonic() - begun < 1


@pytest.mark.parametrize("connections", [1, 2])
def test_what_may_not_start_is_left(connections: int) -> None:
    """Behind the first ``False`` no mail is begun, and that is no outage; those in flight are finished."""
    left = [3]

    def may_start() -> bool:
        left[0] -= 1
        return left[0] >= 0

    with Scripted() as server, a_relay(server.port, connections=connections) as relay:
        sent = relay.send_many(some(8), may_start)
    assert sent.outage is None
    assert [receipt is not None for receipt in sent.receipts] == [True] * 3 + [False] * 5
    assert sorted(server.taken()) == ["m0", "m1", "m2"]
    assert left[0] >= -2


def test_probe_names_the_sender_and_sends_nothing() -> None:
    """Connect, log in, MAIL, RSET; the session is used for mail afterwards."""
    with Scripted() as server, a_relay(server.port) as relay:
        assert relay.probe("deploy@corp.example") is None
        assert server.commands[1:] == ["MAIL FROM:<deploy@corp.example>", "RSET"]
        relay.send_many(some(1))
    assert server.connections == 1


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (b"550 5.1.8 no such domain\r\n", Refusal(550, "5.1.8 no such domain")),
        (b"452 4.3.1 disk full\r\n", None),
        (b"421 4.3.2 down\r\n", None),
    ],
)
def test_probe_tells_an_outage_from_a_refusal(reply: bytes, expected: Refusal | None) -> None:
    """A refused sender is given back; an outage raises, with the server's words."""
    with Scripted(at("MAIL", Play(reply))) as server, a_relay(server.port) as relay:
        if expected:
            assert relay.probe("deploy@corp.example") == expected
        else:
            with pytest.raises(OutageError, match=reply.decode().strip()):
                relay.probe("deploy@corp.example")


@pytest.mark.parametrize("play", [Play(cut=True, part=0), Play(b"550 no\r\n"), Play(delay=0.2)])
def test_a_farewell_of_ours_that_fails_is_of_no_interest(play: Play) -> None:
    """QUIT that is cut, refused or slow takes nothing back and raises nothing."""
    with Scripted(at("QUIT", play)) as server:
        with a_relay(server.port) as relay:
            sent = relay.send_many(some(1))
        assert sent.receipts == [Receipt(("m0@corp.example",), {})]
    assert "QUIT" in server.commands


def test_abort_ends_a_call_that_waits() -> None:
    """A second signal: whoever waits for a server returns at once, and what was in flight is in doubt."""
    with Scripted(at("BDAT", Play(delay=2))) as server, a_relay(server.port) as relay:
        threading.Timer(0.2, relay.abort).start()
        begun = time.monotonic()
        sent = relay.send_many(some(2))
        assert time.monotonic() - begun < 1.5
    assert sent.outage is not None
    assert sent.receipts == [None, None]


@pytest.mark.parametrize("error", [KeyError("ours"), OSError("ours")])
def test_a_fault_of_ours_is_raised_when_all_is_done(error: Exception) -> None:
    """What the caller's function raises comes out of the call, behind what was in flight."""
    calls = [0]

    def may_start() -> bool:
        calls[0] += 1
        if calls[0] > 2:
            raise error
        return True

    with Scripted() as server, a_relay(server.port, connections=2) as relay:
        with pytest.raises(type(error), match="ours"):
            relay.send_many(some(3), may_start)
        assert len(server.taken()) == 2


class Buggy(Octets):
    """Content that fails in a way that it must not."""

    def __iter__(self) -> Iterator[bytes]:
        """Nothing at all."""
        raise KeyError("a bug")


def test_content_with_a_bug_does_not_hang_the_relay() -> None:
    """An error that content may not raise comes out of the call, and the relay works on."""
    buggy = Envelope("deploy@corp.example", ("x@corp.example",), Buggy(b"x\r\n"))
    with Scripted() as server, a_relay(server.port, connections=2) as relay:
        with pytest.raises(KeyError, match="a bug"):
            relay.send_many([*some(3), buggy])
        assert relay.send_many(some(2)).outage is None


def test_nothing_to_send_opens_nothing() -> None:
    """An empty batch costs no connection, and a mail to nobody no command."""
    with Scripted() as server, a_relay(server.port) as relay:
        assert relay.send_many([]).receipts == []
        nobody = Envelope("deploy@corp.example", (), Octets(b"x\r\n"))
        assert relay.send_many([nobody]).receipts == [Receipt((), {})]
    assert not any(command.startswith("MAIL") for command in server.commands)


def test_idle_sessions_are_closed(monotonic_idle: Callable[[Relay], None]) -> None:
    """A session unused for a minute is closed with QUIT when the loop has a moment."""
    with Scripted() as server, a_relay(server.port) as relay:
        relay.send_many(some(1))
        relay.close_idle()
        assert "QUIT" not in server.commands
        monotonic_idle(relay)
        relay.close_idle()
        assert server.commands[-1] == "QUIT"
        assert relay.send_many(some(1)).outage is None
    assert server.connections == 2


@pytest.fixture
def monotonic_idle() -> Callable[[Relay], None]:
    """Makes a relay's sessions look unused for a while."""

    def age(relay: Relay) -> None:
        for lane in relay._lanes:
            assert lane._session is not None
            lane._session._used -= 100

    return age


def test_an_old_session_is_proven_before_it_is_used() -> None:
    """After some seconds the server is asked first: a mail is not risked on a session that may be dead."""
    with Scripted() as server, a_relay(server.port) as relay:
        relay.send_many(some(1))
        session = relay._lanes[0]._session
        assert session is not None
        session._used -= 20
        relay.send_many(some(1))
    assert server.commands.count("NOOP") == 1
    assert server.connections == 1
