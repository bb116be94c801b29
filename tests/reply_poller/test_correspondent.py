"""Answers on their way: each once or, where nobody knows, not again."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from builders import a_withdrawal, parsed
from conftest import StartPostfixSink, StartProxy
from mail.envelopes import a_relay
from mail.scripted import BARE, Play, Scripted, at
from reply_poller.answering import NOW, a_composer, a_due, ask, owe, state
from servers.mailbox_sink import SmtpSink
from servers.ports import LOOPBACK, wait_until

from worker.errors import OutageError
from worker.events import ApprovalWithdrawn
from worker.journal import Journal
from worker.mail.relay import Relay
from worker.mail.rendering import Templates
from worker.register import Register
from worker.reply_poller.correspondent import Correspondent
from worker.reply_poller.outbox import Outbox
from worker.tables import DUE, SENDING, SENT

BO = {"name": "Bo", "email": "bo@corp.example"}


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An open journal in which Dana was asked."""
    opened = Journal(f"sqlite:///{tmp_path}/journal.db", retention=86_400.0)
    opened.open()
    ask(opened)
    yield opened
    opened.close()


def a_correspondent(
    journal: Journal, relay: Relay, *, templates: Templates | None = None, beat: Callable[[str], None] = lambda _: None
) -> Correspondent:
    """Who answers what is due in that journal."""
    return Correspondent(
        outbox=Outbox(journal),
        composer=a_composer(templates=templates),
        relay=relay,
        clock=lambda: NOW,
        beat=beat,
    )


def send(journal: Journal, port: int) -> None:
    """One turn of a correspondent."""
    with a_relay(port, depth=1) as relay:
        a_correspondent(journal, relay).send_due()


def test_what_is_due_is_sent_once(journal: Journal, smtp_sink: StartPostfixSink) -> None:
    """Oldest first, with the empty sender, to the approver; a second turn sends nothing."""
    server = smtp_sink()
    newer = owe(journal, a_due(1, reason="decided"), at=NOW)
    older = owe(journal, a_due(2), at=NOW - timedelta(minutes=5))
    send(journal, server.port)
    send(journal, server.port)
    mails = server.mails()
    assert [mail.sender for mail in mails] == ["", ""]
    assert [mail.recipients for mail in mails] == [("dana@corp.example",)] * 2
    assert "Not decided yet" in mails[0].parsed["Subject"]
    assert "Already decided" in mails[1].parsed["Subject"]
    assert [state(journal, digest) for digest in (older, newer)] == [SENT, SENT]


def test_a_server_that_refuses_the_empty_sender_gets_ours(journal: Journal) -> None:
    """Where nobody who is logged in may send without a sender, the answer leaves with the From address."""
    digest = owe(journal, a_due())
    refusal = Play(b"550 5.7.60 you may not send as this sender\r\n")
    with Scripted(at("MAIL", refusal, containing="<>", times=9), BARE) as server:
        send(journal, server.port)
    assert [mail.sender for mail in server.transactions] == ["deploy@corp.example"]
    assert state(journal, digest) == SENT


def test_two_at_once_send_each_answer_once(journal: Journal, mailbox_sink: SmtpSink) -> None:
    """A claim is atomic: whoever comes second sends the next one."""
    for number in range(12):
        owe(journal, a_due(number))
    threads = [threading.Thread(target=send, args=(journal, mailbox_sink.port)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    ids = [mail.parsed["Message-ID"] for mail in mailbox_sink.mails]
    assert len(ids) == len(set(ids)) == 12


def test_what_a_dead_process_was_sending_is_left_alone(journal: Journal, mailbox_sink: SmtpSink) -> None:
    """It may have been taken: an answer lost is better than one sent twice."""
    left = owe(journal, a_due(1), state=SENDING)
    owe(journal, a_due(2))
    send(journal, mailbox_sink.port)
    assert len(mailbox_sink.mails) == 1
    assert state(journal, left) == SENDING


def test_a_refusal_for_good_settles(journal: Journal, mailbox_sink: SmtpSink) -> None:
    """5yz: nobody is told, nothing is tried again, and the next answer leaves."""
    ask_bo = a_due(2, approver=BO)
    refused, taken = owe(journal, a_due(1)), owe(journal, ask_bo)
    mailbox_sink.fail("RCPT", "550 5.1.1 no such user", recipient="dana@corp.example")
    send(journal, mailbox_sink.port)
    assert [mail.recipients for mail in mailbox_sink.mails] == [("bo@corp.example",)]
    assert [state(journal, digest) for digest in (refused, taken)] == [SENT, SENT]


def test_a_refusal_for_now_waits_and_lets_others_pass(journal: Journal) -> None:
    """4yz: due again, but not in the next turn."""
    waits, taken = owe(journal, a_due(1)), owe(journal, a_due(2, approver=BO))
    greylisted = at("RCPT", Play(b"450 4.2.0 greylisted\r\n"), containing="dana@")
    with Scripted(greylisted, BARE) as server, a_relay(server.port, depth=1) as relay:
        correspondent = a_correspondent(journal, relay)
        correspondent.send_due()
        correspondent.send_due()
    assert sum("dana@" in line for line in server.commands) == 1
    assert [state(journal, digest) for digest in (waits, taken)] == [DUE, SENT]


def test_a_refusal_for_now_ends_after_a_day(journal: Journal) -> None:
    """Then it is given up."""
    digest = owe(journal, a_due(), at=NOW - timedelta(hours=25))
    with Scripted(at("RCPT", Play(b"450 4.2.2 full\r\n")), BARE) as server:
        send(journal, server.port)
    assert state(journal, digest) == SENT


def test_an_outage_loses_nothing(journal: Journal, mailbox_sink: SmtpSink, tcp_proxy: StartProxy) -> None:
    """While the server is away the answer stays due, and it is sent when the server is back."""
    proxy = tcp_proxy((LOOPBACK, mailbox_sink.port))
    digest = owe(journal, a_due())
    proxy.refuse()
    with a_relay(proxy.port, depth=1) as relay:
        correspondent = a_correspondent(journal, relay)
        with pytest.raises(OutageError):
            correspondent.send_due()
        assert state(journal, digest) == DUE
        proxy.restore()
        correspondent.send_due()
    assert len(mailbox_sink.mails) == 1
    assert state(journal, digest) == SENT


def test_an_outage_behind_the_probe_puts_it_back(journal: Journal) -> None:
    """The session ends before the mail is begun, and there is no other: nobody was given anything."""
    digest = owe(journal, a_due())

    def choose(verb: str, _line: str) -> Play:
        if verb == "CONNECT" and server.connections > 1:
            return Play(b"421 4.3.2 busy\r\n", cut=True)
        return Play(cut=verb == "RSET")

    with Scripted(choose, BARE) as server, pytest.raises(OutageError, match="busy"):
        send(journal, server.port)
    assert server.transactions == []
    assert state(journal, digest) == DUE


def test_what_was_cut_behind_the_content_is_never_sent_again(journal: Journal, smtp_sink: StartPostfixSink) -> None:
    """The server took it and closed without a word: it stays as it is, and the next turn sends nothing."""
    server = smtp_sink("-q", ".")
    digest = owe(journal, a_due())
    with a_relay(server.port, depth=1) as relay:
        correspondent = a_correspondent(journal, relay)
        with pytest.raises(OutageError):
            correspondent.send_due()
        correspondent.send_due()
    assert len(server.mails()) == 1
    assert state(journal, digest) == SENDING


def test_a_template_that_fails_drops_the_answer(journal: Journal, mailbox_sink: SmtpSink, tmp_path: Path) -> None:
    """It would fail each time: the answer is settled without a mail, and the others are sent."""
    folder = tmp_path / "templates" / "reply.undecided"
    folder.mkdir(parents=True)
    (folder / "subject.txt.j2").write_text("{{ nonsense if approval.title[-1] == '?' else 'x' }}")
    templates = Templates(directory=tmp_path / "templates", default_locale="en", report=lambda _: None)
    dropped, sent = owe(journal, a_due(1)), owe(journal, a_due(2, reason="expired"))
    with a_relay(mailbox_sink.port, depth=1) as relay:
        a_correspondent(journal, relay, templates=templates).send_due()
    assert len(mailbox_sink.mails) == 1
    assert [state(journal, digest) for digest in (dropped, sent)] == [SENT, SENT]


def test_an_approval_that_nobody_knows_is_not_answered(journal: Journal, mailbox_sink: SmtpSink) -> None:
    """The journal has forgotten it: there is nothing to say."""
    digest = owe(journal, replace(a_due(), approval_id="gone"))
    send(journal, mailbox_sink.port)
    assert mailbox_sink.mails == []
    assert state(journal, digest) == SENT


def test_it_knows_the_withdrawal_and_the_token(journal: Journal, mailbox_sink: SmtpSink) -> None:
    """Undecided: with the approver's own token. Withdrawn meanwhile: since when."""
    owe(journal, a_due(1))
    send(journal, mailbox_sink.port)
    withdrawal = parsed(a_withdrawal())
    assert isinstance(withdrawal, ApprovalWithdrawn)
    Register(journal).admit(withdrawal)
    owe(journal, a_due(2, reason="withdrawn"))
    send(journal, mailbox_sink.port)
    first, second = (mail.parsed for mail in mailbox_sink.mails)
    assert first["Reply-To"].startswith("approvals+")
    part = second.get_body(("plain",))
    assert part is not None
    assert "· When: 2026-11-23 08:24 UTC" in part.get_content()


def test_the_loop_wakes_stops_and_says_that_it_lives(journal: Journal, mailbox_sink: SmtpSink) -> None:
    """Woken, it answers at once, long before it would have looked by itself; told to stop, it returns."""
    beats: list[str] = []
    with a_relay(mailbox_sink.port, depth=1) as relay:
        correspondent = a_correspondent(journal, relay, beat=beats.append)
        thread = threading.Thread(target=correspondent.run)
        thread.start()
        wait_until(lambda: bool(beats), "the first turn", 5)
        digest = owe(journal, a_due())
        correspondent.wake()
        wait_until(lambda: state(journal, digest) == SENT, "the answer", 3)
        correspondent.stop()
        thread.join(3)
    assert not thread.is_alive()
    assert len(mailbox_sink.mails) == 1


def test_the_loop_outlives_an_outage(journal: Journal, mailbox_sink: SmtpSink, tcp_proxy: StartProxy) -> None:
    """It pauses, tries again, and sends."""
    proxy = tcp_proxy((LOOPBACK, mailbox_sink.port))
    proxy.refuse()
    digest = owe(journal, a_due())
    with a_relay(proxy.port, depth=1) as relay:
        beats: list[str] = []
        correspondent = a_correspondent(journal, relay, beat=beats.append)
        thread = threading.Thread(target=correspondent.run)
        thread.start()
        wait_until(lambda: "paused by an outage" in beats, "the outage", 5)
        proxy.restore()
        wait_until(lambda: state(journal, digest) == SENT, "the answer", 10)
        correspondent.stop()
        thread.join(3)
    assert len(mailbox_sink.mails) == 1


def test_a_stop_in_between_leaves_the_rest_due(journal: Journal, mailbox_sink: SmtpSink) -> None:
    """Told to stop, it begins no answer any more."""
    digest = owe(journal, a_due())
    with a_relay(mailbox_sink.port, depth=1) as relay:
        correspondent = a_correspondent(journal, relay)
        correspondent.stop()
        correspondent.send_due()
        correspondent.run()
    assert mailbox_sink.mails == []
    assert state(journal, digest) == DUE
