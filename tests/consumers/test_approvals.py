"""Approval events become one mail an approver, each with a token of its own; what is closed is never mailed."""

import re
from collections.abc import Mapping
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from builders import DANA, a_withdrawal, an_approval_event
from process import Worker
from servers.mailbox_sink import SmtpSink
from upstream import Upstream

from worker import topology

BO = {"name": "Bo Müller", "email": "bo@corp.example", "locale": "de"}
KEY = "a2V5LWtleS1rZXkta2V5LWtleS1rZXkta2V5LWtleS0"
REPLIES = {
    "ENABLE_EMAIL_APPROVAL": "true",
    "IMAP_HOST": "127.0.0.1",
    "IMAP_USER": "countersign",
    "IMAP_PASSWORD": "secret",
    "APPROVAL_TOKEN_KEY": KEY,
    "TRUSTED_AUTHSERV_ID": "mx.corp.example",
    "APPROVAL_REPLY_ADDRESS": "approvals@corp.example",
}


@pytest.fixture
def settings(vhost_url: str, smtp: SmtpSink) -> dict[str, str]:
    """What the worker needs to know, email approval on."""
    return {"BROKER_URL": vhost_url, "SMTP_PORT": str(smtp.port)} | REPLIES


def parsed(raw: bytes) -> EmailMessage:
    """A mail as a mail client reads it."""
    return message_from_bytes(raw, policy=policy.default)


def by_recipient(smtp: SmtpSink, count: int) -> Mapping[str, tuple[str, EmailMessage, bytes]]:
    """Each recipient's mail: envelope sender, mail, octets."""
    return {to[0]: (sender, parsed(raw), raw) for sender, to, raw in smtp.wait_for(count)}


def html(mail: EmailMessage) -> str:
    """The HTML part."""
    body = mail.get_body(("html",))
    assert body is not None
    return str(body.get_content())


def test_each_approver_gets_a_token(upstream: Upstream, worker: Worker, smtp: SmtpSink, tmp_path: Path) -> None:
    """In the reply address, the envelope sender and the Message-ID; and in clear nowhere on our side."""
    upstream.publish(an_approval_event(approvers=[DANA, BO]))
    mails = by_recipient(smtp, 2)
    tokens = set()
    for sender, mail, _ in mails.values():
        token = re.fullmatch(r"approvals\+([a-z2-7]{32})@corp\.example", sender)
        assert token is not None
        assert mail["Reply-To"] == sender
        assert token[1] in mail["Message-ID"]
        assert mail["From"] == "Deployments <deploy@corp.example>"
        text = mail.get_body(("plain",))
        assert text is not None
        assert "Reply above this line" in text.get_content()
        tokens.add(token[1])
    assert len(tokens) == 2
    assert worker.stop() == 0
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert not any(token.encode() in stored for token in tokens)


def test_two_links_fill_in_the_answer(upstream: Upstream, worker: Worker, smtp: SmtpSink) -> None:
    """Both are mailto: URLs to the reply address, with a subject and the deciding word as the first line."""
    upstream.publish(an_approval_event())
    ((sender, to, raw),) = smtp.wait_for(1)
    assert to == ("dana@corp.example",)
    links = [link.replace("&amp;", "&") for link in re.findall(r'href="(mailto:[^"]+)"', html(parsed(raw)))]
    assert len(links) == 2
    answers = set()
    for link in links:
        url = urlsplit(link)
        assert unquote(url.path) == sender
        fields = parse_qs(url.query, strict_parsing=True)
        assert fields["subject"] == ["Re: Deploy Billing 4.2 to PROD?"]
        answers.add(fields["body"][0])
    assert answers == {"Approve\r\n", "Reject\r\n"}
    assert worker.stop() == 0


def test_without_subaddressing_the_token_is_in_the_subject(
    upstream: Upstream, tmp_path: Path, settings: dict[str, str], smtp: SmtpSink
) -> None:
    """And in the Message-ID; the reply address is the plain one."""
    with Worker(tmp_path, settings | {"REPLY_SUBADDRESS": ""}) as running:
        running.wait_ready()
        upstream.publish(an_approval_event())
        ((sender, _, raw),) = smtp.wait_for(1)
    mail = parsed(raw)
    assert sender == mail["Reply-To"] == "approvals@corp.example"
    token = re.search(r"[a-z2-7]{32}", mail["Message-ID"])
    assert token is not None
    assert f"%5B{token[0]}%5D" in html(mail)


def test_without_email_approval_there_is_no_token(
    upstream: Upstream, tmp_path: Path, settings: dict[str, str], smtp: SmtpSink
) -> None:
    """No reply address, no mailto: links: the link to the approval alone."""
    with Worker(tmp_path, settings | {"ENABLE_EMAIL_APPROVAL": "false"}) as running:
        running.wait_ready()
        upstream.publish(an_approval_event())
        ((sender, _, raw),) = smtp.wait_for(1)
    mail = parsed(raw)
    assert sender == "deploy@corp.example"
    assert mail["Reply-To"] is None
    assert "mailto:" not in html(mail)
    assert "https://deploy.example/a/77" in html(mail)


def test_who_was_asked_is_told_of_a_withdrawal(upstream: Upstream, worker: Worker, smtp: SmtpSink) -> None:
    """With the reason, once, in the thread of the request."""
    upstream.publish(an_approval_event(approvers=[DANA, BO]), a_withdrawal(reason="Frozen until Monday"))
    smtp.wait_for(4)
    upstream.publish(a_withdrawal(reason="Frozen until Monday"))
    upstream.wait_empty(topology.APPROVALS_QUEUE)
    assert worker.stop() == 0
    mails = [(to, parsed(raw)) for _, to, raw in smtp.mails]
    assert sorted(to for to, _ in mails) == [("bo@corp.example",)] * 2 + [("dana@corp.example",)] * 2
    assert sum("Frozen until Monday" in html(mail) for _, mail in mails) == 2
    assert len({mail["References"] for _, mail in mails}) == 1


def test_a_withdrawal_that_overtakes_leaves_no_mail(upstream: Upstream, worker: Worker, smtp: SmtpSink) -> None:
    """Neither the question nor the notice is sent."""
    upstream.publish(a_withdrawal(), an_approval_event(), an_approval_event(event_id="a-2", approval=_approval("A-78")))
    smtp.wait_for(1)
    assert worker.stop() == 0
    assert [parsed(raw)["To"] for _, _, raw in smtp.mails] == ["Dana Ito <dana@corp.example>"]
    assert "Other" in parsed(smtp.mails[0][2])["Subject"]


def test_an_older_request_that_comes_late_does_nothing(upstream: Upstream, worker: Worker, smtp: SmtpSink) -> None:
    """Only the newer one is mailed."""
    upstream.publish(
        an_approval_event(event_id="new", time="2026-11-23T09:00:00Z", approval=_approval("A-77")),
        an_approval_event(event_id="old", time="2026-11-23T08:00:00Z"),
        an_approval_event(event_id="last", approval=_approval("A-78")),
    )
    smtp.wait_for(2)
    assert worker.stop() == 0
    assert len(smtp.mails) == 2
    assert all("Other" in parsed(raw)["Subject"] for _, _, raw in smtp.mails)


def test_what_is_expired_is_never_mailed(upstream: Upstream, worker: Worker, smtp: SmtpSink) -> None:
    """Acked and forgotten."""
    expired = _approval("A-76") | {"expires_at": "2020-01-01T00:00:00Z"}
    upstream.publish(an_approval_event(event_id="old", approval=expired), an_approval_event(event_id="new"))
    smtp.wait_for(1)
    assert worker.stop() == 0
    assert len(smtp.mails) == 1
    assert upstream.waiting(topology.APPROVALS_QUEUE) == 0


@pytest.mark.parametrize(
    ("approver", "said"),
    [
        ({"email": "approvals@corp.example"}, "Countersign's own address"),
        ({"email": "Approvals+abc@corp.example"}, "Countersign's own address"),
        ({"email": "approvals+a+b@corp.example"}, "Countersign's own address"),
        ({"email": "deploy@corp.example"}, "Countersign's own address"),
        ({"email": "dana@corp.example", "aliases": ["deploy@corp.example"]}, "Countersign's own address"),
    ],
)
def test_nobody_approves_as_us(upstream: Upstream, worker: Worker, approver: dict[str, object], said: str) -> None:
    """An approver whose address is ours could answer itself: parked."""
    assert worker.process.poll() is None
    upstream.publish(an_approval_event(approvers=[approver]))
    ((properties, _),) = upstream.dead_letters()
    assert said in properties.headers["x-reason"]
    assert properties.headers["x-origin-queue"] == topology.APPROVALS_QUEUE


def test_equal_times_with_different_content_are_parked(upstream: Upstream, worker: Worker, smtp: SmtpSink) -> None:
    """Nobody can say which is newer."""
    upstream.publish(an_approval_event(), an_approval_event(event_id="a-2", approval=_approval("A-77")))
    ((properties, _),) = upstream.dead_letters()
    assert "same time" in properties.headers["x-reason"]
    smtp.wait_for(1)
    assert worker.stop() == 0


def test_only_the_refused_approver_is_tried_again(upstream: Upstream, worker: Worker, smtp: SmtpSink) -> None:
    """One is taken, the other for now refused: the second try mails one."""
    smtp.fail("RCPT", "450 4.2.0 Greylisted", recipient="bo@corp.example")
    upstream.publish(an_approval_event(approvers=[DANA, BO]))
    smtp.wait_for(1)
    worker.wait_line("event deferred")
    smtp.mend()
    smtp.wait_for(2)
    assert worker.stop() == 0
    assert [mail.recipients for mail in smtp.mails] == [("dana@corp.example",), ("bo@corp.example",)]


def test_staging_gets_everything(upstream: Upstream, tmp_path: Path, settings: dict[str, str], smtp: SmtpSink) -> None:
    """REROUTE_ALL_TO: one address in envelope and header, whoever was meant; RECIPIENT_DOMAINS: nobody else."""
    only = {"REROUTE_ALL_TO": "staging@corp.example", "RECIPIENT_DOMAINS": "corp.example"}
    with Worker(tmp_path, settings | only) as running:
        running.wait_ready()
        upstream.publish(an_approval_event(), an_approval_event(event_id="b", approvers=[{"email": "x@else.example"}]))
        ((_, to, raw),) = smtp.wait_for(1)
        ((properties, _),) = upstream.dead_letters()
    assert to == ("staging@corp.example",)
    assert parsed(raw)["To"].addresses[0].addr_spec == "staging@corp.example"
    assert "dana@corp.example" in parsed(raw)["To"]
    assert "RECIPIENT_DOMAINS" in properties.headers["x-reason"]


def _approval(approval_id: str) -> dict[str, object]:
    return {"id": approval_id, "title": "Other"}
