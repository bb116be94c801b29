"""An approval mail and an answer to the reply, as Gmail, Outlook and a plain text client write it."""

import html
import quopri
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from bench.replies.questions import SENDER, Question

AUTHSERV_ID = "mx.corp.example"
REJECTED = 10
"""One in so many."""

_BODY = re.compile(r"<body[^>]*>(.*)</body>", re.DOTALL | re.IGNORECASE)
_SINCE = datetime(2026, 11, 23, 8, 24, tzinfo=UTC)
_APPROVALS = "Approve", "approve", "Approved.", "Approve - checked the change list", "Approve\n\nThanks\nDana"
_REJECTIONS = "Reject: the payroll run has that window", "Rejected\n\nNot before the audit is over."


def answer(number: int) -> tuple[str, bool]:
    """What the approver of that number types, and whether it approves."""
    if number % REJECTED == REJECTED - 1:
        return _REJECTIONS[number // REJECTED % len(_REJECTIONS)], False
    return _APPROVALS[number % len(_APPROVALS)], True


def reply(number: int, question: Question) -> bytes:
    """The mail in the folder: of ten answers six come from Gmail, three from Outlook, one is plain text."""
    text, _ = answer(number)
    place = number // 3 % 10
    write: Callable[[Question, str], tuple[str, str]] = _gmail if place < 6 else _outlook if place < 9 else _plain
    kind, body = write(question, text)
    fields = _arrival(number, question) + _written(number, question, kind)
    head = "".join(f"{name}: {value}\n" for name, value in fields)
    return (head + "\n" + body).encode().replace(b"\n", b"\r\n")


def _arrival(number: int, question: Question) -> list[tuple[str, str]]:
    when = format_datetime(_SINCE + timedelta(seconds=number))
    results = "dkim=pass header.d=corp.example header.s=s1; spf=pass smtp.mailfrom=corp.example;"
    hops = ("mx.corp.example", "relay-2.corp.example", "mail-sor-f41.corp.example")
    return [
        ("Return-Path", f"<{question.email}>"),
        ("Delivered-To", question.reply_to),
        ("Authentication-Results", f"{AUTHSERV_ID};\n {results}\n dmarc=pass header.from=corp.example"),
        *(
            ("Received", f"from {hop} ({hop} [192.0.2.{25 + at}])\n by {AUTHSERV_ID} with ESMTPS id {number}; {when}")
            for at, hop in enumerate(hops)
        ),
        ("DKIM-Signature", f"v=1; a=rsa-sha256; c=relaxed/relaxed; d=corp.example; s=s1;\n b={_BASE64}"),
    ]


def _written(number: int, question: Question, kind: str) -> list[tuple[str, str]]:
    return [
        ("MIME-Version", "1.0"),
        ("References", question.message_id),
        ("In-Reply-To", question.message_id),
        ("From", f"{question.name} <{question.email}>"),
        ("Date", format_datetime(_SINCE + timedelta(seconds=number))),
        ("Message-ID", f"<CAFx{number:08}@mail.corp.example>"),
        ("Subject", f"Re: {question.words.subject}"),
        ("To", f"Deployments <{question.reply_to}>"),
        ("Content-Type", kind),
    ]


_BASE64 = "\n ".join(["wqHc0YzMOlL3mMR2tMdQ3q3wLwFZxL1vJx8sYkq7mJtGkq0fYd8Lr2c5y6u1n9bZ4e"] * 5)


def _gmail(question: Question, text: str) -> tuple[str, str]:
    boundary = f"000000000000{question.token[:16]}"
    said = f"On Mon, 23 Nov 2026 at 08:24, Deployments <{question.reply_to}> wrote:"
    quoted = "".join(f"> {line}".rstrip() + "\n" for line in question.words.text.splitlines())
    style = "margin:0px 0px 0px 0.8ex;border-left:1px solid rgb(204,204,204);padding-left:1ex"
    attribution = f'<div dir="ltr" class="gmail_attr">{html.escape(said)}<br></div>'
    marked = (
        f'<div dir="ltr">{_lines(text)}</div><br><div class="gmail_quote gmail_quote_container">{attribution}'
        f'<blockquote class="gmail_quote" style="{style}">{_inner(question)}</blockquote></div>\n'
    )
    parts = ("plain", f"{text}\n\n{said}\n\n{quoted}"), ("html", marked)
    body = "".join(f"--{boundary}\n{_part(subtype, content)}\n" for subtype, content in parts)
    return f'multipart/alternative; boundary="{boundary}"', f"{body}--{boundary}--\n"


def _outlook(question: Question, text: str) -> tuple[str, str]:
    typed = "".join(f"<p class=MsoNormal>{html.escape(line) or '&nbsp;'}<o:p></o:p></p>" for line in text.splitlines())
    facts = (("From", SENDER), ("Sent", "Monday, November 23, 2026 8:24 AM"), ("To", question.name))
    lines = "<br>".join(f"<b>{name}:</b> {html.escape(value)}" for name, value in facts)
    heading = f"{lines}<br><b>Subject:</b> {html.escape(question.words.subject)}<o:p></o:p>"
    marked = _WORD.format(typed=typed, heading=heading, quoted=_inner(question))
    return 'text/html; charset="utf-8"\nContent-Transfer-Encoding: quoted-printable', _encode(marked)


_WORD = (
    '<html xmlns:v="urn:schemas-microsoft-com:vml" xmlns:o="urn:schemas-microsoft-com:office:office">'
    '<head><meta http-equiv=Content-Type content="text/html; charset=utf-8">'
    '<meta name=Generator content="Microsoft Word 15 (filtered medium)"><style><!--\n'
    "p.MsoNormal, li.MsoNormal, div.MsoNormal {{margin:0cm;font-size:11.0pt;font-family:Calibri,sans-serif;}}\n"
    "a:link, span.MsoHyperlink {{color:#0563C1;text-decoration:underline;}}\n"
    "div.WordSection1 {{page:WordSection1;}}\n--></style></head>"
    '<body lang=EN-GB link="#0563C1" vlink="#954F72" style="word-wrap:break-word"><div class=WordSection1>{typed}'
    "<p class=MsoNormal><o:p>&nbsp;</o:p></p><div><div style='border:none;border-top:solid #E1E1E1 1.0pt;"
    "padding:3.0pt 0cm 0cm 0cm'><p class=MsoNormal>{heading}</p></div></div>"
    "<p class=MsoNormal><o:p>&nbsp;</o:p></p>{quoted}</div></body></html>\n"
)


def _plain(question: Question, text: str) -> tuple[str, str]:
    quoted = "".join(f"> {line}".rstrip() + "\n" for line in question.words.text.splitlines())
    said = f"Am 23.11.26 um 08:24 schrieb Deployments:\n{quoted}"
    kind = "text/plain; charset=UTF-8; format=flowed\nContent-Transfer-Encoding: quoted-printable"
    return kind, _encode(f"{text}\n\n{said}\n-- \nDana Ito\nRelease Management\n")


def _part(subtype: str, content: str) -> str:
    head = f'Content-Type: text/{subtype}; charset="UTF-8"\nContent-Transfer-Encoding: quoted-printable'
    return f"{head}\n\n{_encode(content)}"


def _encode(content: str) -> str:
    return quopri.encodestring(content.encode()).decode("ascii")


def _lines(text: str) -> str:
    first, *others = text.split("\n")
    return html.escape(first) + "".join(f"<div>{html.escape(line) or '<br>'}</div>" for line in others)


def _inner(question: Question) -> str:
    found = _BODY.search(question.words.html)
    return found[1].strip() if found else question.words.html
