"""An ``Account`` to an imapclient that is logged in: connected, encrypted where it must be."""

import base64
import imaplib
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from imapclient import IMAPClient
from imapclient.exceptions import ProtocolError

from worker.errors import OutageError, SettingsError
from worker.mail.connection import is_loopback
from worker.mail.relay import Password, Token
from worker.reply_poller.account import Account
from worker.reply_poller.imap_line import Line, Opened

BROKEN = (
    imaplib.IMAP4.error,
    OSError,
    # What imapclient stumbles over where a server does not speak IMAP as it should.
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RecursionError,
)
"""Everything that the libraries raise for what a server does or is."""

_MOST_WORDS = 300


class RefusalError(OutageError):
    """The server answered a command with NO or BAD; the connection is as good as before."""


class Client(IMAPClient):  # type: ignore[misc]  # imapclient has no types
    """imapclient on a line of ours; it is quiet about what passes there."""

    def __init__(self, account: Account, opened: Opened, context: ssl.SSLContext, answer_seconds: float) -> None:
        self._account = account
        self._opened = opened
        self._tls = context if account.tls else None
        self._answer_seconds = answer_seconds
        # That TLS may be under it, it need not know: the line does it.
        super().__init__(account.host, account.port, ssl=False, timeout=answer_seconds)
        self.normalise_times = False
        # imapclient has imaplib format every line, passwords and bodies too, for a log.
        self.line.debug = 0

    @property
    def line(self) -> Line:
        """What is under it."""
        line: Line = self._imap
        return line

    def _create_IMAP4(self) -> Line:  # noqa: N802 - imapclient's hook
        account = self._account
        return Line(
            account.host, account.port, context=self._tls, opened=self._opened, answer_seconds=self._answer_seconds
        )


@contextmanager
def asking(account: Account, step: str) -> Iterator[None]:
    """Whatever goes wrong with the server inside is an outage, in a sentence that names server and step.

    Raises:
        RefusalError: the server said no.
        OutageError: it is away, or does not speak IMAP.
    """
    try:
        yield
    except BROKEN as error:
        refused = isinstance(error, imaplib.IMAP4.error) and not isinstance(error, imaplib.IMAP4.abort | ProtocolError)
        kind = RefusalError if refused else OutageError
        raise kind(f"{account.server}: {step}: {_reason(error)}") from error


def log_in(account: Account, opened: Opened, answer_seconds: float) -> Client:
    """A client, logged in. A token that the server refuses is asked for anew, once.

    Raises:
        SettingsError: the file of certificates can't be read.
        OutageError: no connection, no greeting, no TLS, no login; the sentence says which.
    """
    context, secret = _tls_context(account), _secret(account.login)
    try:
        return _attempt(account, opened, context, secret, answer_seconds)
    except RefusalError:
        fresh = _secret(account.login)
        if fresh == secret:
            raise
    return _attempt(account, opened, context, fresh, answer_seconds)


def close(client: Client) -> None:
    """Give the socket back, whatever state it is in."""
    with suppress(*BROKEN):
        client.line.shutdown()


def _attempt(account: Account, opened: Opened, context: ssl.SSLContext, secret: str, answer_seconds: float) -> Client:
    with asking(account, "connecting"):
        client = Client(account, opened, context, answer_seconds)
    try:
        if account.starttls:
            _encrypt(client, account, context)
        _authenticate(client, account, secret)
    except BaseException:
        close(client)
        raise
    return client


def _encrypt(client: Client, account: Account, context: ssl.SSLContext) -> None:
    with asking(account, "STARTTLS"):
        if client.has_capability("STARTTLS"):
            client.starttls(context)
        elif not is_loopback(account.host):
            raise ConnectionError("the server does not offer it")


def _authenticate(client: Client, account: Account, secret: str) -> None:
    user = account.login.user
    client.line.untagged_responses.clear()
    try:
        with asking(account, "login"):
            if isinstance(account.login, Token):
                _use_token(client, user, secret)
            else:
                _use_password(client, user, secret)
            # Asked for here: what was offered before the login is not what holds after it.
            client.capabilities()
    except OutageError as error:
        # From None: what the server said may be what it was told.
        raise type(error)(_without(secret, user, str(error), account)) from None


def _use_token(client: Client, user: str, token: str) -> None:
    if not client.has_capability("AUTH=XOAUTH2"):
        raise ConnectionError("the server does not offer XOAUTH2")
    # The server tells why it refuses as a challenge, and wants an empty answer before it says so.
    client.sasl_login("XOAUTH2", _one_by_one([_bearer(user, token)]))


def _use_password(client: Client, user: str, password: str) -> None:
    if client.has_capability("AUTH=PLAIN"):
        client.plain_login(user, password)
    elif client.has_capability("AUTH=LOGIN"):
        client.sasl_login("LOGIN", _one_by_one([user, password]))
    elif not client.has_capability("LOGINDISABLED"):
        client.login(user, password)
    else:
        raise ConnectionError("the server offers none of PLAIN, LOGIN")


def _one_by_one(answers: list[str]) -> Callable[[bytes], str]:
    left = iter(answers)
    return lambda _challenge: next(left, "")


def _bearer(user: str, token: str) -> str:
    return f"user={user}\x01auth=Bearer {token}\x01\x01"


def _secret(login: Password | Token) -> str:
    return login.access_token() if isinstance(login, Token) else login.password


def _without(secret: str, user: str, said: str, account: Account) -> str:
    """The sentence, unless the server gave back what it was told."""
    forms = [secret, *map(_base64, (secret, f"\0{user}\0{secret}", _bearer(user, secret)))]
    if any(form and form in said for form in forms):
        return f"{account.server}: login: refused"
    return said


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


def _tls_context(account: Account) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=account.ca_file)
    except OSError as error:
        raise SettingsError(f"TLS_CA_FILE: {account.ca_file}: {error.strerror or error}") from None


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    if isinstance(error, imaplib.IMAP4.error | OSError):
        words = error.args[0] if error.args and isinstance(error.args[0], bytes) else str(error)
        text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
        return re.sub(r"[^\x20-\x7e\xa0-\U0010ffff]+", " ", text)[:_MOST_WORDS] or type(error).__name__
    return f"the server does not answer as IMAP wants it ({type(error).__name__})"
