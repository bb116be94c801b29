"""Servers that do not do as IMAP says: an outage each, and never a mail taken for another."""

import random
import re

import pytest
from reply_poller.mailboxes import a_mail, an_open_mailbox
from reply_poller.scripted_imap import DONE, SELECTED, Answers, ScriptedImap
from servers.dovecot import Dovecot, DovecotUser
from servers.ports import wait_until

from worker.errors import OutageError
from worker.mail.relay import Password
from worker.reply_poller.mailbox import Account, Mailbox

HEAD = b'* 1 FETCH (UID 41 RFC822.SIZE 5 INTERNALDATE "23-Nov-2026 09:24:00 +0200")\r\n' + DONE
BODY = b"* 1 FETCH (UID 41 BODY[]<0> {5}\r\nhello)\r\n" + DONE
SCRIPT: Answers = {"FETCH": [HEAD, BODY], "LOGOUT": b"* BYE\r\n" + DONE}


def a_mailbox(server: ScriptedImap, answer_seconds: float = 0.5) -> Mailbox:
    """A mailbox on that server."""
    account = Account("127.0.0.1", server.port, Password("dana", "swordfish"), starttls=False)
    return Mailbox(account, answer_seconds=answer_seconds)


def play(mailbox: Mailbox, act: str) -> None:
    """All that a poll does, up to that."""
    mailbox.open()
    mails = mailbox.read(30)
    if act == "remove":
        mailbox.remove([mail.uid for mail in mails])


def said(script: Answers, act: str = "read", greeting: bytes | None = None) -> str:
    """The outage that comes of it, in words."""
    greetings = {} if greeting is None else {"greeting": greeting}
    with ScriptedImap({**SCRIPT, **script}, **greetings) as server:
        mailbox = a_mailbox(server)
        with pytest.raises(OutageError) as caught:
            play(mailbox, act)
        with pytest.raises(OutageError, match="not open"):
            mailbox.read(1)
    assert str(caught.value).startswith(f"127.0.0.1:{server.port}: ")
    return str(caught.value)


def test_the_script_is_a_mail() -> None:
    """What the other tests break works as it stands."""
    with ScriptedImap(SCRIPT) as server:
        mailbox = a_mailbox(server)
        mailbox.open()
        (mail,) = mailbox.read(30)
        mailbox.close()
    assert (mail.uid, mail.raw, mail.received_at.isoformat()) == (41, b"hello", "2026-11-23T07:24:00+00:00")


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ({"SELECT": DONE}, "folder INBOX"),
        ({"SELECT": b"* 1 EXISTS\r\n" + DONE}, "folder INBOX"),
        ({"SELECT": SELECTED.replace(b"WRITE", b"ONLY")}, "folder INBOX"),
        ({"SELECT": b"TAG NO [NONEXISTENT] gone\r\n"}, "folder INBOX: select failed: [NONEXISTENT] gone"),
        ({"STATUS": b"TAG NO no\r\n", "CREATE": b"TAG NO [OVERQUOTA] full\r\n"}, "making folder Quarantine"),
        ({"FETCH": HEAD.replace(b"UID 41 ", b"")}, "FETCH"),
        ({"FETCH": HEAD.replace(b"RFC822.SIZE 5 ", b"")}, "FETCH"),
        ({"FETCH": HEAD.replace(b"23-Nov-2026", b"99-Foo-2026")}, "FETCH"),
        ({"FETCH": [HEAD, BODY.replace(b"UID 41", b"UID 42")]}, "answered for another mail"),
        ({"FETCH": [HEAD, BODY.replace(b"UID 41 ", b"")]}, "answered for another mail"),
        ({"FETCH": [HEAD, BODY.replace(b"{5}", b"{99999999}")]}, "a literal of 99999999 bytes"),
        ({"FETCH": [HEAD, BODY.replace(b"{5}", b"{500}HANG")]}, "no answer within 0.5 seconds"),
        ({"FETCH": [HEAD, b"* 1 FETCH (UID 41 BODY[]<0> {5}\r\nheCUT"]}, "closed"),
        ({"FETCH": b"* BYE too many\r\nCUT"}, "too many"),
        ({"FETCH": b"HANG"}, "FETCH: no answer within 0.5 seconds"),
        ({"FETCH": b"* 1 FETCH " + b"(" * 5000 + b"\r\n" + DONE}, "FETCH"),
        ({"FETCH": b"* 1 FETCH (UID {3}\r\nabc)\r\n" + DONE}, "FETCH"),
        ({"FETCH": b"x" * 3_000_000}, "a line without end"),
        ({"FETCH": b"\xff\xfe\r\n"}, "FETCH"),
        ({"NOOP": b"TAG BAD what?\r\n"}, "NOOP"),
        ({"CAPABILITY": b"TAG NO\r\n"}, "connecting"),
        ({"CAPABILITY": b"* CAPABILITY IMAP2\r\n" + DONE}, "connecting: server not IMAP4 compliant"),
    ],
)
def test_nonsense_is_an_outage(script: Answers, sentence: str) -> None:
    """Whatever a server says instead, the sentence names it and the step, and the connection is given up."""
    assert sentence in said(script)


@pytest.mark.parametrize("greeting", [b"220 smtp.example ESMTP\r\n", b"* BYE not now\r\n", b"", b"\x16\x03\x01\r\n"])
def test_another_protocol_is_an_outage(greeting: bytes) -> None:
    """A port on which no IMAP is spoken."""
    assert "connecting: " in said({}, greeting=greeting)


@pytest.mark.parametrize("command", ["UID STORE", "UID EXPUNGE"])
def test_a_removal_that_is_refused_is_an_outage(command: str) -> None:
    """Nobody takes a mail for gone that the server kept."""
    assert "EXPUNGE" in said({command: b"TAG NO [NOPERM] not yours\r\n"}, act="remove")


def test_nothing_but_these_is_expunged() -> None:
    """By UID alone, and never without one."""
    with ScriptedImap(SCRIPT) as server:
        mailbox = a_mailbox(server)
        mailbox.open()
        mailbox.remove([mail.uid for mail in mailbox.read(30)])
        mailbox.remove([])
        mailbox.close()
    commands = [command.partition(b" ")[2] for command in server.commands]
    assert [command for command in commands if b"EXPUNGE" in command] == [b"UID EXPUNGE 41"]
    assert b"UID STORE 41 +FLAGS.SILENT (\\Deleted)" in commands
    assert not any(command.startswith(b"CLOSE") for command in commands)


def test_uids_that_do_not_ascend_are_an_outage() -> None:
    """Two mails of one UID can't both be right."""
    twice = HEAD.replace(DONE, b"") + HEAD.replace(b"* 1", b"* 2")
    assert "do not ascend" in said({"SELECT": SELECTED.replace(b"1 EX", b"2 EX"), "FETCH": twice})


def test_answers_for_other_mails_are_ignored() -> None:
    """What the server tells of mails that were not asked for changes nothing."""
    noise = b"* 7 FETCH (FLAGS (\\Seen))\r\n* 41 FETCH (BODY[]<0> {5}\r\nother)\r\n"
    with ScriptedImap({**SCRIPT, "FETCH": [noise + HEAD, noise + BODY]}) as server:
        mailbox = a_mailbox(server)
        mailbox.open()
        assert [(mail.uid, mail.raw) for mail in mailbox.read(30)] == [(41, b"hello")]
        mailbox.close()


def test_a_size_that_was_too_small_is_noticed() -> None:
    """What a server says of the size is at times an estimate: more than 10 MB is never taken, whatever it says."""
    large = b"* 1 FETCH (UID 41 BODY[]<0> {10000001}\r\n" + b"x" * 10_000_001 + b")\r\n" + DONE
    with ScriptedImap({**SCRIPT, "FETCH": [HEAD, large]}) as server:
        mailbox = a_mailbox(server)
        mailbox.open()
        (mail,) = mailbox.read(30)
        mailbox.close()
    assert mail.raw is None
    assert any(b"BODY.PEEK[]<0.10000001>" in command for command in server.commands)


def test_a_mail_that_is_not_given_out_holds_nobody_up() -> None:
    """One that the server can't read is left out, and set aside; the others are read."""
    heads = HEAD.replace(DONE, b"") + HEAD.replace(b"* 1", b"* 2").replace(b"41", b"42")
    second = BODY.replace(b"* 1", b"* 2").replace(b"41", b"42")
    no = b"TAG NO [SERVERBUG] can't open this one\r\n"
    script: Answers = {"SELECT": SELECTED.replace(b"1 EX", b"2 EX"), "FETCH": [heads, no, no, second, heads, second]}
    with ScriptedImap({**SCRIPT, **script}) as server:
        mailbox = a_mailbox(server)
        mailbox.open()
        assert [mail.uid for mail in mailbox.read(30)] == [42]
        assert [mail.uid for mail in mailbox.read(1)] == [42]
        mailbox.close()


def test_mangled_answers_are_outages() -> None:
    """Single octets changed anywhere in what a server says: an outage or a mail, nothing else, and no hang."""
    choose = random.Random(7)
    outcomes = [outcome_of({"SELECT": mangled(choose, SELECTED), "FETCH": mangle_both(choose)}) for _ in range(50)]
    assert {"mail", "outage"} == set(outcomes)


def outcome_of(script: Answers) -> str:
    """What becomes of a poll."""
    with ScriptedImap({**SCRIPT, **script}) as server:
        mailbox = a_mailbox(server, answer_seconds=0.05)
        try:
            play(mailbox, "read")
        except OutageError:
            return "outage"
        finally:
            mailbox.close()
    return "mail"


def mangle_both(choose: random.Random) -> list[bytes]:
    """What FETCH is answered, changed."""
    return [mangled(choose, HEAD), mangled(choose, BODY)]


def mangled(choose: random.Random, answer: bytes) -> bytes:
    """The answer with an octet or two that are others."""
    octets = bytearray(answer)
    for _ in range(choose.choice([0, 1, 1, 2])):
        octets[choose.randrange(len(octets))] = choose.choice(b'\x00\r\n (){}"[]*\\<>019AZ\xff')
    return bytes(octets)


def test_what_is_too_large_is_not_asked_for() -> None:
    """Whoever sends 10 GB costs nobody more than a line."""
    with ScriptedImap({**SCRIPT, "FETCH": HEAD.replace(b"SIZE 5", b"SIZE 10000001")}) as server:
        mailbox = a_mailbox(server)
        mailbox.open()
        (mail,) = mailbox.read(30)
        mailbox.close()
    assert (mail.raw, mail.size) == (None, 10_000_001)
    assert not any(b"BODY" in command for command in server.commands)


def spent(user: DovecotUser) -> tuple[int, int]:
    """Octets from and to the client of a session in which one batch was read and removed."""
    with an_open_mailbox(user) as mailbox:
        mails = mailbox.read(10)
        mailbox.remove([mail.uid for mail in mails])
    assert len(mails) == 10

    def logged() -> list[tuple[str, str]]:
        log = (user.server.folder / "log").read_text()
        return re.findall(rf"imap\({user.name}\).*Logged out in=(\d+) out=(\d+) deleted=1", log)

    wait_until(lambda: bool(logged()), "the end of the session in Dovecot's log")
    return int(logged()[-1][0]), int(logged()[-1][1])


def test_cost_grows_with_the_batch(dovecot_server: Dovecot) -> None:
    """With 50,000 mails in the folder a poll says and hears what it does with 30, but for longer numbers."""
    few, many = dovecot_server.create_user(), dovecot_server.create_user()
    few.fill(a_mail("one"), 30)
    many.fill(a_mail("one"), 50_000)
    for user in (few, many):
        with an_open_mailbox(user) as mailbox:
            mailbox.wait(0, idle=False, is_stopping=lambda: True)
    assert spent(many) == pytest.approx(spent(few), abs=60)
