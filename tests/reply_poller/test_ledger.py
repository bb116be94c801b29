"""What stands in the journal about replies, found again after a crash: on SQLite and on PostgreSQL."""

import threading
import time
from datetime import UTC, datetime

import pytest
from bookkeeping import BOX, DAY, KEYS, LATER, ask, count, owed, said, settle, tell
from builders import a_withdrawal, an_approval_event
from findings import NOON, a_finding, a_known
from sqlalchemy import delete, update

from worker.events import Approver, mail_key
from worker.journal import Journal
from worker.register import Asked, Register
from worker.reply_events import decision_id
from worker.reply_poller.known import Known
from worker.reply_poller.lease import LeaseLostError
from worker.reply_poller.ledger import Ledger
from worker.reply_poller.outcome import Outcome
from worker.reply_poller.verdict import (
    Approved,
    Undecided,
    Untrusted,
)
from worker.tables import answers, approvals, asked, leases, outcomes, questions


@pytest.fixture
def desk(journal: Journal) -> Register:
    """Where approvals are asked for; ``A-77`` is, by the event ``a-1``."""
    register = Register(journal)
    tell(register)
    return register


# -- questions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expires_at", [None, "2026-11-24T18:00:00.123457Z", "9999-12-31T23:59:59.999999Z"])
def test_a_token_is_found(journal: Journal, ledger: Ledger, expires_at: str | None) -> None:
    """With all that its signature covers, to the microsecond; in whatever letter case it comes back."""
    event, token = ask(Register(journal), expires_at=expires_at)
    found = ledger.find([token, token.upper(), "a" * 32, "", "\udc80"])
    assert found.keys() == {token, token.upper()}
    known = found[token]
    assert known == found[token.upper()]
    assert KEYS.verify(token, known.question)
    assert (known.question.approval_id, known.request_id, known.title) == ("A-77", "48213", "Go?")
    assert known.approver.aliases == ("dana.ito@corp.example",)
    assert (known.requested_at, known.token_id) == (event.time, decision_id(token))


def test_who_has_no_token_is_not_found(journal: Journal, ledger: Ledger) -> None:
    """Approvers asked while email approval was off have an empty hash, and no token matches that."""
    event, _ = ask(Register(journal))
    approver = Approver(email="bo@corp.example")
    Register(journal).ask(event, [Asked(approver, mail_key(event.source, event.id, approver.email), b"")])
    assert ledger.find(["", "\0", "a"]) == {}


def test_many_tokens_are_looked_up(journal: Journal, ledger: Ledger) -> None:
    """More than a statement takes at once."""
    _, token = ask(Register(journal))
    assert ledger.find([*(f"{number:032}" for number in range(70_000)), token]).keys() == {token}


def test_a_token_of_an_older_version_is_found(journal: Journal, ledger: Ledger) -> None:
    """Which noted no questions: its event says the same, until a newer one has taken its place."""
    register = Register(journal)
    event, token = ask(register, expires_at="2026-11-24T18:00:00Z")
    with_question = ledger.find([token])
    with journal.transaction() as connection:
        connection.execute(delete(questions))
    assert ledger.find([token]) == with_question
    assert KEYS.verify(token, with_question[token].question)
    tell(register, an_approval_event(event_id="a-2", time="2026-11-23T09:00:00Z"))
    assert ledger.find([token]) == {}
    assert event.id == "a-1"


def test_a_withdrawn_question_is_still_known(journal: Journal, ledger: Ledger) -> None:
    """Its reply is late, and not a stranger's."""
    register = Register(journal)
    _, token = ask(register)
    tell(register, a_withdrawal())
    finding = a_finding(known=ledger.find([token])[token])
    assert said(settle(ledger, finding))["data"]["reason"] == "withdrawn"


# -- crashes and leases ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("desk")
def test_nothing_is_written_without_the_lease(journal: Journal, ledger: Ledger) -> None:
    """Taken over, nothing is settled and nothing marked; the one who took over settles it."""
    first = settle(ledger, a_finding())
    ledger.release(BOX)
    other = Ledger(journal)
    assert other.hold(BOX)
    with pytest.raises(LeaseLostError):
        settle(ledger, a_finding(Undecided("no-word")))
    with pytest.raises(LeaseLostError):
        ledger.published(BOX, [first.digest])
    assert (count(journal, outcomes), owed(journal)) == (1, [])
    assert other.unfinished(BOX) == [first]


@pytest.mark.usefixtures("desk")
def test_unfinished_is_oldest_first(ledger: Ledger) -> None:
    """In the order of settling, within a batch, too; what is published is not among it."""
    later = [a_finding(Untrusted(str(number))) for number in range(20)]
    batch = ledger.settle(BOX, later, LATER)
    first = settle(ledger, a_finding(), NOON)
    ledger.published(BOX, [batch[3].digest])
    assert ledger.unfinished(BOX) == [first, *batch[:3], *batch[4:]]


@pytest.mark.usefixtures("desk")
def test_an_abandoned_mailbox_buries_nothing(journal: Journal, ledger: Ledger) -> None:
    """A decision of a folder that nobody reads any more is published by whoever reads another; else it is theirs."""
    outcome = settle(ledger, a_finding())
    renamed = Ledger(journal)
    assert renamed.hold("other")
    assert renamed.unfinished("other") == []
    with journal.transaction() as connection:
        connection.execute(update(leases).where(leases.c.mailbox == BOX).values(until=0.0))
    assert renamed.unfinished("other") == [outcome]
    renamed.published("other", [outcome.digest])
    assert renamed.unfinished("other") == []


@pytest.mark.usefixtures("desk")
def test_a_mail_in_two_mailboxes_is_one(journal: Journal, ledger: Ledger) -> None:
    """The same bytes have one outcome, wherever they are found."""
    finding = a_finding()
    outcome = settle(ledger, finding)
    other = Ledger(journal)
    other.hold("other")
    assert other.settle("other", [finding], LATER) == [outcome]


def test_a_mailbox_is_adopted_once(ledger: Ledger) -> None:
    """And for good."""
    assert not ledger.is_adopted(BOX)
    ledger.adopt(BOX)
    ledger.adopt(BOX)
    assert ledger.is_adopted(BOX)
    assert not ledger.is_adopted("other")


def test_two_pollers_never_both_decide(journal: Journal, state_url: str, desk: Register) -> None:
    """Two processes, each with a mailbox of its own, the same approvals at once: one decision each, the rest late."""
    other_journal = Journal(state_url, retention=DAY)
    got: list[Outcome] = []
    knowns = [a_known(approval=f"C-{number}") for number in range(12)]
    for known in knowns:
        tell(desk, an_approval_event(approval={"id": known.question.approval_id, "title": "Go?"}))

    def poll(of: Journal, box: str, order: list[Known]) -> None:
        ledger = Ledger(of)
        ledger.hold(box)
        for start in range(0, len(order), 3):
            some = order[start : start + 3]
            got.extend(ledger.settle(box, [a_finding(Approved(box), known=known) for known in some], NOON))

    threads = [
        threading.Thread(target=poll, args=(journal, "one", knowns)),
        threading.Thread(target=poll, args=(other_journal, "two", knowns[::-1])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other_journal.close()
    assert sorted(outcome.type for outcome in got) == ["approval.approved"] * 12 + ["reply.late"] * 12
    assert len({outcome.event_id for outcome in got if outcome.decides}) == 12


@pytest.mark.usefixtures("desk")
def test_a_withdrawal_on_its_way_is_waited_for(journal: Journal, ledger: Ledger) -> None:
    """A decision never slips in beside it: whichever transaction comes first counts for the other."""
    outcome: list[Outcome] = []
    settling = threading.Thread(target=lambda: outcome.append(settle(ledger, a_finding())))
    with journal.transaction() as connection:
        connection.execute(update(approvals).values(type="approval.withdrawn", event_id="w-1"))
        settling.start()
        settling.join(0.5)
        assert settling.is_alive()
    settling.join(10)
    assert [one.reason for one in outcome] == ["withdrawn"]


# -- retention ------------------------------------------------------------------------------------------------------


def test_what_is_old_is_forgotten(journal: Journal, ledger: Ledger) -> None:
    """All of it, except what is still to be published, and the mailboxes that are ours."""
    ask(Register(journal))
    ledger.adopt(BOX)
    decided, deciding = ledger.settle(BOX, [a_finding(), a_finding(Undecided("no-word"))], NOON)
    ledger.published(BOX, [decided.digest])
    old = time.time() - 3 * DAY
    with journal.transaction() as connection:
        for table in (asked, questions, approvals, answers, outcomes):
            connection.execute(update(table).values(at=old))
    journal.purge()
    assert [count(journal, table) for table in (asked, questions, approvals, answers)] == [0, 0, 0, 0]
    assert [outcome.digest for outcome in ledger.unfinished(BOX)] == [deciding.digest]
    assert count(journal, outcomes) == 1
    assert ledger.is_adopted(BOX)


def test_a_decision_outlives_its_tokens(journal: Journal, ledger: Ledger) -> None:
    """By a day, whatever the clocks of two machines say: nobody decides a second time at the very end."""
    ask(Register(journal))
    decided = settle(ledger, a_finding())
    ledger.published(BOX, [decided.digest])
    with journal.transaction() as connection:
        for table in (asked, outcomes):
            connection.execute(update(table).values(at=time.time() - 1.5 * DAY))
    journal.purge()
    assert (count(journal, asked), count(journal, outcomes)) == (0, 1)


def test_an_older_journal_gets_the_new_tables(state_url: str) -> None:
    """What the outbound half wrote stays, and the inbound half finds its place."""
    new = (questions, outcomes, answers, leases)
    older = Journal(state_url, retention=DAY)
    older.open()
    ask(Register(older))
    with older.transaction() as connection:
        for table in new:
            table.drop(connection)
    older.close()
    journal = Journal(state_url, retention=DAY)
    journal.open()
    ledger = Ledger(journal)
    assert ledger.hold(BOX)
    assert settle(ledger, a_finding(), datetime.now(UTC)).type == "approval.approved"
    journal.close()
