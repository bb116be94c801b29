"""An approval mail to the mails that come back, as people's programs write them and our gateway files them.

Everything is taken from the mail itself, as a mail program does: where to answer, what to quote.
"""

import re
from collections.abc import Callable
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from functools import partial
from html import escape
from typing import Final, Literal

from worker.demo.mailserver import Arrival

AUTHSERV_ID: Final = "mx.corp.example"
"""The name that the demo's gateway writes in ``Authentication-Results``."""

Write = Callable[[Arrival, datetime], EmailMessage]
_BODY: Final = re.compile(r"<body[^>]*>(.*)</body>", re.DOTALL)


def gmail(words: str) -> Write:
    """A reply from Gmail: the answer above, the quote marked."""
    return partial(_write_gmail, words)


def outlook(words: str) -> Write:
    """A reply from a German Outlook: the mail answered stands below, with nothing before its lines."""
    return partial(_write_outlook, words)


def absence(words: str) -> Write:
    """What a mail server answers by itself while its owner is away."""
    return partial(_write_absence, words)


def receive(mail: EmailMessage, *, dmarc: Literal["pass", "fail"]) -> bytes:
    """The mail as our gateway files it: whom it was for, and what became of the sender's proof (RFC 8601)."""
    domain = mail["From"].addresses[0].domain
    trace = (
        f"Delivered-To: {mail['To'].addresses[0].addr_spec}",
        f"Authentication-Results: {AUTHSERV_ID};\r\n dmarc={dmarc} (p=reject) header.from={domain}",
    )
    return "".join(f"{line}\r\n" for line in trace).encode() + mail.as_bytes(policy=policy.SMTP)


def _write_gmail(words: str, asked: Arrival, now: datetime) -> EmailMessage:
    mail = _reply(asked, now, "Re: ")
    # Gmail writes a narrow blank before AM and PM.
    attribution = f"On {now:%a, %b %-d, %Y at %-I:%M\u202f%p} {_sender(asked)} wrote:"
    quoted = "\n".join(f"> {line}".rstrip() for line in _text(asked).splitlines())
    mail.set_content(f"{words}\n\n{attribution}\n\n{quoted}\n")
    mail.add_alternative(
        f'<div dir="ltr">{escape(words)}</div><br><div class="gmail_quote gmail_quote_container">'
        f'<div dir="ltr" class="gmail_attr">{escape(attribution)}<br></div>'
        '<blockquote class="gmail_quote" style="margin:0px 0px 0px 0.8ex;border-left:1px solid rgb(204,204,204);'
        f'padding-left:1ex">{_html(asked)}</blockquote></div>\n',
        subtype="html",
    )
    return mail


def _write_outlook(words: str, asked: Arrival, now: datetime) -> EmailMessage:
    mail = _reply(asked, now, "AW: ")
    head = {
        "Von": _sender(asked),
        "Gesendet": f"{now:%d.%m.%Y %H:%M}",
        "An": str(asked.message["To"]),
        "Betreff": str(asked.message["Subject"]),
    }
    lines = "\n".join(f"{name}: {value}" for name, value in head.items())
    mail.set_content(f"{words}\n\n{lines}\n\n{_text(asked)}")
    block = "<br>".join(f"<b>{name}:</b> {escape(value)}" for name, value in head.items())
    mail.add_alternative(
        f'<html><body lang="DE"><div class="WordSection1"><p class="MsoNormal">{escape(words)}</p>'
        '<p class="MsoNormal">&nbsp;</p><div><div style="border:none;border-top:solid #E1E1E1 1.0pt;'
        f'padding:3.0pt 0cm 0cm 0cm"><p class="MsoNormal">{block}</p></div></div>{_html(asked)}</div></body></html>\n',
        subtype="html",
    )
    return mail


def _write_absence(words: str, asked: Arrival, now: datetime) -> EmailMessage:
    mail = _reply(asked, now, "Automatic reply: ")
    mail["Auto-Submitted"] = "auto-replied"
    mail["X-Auto-Response-Suppress"] = "All"
    mail.set_content(f"{words}\n")
    return mail


def _reply(asked: Arrival, now: datetime, prefix: str) -> EmailMessage:
    mail = EmailMessage(policy=policy.SMTP)
    mail["From"] = str(asked.message["To"])
    mail["To"] = str(asked.message["Reply-To"])
    mail["Subject"] = f"{prefix}{asked.message['Subject']}"
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = make_msgid(domain="corp.example")
    mail["In-Reply-To"] = asked.message["Message-ID"]
    mail["References"] = f"{asked.message['References']} {asked.message['Message-ID']}"
    return mail


def _sender(asked: Arrival) -> str:
    return str(asked.message["From"])


def _text(asked: Arrival) -> str:
    return _content(asked, "plain")


def _html(asked: Arrival) -> str:
    html = _content(asked, "html")
    body = _BODY.search(html)
    return body[1] if body else html


def _content(asked: Arrival, form: Literal["plain", "html"]) -> str:
    part = asked.message.get_body((form,))
    return "" if part is None else str(part.get_content())
