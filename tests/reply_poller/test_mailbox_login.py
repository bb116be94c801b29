"""Coming in: TLS, STARTTLS, passwords, tokens; and what is never said in plain."""

import base64
import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from reply_poller.mailboxes import a_mail, an_account, an_open_mailbox
from reply_poller.scripted_imap import DONE, ScriptedImap
from servers.dovecot import DovecotUser

from worker.errors import OutageError, SettingsError
from worker.mail.relay import Password, Token
from worker.reply_poller.mailbox import Account, Mailbox

NO = b"TAG NO [AUTHENTICATIONFAILED] no\r\n"


def scripted(server: ScriptedImap, **changes: Any) -> Mailbox:
    """A mailbox on a scripted server."""
    fields = {"host": "localhost", "port": server.port, "login": Password("dana", "swordfish"), "starttls": False}
    return Mailbox(Account(**{**fields, **changes}), answer_seconds=1.0)


def tokens(*given: str) -> tuple[Callable[[], str], list[str]]:
    """A source that gives one after the other, the last for ever; and what it gave."""
    asked: list[str] = []

    def give() -> str:
        asked.append(given[min(len(asked), len(given) - 1)])
        return asked[-1]

    return give, asked


@pytest.mark.parametrize("tls", [False, True])
def test_encrypted_and_verified(dovecot: DovecotUser, *, tls: bool) -> None:
    """With STARTTLS or TLS from the first octet, against the authority that is set; large mails pass too."""
    dovecot.append(a_mail("one", size=3_000_000))
    port = dovecot.server.tls_port if tls else dovecot.server.port
    account = an_account(
        dovecot, host="localhost", port=port, tls=tls, starttls=not tls, ca_file=dovecot.server.ca_file
    )
    with an_open_mailbox(dovecot, account) as mailbox:
        (mail,) = mailbox.read(1)
        assert mail.raw == a_mail("one", size=3_000_000)
        mailbox.wait(0.3, idle=True, is_stopping=lambda: False)
        mailbox.remove([mail.uid])
    assert dovecot.mails() == []


@pytest.mark.parametrize("tls", [False, True])
def test_an_unknown_authority_is_refused(dovecot: DovecotUser, *, tls: bool) -> None:
    """Also on loopback: who encrypts is verified, and hears no password before."""
    port = dovecot.server.tls_port if tls else dovecot.server.port
    account = an_account(dovecot, host="localhost", port=port, tls=tls, starttls=not tls)
    with pytest.raises(OutageError, match="certificate refused: unable to get local issuer") as caught:
        Mailbox(account).open()
    assert str(caught.value).startswith(f"localhost:{port}: ")


@pytest.mark.parametrize("tls", [False, True])
def test_a_certificate_for_another_name_is_refused(dovecot: DovecotUser, *, tls: bool) -> None:
    """The right authority is not enough: the certificate is for localhost, the server was called 127.0.0.1."""
    port = dovecot.server.tls_port if tls else dovecot.server.port
    account = an_account(dovecot, port=port, tls=tls, starttls=not tls, ca_file=dovecot.server.ca_file)
    with pytest.raises(OutageError, match=r"certificate refused: .*not valid for '127\.0\.0\.1'"):
        Mailbox(account).open()


def test_a_file_without_certificates_is_a_setting(dovecot: DovecotUser) -> None:
    """A path that leads nowhere is for a person to put right."""
    with pytest.raises(SettingsError, match="TLS_CA_FILE: /nowhere"):
        Mailbox(an_account(dovecot, starttls=True, ca_file="/nowhere")).open()


def test_a_wrong_password_is_an_outage_without_it(dovecot: DovecotUser) -> None:
    """It may be right again tomorrow; the sentence never holds it."""
    with pytest.raises(OutageError, match=r"login: .*Authentication failed") as caught:
        Mailbox(an_account(dovecot, login=Password(dovecot.name, "swordfish"))).open()
    assert "swordfish" not in str(caught.value)


def test_a_server_that_repeats_the_password_is_not_quoted() -> None:
    """What a server says goes into logs: not where it holds what it was told."""
    told = base64.b64encode(b"\0dana\0swordfish")
    with (
        ScriptedImap({"AUTHENTICATE": b"+ \r\n", "CONTINUED": b"TAG BAD what is " + told + b"?\r\n"}) as server,
        pytest.raises(OutageError) as caught,
    ):
        scripted(server).open()
    assert str(caught.value) == f"localhost:{server.port}: login: refused"
    assert caught.value.__suppress_context__


def test_nothing_of_it_is_logged(dovecot: DovecotUser, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the login nor a mail gets into the libraries' own log, whatever its level."""
    caplog.set_level(logging.DEBUG)
    dovecot.append(a_mail("a secret subject"))
    with an_open_mailbox(dovecot) as mailbox:
        assert len(mailbox.read(1)) == 1
    told = base64.b64encode(f"\0{dovecot.name}\0{dovecot.password}".encode()).decode()
    assert not any(secret in caplog.text for secret in (told, dovecot.password, "secret subject"))


def test_a_token_logs_in(dovecot: DovecotUser) -> None:
    """XOAUTH2, with a token that Dovecot verifies."""
    with an_open_mailbox(dovecot, login=Token(dovecot.name, dovecot.token)) as mailbox:
        assert mailbox.read(1) == []


def test_a_refused_token_is_asked_for_anew_once(dovecot: DovecotUser) -> None:
    """One that has ended meanwhile is replaced; then it is an outage."""
    give, asked = tokens(dovecot.token(seconds=-60), dovecot.token())
    with an_open_mailbox(dovecot, login=Token(dovecot.name, give)):
        assert len(asked) == 2
    give, asked = tokens("one", "two", "three")
    with pytest.raises(OutageError, match="login: ") as caught:
        Mailbox(an_account(dovecot, login=Token(dovecot.name, give))).open()
    assert asked == ["one", "two"]
    assert "two" not in str(caught.value)


def test_the_same_token_is_not_tried_twice() -> None:
    """A source that has no other token spares the account a second failed login."""
    with ScriptedImap({"CONTINUED": NO}) as server, pytest.raises(OutageError):
        scripted(server, login=Token("dana", lambda: "tok")).open()
    assert sum(b"AUTHENTICATE" in command for command in server.commands) == 1


def test_why_a_token_is_refused_is_heard_out() -> None:
    """The challenge with the reason gets the empty answer that it waits for, then the token is never sent again."""
    why = base64.b64encode(b'{"status":"401"}')
    with (
        ScriptedImap({"CONTINUED": [b"+ " + why + b"\r\n", NO]}) as server,
        pytest.raises(OutageError, match="AUTHENTICATIONFAILED"),
    ):
        scripted(server, login=Token("dana", lambda: "tok")).open()
    answers = [base64.b64decode(command) for command in server.commands if b" " not in command]
    assert answers == [b"user=dana\x01auth=Bearer tok\x01\x01", b""]


def test_a_provider_that_is_away_is_an_outage() -> None:
    """What it says is what the outage says; no connection is made."""

    def away() -> str:
        raise OutageError("login.example: no answer")

    with ScriptedImap({}) as server, pytest.raises(OutageError, match=r"^login\.example: no answer$"):
        scripted(server, login=Token("dana", away)).open()
    assert server.commands == []


@pytest.mark.parametrize(
    ("offer", "expected"),
    [
        (b"AUTH=PLAIN AUTH=LOGIN", b"AUTHENTICATE PLAIN"),
        (b"AUTH=LOGIN", b"AUTHENTICATE LOGIN"),
        (b"UIDPLUS", b'LOGIN "corp\\\\dana \\"x\\"" "p\xc3\xa4ss"'),
    ],
)
def test_a_password_goes_the_way_that_is_offered(offer: bytes, expected: bytes) -> None:
    """SASL first, since LOGIN knows no other characters than ASCII; its arguments are quoted."""
    capabilities = b"* CAPABILITY IMAP4rev1 UIDPLUS " + offer + b"\r\n" + DONE
    continued = [b"+ \r\n", DONE] if b"PLAIN" not in offer else DONE
    with ScriptedImap({"CAPABILITY": capabilities, "CONTINUED": continued}) as server:
        mailbox = scripted(server, login=Password('corp\\dana "x"', "päss"))
        mailbox.open()
        mailbox.close()
    logins = [command.partition(b" ")[2] for command in server.commands]
    assert [login for login in logins if login.startswith((b"AUTH", b"LOGIN"))] == [expected]


def test_a_line_break_in_a_login_sends_no_second_command() -> None:
    """Where a password has to be quoted, one that would end the command is refused."""
    capabilities = b"* CAPABILITY IMAP4rev1 UIDPLUS\r\n" + DONE
    with ScriptedImap({"CAPABILITY": capabilities}) as server, pytest.raises(OutageError, match="login"):
        scripted(server, login=Password("dana", "x\r\nA DELETE INBOX")).open()
    assert not any(b"DELETE" in command for command in server.commands)


def test_no_login_is_offered() -> None:
    """A server that wants TLS first hears nothing."""
    capabilities = b"* CAPABILITY IMAP4rev1 LOGINDISABLED\r\n" + DONE
    with ScriptedImap({"CAPABILITY": capabilities}) as server:
        with pytest.raises(OutageError, match="offers none of PLAIN, LOGIN"):
            scripted(server).open()
        with pytest.raises(OutageError, match="does not offer XOAUTH2"):
            scripted(server, login=Token("dana", lambda: "tok")).open()
    assert {command.split()[1] for command in server.commands} == {b"CAPABILITY"}


def test_loopback_without_starttls_goes_on_in_plain() -> None:
    """The exemption of the contract, as for outgoing mail: nothing leaves this machine."""
    with ScriptedImap({}) as server:
        mailbox = scripted(server, starttls=True)
        mailbox.open()
        mailbox.close()
    assert not any(b"STARTTLS" in command for command in server.commands)


@pytest.mark.parametrize("allow_insecure", [False, True])
def test_starttls_not_offered_is_an_outage_elsewhere(*, allow_insecure: bool) -> None:
    """Another host that does not offer it hears no login, whatever is allowed."""
    address = _own_address()
    got: list[bytes] = []
    with socket.create_server((address, 0)) as listener:

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.sendall(b"* OK hi\r\n")
                while line := sock.recv(1000):
                    got.append(line)
                    tag = line.partition(b" ")[0]
                    sock.sendall(b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n" + tag + b" OK done\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = int(listener.getsockname()[1])
        account = Account(address, port, Password("dana", "swordfish"), allow_insecure=allow_insecure)
        with pytest.raises(OutageError, match="STARTTLS: the server does not offer it"):
            Mailbox(account, answer_seconds=2.0).open()
        thread.join(5)
    assert [line.split()[1] for line in got] == [b"CAPABILITY"]


def test_what_was_said_in_plain_behind_starttls_is_an_outage(dovecot: DovecotUser) -> None:
    """Octets that an attacker puts behind the answer never count as said under TLS (CVE-2021-33515)."""
    offers = b"* CAPABILITY IMAP4rev1 STARTTLS UIDPLUS\r\n" + DONE
    with (
        ScriptedImap({"CAPABILITY": offers, "STARTTLS": DONE + b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n"}) as server,
        pytest.raises(OutageError, match="before the encryption began"),
    ):
        scripted(server, starttls=True, ca_file=dovecot.server.ca_file).open()
    assert not any(b"AUTHENTICATE" in command for command in server.commands)


def test_a_greeting_that_skips_the_login_gets_no_starttls() -> None:
    """PREAUTH in plain would keep the connection in plain (CVE-2020-12398)."""
    offers = b"* CAPABILITY IMAP4rev1 STARTTLS UIDPLUS\r\n" + DONE
    with (
        ScriptedImap({"CAPABILITY": offers}, greeting=b"* PREAUTH come in\r\n") as server,
        pytest.raises(OutageError, match="STARTTLS"),
    ):
        scripted(server, starttls=True).open()


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(probe.getsockname()[0])
