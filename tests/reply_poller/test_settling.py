"""What comes of a mail, once: decided, late, undecided or refused, and who hears of it; SQLite and PostgreSQL."""

from dataclasses import replace
from datetime import timedelta

import pytest
from bookkeeping import BOX, LATER, owed, said, settle, tell
from builders import a_withdrawal, an_approval_event
from findings import NOON, a_finding, a_known

from worker.journal import Journal
from worker.register import Register
from worker.reply_events import reply_id
from worker.reply_poller.known import Known
from worker.reply_poller.ledger import Ledger
from worker.reply_poller.verdict import (
    Approved,
    Automatic,
    Bounced,
    Rejected,
    Undecided,
    Unreadable,
    Untrusted,
    Verdict,
)


@pytest.fixture
def desk(journal: Journal) -> Register:
    """Where approvals are asked for; ``A-77`` is, by the event ``a-1``."""
    register = Register(journal)
    tell(register)
    return register


# -- decisions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "decision"), [(Approved("go ahead"), "approved"), (Rejected("not today"), "rejected")]
)
@pytest.mark.usefixtures("desk")
def test_a_decision_is_whole(ledger: Ledger, verdict: Approved | Rejected, decision: str) -> None:
    """Committed with all that is published; its id is the token's, and the mail may go."""
    finding = a_finding(verdict)
    outcome = settle(ledger, finding)
    event = said(outcome)
    assert (outcome.type, outcome.disposal, outcome.published) == (f"approval.{decision}", "remove", False)
    assert (outcome.source, outcome.approval_id, outcome.email) == ("/deploy/prod", "A-77", "dana@corp.example")
    assert outcome.event_id == a_known().token_id
    assert event["time"] == "2026-11-23T12:00:00Z"
    assert event["data"]["comment"] == verdict.comment
    assert event["data"]["decision"] == decision
    assert event["data"]["requested_event_id"] == "a-1"
    assert event["data"]["mail"]["from"] == "dana@corp.example"
    assert ledger.unfinished(BOX) == [outcome]


def test_a_mail_read_twice_says_the_same(ledger: Ledger, desk: Register) -> None:
    """Byte for byte, whatever happened to the approval meanwhile, and however it is read the second time."""
    finding = a_finding()
    first = settle(ledger, finding)
    tell(desk, a_withdrawal())
    again = settle(ledger, replace(finding, verdict=Rejected("no")), LATER)
    assert again == first
    ledger.published(BOX, [first.digest])
    assert settle(ledger, finding, LATER) == replace(first, published=True)
    assert ledger.unfinished(BOX) == []


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.usefixtures("desk")
def test_the_first_decision_counts(journal: Journal, ledger: Ledger, *, at_once: bool) -> None:
    """The second is late, in one batch or in two; event and answer say who decided what, and when."""
    findings = [a_finding(Rejected("no")), a_finding(Approved("yes"))]
    if at_once:
        [first, second] = ledger.settle(BOX, findings, NOON)
    else:
        first, second = settle(ledger, findings[0]), settle(ledger, findings[1], LATER)
    assert (first.type, second.type, second.reason) == ("approval.rejected", "reply.late", "decided")
    decided = {"decision": "rejected", "approver": {"name": "Dana Ito", "email": "dana@corp.example"}}
    assert said(second)["data"]["decided"] == decided | {"time": "2026-11-23T12:00:00Z"}
    assert "had rejected it already at 2026-11-23T12:00:00Z" in said(second)["data"]["detail"]
    [(reason, details)] = owed(journal)
    assert (reason, details.approver.email, details.message_id) == (
        "decided",
        "dana@corp.example",
        "<reply@corp.example>",
    )
    assert details.decided is not None
    assert (details.decided.decision, details.decided.time) == ("rejected", NOON)


@pytest.mark.usefixtures("desk")
def test_an_approver_is_one_in_any_letter_case(ledger: Ledger) -> None:
    """And from any of this person's addresses: the question says who it is. Another approver is another."""
    settle(ledger, a_finding(known=a_known(email="Dana@Corp.Example"), sender="dana.ito@corp.example"))
    assert settle(ledger, a_finding()).reason == "decided"
    assert settle(ledger, a_finding(known=a_known(email="ole@corp.example"))).type == "approval.approved"


def test_a_withdrawn_approval_is_late(journal: Journal, ledger: Ledger, desk: Register) -> None:
    """Nothing is decided any more, and the approver hears it."""
    tell(desk, a_withdrawal())
    outcome = settle(ledger, a_finding())
    assert (outcome.type, outcome.reason, outcome.disposal) == ("reply.late", "withdrawn", "remove")
    assert said(outcome)["data"]["approval_id"] == "A-77"
    assert outcome.event_id == reply_id(outcome.digest)
    assert [reason for reason, _ in owed(journal)] == ["withdrawn"]


def test_a_superseded_approval_is_late(ledger: Ledger, desk: Register) -> None:
    """Only the newer event's token decides."""
    tell(desk, an_approval_event(event_id="a-2", time="2026-11-23T09:00:00Z"))
    assert settle(ledger, a_finding()).reason == "superseded"
    assert settle(ledger, a_finding(known=a_known("a-2"))).type == "approval.approved"


def test_a_withdrawal_that_borrows_the_requests_id_withdraws(ledger: Ledger, desk: Register) -> None:
    """What counts is what the newest event is, not its name alone."""
    tell(desk, a_withdrawal(event_id="a-1"))
    assert settle(ledger, a_finding()).reason == "withdrawn"


@pytest.mark.parametrize(("seconds", "kind"), [(-1, "reply.late"), (0, "reply.late"), (1, "approval.approved")])
@pytest.mark.usefixtures("desk")
def test_an_expired_approval_is_late(journal: Journal, ledger: Ledger, seconds: int, kind: str) -> None:
    """By our clock, when it is read; at the very second it is over."""
    known = a_known(expires_at=NOON + timedelta(seconds=seconds))
    outcome = settle(ledger, a_finding(known=known))
    assert outcome.type == kind
    if kind == "reply.late":
        assert outcome.reason == "expired"
        assert f"expired at 2026-11-23T{'11:59:59' if seconds else '12:00:00'}Z" in said(outcome)["data"]["detail"]
        assert owed(journal)[0][1].expires_at == known.question.expires_at


def test_a_forgotten_approval_decides_nothing(journal: Journal, ledger: Ledger) -> None:
    """The journal that lost it can't say that it is open: untrusted, quarantined, nobody is answered."""
    for verdict in (Approved(""), Rejected(""), Undecided("no-word")):
        outcome = settle(ledger, a_finding(verdict))
        assert (outcome.type, outcome.reason, outcome.disposal) == ("reply.untrusted", "unknown", "quarantine")
        assert said(outcome)["data"]["detail"] == "the journal has forgotten this approval"
    assert owed(journal) == []


@pytest.mark.usefixtures("desk")
def test_no_token_decides_nothing(journal: Journal, ledger: Ledger) -> None:
    """Whatever an earlier question let through."""
    for verdict in (Approved(""), Rejected(""), Undecided("no-word")):
        outcome = settle(ledger, a_finding(verdict, known=None))
        assert (outcome.type, outcome.disposal) == ("reply.untrusted", "quarantine")
    assert owed(journal) == []


# -- what decides nothing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "known", "kind", "disposal", "is_published"),
    [
        (Unreadable("too long"), None, "reply.unreadable", "quarantine", True),
        (Unreadable("too long"), a_known(), "reply.unreadable", "quarantine", True),
        (Untrusted("no token"), None, "reply.untrusted", "quarantine", True),
        (Untrusted("another sender"), a_known(), "reply.untrusted", "quarantine", True),
        (Automatic("absent"), None, "reply.automatic", "quarantine", False),
        (Automatic("absent"), a_known(), "reply.automatic", "remove", True),
        (Bounced("550", "dana@corp.example"), None, "reply.bounced", "quarantine", False),
        (Bounced("550", "dana@corp.example"), a_known(), "reply.bounced", "remove", True),
        (Bounced("550", None), a_known(), "reply.bounced", "remove", True),
        (Undecided("no-word"), a_known(), "reply.undecided", "remove", True),
    ],
)
@pytest.mark.usefixtures("desk")
def test_what_decides_nothing(
    ledger: Ledger,
    verdict: Verdict,
    known: Known | None,
    kind: str,
    disposal: str,
    *,
    is_published: bool,
) -> None:
    """Published with its reason, its text, and the approval where a token names it; or quarantined in silence."""
    finding = a_finding(verdict, known=known)
    outcome = settle(ledger, finding)
    assert (outcome.type, outcome.disposal, outcome.published) == (kind, disposal, not is_published)
    assert outcome.reason == verdict.reason  # type: ignore[union-attr]  # all of these have one
    assert len(ledger.unfinished(BOX)) == is_published
    if not is_published:
        assert outcome.body is None
        return
    data = said(outcome)["data"]
    assert data["typed_text"] == "Approved: go ahead"
    assert data.get("approval_id") == (known and "A-77")
    assert data.get("address") == getattr(verdict, "address", None)
    assert outcome.event_id == reply_id(finding.digest)


@pytest.mark.usefixtures("desk")
def test_hostile_words_are_kept(ledger: Ledger) -> None:
    """What no database's text holds makes no reply unsettled."""
    words = "\0\udc80\u202e" * 2000
    for verdict in (Untrusted(words), Bounced(words, words), Approved(words)):
        finding = a_finding(verdict, message_id=words, sender=words, authentication=words, typed_text=words)
        assert said(settle(ledger, finding))
    assert len(ledger.unfinished(BOX)) == 3


@pytest.mark.usefixtures("desk")
def test_a_strangers_words_go_when_published(ledger: Ledger) -> None:
    """A decision is kept whole, for whoever asks later."""
    found = [a_finding(), a_finding(Untrusted("no token"), known=None)]
    decision, stranger = ledger.settle(BOX, found, NOON)
    ledger.published(BOX, [decision.digest, stranger.digest])
    assert ledger.settle(BOX, found, LATER) == [
        replace(decision, published=True),
        replace(stranger, published=True, body=None),
    ]


@pytest.mark.usefixtures("desk")
def test_a_released_mail_is_judged_anew(ledger: Ledger) -> None:
    """Out of quarantine it may decide now; where nothing changed it goes back without a word."""
    finding = a_finding(Untrusted("no gateway is trusted"))
    refused = settle(ledger, finding)
    assert settle(ledger, replace(finding, verdict=Approved("")), LATER) == refused
    ledger.published(BOX, [refused.digest])
    assert settle(ledger, finding, LATER) == replace(refused, published=True, body=None)
    approved = settle(ledger, replace(finding, verdict=Approved("")), LATER)
    assert (approved.type, approved.published) == ("approval.approved", False)
    assert ledger.unfinished(BOX) == [approved]


# -- answers --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("desk")
def test_an_undecided_approver_hears_why(journal: Journal, ledger: Ledger) -> None:
    """With what the answer has to say."""
    settle(ledger, a_finding(Undecided("both-words")))
    [(reason, details)] = owed(journal)
    assert (reason, details.undecided, details.title) == (
        "undecided",
        "both-words",
        "Deploy Billing 4.2 to PROD?",
    )
    assert (details.request_id, details.received_at) == ("48213", NOON.replace(hour=11))


def test_who_can_not_decide_any_more_hears_that(journal: Journal, ledger: Ledger, desk: Register) -> None:
    """An undecided reply to a closed approval is answered with what closed it, not with how to decide."""
    tell(desk, a_withdrawal())
    outcome = settle(ledger, a_finding(Undecided("no-word")))
    assert (outcome.type, outcome.reason) == ("reply.undecided", "no-word")
    assert [reason for reason, _ in owed(journal)] == ["withdrawn"]


def test_one_answer_an_hour(journal: Journal, ledger: Ledger, desk: Register) -> None:
    """To an approver about an approval; each has an hour of its own, in one batch or in many."""
    tell(desk, an_approval_event(approval={"id": "B", "title": "Go?"}))
    several = [a_finding(Undecided("no-word"), known=known) for known in [a_known(), a_known(), a_known(approval="B")]]
    ledger.settle(BOX, several, NOON)
    assert len(owed(journal)) == 2
    settle(ledger, a_finding(Undecided("no-word")), NOON + timedelta(minutes=59))
    settle(ledger, a_finding(Undecided("no-word"), known=a_known(email="DANA@corp.example")), NOON)
    assert len(owed(journal)) == 2
    settle(ledger, a_finding(Undecided("no-word"), known=a_known(email="ole@corp.example")), NOON)
    settle(ledger, a_finding(Undecided("no-word")), NOON + timedelta(minutes=60))
    assert len(owed(journal)) == 4


@pytest.mark.usefixtures("desk")
def test_no_stranger_and_no_machine_is_answered(journal: Journal, ledger: Ledger) -> None:
    """Nor is one who decided."""
    verdicts: list[Verdict] = [Untrusted(""), Automatic(""), Bounced("", None), Unreadable(""), Approved("")]
    ledger.settle(BOX, [a_finding(verdict) for verdict in verdicts], NOON)
    assert owed(journal) == []
