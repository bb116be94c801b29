"""Mails to findings: the questions in their order, and the explanation of each answer."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from worker.errors import OutageError
from worker.events import Approver
from worker.reply_events import decision_id
from worker.reply_poller.decision import Vocabulary
from worker.reply_poller.docket import Docket, Newest
from worker.reply_poller.explanation import Explanation, explain
from worker.reply_poller.judge import Judge, Rules, blank_tokens
from worker.reply_poller.known import Known
from worker.reply_poller.mailbox import Mail
from worker.reply_poller.reader import Reader
from worker.reply_poller.reply import Reply
from worker.reply_poller.sender import Trust
from worker.reply_poller.shown import show_explanation, show_settled
from worker.reply_poller.verdict import (
    Approved,
    Automatic,
    Bounced,
    Finding,
    Rejected,
    Undecided,
    Unreadable,
    Untrusted,
)
from worker.reply_token import Question, TokenKeys

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
KEYS = TokenKeys([b"k" * 32])
QUESTION = Question("/deploy/prod", "A-77", "01J9", "dana@corp.example", NOW + timedelta(hours=1))
TOKEN = KEYS.mint(QUESTION)
APPROVER = Approver(name="Dana Ito", email="dana@corp.example")
KNOWN = Known(QUESTION, APPROVER, "48213", "Deploy Billing", NOW - timedelta(hours=1), decision_id(TOKEN))
READER = Reader(("approvals@corp.example",), "Deploy Approvals")
RULES = Rules(
    address="approvals@corp.example",
    separator="+",
    own_addresses=frozenset({"approvals@corp.example"}),
    keys=KEYS,
    trust=Trust("dmarc", "mx.corp.example"),
    words=Vocabulary(("approve", "approved"), ("reject", "rejected")),
)


def find(tokens: Collection[str]) -> Mapping[str, Known]:
    """A journal that has asked Dana."""
    return {TOKEN: KNOWN} if TOKEN in tokens else {}


JUDGE = Judge(RULES, read=READER.read, find=find)


def a_mail(text: str = "Approve", **fields: str) -> Mail:
    """A mail of Dana's that answers our question; ``fields`` replace or add header fields."""
    header = {
        "Authentication_Results": "mx.corp.example; dmarc=pass header.from=corp.example",
        "From": "Dana Ito <dana@corp.example>",
        "To": f"approvals+{TOKEN}@corp.example",
        "Subject": "Re: Deploy Billing",
        "Message_ID": "<1@corp.example>",
    } | fields
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in header.items())
    raw = f"{head}\r\n{text}\r\n".encode()
    return Mail(7, raw, len(raw), NOW)


def judged(mail: Mail) -> Finding:
    """The finding on one mail."""
    (finding,) = JUDGE.judge([mail])
    return finding


@pytest.mark.parametrize(
    ("mail", "verdict"),
    [
        (a_mail("Approve\r\n\r\nchecked"), Approved("checked")),
        (a_mail("Reject: too risky"), Rejected("too risky")),
        (a_mail("Approve, but wait"), Undecided("comment")),
        (a_mail(From="mallory@evil.example"), Untrusted("wrong From: not the approver who was asked")),
        (a_mail(Auto_Submitted="auto-replied"), Automatic("automatic: Auto-Submitted says so")),
        (a_mail(X="a\rb"), Unreadable("its header holds a control character that no header may hold")),
        (Mail(7, None, 20_000_000, NOW), Unreadable("it is larger than 10 MB")),
    ],
)
def test_each_verdict_has_its_mail(mail: Mail, verdict: object) -> None:
    """The first question that fails decides."""
    assert judged(mail).verdict == verdict


def test_a_machine_is_no_stranger() -> None:
    """Question two comes before three: an approver's absence notice is not untrusted, and names the approval."""
    finding = judged(a_mail(Auto_Submitted="auto-replied", Authentication_Results="x"))
    assert isinstance(finding.verdict, Automatic)
    assert finding.known == KNOWN
    assert judged(a_mail(Auto_Submitted="auto-replied", To="approvals@corp.example")).known is None


def test_an_untrusted_mail_names_the_approval_of_a_genuine_token() -> None:
    """And of no other: not of a forged one, nor of two."""
    assert judged(a_mail(From="mallory@evil.example")).known == KNOWN
    assert judged(a_mail(To=f"approvals+{'a' * 32}@corp.example")).known is None
    two = judged(a_mail(Cc=f"approvals+{'a' * 32}@corp.example"))
    assert two.known is None
    assert isinstance(two.verdict, Untrusted)


def test_a_bounce_without_sub_addressing_names_the_approval() -> None:
    """The token stands in the mail that came back alone."""
    mail = a_mail(
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx\r\n\r\n"
        "Final-Recipient: rfc822; dana@corp.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n"
        f"--b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <approval.{TOKEN}@corp.example>\r\n\r\n\r\n--b--",
        Content_Type='multipart/report; report-type=delivery-status; boundary="b"',
        From="MAILER-DAEMON@mx.corp.example",
        To="approvals@corp.example",
    )
    finding = judged(mail)
    assert isinstance(finding.verdict, Bounced)
    assert finding.verdict.address == "dana@corp.example"
    assert finding.known == KNOWN


def test_tokens_are_blanked_out() -> None:
    """In typed text and comment, in any letter case; other words stay."""
    finding = judged(a_mail(f"Reject: see approvals+{TOKEN.upper()}@corp.example and {TOKEN}"))
    assert finding.verdict == Rejected("see approvals+[token]@corp.example and [token]")
    assert TOKEN not in finding.typed_text.lower()
    assert blank_tokens("a" * 33) == "a" * 33


def test_facts_come_along() -> None:
    """What is published of the mail, verified or not."""
    finding = judged(a_mail())
    assert (finding.message_id, finding.sender) == ("<1@corp.example>", "dana@corp.example")
    assert finding.authentication == "dmarc=pass header.from=corp.example"
    assert finding.typed_text == "Approve"
    untrusted = judged(a_mail(From="Mallory <mallory@evil.example>"))
    assert (untrusted.sender, untrusted.authentication) == ("mallory@evil.example", "")


def test_a_fault_of_ours_parks_the_mail() -> None:
    """It is quarantined with its reason, and the next one is judged."""

    def read(raw: bytes) -> Reply:
        # A value that no question expects.
        return replace(READER.read(raw), typed=None) if b"poison" in raw else READER.read(raw)  # type: ignore[arg-type]

    judge = Judge(RULES, read=read, find=find)
    broken, good = judge.judge([a_mail("poison"), a_mail()])
    assert isinstance(broken.verdict, Unreadable)
    assert "breaks the reader" in broken.verdict.reason
    assert good.verdict == Approved("")


def test_a_fault_while_reading_parks_the_mail_too() -> None:
    """Whatever reading raises; an outage is nobody's fault, and says nothing about any mail."""

    def read(raw: bytes) -> Reply:
        if b"poison" in raw:
            raise ZeroDivisionError
        if b"outage" in raw:
            raise OutageError("away")
        return READER.read(raw)

    judge = Judge(RULES, read=read, find=find)
    broken, good = judge.judge([a_mail("poison"), a_mail()])
    assert broken.verdict == Unreadable("it breaks the reader (ZeroDivisionError)")
    assert good.verdict == Approved("")
    with pytest.raises(OutageError):
        judge.judge([a_mail(), a_mail("outage"), a_mail()])


# -- explanations -----------------------------------------------------------------------------------------------------


def explained(mail: Mail, *, newest: str = "01J9") -> Explanation:
    """What ``countersign explain`` shows of a mail; ``newest`` is the newest event about the approval."""
    evidence = JUDGE.examine(mail)
    finding = JUDGE.conclude(evidence, find(evidence.tokens))
    docket = Docket(NOW, newest={("/deploy/prod", "A-77"): Newest(newest, "approval.requested")})
    reading = finding.verdict if isinstance(finding.verdict, Approved | Rejected | Undecided) else None
    return explain(evidence, finding, docket.settle(finding), reading)


def passed(explanation: Explanation) -> list[bool | None]:
    """How the five questions were answered."""
    return [answer.passed for answer in explanation.answers]


def test_an_explanation_answers_up_to_the_first_no() -> None:
    """Yes, no, and not asked any more."""
    assert passed(explained(a_mail())) == [True] * 5
    assert passed(explained(a_mail(), newest="02")) == [True] * 4 + [False]
    assert passed(explained(a_mail("ok"))) == [True] * 3 + [False, None]
    assert passed(explained(a_mail(From="x@y.example"))) == [True] * 2 + [False, None, None]
    assert passed(explained(a_mail(Auto_Submitted="auto-replied"))) == [True, False, None, None, None]
    assert passed(explained(a_mail(X="a\rb"))) == [False, None, None, None, None]


def test_what_is_shown_obeys_nobody() -> None:
    """Escape sequences and rich's own markup from a mail are text."""
    console = Console(record=True, width=200, force_terminal=False)
    mail = a_mail("Reject: \x1b[31m[bold]no[/bold] \x9b2J\u202e", Message_ID="<\x1b[2J@x>")
    show_explanation(explained(mail), console)
    finding = judged(mail)
    docket = Docket(NOW, newest={("/deploy/prod", "A-77"): Newest("01J9", "approval.requested")})
    show_settled([(finding, docket.settle(finding))], console)
    shown = console.export_text()
    assert "\x1b" not in shown
    assert "\x9b" not in shown
    assert "\u202e" not in shown
    assert "[bold]no[/bold]" in shown
    assert "1 mail: 1 approval.rejected" in shown
