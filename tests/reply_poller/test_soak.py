"""A poller killed again and again over thousands of replies, and a journal that is locked for long: `make soak`."""

import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from reply_poller.crashing import Place
from reply_poller.crashsite import CrashSite, Events, a_decision_of, said, told_of
from reply_poller.desk import DANA
from servers.dovecot import DovecotUser
from servers.mailbox_sink import SmtpSink
from servers.ports import wait_until

from worker.reply_poller.poller import BATCH
from worker.tables import SENDING, SENT

REPLIES, KILLS = 5_000, 50
APPROVALS = 450
PEOPLE = [{"name": f"Person {number}", "email": f"p{number}@corp.example"} for number in range(10)]
"""Asked by each approval. What is left of the replies are second ones, whatever they say."""
KINDS = {"Approve\n\n": 60, "Reject: ": 30, "Why? ": 6, "forged": 4}
AWAY = 95
"""Mails that leave the folder from one kill to the next."""
REST = 10
"""After so many kills upstream withdraws some approvals, and the lease is left to run out by itself."""

pytestmark = pytest.mark.soak


@dataclass(frozen=True, slots=True)
class Sent:
    """A reply to an approval, and what it must amount to as long as that is not withdrawn."""

    approval: int
    comment: str
    raw: bytes
    expected: str

    @property
    def decides(self) -> bool:
        """Whether it would, if it were the first."""
        return self.expected.startswith(("approval", "late"))


@pytest.fixture(params=["sqlite", "postgresql"])
def site(
    request: pytest.FixtureRequest, tmp_path: Path, vhost_url: str, mailbox_sink: SmtpSink, dovecot: DovecotUser
) -> Iterator[CrashSite]:
    """One with each kind of journal."""
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with CrashSite(tmp_path, vhost_url, mailbox_sink, dovecot, url) as made:
        yield made


def test_fifty_kills_lose_nothing(site: CrashSite) -> None:
    """Each reply amounts to what it must, is told in one way only, and has gone; no answer went out twice."""
    chance = random.Random(3)
    replies = write(site, chance)
    site.put(reply.raw for reply in replies)
    started, ends, withdrawn = time.monotonic(), Counter[str](), set[int]()
    for number in range(KILLS):
        ends[end(site, chance, REPLIES - AWAY * number)] += 1
        if number % REST:
            site.free_lease()
            continue
        withdrawn |= (some := set(chance.sample(range(APPROVALS), 5)))
        for approval in some:
            site.withdraw(f"A-{approval}")
    killed, left = time.monotonic(), site.left()
    last = site.start()
    wait_until(lambda: site.left() == 0, "an empty folder", 600)
    emptied = time.monotonic()
    wait_until(lambda: set(site.answers().values()) <= {SENDING, SENT}, "the answers", 600)
    last.stop()
    events = site.published()
    tell(site, events, ends, (killed - started, left, emptied - killed))
    assert_all_told(replies, events, withdrawn)
    assert sorted(site.empty(".Quarantine")) == sorted(
        each.raw for each in replies if each.expected == "reply.untrusted"
    )
    times, states = site.answered(), site.answers()
    assert {times[digest[:16]] for digest, state in states.items() if state == SENT} == {1}
    assert {times[digest[:16]] for digest, state in states.items() if state == SENDING} <= {0, 1}
    assert list(states.values()).count(SENDING) <= KILLS


def write(site: CrashSite, chance: random.Random) -> Sequence[Sent]:
    """Ask everybody, and write all replies; of what decides, the first of an approver's counts."""
    questions = [(number, each) for number in range(APPROVALS) for each in site.ask(f"A-{number}", *PEOPLE)]
    questions += chance.sample(questions, REPLIES - len(questions))
    chance.shuffle(questions)
    kinds, decided, sent = chance.choices([*KINDS], [*KINDS.values()], k=REPLIES), set[str](), []
    for number, ((approval, question), kind) in enumerate(zip(questions, kinds, strict=True)):
        comment = f"Reply {number}"
        if kind == "forged":
            raw, expected = question.reply(f"Approve\n\n{comment}\n", sender="m@evil.example"), "reply.untrusted"
        else:
            raw = question.reply(f"{kind}{comment}\n")
            expected = expect(kind, late=question.token in decided)
            decided |= {question.token} if expected.startswith("approval") else set()
        sent.append(Sent(approval, comment, raw, expected))
    return sent


def expect(kind: str, *, late: bool) -> str:
    """What an approver's reply must amount to."""
    if kind.startswith("Why"):
        return "reply.undecided"
    if late:
        return "late: decided"
    return "approval.approved" if kind.startswith("Approve") else "approval.rejected"


def end(site: CrashSite, chance: random.Random, goal: int) -> str:
    """Start a poller, and kill it: soon, or when so many mails are left, at a random place or moment; where."""
    poller = site.start()
    place = chance.choice([*Place, None, None, None, None])
    if place is None and chance.random() < 0.5:
        time.sleep(chance.uniform(0.0, 2.0))
        poller.kill()
        return "a moment after its start"
    wait_until(lambda: site.left() <= goal, f"progress:\n{poller.text}", 120)
    if place is not None:
        poller.kill_at(place)
        try:
            poller.process.wait(15)
        except subprocess.TimeoutExpired:
            place = None
        else:
            return str(place)
    else:
        time.sleep(chance.uniform(0.0, 0.5))
    poller.kill()
    return "a moment"


def assert_all_told(replies: Sequence[Sent], events: Events, withdrawn: set[int]) -> None:
    """Each reply is told in one way, and in the right one; what was withdrawn decides from then on nothing."""
    decisions = {each[0]["data"]["comment"]: said(each[0]) for each in events.values() if "comment" in each[0]["data"]}
    closed: set[int] = set()
    for reply in replies:
        told = events.get(told_of(reply.raw))
        found = [said(told[0])] if told else []
        found += [decisions[reply.comment]] if reply.comment in decisions else []
        if reply.decides and (reply.approval in closed or found == ["late: withdrawn"]):
            assert reply.approval in withdrawn
            assert found == ["late: withdrawn"]
            closed.add(reply.approval)
        else:
            assert found == [reply.expected]
    assert len(events) == len(replies)
    assert sum(len(found) for found in events.values()) - len(events) <= KILLS * BATCH


def tell(site: CrashSite, events: Events, ends: Counter[str], took: tuple[float, int, float]) -> None:
    """Print how it went."""
    copies, (killing, left, rest) = sum(len(found) for found in events.values()), took
    kind, answers = site.settings["STATE_URL"].partition(":")[0], [*site.answers().values()]
    sys.stdout.write(
        f"{kind}: {len(events)} replies told, {copies - len(events)} of them again, after {ends.total()} kills in"
        f" {killing:.0f} s; the last {left} mails in {rest:.1f} s; {len(answers)} answers, {answers.count(SENDING)} of"
        f" them perhaps lost; killed at {dict(ends)}\n"
    )


def test_a_locked_journal_pauses(tmp_path: Path, vhost_url: str, mailbox_sink: SmtpSink, dovecot: DovecotUser) -> None:
    """Another program holds a lock on the SQLite file for long: nothing is told or removed, until it lets go."""
    with CrashSite(tmp_path, vhost_url, mailbox_sink, dovecot) as site:
        (dana,) = site.ask("A-1", DANA)
        poller = site.running()
        with closing(sqlite3.connect(tmp_path / "journal.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            site.put([dana.reply("Approve\n")])
            poller.wait_line("outage", seconds=40)
            assert site.left() == 1
            assert site.published() == {}
        wait_until(lambda: site.left() == 0, f"an empty folder:\n{poller.text}", 60)
        assert {event_id: len(copies) for event_id, copies in site.published().items()} == {a_decision_of(dana): 1}
