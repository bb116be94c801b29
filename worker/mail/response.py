"""Octets from the mail server to ``Response`` values, and which of them say that the server is out for everybody."""

import re
from dataclasses import dataclass

from worker.errors import OutageError

# Steps of an exchange, as a sentence names them.
RSET, MAIL, RCPT, DATA, BDAT, DOT = "RSET", "MAIL FROM", "RCPT TO", "DATA", "BDAT", "the end of the mail"

CLOSING = 421
SEQUENCE = 503
SEND_CONTENT = 354

_MAX_LINE = 8192
_MAX_LINES = 256
_MAX_TEXT = 500
_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_STATUS = re.compile(r"[245]\.(\d{1,3}\.\d{1,3})(?!\S)")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Response:
    """One answer of the server: RFC 5321 calls it a reply; here that word is taken."""

    code: int
    text: str

    @property
    def refuses(self) -> bool:
        """4yz or 5yz."""
        return self.code >= 400  # noqa: PLR2004 - the number is the RFC's

    @property
    def status(self) -> str:
        """Subject and detail of the enhanced status code (RFC 3463), such as ``1.1``; empty without one."""
        found = _STATUS.match(self.text)
        return found[1] if found else ""

    def __str__(self) -> str:
        return f"{self.code} {self.text}".rstrip()


# What nearly every response is; nobody reads the text of these.
OK = Response(250, "")
GO_ON = Response(SEND_CONTENT, "")

# Who is refused with one of these is not refused for the mail: no other mail would do better (contract, section 2).
OUTAGE_CODES = {
    421: "RFC 5321 3.8: the service closes the connection",
    432: "RFC 5321 errata and Exchange Online: a password transition is needed, or too many connections",
    454: "RFC 4954 6, RFC 3207 4: authentication or TLS fails for the time being; Amazon SES: throttling",
    521: "RFC 7504: the host takes no mail",
    525: "RFC 5248 3: the account is disabled",
    530: "RFC 4954 6, RFC 3207 4: authentication or STARTTLS is required first",
    534: "RFC 4954 6: the mechanism is too weak",
    535: "RFC 4954 6: the credentials are not valid, or no longer",
    538: "RFC 4954 of old: encryption is required for the mechanism",
}
OUTAGE_STATUS = {
    "3.1": "RFC 3463 3.4: mail system full",
    "3.2": "RFC 3463 3.4: system not accepting network messages; Exchange Online: too many connections",
    "4.5": "RFC 3463 3.5: mail system congestion; Gmail: the daily sending limit",
    "7.8": "RFC 4954 6: authentication credentials invalid",
    "7.9": "RFC 4954 6: authentication mechanism too weak",
    "7.11": "RFC 4954 6: encryption required",
    "7.12": "RFC 4954 6: a password transition is needed",
    "7.13": "RFC 5248 3: user account disabled",
    "7.57": "Exchange Online: the client was not authenticated",
    "7.232": "Exchange Online: the tenant's limit for external recipients (trial)",
    "7.233": "Exchange Online: the tenant's limit for external recipients",
    "7.501": "Exchange Online: the sender is blocked for spam",
    "7.502": "Exchange Online: the sender is banned",
    "7.503": "Exchange Online: the sender is banned",
    "7.705": "Exchange Online: the tenant has exceeded its threshold",
    "7.708": "Exchange Online: traffic from this address is not accepted",
    "1.90": "Exchange Online: the daily limit for recipients",
    "2.251": "Exchange Online: the sender is throttled, its mailbox is full",
    "2.252": "Exchange Online: the sender is throttled after too many refusals",
    "2.253": "Exchange Online: the sender is throttled, it has no licence",
    "2.254": "Exchange Online: the sender is throttled after too many recipients",
    "2.255": "Exchange Online: the sender is throttled after too many wrong recipients",
}
OUTAGE_WORDS = {
    "quotaexceededexception": "Exchange Online: 554 5.2.0 SubmissionQuotaExceeded, 554 5.2.2 the sender's own mailbox",
    "bad outbound sender": "Exchange Online: 550 5.1.8, the sender is blocked",
    "relay limit exceeded": "Google Workspace: 450 4.2.1 and 550 5.7.1, for the customer",
    "relay sending limit exceeded": "Google Workspace: 550 5.7.1, for the customer",
    "sending paused for this account": "Amazon SES: 554",
}
_SYSTEM_FULL = 452


def is_outage(step: str, response: Response) -> bool:
    """Whether a refusal means the server or our account, not this mail or recipient."""
    if response.code in OUTAGE_CODES or response.status in OUTAGE_STATUS:
        return True
    # A bad sequence at MAIL is about the session: an earlier transaction still open, or a greeting or login missed.
    if response.code == SEQUENCE and step == MAIL:
        return True
    # RFC 5321 4.2.3: insufficient system storage; behind RCPT it stands for too many recipients (4.5.3.1.10).
    if response.code == _SYSTEM_FULL and not response.status and step != RCPT:
        return True
    text = response.text.lower()
    return any(words in text for words in OUTAGE_WORDS)


class ResponseReader:
    """Cuts what was read from a connection into responses; keeps what is not complete yet."""

    __slots__ = ("_lines", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[bytes] = []

    @property
    def empty(self) -> bool:
        """Whether nothing incomplete is held."""
        return not self._rest and not self._lines

    def feed(self, octets: bytes) -> list[Response]:
        """The responses that are complete now, oldest first.

        Raises:
            OutageError: what came is no SMTP response; nothing behind it can be trusted.
        """
        lines = (self._rest + octets).split(b"\n")
        self._rest = lines.pop()
        found: list[Response] = []
        for line in lines:
            start = line[:4]
            if start == b"250 " and not self._lines:
                found.append(OK)
            elif start == b"354 " and not self._lines:
                found.append(GO_ON)
            elif response := self._complete(line):
                found.append(response)
        if len(self._rest) > _MAX_LINE:
            raise OutageError("the server sent a line without end")
        return found

    def _complete(self, line: bytes) -> Response | None:
        matched = _LINE.fullmatch(line.rstrip(b"\r"))
        if not matched or len(line) > _MAX_LINE or len(self._lines) > _MAX_LINES:
            raise OutageError(f"the server sent something that is no SMTP response: {_readable(line)[:80]!r}")
        self._lines.append(matched[3] or b"")
        if matched[2] == b"-":
            return None
        lines, self._lines = self._lines, []
        return Response(int(matched[1]), _one_line(lines))


def _one_line(lines: list[bytes]) -> str:
    first, *others = (_readable(line) for line in lines)
    status = _STATUS.match(first)
    repeated = status[0] if status else None
    rest = (line.removeprefix(repeated).strip() if repeated else line for line in others)
    return " ".join(part for part in (first, *rest) if part)[:_MAX_TEXT]


def _readable(line: bytes) -> str:
    return _UNPRINTABLE.sub(" ", line.decode("utf-8", "replace")).strip()
