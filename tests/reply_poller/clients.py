"""Replies as mail clients write them: an answer, the mail that it answers, a client and a language, to the raw mail."""

import base64
import quopri
import re
import textwrap
import tomllib
from dataclasses import dataclass, field
from email.header import Header
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from builders import an_approval_event, parsed
from rendered import Overrides, asked

from worker.consumers.approvals import ReplyRoute
from worker.events import ApprovalRequested
from worker.reply_token import TokenKeys

HERE = Path(__file__).parent
REPLY_ADDRESS = "approvals@deploy.example.net"
FROM_ADDRESS = "deployments@corp.example"
NAME = "Deployments"
TOKEN = "c0ffee00c0ffee00c0ffee00c0ffee00"
YOU = "Dana Ito <dana@corp.example>"

Layout = dict[str, Any]
CLIENTS: dict[str, Layout] = tomllib.loads((HERE / "clients.toml").read_text("utf-8"))
TONGUES: dict[str, dict[str, Any]] = tomllib.loads((HERE / "tongues.toml").read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class Original:
    """The mail that is answered, and under which name and address it came."""

    subject: str
    text: str
    html: str
    name: str = NAME
    mail: str = FROM_ADDRESS
    to: str = f"approvals+{TOKEN}@deploy.example.net"


@dataclass(frozen=True, slots=True)
class Envelope:
    """How the parts travel."""

    charset: str = "utf-8"
    encoding: str = "quoted-printable"
    sender: str = YOU
    below: str = ""
    headers: dict[str, str] = field(default_factory=dict)


PLAIN = Envelope()


@cache
def our_mail() -> Original:
    """Our own approval mail, as it goes out."""
    question = parsed(an_approval_event())
    assert isinstance(question, ApprovalRequested)
    templates = Overrides(Path("/nonexistent")).templates
    route = ReplyRoute(REPLY_ADDRESS, "+", TokenKeys([b"k" * 32]), "approve", "reject")
    words = asked(templates, question, links=route.links(TOKEN, question.data.approval.title))
    body = words.html.partition("<body")[2].partition(">")[2].partition("</body>")[0]
    return Original(words.subject, words.text, body)


@cache
def other_mail() -> Original:
    """A mail of another wording, whose lines begin with the words that decide; it came from the reply address."""
    text = (HERE / "other-mail.txt").read_text("utf-8")
    lines = "".join(f"<p>{escape(line)}</p>" if line else "" for line in text.splitlines())
    address = f"approvals+{TOKEN}@deploy.example.net"
    return Original(
        "Please decide: roll out ledger 7.3 [C-204]", text, lines, "Release Desk", address, f"Release Desk <{address}>"
    )


def a_reply(
    client: str, *answer: str, tongue: str = "en", original: Original | None = None, envelope: Envelope = PLAIN
) -> bytes:
    """The raw mail in which that client sends these lines."""
    layout, mail = CLIENTS[client], original or our_mail()
    said = _said(TONGUES[tongue], mail, layout)
    parts = []
    if "text" in layout:
        text = _filled(layout["text"], said | {"answer": "\n".join(answer)}) + envelope.below
        flowed = "; format=flowed" if layout.get("flowed") else ""
        parts.append(a_part("plain", text, envelope, flowed))
    if "html" in layout:
        shown = {name: escape(value, quote=False) for name, value in said.items()}
        below = f"<p>{escape(envelope.below.strip())}</p>" if envelope.below else ""
        shown |= {"original": mail.html} | _answers(answer)
        parts.append(a_part("html", _filled(layout["html"], shown) + below, envelope))
    return a_mail(parts, mail, envelope, prefix=TONGUES[tongue]["prefix"])


def a_mail(parts: list[bytes], original: Original, envelope: Envelope = PLAIN, *, prefix: str = "Re:") -> bytes:
    """A mail with that part, or those alternatives."""
    subject = f"{prefix} {original.subject}"
    headers = {
        "From": envelope.sender,
        "To": original.to,
        "Subject": subject if subject.isascii() else Header(subject, "utf-8").encode(linesep="\r\n"),
        "In-Reply-To": f"<approval.{TOKEN}@corp.example>",
        "MIME-Version": "1.0",
    } | envelope.headers
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
    if len(parts) == 1:
        return head + parts[0]
    return head + multipart("alternative", parts)


def multipart(kind: str, parts: list[bytes], more: str = "") -> bytes:
    """Those parts in one."""
    lines = b"".join(b"--=_edge_%s\r\n%s\r\n" % (kind.encode(), part) for part in parts)
    return b'Content-Type: multipart/%s; boundary="=_edge_%s"%s\r\n\r\n%s--=_edge_%s--\r\n' % (
        kind.encode(),
        kind.encode(),
        more.encode(),
        lines,
        kind.encode(),
    )


def a_part(kind: str, text: str, envelope: Envelope = PLAIN, more: str = "") -> bytes:
    """A text part, encoded."""
    raw = text.replace("\n", "\r\n").encode(envelope.charset, "xmlcharrefreplace" if kind == "html" else "strict")
    if envelope.encoding == "base64":
        body = base64.encodebytes(raw)
    elif envelope.encoding == "quoted-printable":
        body = quopri.encodestring(raw)
    else:
        body = raw
    head = f"Content-Type: text/{kind}; charset={envelope.charset}{more}\r\n"
    return f"{head}Content-Transfer-Encoding: {envelope.encoding}\r\n\r\n".encode() + body


def _filled(layout: str, said: dict[str, str]) -> str:
    """The layout with its places filled; a style sheet has braces too."""
    return re.sub(r"\{([a-z_]+)\}", lambda match: said.get(match[1], match[0]), layout)


def _said(tongue: dict[str, Any], mail: Original, layout: Layout) -> dict[str, str]:
    """What a layout may ask for."""
    who = {"who": f"{mail.name} <{mail.mail}>", "name": mail.name, "mail": mail.mail}
    english = TONGUES["en"]
    lines = {name: tongue.get(name, english[name]).format_map(who) for name in ATTRIBUTIONS}
    labels = dict(zip(("from_label", "sent_label", "to_label", "subject_label"), tongue["labels"], strict=True))
    phones = dict(zip(("phone", "galaxy", "outlook"), tongue["phones"], strict=True))
    flow = " " if layout.get("flowed") else ""
    others = {
        "you": YOU,
        "subject": mail.subject,
        "sent": tongue["sent"],
        "rule": tongue["rule"],
        "wrapped": _broken(lines["gmail"]),
        "original": mail.text,
        "marked": marked(mail.text, flow),
    }
    block = "{from_label} {who}\n{sent_label} {sent}\n{to_label} {you}\n{subject_label} {subject}"
    said = who | lines | labels | phones | others
    return said | {"block": block.format_map(said)}


ATTRIBUTIONS = ("gmail", "apple", "thunderbird", "yahoo", "horde")


def marked(text: str, flow: str = "") -> str:
    """Quoted, and long lines broken before."""
    lines = [
        part
        for line in text.rstrip("\n").splitlines()
        for part in textwrap.wrap(line, 70, break_long_words=False) or [""]
    ]
    return "\n".join(f"> {line}{flow}".rstrip() if line else ">" for line in lines)


def _broken(line: str) -> str:
    return "\n".join(textwrap.wrap(line, 74, break_long_words=False, break_on_hyphens=False))


def _answers(lines: tuple[str, ...]) -> dict[str, str]:
    """The answer in the blocks that editors write."""
    safe = [escape(line, quote=False) for line in lines]
    div = "".join(f"<div>{line or '<br>'}</div>" for line in safe) or "<div><br></div>"
    return {
        "answer_div": div,
        "answer_div_ltr": div.replace("<div>", '<div dir="ltr" data-setdir="false">'),
        "answer_br": "<br>".join(safe) or "<br>",
        "answer_mso": "".join(f"<p class=MsoNormal>{line or '&nbsp;'}<o:p></o:p></p>" for line in safe)
        or "<p class=MsoNormal><o:p>&nbsp;</o:p></p>",
    }
