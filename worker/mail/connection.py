"""A ``Server`` to a ``Connection``: connected, encrypted where it must be, logged in; smtplib's session set-up."""

import base64
import hmac
import ipaddress
import smtplib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from worker.errors import OutageError, SettingsError
from worker.mail.exchange import Features

_CONNECT_SECONDS = 20.0
_READY = 220
_CONTINUE = 334
_LOGGED_IN = 235


@dataclass(frozen=True, slots=True)
class Password:
    """A login by name and password."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Token:
    """A login by OAuth 2.0 (XOAUTH2): ``access_token`` gives a valid one, asked for at each login.

    It raises ``OutageError`` where none is to be had.
    """

    user: str
    access_token: Callable[[], str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Server:
    """The mail server, and how to come in.

    ``tls``: from the first octet; ``starttls``: required, except on loopback where the server does not offer it.
    ``hostname`` is what EHLO says; ``None``: this machine's name, or its address where the name has no domain.

    Raises:
        SettingsError: both kinds of TLS, or none towards another host without ``allow_insecure``.
    """

    host: str
    port: int
    starttls: bool = True
    tls: bool = False
    login: Password | Token | None = None
    ca_file: str | None = None
    allow_insecure: bool = False
    hostname: str | None = None
    timeout: float = 300.0

    def __post_init__(self) -> None:
        if self.tls and self.starttls:
            raise SettingsError("SMTP_ENABLE_TLS and SMTP_ENABLE_STARTTLS exclude each other: set one of them to false")
        if not (self.tls or self.starttls or self.allow_insecure or is_loopback(self.host)):
            raise SettingsError(
                f"mail to {self.host} would cross the network unencrypted: set SMTP_ENABLE_STARTTLS or SMTP_ENABLE_TLS,"
                " or ALLOW_INSECURE_MAIL where that is acceptable"
            )

    @property
    def name(self) -> str:
        """Host and port, as a sentence names them."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Connection:
    """A session that is set up; ``left_over`` is what the server said without being asked."""

    sock: socket.socket
    features: Features
    left_over: bytes


def is_loopback(host: str) -> bool:
    """Whether the name or address can only mean this machine: 127.0.0.0/8, ::1, localhost."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return False


def connect(server: Server, opened: Callable[[socket.socket], None]) -> Connection:
    """A connection, ready for mail.

    ``opened`` gets a duplicate of the socket first, so that another thread can cut the connection at any time;
    closing that is up to who asked for it.

    Raises:
        OutageError: no connection, no greeting, no TLS, no login; the sentence says which, and the server's words.
    """
    setup = _Setup(server, opened)
    try:
        return setup.run()
    except (smtplib.SMTPException, OSError, ValueError) as error:
        setup.close()
        raise OutageError(f"{server.name}: {setup.step}: {_reason(error)}") from error
    except BaseException:
        setup.close()
        raise


class _Setup(smtplib.SMTP):
    """smtplib's session set-up, step by step; ``step`` says how far it got."""

    def __init__(self, server: Server, opened: Callable[[socket.socket], None]) -> None:
        self.step = "connecting"
        self._server = server
        self._opened = opened
        # Given a name, smtplib asks no DNS for one; the real one follows when the socket has an address.
        super().__init__(local_hostname=server.hostname or "localhost", timeout=server.timeout)
        self._host = server.host.strip("[]")

    def run(self) -> Connection:
        """Connect, greet, encrypt, log in."""
        code, text = self.connect(self._host, self._server.port)
        if code != _READY:
            raise smtplib.SMTPResponseException(code, text)
        self.local_hostname = self._server.hostname or _own_name(self._open_socket())
        self._greet()
        if self._server.starttls:
            self._upgrade()
        if self._server.login:
            self._log_in(self._server.login)
        return Connection(self._open_socket(), self._features(), self._left_over())

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        # The same hook as in smtplib.SMTP_SSL.
        connected = socket.create_connection((host, port), min(timeout, _CONNECT_SECONDS))
        self._opened(connected.dup())
        connected.settimeout(timeout)
        if self._server.tls:
            self.step = "TLS"
            connected = self._context().wrap_socket(connected, server_hostname=self._host)
        elif is_loopback(self._host) and not _is_here(connected):
            raise ConnectionError(f"{self._host} is not this machine")
        self.step = "greeting"
        return connected

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._server.ca_file)

    def _open_socket(self) -> socket.socket:
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("the server closed the connection")
        return self.sock

    def _greet(self) -> None:
        self.step = "EHLO"
        self.ehlo_or_helo_if_needed()

    def _upgrade(self) -> None:
        self.step = "STARTTLS"
        if not self.has_extn("starttls"):
            if is_loopback(self._host):
                return
            raise smtplib.SMTPNotSupportedError("the server does not offer it")
        # smtplib forgets what was read in plain behind the response, and what EHLO offered there (RFC 3207 4.2).
        self.starttls(context=self._context())
        self._greet()

    def _log_in(self, login: Password | Token) -> None:
        self.step = "login"
        offered = self.esmtp_features.get("auth", "").upper().split()
        mechanisms = ("XOAUTH2",) if isinstance(login, Token) else ("PLAIN", "LOGIN", "CRAM-MD5")
        mechanism = next((name for name in mechanisms if name in offered), None)
        if mechanism is None:
            raise smtplib.SMTPNotSupportedError(f"the server offers none of {', '.join(mechanisms)}")
        self._authenticate(mechanism, _answers(mechanism, login))

    def _authenticate(self, mechanism: str, answers: list[Callable[[bytes], bytes]]) -> None:
        # smtplib's own login() takes ASCII passwords alone.
        first = [] if mechanism in _CHALLENGED else [_base64(answers.pop(0)(b""))]
        code, text = self.docmd("AUTH", " ".join([mechanism, *first]))
        while code == _CONTINUE:
            answer = answers.pop(0)(base64.b64decode(text)) if answers else b""
            code, text = self.docmd(_base64(answer))
        if code != _LOGGED_IN:
            raise smtplib.SMTPResponseException(code, text)

    def _features(self) -> Features:
        offers = self.esmtp_features
        size = offers.get("size", "").strip()
        return Features(
            chunking="chunking" in offers,
            pipelining="pipelining" in offers,
            eightbitmime="8bitmime" in offers,
            smtputf8="smtputf8" in offers,
            sizes="size" in offers,
            # RFC 1870 4: none, or 0, is no fixed limit.
            size=(int(size) or None) if size.isascii() and size.isdigit() else None,
        )

    def _left_over(self) -> bytes:
        self._open_socket().setblocking(False)
        if self.file is None:
            return b""
        with self.file as buffered:
            try:
                return buffered.read1(65536) or b""
            except ssl.SSLWantReadError:
                return b""


_CHALLENGED = ("LOGIN", "CRAM-MD5")


def _answers(mechanism: str, login: Password | Token) -> list[Callable[[bytes], bytes]]:
    user = login.user.encode()
    if isinstance(login, Token):
        bearer = b"user=%b\x01auth=Bearer %b\x01\x01" % (user, login.access_token().encode())
        return [lambda _: bearer]
    password = login.password.encode()
    if mechanism == "PLAIN":
        return [lambda _: b"\0%b\0%b" % (user, password)]
    if mechanism == "LOGIN":
        return [lambda _: user, lambda _: password]
    # RFC 2195 prescribes MD5.
    return [lambda challenge: user + b" " + hmac.new(password, challenge, "md5").hexdigest().encode()]


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def _own_name(sock: socket.socket) -> str:
    name = socket.gethostname()
    if "." in name and name.isascii():
        return name
    # RFC 5321 4.1.3: a client without a domain name gives its address.
    address = str(sock.getsockname()[0]).partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _is_here(sock: socket.socket) -> bool:
    return is_loopback(str(sock.getpeername()[0]))


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error
        words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        return f"the server said {error.smtp_code} {' '.join(words.split())[:500]}"
    return str(error) or type(error).__name__
