"""Replies of the demo look as people's mail programs write them."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest

from worker.demo.mailserver import Arrival
from worker.demo.replies import AUTHSERV_ID, Write, absence, gmail, outlook, receive

NOW = datetime(2026, 11, 26, 15, 4, tzinfo=UTC)
TOKEN_ADDRESS = "approvals+abc@corp.example"


def _asked() -> Arrival:
    mail = EmailMessage(policy=policy.SMTP)
    mail["From"] = "Deployments <deployments@corp.example>"
    mail["To"] = "Bo Müller <bo@corp.example>"
    mail["Reply-To"] = TOKEN_ADDRESS
    mail["Subject"] = "? Approval needed"
    mail["Message-ID"] = "<approval.abc@corp.example>"
    mail["References"] = "<request.1@corp.example>"
    mail.set_content("Reply above this line\n\nTo approve, reply with the single word approve.\n")
    mail.add_alternative('<!doctype html><html><body class="page"><p>Grüße</p></body></html>', subtype="html")
    raw = mail.as_bytes()
    return Arrival(("bo@corp.example",), raw, message_from_bytes(raw, policy=policy.default))


def _read(write: Write) -> EmailMessage:
    return message_from_bytes(receive(write(_asked(), NOW), dmarc="pass"), policy=policy.default)


def _part(mail: EmailMessage, form: str) -> str:
    part = mail.get_body((form,))
    assert part is not None
    return str(part.get_content())


@pytest.mark.parametrize("write", [gmail("Approve"), outlook("Approve"), absence("Away")])
def test_a_reply_goes_where_the_mail_says(write: Write) -> None:
    """To the address with the token, from whom the mail was for, in its thread."""
    mail = _read(write)
    assert mail["To"] == TOKEN_ADDRESS
    assert mail["From"] == "Bo Müller <bo@corp.example>"
    assert mail["In-Reply-To"] == "<approval.abc@corp.example>"
    assert mail["References"] == "<request.1@corp.example> <approval.abc@corp.example>"


def test_gmail_marks_what_it_quotes() -> None:
    """The answer first, then who wrote what, every line of it marked; in HTML a blockquote."""
    mail = _read(gmail("Approve"))
    lines = _part(mail, "plain").splitlines()
    assert lines[0] == "Approve"
    assert lines[2] == "On Thu, Nov 26, 2026 at 3:04\u202fPM Deployments <deployments@corp.example> wrote:"
    assert all(line.startswith(">") for line in lines[4:])
    assert '<blockquote class="gmail_quote"' in _part(mail, "html")
    assert "<p>Grüße</p></blockquote>" in _part(mail, "html")


def test_outlook_marks_nothing() -> None:
    """The mail that is answered stands below a block with its head, in German."""
    mail = _read(outlook("Reject: no"))
    lines = _part(mail, "plain").splitlines()
    assert lines[:3] == ["Reject: no", "", "Von: Deployments <deployments@corp.example>"]
    assert "To approve, reply with the single word approve." in lines
    assert '<p class="MsoNormal">Reject: no</p>' in _part(mail, "html")


def test_an_absence_notice_says_that_a_machine_wrote_it() -> None:
    """As RFC 3834 asks."""
    assert _read(absence("Away"))["Auto-Submitted"] == "auto-replied"


@pytest.mark.parametrize("verdict", ["pass", "fail"])
def test_the_gateway_writes_above_what_came(verdict: str) -> None:
    """Whom the mail was delivered to, and what DMARC says of its sender's domain; in lines that end as on the wire."""
    raw = receive(gmail("Approve")(_asked(), NOW), dmarc="pass" if verdict == "pass" else "fail")
    trace = f"Delivered-To: {TOKEN_ADDRESS}\r\nAuthentication-Results: {AUTHSERV_ID};\r\n dmarc={verdict} "
    assert raw.startswith(trace.encode())
    assert raw.count(b"\n") == raw.count(b"\r\n")
