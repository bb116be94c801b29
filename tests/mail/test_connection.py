"""Setting up a session: TLS, login, and what is never done in plain."""

import base64
import hmac
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session
from mail.envelopes import an_envelope

from worker.errors import OutageError, SettingsError
from worker.mail.connection import is_loopback
from worker.mail.relay import Password, Receipt, Relay, Server, Token

USER, PASSWORD = "dana", "pässwörd ☃"


class Recorder:
    """Takes every mail, and remembers whether it came under TLS and who had logged in."""

    def __init__(self) -> None:
        self.mails: list[tuple[bool, object, bytes]] = []

    async def handle_DATA(self, _server: object, session: Session, envelope: Envelope) -> str:  # noqa: N802 - theirs
        """Take it."""
        assert isinstance(envelope.content, bytes)
        self.mails.append((session.ssl is not None, session.authenticated, envelope.content))
        return "250 2.0.0 taken"


def known(_server: object, _session: object, _envelope: object, mechanism: str, credentials: Any) -> AuthResult:
    """Only our user with our password, or with the right token."""
    if isinstance(credentials, LoginPassword):
        good = (credentials.login, credentials.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=good, handled=good)
    return AuthResult(success=mechanism == "XOAUTH2" and credentials == b"token", handled=True)


@contextmanager
def a_server(**options: Any) -> Iterator[tuple[int, Recorder]]:
    """A server with these options (aiosmtpd): its port, and what it takes."""
    recorder = Recorder()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    controller = Controller(recorder, "127.0.0.1", port, **options)
    controller.start()
    try:
        yield port, recorder
    finally:
        controller.stop()


def send(port: int, **settings: Any) -> tuple[list[Receipt | None], str]:
    """Send one mail with these settings; the receipts, and the outage in words."""
    relay = Relay(Server(**{"host": "localhost", "port": port, "timeout": 5, **settings}), connections=1, depth=1)
    sent = relay.send_many([an_envelope("one")])
    relay.close()
    return sent.receipts, str(sent.outage)


TAKEN = [Receipt(("one@corp.example",), {})]


def test_starttls_and_login(server_context: ssl.SSLContext, ca_file: str) -> None:
    """The mail goes out under TLS, after a login with characters beyond ASCII."""
    options = {"tls_context": server_context, "require_starttls": True, "authenticator": known, "auth_required": True}
    with a_server(**options) as (port, recorder):
        receipts, _ = send(port, ca_file=ca_file, login=Password(USER, PASSWORD))
    assert receipts == TAKEN
    encrypted, authenticated, _ = recorder.mails[0]
    assert (encrypted, bool(authenticated)) == (True, True)


def test_tls_from_the_first_octet(server_context: ssl.SSLContext, ca_file: str) -> None:
    """Port 465 style, and a mail larger than any buffer."""
    with a_server(ssl_context=server_context) as (port, recorder):
        server = Server("localhost", port, starttls=False, tls=True, ca_file=ca_file)
        relay = Relay(server, connections=1, depth=4)
        sent = relay.send_many([an_envelope("one", size=5_000_000), an_envelope("two")])
        relay.close()
    assert sent.outage is None
    assert len(recorder.mails[0][2]) > 4_900_000
    assert len(recorder.mails) == 2


@pytest.mark.parametrize("tls", [False, True])
def test_an_unknown_certificate_is_an_outage(server_context: ssl.SSLContext, *, tls: bool) -> None:
    """Also on loopback: who encrypts is verified."""
    options: dict[str, Any] = {"ssl_context" if tls else "tls_context": server_context}
    with a_server(**options) as (port, recorder):
        receipts, outage = send(port, tls=tls, starttls=not tls)
    assert receipts == [None]
    assert ("TLS" if tls else "STARTTLS") in outage
    assert "CERTIFICATE_VERIFY_FAILED" in outage
    assert recorder.mails == []


def test_a_certificate_for_another_name_is_an_outage(authority: trustme.CA, ca_file: str) -> None:
    """A certificate of the right authority for another host is refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example").configure_cert(context)
    with a_server(tls_context=context) as (port, recorder):
        receipts, outage = send(port, ca_file=ca_file)
    assert receipts == [None]
    assert "Hostname mismatch" in outage
    assert recorder.mails == []


def test_loopback_without_starttls_goes_on_in_plain() -> None:
    """The exemption of the contract: nothing leaves this machine."""
    with a_server() as (port, recorder):
        receipts, _ = send(port)
    assert receipts == TAKEN
    assert recorder.mails[0][0] is False


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_login_with_either_mechanism(mechanism: str) -> None:
    """Whichever the server offers."""
    excluded = {"PLAIN", "LOGIN"} - {mechanism}
    options = {"authenticator": known, "auth_require_tls": False, "auth_exclude_mechanism": excluded}
    with a_server(**options) as (port, recorder):
        receipts, _ = send(port, login=Password(USER, PASSWORD))
    assert receipts == TAKEN
    assert recorder.mails[0][1]


def test_a_wrong_password_is_an_outage_without_it() -> None:
    """The sentence names the step and the server's words, and never the password."""
    with a_server(authenticator=known, auth_require_tls=False) as (port, _):
        receipts, outage = send(port, login=Password(USER, "swordfish"))
    assert receipts == [None]
    assert "login: the server said 535" in outage
    assert "swordfish" not in outage
    assert "swordfish" not in repr(Server("localhost", port, login=Password(USER, "swordfish")))


def test_a_login_that_the_server_does_not_offer_is_an_outage() -> None:
    """No mail goes out without the login that was asked for."""
    with a_server() as (port, recorder):
        receipts, outage = send(port, login=Password(USER, PASSWORD))
    assert receipts == [None]
    assert "the server offers none of PLAIN, LOGIN, CRAM-MD5" in outage
    assert recorder.mails == []


Reply = Callable[[bytes], bytes]


@contextmanager
def a_dialogue(*replies: bytes | Reply) -> Iterator[tuple[int, list[bytes]]]:
    """A server that answers each line with the next of these; its port, and the lines it got."""
    got: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        sock, _ = listener.accept()
        with sock, sock.makefile("rb") as lines:
            for reply in replies:
                sock.sendall(reply(got[-1]) if callable(reply) else reply)
                line = lines.readline()
                if not line:
                    return
                got.append(line.rstrip(b"\r\n"))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1]), got
    finally:
        listener.close()
        thread.join(5)


def test_xoauth2_sends_the_token() -> None:
    """The bearer token in the form of Google and Microsoft, asked for at the login."""
    with a_dialogue(b"220 hi\r\n", b"250-hi\r\n250 AUTH PLAIN XOAUTH2\r\n", b"235 in\r\n", b"221 bye\r\n") as (
        port,
        got,
    ):
        relay = Relay(Server("localhost", port, login=Token("dana@x", lambda: "tok")), connections=1, depth=1)
        relay.send_many([an_envelope("one")])
        relay.close()
    assert base64.b64decode(got[1].removeprefix(b"AUTH XOAUTH2 ")) == b"user=dana@x\x01auth=Bearer tok\x01\x01"
    assert got[2].startswith(b"MAIL FROM:")


def test_xoauth2_refused_says_why() -> None:
    """The challenge with the reason is answered with an empty line, and the refusal is an outage."""
    why = base64.b64encode(json.dumps({"status": "401"}).encode())
    dialogue = (
        b"220 hi\r\n",
        b"250-hi\r\n250 AUTH XOAUTH2\r\n",
        b"334 " + why + b"\r\n",
        b"535 5.7.3 expired\r\n",
        b"",
    )
    with a_dialogue(*dialogue) as (port, got):
        _, outage = send(port, login=Token("dana@x", lambda: "tok"))
    assert got[2] == b""
    assert "login: the server said 535 5.7.3 expired" in outage
    assert "tok" not in outage


def test_a_token_that_is_not_to_be_had_is_an_outage() -> None:
    """What the provider of tokens says is what the outage says."""

    def away() -> str:
        raise OutageError("login.example: no answer")

    with a_dialogue(b"220 hi\r\n", b"250-hi\r\n250 AUTH XOAUTH2\r\n", b"") as (port, _):
        receipts, outage = send(port, login=Token("dana@x", away))
    assert receipts == [None]
    assert outage == "login.example: no answer"


def test_cram_md5() -> None:
    """RFC 2195's own example."""
    challenge = b"<1896.697170952@postoffice.reston.mci.net>"
    offer = b"250-hi\r\n250 AUTH CRAM-MD5\r\n"
    first = b"334 " + base64.b64encode(challenge) + b"\r\n"
    with a_dialogue(b"220 hi\r\n", offer, first, b"535 no\r\n", b"") as (port, got):
        send(port, login=Password("tim", "tanstaaftanstaaf"))
    digest = hmac.new(b"tanstaaftanstaaf", challenge, "md5").hexdigest()
    assert digest == "b913a602c7eda7a495b4e6e7334d3890"
    assert base64.b64decode(got[2]) == f"tim {digest}".encode()


def test_what_was_said_in_plain_behind_starttls_is_forgotten(server_context: ssl.SSLContext, ca_file: str) -> None:
    """Octets that an attacker puts behind the 220 never count as said under TLS (CVE-2011-0411)."""
    listener = socket.create_server(("127.0.0.1", 0))
    got: list[bytes] = []

    def serve() -> None:
        plain, _ = listener.accept()
        plain.sendall(b"220 hi\r\n")
        plain.recv(1000)
        plain.sendall(b"250-hi\r\n250 STARTTLS\r\n")
        plain.recv(1000)
        plain.sendall(b"220 go on\r\n250-evil\r\n250 AUTH PLAIN\r\n")
        with server_context.wrap_socket(plain, server_side=True) as sock:
            got.append(sock.recv(1000))
            sock.sendall(b"250 no login here\r\n")
            got.append(sock.recv(1000))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    _, outage = send(int(listener.getsockname()[1]), ca_file=ca_file, login=Password(USER, PASSWORD))
    thread.join(5)
    listener.close()
    assert got[0].lower().startswith(b"ehlo")
    assert "offers none of" in outage or "CERTIFICATE" in outage
    assert not any(b"AUTH" in line for line in got)


@pytest.mark.parametrize(
    ("replies", "sentence"),
    [
        ((b"554 5.3.2 go away\r\n",), "greeting: the server said 554 5.3.2 go away"),
        ((b"421 later\r\n",), "greeting: the server said 421 later"),
        ((b"banana\r\n",), "greeting"),
        ((b"",), "greeting"),
        ((b"220 hi\r\n", b"421 4.3.2 down\r\n", b""), "EHLO: "),
        ((b"220 hi\r\n", b"250-hi\r\n250 STARTTLS\r\n", b"454 4.7.0 no TLS\r\n"), "STARTTLS: the server said 454"),
        ((b"220 hi\r\n", b"250-hi\r\n250 AUTH PLAIN\r\n", b"454 4.7.0 later\r\n"), "login: the server said 454"),
        ((b"220 hi\r\n", b"250-hi\r\n250 AUTH PLAIN\r\n", b"334 !\r\n", b"334 !\r\n", b"501 no\r\n"), "login: "),
    ],
)
def test_each_step_that_fails_is_named(replies: tuple[bytes, ...], sentence: str) -> None:
    """An outage says at which step, and what the server said."""
    with a_dialogue(*replies) as (port, _):
        receipts, outage = send(port, login=Password(USER, PASSWORD), timeout=1)
    assert receipts == [None]
    assert f"localhost:{port}: {sentence}" in outage


def test_a_name_that_does_not_resolve_is_an_outage() -> None:
    """DNS is part of the server being there."""
    receipts, outage = send(25, host="mail.invalid")
    assert receipts == [None]
    assert "mail.invalid:25: connecting" in outage


def test_ehlo_gives_a_name_or_an_address() -> None:
    """RFC 5321 4.1.3: the name that was set, else this machine's with a domain, else an address in brackets."""
    with a_dialogue(b"220 hi\r\n", b"250 hi\r\n", b"") as (port, got):
        send(port, hostname="worker.corp.example", timeout=0.3)
    assert got[0] == b"ehlo worker.corp.example"
    with a_dialogue(b"220 hi\r\n", b"250 hi\r\n", b"") as (port, got):
        send(port, host="127.0.0.1", timeout=0.3)
    name = socket.gethostname()
    assert got[0].decode() == f"ehlo {name if '.' in name else '[127.0.0.1]'}"


@pytest.mark.parametrize("starttls", [False, True])
def test_two_kinds_of_tls_exclude_each_other(*, starttls: bool) -> None:
    """TLS from the first octet with STARTTLS is an error of the settings."""
    if starttls:
        with pytest.raises(SettingsError, match="exclude each other"):
            Server("mail.example", 465, tls=True, starttls=True)
    else:
        assert Server("mail.example", 465, tls=True, starttls=False).name == "mail.example:465"


def test_plain_to_another_host_needs_a_word() -> None:
    """Without TLS only loopback is reached, unless that is allowed."""
    with pytest.raises(SettingsError, match="ALLOW_INSECURE_MAIL"):
        Server("mail.example", 25, starttls=False)
    assert Server("mail.example", 25, starttls=False, allow_insecure=True)
    assert Server("127.9.9.9", 25, starttls=False)


@pytest.mark.parametrize("allow_insecure", [False, True])
def test_starttls_not_offered_is_an_outage_elsewhere(*, allow_insecure: bool) -> None:
    """Another host that does not offer STARTTLS gets nothing in plain, whatever is allowed."""
    address = _own_address()
    listener = socket.create_server((address, 0))
    got: list[bytes] = []

    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            sock.sendall(b"220 hi\r\n")
            got.append(sock.recv(1000))
            sock.sendall(b"250-hi\r\n250 AUTH PLAIN\r\n")
            got.append(sock.recv(1000))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    port = int(listener.getsockname()[1])
    receipts, outage = send(port, host=address, allow_insecure=allow_insecure, login=Password(USER, PASSWORD))
    thread.join(5)
    listener.close()
    assert receipts == [None]
    assert "STARTTLS: the server does not offer it" in outage
    assert got[1:] == [b""]


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(probe.getsockname()[0])


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("127.0.0.1", True),
        ("127.200.3.4", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
        ("mail.example", False),
        ("", False),
    ],
)
def test_loopback_is_what_can_only_be_this_machine(host: str, *, expected: bool) -> None:
    """127.0.0.0/8, ::1 and localhost, nothing that merely looks like them."""
    assert is_loopback(host) is expected
