"""What an approver hears whose reply decided nothing: to whom, from whom, and with which token."""

from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import pytest
from builders import DANA
from mailing import read
from reply_poller.answering import EXPIRES, KEY, NOW, OLD_KEY, a_background, a_composer, a_due, a_question, a_token

from worker.consumers.draft import Addressing, Draft
from worker.errors import InvalidEventError
from worker.mail.mime import encode
from worker.mail.samples import WHYS
from worker.reply_events import Asked, Decided
from worker.reply_poller.due import AnswerReason

THREAD = a_composer().identity.thread("/deploy/prod", "48213")
EXCHANGE = f"<{'DB7PR04MB4666A1B2C3D4E5F60718293A4B5C6'}@DB7PR04MB4666.eurprd04.prod.outlook.com>"


def text(mail: EmailMessage) -> str:
    """Its plain text."""
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def sent(draft: Draft) -> EmailMessage:
    """The mail as it is read at the other end; the parser finds no fault."""
    return read(b"".join(encode(draft.email)))


def test_it_goes_to_who_was_asked() -> None:
    """To and envelope are the address that was asked; the sender of the envelope is the empty one; marked automatic."""
    draft = a_composer().compose(a_due(), a_background(), NOW)
    mail = sent(draft)
    assert draft.recipients == ("dana@corp.example",)
    assert draft.envelope_from == ""
    assert mail["To"] == "Dana Ito <dana@corp.example>"
    assert mail["From"] == "Deployments <deploy@corp.example>"
    assert mail["Auto-Submitted"] == "auto-replied"
    assert mail["X-Auto-Response-Suppress"] == "All"
    assert mail["Subject"] == "? Not decided yet: Deploy Billing 4.2 to PROD?"


def test_the_next_reply_carries_the_same_token() -> None:
    """Reply-To and both buttons have the token that the approver was given; the mail has it nowhere else."""
    token = a_token(a_question())
    draft = a_composer(keys=[KEY, OLD_KEY]).compose(a_due(), a_background(), NOW)
    assert sent(draft)["Reply-To"] == f"approvals+{token}@corp.example"
    assert draft.email.words.html.count(f"mailto:approvals+{token}@corp.example") == 2
    assert token not in draft.email.words.subject + draft.email.message_id + draft.email.words.text


@pytest.mark.parametrize("question", [a_question(), a_question(approval={"id": "A-77", "title": "T"})])
def test_no_token_that_the_journal_does_not_know(question: Any) -> None:
    """After the keys were rotated: no Reply-To and no buttons, but which mail to answer."""
    draft = a_composer(keys=[KEY, OLD_KEY]).compose(a_due(), a_background(question, OLD_KEY), NOW)
    assert sent(draft)["Reply-To"] is None
    assert "mailto:" not in draft.email.words.html
    assert "answer the mail that asked you" in text(sent(draft))


def test_no_token_for_another_question() -> None:
    """Where the approval was asked anew meanwhile, the answer hands out no token of either question."""
    draft = a_composer().compose(a_due(event_id="a-0"), a_background(), NOW)
    assert sent(draft)["Reply-To"] is None
    assert "mailto:" not in draft.email.words.html


@pytest.mark.parametrize("reason", ["withdrawn", "superseded", "expired", "decided"])
def test_who_is_late_gets_no_token(reason: AnswerReason) -> None:
    """Nothing is left to decide with it."""
    draft = a_composer().compose(a_due(reason=reason), a_background(), NOW)
    assert sent(draft)["Reply-To"] is None
    assert "mailto:" not in draft.email.words.html


def test_it_stands_in_both_threads() -> None:
    """In-Reply-To is the reply, References the request's thread and the reply."""
    mail = sent(a_composer().compose(a_due(), a_background(), NOW))
    assert mail["In-Reply-To"] == "<r1@corp.example>"
    assert mail["References"] == f"{THREAD} <r1@corp.example>"


def test_a_long_id_stands_in_references_alone() -> None:
    """Exchange writes ids that a field holds only encoded, which no client would find again."""
    mail = sent(a_composer().compose(a_due(message_id=EXCHANGE), a_background(), NOW))
    assert mail["In-Reply-To"] is None
    assert mail["References"] == f"{THREAD} {EXCHANGE}"


@pytest.mark.parametrize(
    "claimed",
    [
        "",
        "r1@corp.example",
        "<r1@corp.example>\r\nBcc: eve@evil.example",
        "<r1@corp.example> <r2@corp.example>",
        "<r1@corp.example",
        "<r 1@corp.example>",
        "<r1@@corp.example>",
        "<rü@corp.example>",
        "<=?utf-8?q?r?=@corp.example>",
        f"<{'x' * 200}@corp.example>",
    ],
)
def test_an_id_that_is_none_is_left_out(claimed: str) -> None:
    """Whatever stands in the reply's Message-ID, only a plain id comes back."""
    mail = sent(a_composer().compose(a_due(message_id=claimed), a_background(), NOW))
    assert mail["In-Reply-To"] is None
    assert mail["References"] == THREAD
    assert mail["Bcc"] is None


def test_every_try_has_the_same_id() -> None:
    """The id follows from the reply: a mail that came twice after all can be told by it."""
    composer = a_composer()
    one, again = (composer.compose(a_due(), a_background(), moment).email for moment in (NOW, datetime.now(UTC)))
    assert one.message_id == again.message_id
    assert composer.compose(a_due(2), a_background(), NOW).email.message_id != one.message_id


def test_a_staging_system_answers_nobody_else() -> None:
    """REROUTE_ALL_TO: envelope and header are that address, whoever was asked."""
    draft = a_composer(addressing=Addressing(reroute_to="staging@corp.example")).compose(a_due(), a_background(), NOW)
    assert draft.recipients == ("staging@corp.example",)
    assert sent(draft)["To"].addresses[0].addr_spec == "staging@corp.example"


def test_who_may_get_no_mail_gets_no_answer() -> None:
    """RECIPIENT_DOMAINS may have been narrowed since the question."""
    with pytest.raises(InvalidEventError, match="RECIPIENT_DOMAINS"):
        a_composer(addressing=Addressing(domains=frozenset({"else.example"}))).compose(a_due(), a_background(), NOW)


@pytest.mark.parametrize("why", [*WHYS, "a reason of tomorrow", None])
def test_it_says_why_in_the_approvers_language(why: str | None) -> None:
    """Each code has its sentence; what is none of them has one, too."""
    approver = DANA | {"locale": "de-AT"}
    words = a_composer().compose(a_due(undecided=why, approver=approver), a_background(), NOW).email.words
    assert words.subject.startswith("? Noch nicht entschieden: ")
    unclear = "Sie lässt sich auf mehr als eine Weise verstehen." in words.text
    assert unclear == (why not in WHYS[:-1])


@pytest.mark.parametrize(
    ("reason", "said", "when"),
    [
        ("withdrawn", "after this approval was withdrawn", "2026-11-23 07:24 UTC"),
        ("superseded", "Please answer the newer mail", "2026-11-23 07:24 UTC"),
        ("expired", "The time to decide was over", "2026-11-24 18:00 UTC"),
        ("decided", "· Decision: rejected", "2026-11-22 18:00 UTC"),
    ],
)
def test_late_says_since_when(reason: AnswerReason, said: str, when: str) -> None:
    """The time of the withdrawal, of the newer question, of the expiry, of the decision."""
    moment = datetime(2026, 11, 22, 18, tzinfo=UTC)
    first = Decided(decision="rejected", approver=Asked(**DANA), time=moment) if reason == "decided" else None
    due = a_due(reason=reason, expires_at=EXPIRES, decided=first)
    found = text(sent(a_composer().compose(due, a_background(), NOW)))
    assert said in found
    assert f"· When: {when}" in found


def test_who_is_not_asked_anew_is_not_sent_looking() -> None:
    """A newer question that leaves this approver out has no mail for them to answer."""
    question = a_question(approvers=[{"email": "bo@corp.example"}])
    found = text(sent(a_composer().compose(a_due(reason="superseded"), a_background(question), NOW)))
    assert "newer mail" not in found
    assert "nothing is left for you to decide" in found
