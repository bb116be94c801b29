"""The relay against smtp-sink with each of its fault options: a server by others that misbehaves on purpose."""

import threading
import time
from pathlib import Path

import pytest
from mail.conftest import Sinks
from mail.envelopes import a_relay, an_envelope, some

from worker.errors import OutageError
from worker.mail.relay import Receipt, Sent


def send(port: int, count: int = 4, *, depth: int = 4) -> Sent:
    """Send so many mails."""
    with a_relay(port, depth=depth) as relay:
        return relay.send_many(some(count, size=2000))


def taken(sent: Sent) -> int:
    """How many mails were reported taken."""
    return sum(bool(receipt and receipt.taken) for receipt in sent.receipts)


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-8",),
        ("-a",),
        ("-C",),
        ("-F",),
        ("-N",),
        ("-e",),
        ("-E",),
        ("-p",),
        ("-P",),
        ("-h", "sink.example"),
        ("-m", "1"),
        ("-t", "20"),
        ("-v",),
        ("-T", "8192"),
    ],
    ids=" ".join,
)
def test_whatever_is_announced_the_mail_is_taken(smtp_sink: Sinks, options: tuple[str, ...]) -> None:
    """Without ESMTP, pipelining, 8BITMIME, status codes, or with odd delays: every mail, no outage."""
    sent = send(smtp_sink(*options))
    assert (taken(sent), sent.outage) == (4, None)


@pytest.mark.parametrize(("option", "code"), [("-f", 500), ("-r", 450)])
@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA", "."])
def test_a_refused_command_refuses_the_mail(smtp_sink: Sinks, option: str, code: int, command: str) -> None:
    """Hard and soft rejects at each command of a mail are that mail's, for good and for now."""
    sent = send(smtp_sink(option, command))
    assert sent.outage is None
    assert [receipt and [each.code for each in receipt.refused.values()] for receipt in sent.receipts] == [[code]] * 4


@pytest.mark.parametrize(("option", "code"), [("-B", 550), ("-b", 451)])
def test_the_servers_words_are_kept(smtp_sink: Sinks, option: str, code: int) -> None:
    """A reply of its own is reported as it is."""
    reject = "-f" if option == "-B" else "-r"
    sent = send(smtp_sink(reject, "RCPT", option, f"{code} {code // 100}.7.0 not today"))
    assert [str(each) for receipt in sent.receipts if receipt for each in receipt.refused.values()] == [
        f"{code} {code // 100}.7.0 not today"
    ] * 4


@pytest.mark.parametrize("option", ["-f", "-r"])
@pytest.mark.parametrize("command", ["RSET", "QUIT", "NOOP"])
def test_a_refused_courtesy_is_of_no_interest(smtp_sink: Sinks, option: str, command: str) -> None:
    """RSET, QUIT or NOOP refused: the mails are taken."""
    sent = send(smtp_sink(option, command))
    assert (taken(sent), sent.outage) == (4, None)


@pytest.mark.parametrize("option", ["-f", "-r", "-q", "-Q"])
def test_a_refused_connection_is_an_outage(smtp_sink: Sinks, option: str) -> None:
    """Refused, cut or sent away at the greeting: no mail is to blame."""
    port = smtp_sink(option, "CONNECT")
    sent = send(port)
    assert sent.receipts == [None] * 4
    assert isinstance(sent.outage, OutageError)
    assert f"127.0.0.1:{port}: greeting" in str(sent.outage)


def test_a_refused_ehlo_falls_back(smtp_sink: Sinks) -> None:
    """A server that knows HELO alone gets its mails one command at a time."""
    sent = send(smtp_sink("-f", "EHLO"))
    assert (taken(sent), sent.outage) == (4, None)


@pytest.mark.parametrize("option", ["-q", "-Q"])
@pytest.mark.parametrize("command", ["EHLO", "MAIL", "RCPT", "DATA"])
def test_a_cut_before_the_content_is_an_outage(smtp_sink: Sinks, option: str, command: str) -> None:
    """Nothing was taken, nothing is refused, and the relay stops where a new session achieves nothing."""
    sent = send(smtp_sink(option, command))
    assert sent.receipts == [None] * 4
    assert sent.outage is not None


def test_a_cut_at_the_final_dot_is_in_doubt(smtp_sink: Sinks, tmp_path: Path) -> None:
    """``-q .``: the server took the mail and cut; the relay does not know, says so, and does not send it again."""
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents[:3]:
        parent.chmod(0o755)
    sent = send(smtp_sink("-q", ".", "-d", f"{tmp_path}/mail."))
    assert sent.receipts == [None] * 4
    assert "closed the connection" in str(sent.outage)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_farewell_at_the_final_dot_is_an_answer(smtp_sink: Sinks) -> None:
    """``-Q .``: 421 instead of 250 is no acceptance, and an outage when it meets every session."""
    sent = send(smtp_sink("-Q", "."))
    assert sent.receipts == [None] * 4
    assert "421" in str(sent.outage)


@pytest.mark.parametrize("option", ["-q", "-Q"])
@pytest.mark.parametrize("command", ["QUIT", "RSET"])
def test_a_cut_courtesy_costs_nothing(smtp_sink: Sinks, option: str, command: str) -> None:
    """QUIT and RSET that cut: what was taken stays taken, and the others go over a new session."""
    sent = send(smtp_sink(option, command), depth=1)
    assert (taken(sent), sent.outage) == (4, None)


def test_a_refusal_before_the_dot_is_heard(smtp_sink: Sinks) -> None:
    """``-A 0``: the server refuses in the middle of the content and reads no more."""
    with a_relay(smtp_sink("-A", "0")) as relay:
        begun = time.monotonic()
        sent = relay.send_many([an_envelope("large", size=30_000_000)])
    assert time.monotonic() - begun < 5
    assert sent.outage is None
    assert sent.receipts[0] is not None
    assert sent.receipts[0].refused["large@corp.example"].code == 550


def test_a_slow_reader_is_waited_for(smtp_sink: Sinks) -> None:
    """``-H 1`` and a small window: the relay waits for room to write."""
    with a_relay(smtp_sink("-H", "1", "-T", "4096")) as relay:
        sent = relay.send_many([an_envelope("large", size=3_000_000)])
    assert sent.receipts == [Receipt(("large@corp.example",), {})]


def test_a_slow_answer_is_waited_for(smtp_sink: Sinks) -> None:
    """``-w 1``: a server that takes its time at DATA."""
    sent = send(smtp_sink("-w", "1"), 1)
    assert (taken(sent), sent.outage) == (1, None)


def test_a_server_that_ends_is_an_outage(smtp_sink: Sinks) -> None:
    """``-M 3`` (the process ends after three mails): three are taken, the others left."""
    sent = send(smtp_sink("-M", "3"), 6, depth=1)
    assert taken(sent) >= 2
    assert sent.outage is not None
    assert sent.receipts[-1] is None


def test_two_sessions_at_once(smtp_sink: Sinks) -> None:
    """A few hundred mails over two sessions: each is taken."""
    with a_relay(smtp_sink(), connections=2) as relay:
        sent = relay.send_many(some(400))
    assert (taken(sent), sent.outage) == (400, None)


def test_a_process_killed_in_between(smtp_sink: Sinks) -> None:
    """The server dies under load: what is reported taken was answered, the rest is left with an outage."""
    port = smtp_sink("-p", "-W", ".:1:50")
    timer = threading.Timer(0.5, smtp_sink.kill, [port])
    timer.start()
    sent = send(port, 50)
    timer.join()
    assert sent.outage is not None
    assert all(receipt is None or receipt.taken for receipt in sent.receipts)
