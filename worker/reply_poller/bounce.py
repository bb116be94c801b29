"""A ``Reply`` to what a mail system reports with it: a mail that came back, one that waits, or a receipt.

Source: RFC 3464 (delivery status), RFC 8098 (receipts), RFC 5965 (complaints), and the words that mail systems wrote
before those, or write still.
"""

import re

from worker.reply_poller.reply import Headers, Reply
from worker.reply_poller.structured import fold
from worker.reply_poller.verdict import Automatic, Bounced

LONGEST_REASON = 300
_LOOKED_AT = 8_192

_REPORTS = {
    "disposition-notification": "a receipt: it says that a mail was shown or deleted, not by whom",
    "feedback-report": "a complaint: somebody marked a mail of ours as spam",
}
_WAITING = "a delay: a mail is still being tried"
_DELIVERED = "a receipt: a mail was handed on"
_UNCLEAR = "a delivery report that names no failure"

_DAEMON = re.compile(r'["<\s]*(?:mailer-daemon|postmaster|microsoftexchange[0-9a-f]{32})(?![^\s"@<>()])', re.IGNORECASE)
_TITLES = (
    "undeliverable",
    "undelivered mail",
    "unzustellbar",
    "non remis",
    "non recapitabile",
    "no se puede entregar",
    "onbestelbaar",
    "mail delivery failed",
    "mail delivery failure",
    "mail could not be delivered",
    "message could not be delivered",
    "message undeliverable",
    "message not delivered",
    "delivery status notification (failure)",
    "delivery notification: delivery has failed",
    "delivery failure",
    "delivery failed",
    "failure notice",
    "returned mail",
    "mail system error",
    "nondeliverable mail",
    "non-delivery",
)
_FAILED = (
    "could not be delivered",
    "couldn't be delivered",
    "can't be delivered",
    "cannot be delivered",
    "wasn't delivered to",
    "was not delivered to",
    "wasn't able to deliver your message",
    "was unable to deliver your message",
    "were unable to deliver your message",
    "unable to deliver this message",
    "did not reach some or all of the intended recipients",
    "delivery has failed to these recipients",
    "delivery to the following recipient failed permanently",
    "delivery to the following recipients failed",
    "had permanent fatal errors",
    "the following address(es) failed",
    "could not be reached",
    "konnte nicht zugestellt werden",
    "konnte nicht an die folgenden",
    "n'a pas pu être remis",
    "no se pudo entregar",
    "non è stato possibile recapitare",
)
_DELAYED = (
    "delayed mail",
    "delivery status notification (delay)",
    "delivery delayed",
    "delivery has been delayed",
    "has not yet been delivered",
    "has not been delivered yet",
    "message is delayed",
    "will be retried",
    "will keep trying",
    "still being retried",
    "had transient non-fatal errors",
    "this is a warning message only",
    "you do not need to resend",
    "could not send message for past",
    "temporary problem delivering",
    "delivery attempts will continue",
)
_ADDRESS = re.compile(r"[^\s<>()\[\]:;,@\"'\\]{1,64}@[^\s<>()\[\]:;,@\"'\\]{1,253}")
_TOKEN = re.compile(r"(?<![A-Za-z0-9])[a-z2-7]{32}(?![A-Za-z0-9])", re.IGNORECASE | re.ASCII)
_STATUS = re.compile(r"([245])\.\d{1,3}\.\d{1,3}")


def find_report(reply: Reply) -> Bounced | Automatic | None:
    """What it reports, or None where it is no report: a failure for good counts more than all else in it."""
    return _structured(reply) or _failed_recipients(reply.headers) or _worded(reply)


def comes_from_daemon(headers: Headers) -> bool:
    """Whether From is an address that mail systems report from, even one that is no proper address."""
    return any(_DAEMON.match(_angle(value)) for value in headers.all("from"))


def has_null_sender(headers: Headers) -> bool:
    """Whether nobody is to hear of what becomes of it (RFC 5321 4.5.5): the topmost Return-Path, ours, is empty."""
    path = fold(headers.first("return-path") or "").strip()
    return path == "<>" or path.startswith("<mailer-daemon")


def _structured(reply: Reply) -> Bounced | Automatic | None:
    kind = _kind(reply)
    # A person may attach the report that they got about another mail.
    if not kind and not _from_machine(reply.headers):
        return None
    for report, field in (("disposition-notification", "disposition"), ("feedback-report", "feedback-type")):
        if report == kind or _groups(reply, field):
            return Automatic(_REPORTS[report])
    recipients = _groups(reply, "action") or _groups(reply, "status") or _groups(reply, "final-recipient")
    if recipients:
        return _status(recipients)
    return (_worded(reply) or Automatic(_UNCLEAR)) if kind == "delivery-status" else None


def _kind(reply: Reply) -> str:
    """What the whole mail reports, if it is a report: by its parameter, or by its own type."""
    kind, _, subtype = reply.media_type.partition("/")
    if reply.media_type == "multipart/report":
        return fold(reply.parameters.get("report-type", "")).strip() or "unnamed"
    subtype = subtype.removeprefix("global-")
    return subtype if kind == "message" and subtype in {"delivery-status", *_REPORTS} else ""


def _from_machine(headers: Headers) -> bool:
    return comes_from_daemon(headers) or has_null_sender(headers)


def _groups(reply: Reply, field: str) -> list[Headers]:
    return [group for group in reply.reports if group.first(field) is not None]


def _status(recipients: list[Headers]) -> Bounced | Automatic:
    actions = [_action(group) for group in recipients]
    if "failed" in actions:
        return _bounced(recipients[actions.index("failed")])
    if "delayed" in actions:
        return Automatic(_WAITING)
    return Automatic(_DELIVERED if set(actions) <= {"relayed", "delivered", "expanded"} else _UNCLEAR)


def _action(group: Headers) -> str:
    """``Action`` (RFC 3464 2.3.3); where it is missing, what the status code says."""
    named = fold(group.first("action") or "").split(maxsplit=1)
    if named:
        return named[0]
    status = _STATUS.match((group.first("status") or "").strip())
    return {"5": "failed", "4": "delayed", "2": "delivered"}[status[1]] if status else ""


def _bounced(group: Headers) -> Bounced:
    # Where the sender's own word for the recipient is known it says more than the one at the end of all forwarding.
    addresses = [_typed_address(group.first(name)) for name in ("original-recipient", "final-recipient")]
    details = [group.first(name) or "" for name in ("status", "diagnostic-code")]
    reason = ": ".join(["a mail came back", *filter(None, map(_readable, details))])
    return Bounced(reason[:LONGEST_REASON], next(filter(None, addresses), None))


def _typed_address(value: str | None) -> str | None:
    """The address behind its type: ``rfc822; dana@corp.example``."""
    return _first_address((value or "")[:_LOOKED_AT].rpartition(";")[2])


def _failed_recipients(headers: Headers) -> Bounced | None:
    """Exim and Gmail name them in a field of their own."""
    value = headers.first("x-failed-recipients")
    if value is None:
        return None
    return Bounced("a mail came back: X-Failed-Recipients", _first_address(value[:_LOOKED_AT]))


def _worded(reply: Reply) -> Bounced | Automatic | None:
    """In words alone; they count where a mail system sent them, or where title and text both say so."""
    text = reply.text[:_LOOKED_AT]
    title, body = _plain(reply.subject), _plain(text)
    failed = _earliest(body, _FAILED)
    titled = title.startswith(_TITLES)
    if not (_from_machine(reply.headers) or (titled and failed is not None)):
        return None
    if _earliest(title, _DELAYED) is not None or (not titled and _earliest(body, _DELAYED) is not None):
        return Automatic(_WAITING)
    if failed is None and not titled:
        return None
    return Bounced("a mail came back: its mail system says so in words", _first_address(body[failed or 0 :]))


def _earliest(text: str, phrases: tuple[str, ...]) -> int | None:
    return min((place for place in map(text.find, phrases) if place >= 0), default=None)


def _plain(text: str) -> str:
    return " ".join(text[:_LOOKED_AT].lower().replace("\u2019", "'").split())


def _first_address(text: str) -> str | None:
    """The first that isn't a mail system's, nor one of ours with its token."""
    found = (match[0].strip(".") for match in _ADDRESS.finditer(text))
    fitting = (address for address in found if address.isprintable() and not _TOKEN.search(address))
    return next((address for address in fitting if not _DAEMON.match(address)), None)


def _readable(text: str) -> str:
    printable = "".join(letter if letter.isprintable() else " " for letter in text[:LONGEST_REASON])
    return _TOKEN.sub("…", " ".join(printable.split()))


def _angle(value: str) -> str:
    """What stands in the last angle brackets, or all of it."""
    return value[:_LOOKED_AT].rpartition("<")[2]
