"""The whole loop with real servers: an event in, a mail out, its answer delivered, the decision on the queue."""

import json
import time
from pathlib import Path

from reply_poller.desk import BO, DANA, POLL, POLL_ONCE, Desk, an_approval_requested, an_approval_withdrawn
from servers.ports import wait_until


def is_empty(desk: Desk) -> bool:
    """Whether nothing is left in the reply folder."""
    return desk.mailbox.mails() == []


def test_an_answer_becomes_a_decision(desk: Desk) -> None:
    """Approved with a comment, and rejected with a reason; each on the queue within 2 s, and gone from the folder."""
    with desk.worker() as worker:
        worker.wait_ready().wait_line("polling")
        dana, bo = desk.ask(DANA, BO)
        wait_until(lambda: any(line["event"] == "polling" for line in worker.lines), "the poller", 10)
        started = time.monotonic()
        desk.deliver(dana, "Approve\n\nChecked the change list.\n\n> Hello\n> Reject\n")
        approved = desk.decision()
        took = time.monotonic() - started
        desk.deliver(bo, "Reject: too risky\nbefore the holidays\n")
        rejected = desk.decision()
        wait_until(lambda: is_empty(desk), "an empty folder", 10)
        worker.stop()
    assert took < 2
    assert approved["type"] == "approval.approved"
    data = approved["data"]
    assert data["decision"] == "approved"
    assert data["comment"] == "Checked the change list."
    assert (data["approval_id"], data["approval_source"], data["request_id"]) == ("A-77", "/deploy/prod", "48213")
    assert data["requested_event_id"] == "01J9"
    assert data["approver"] == DANA
    assert data["mail"]["from"] == "dana@corp.example"
    assert data["mail"]["authentication"] == "dmarc=pass header.from=corp.example"
    assert rejected["type"] == "approval.rejected"
    assert rejected["data"]["comment"] == "too risky\nbefore the holidays"
    assert rejected["data"]["approver"] == {"name": "Bo Müller", "email": "bo@corp.example"}
    assert dana.token not in json.dumps([approved, rejected])
    assert dana.token not in worker.text


def test_what_decides_nothing_is_told(desk: Desk) -> None:
    """A question is answered by one mail that says how to decide; the next answer then decides."""
    with desk.worker() as worker:
        worker.wait_ready().wait_line("polling")
        (dana,) = desk.ask(DANA)
        desk.deliver(dana, "What does it change?\n")
        undecided = desk.told()
        (answer,) = desk.questions(1)
        desk.deliver(dana, "And when?\n")
        assert desk.told()["type"] == "reply.undecided"
        desk.deliver(answer, "Approve\n")
        assert desk.decision()["type"] == "approval.approved"
        worker.stop()
    assert undecided["type"] == "reply.undecided"
    assert undecided["data"]["typed_text"] == "What does it change?"
    assert undecided["data"]["approval_id"] == "A-77"
    assert answer.approver == "dana@corp.example"
    assert answer.message["Auto-Submitted"] == "auto-replied"
    assert desk.smtp.mails[-1].sender == "<>"
    # The second question came within the hour.
    assert len(desk.smtp.mails) == 2


def test_the_first_decision_wins(desk: Desk) -> None:
    """An approval after a rejection is late, says who decided what, and changes nothing."""
    with desk.worker() as worker:
        worker.wait_ready().wait_line("polling")
        (dana,) = desk.ask(DANA)
        desk.deliver(dana, "Reject\n")
        first = desk.decision()
        desk.deliver(dana, "Approve\n")
        late = desk.told()
        worker.stop()
    assert first["type"] == "approval.rejected"
    assert late["type"] == "reply.late"
    assert late["data"]["reason"] == "decided"
    assert late["data"]["decided"]["decision"] == "rejected"
    assert desk.upstream.waiting("approvals") == 0


def test_what_is_closed_is_late(desk: Desk) -> None:
    """Withdrawn, superseded, expired: each by name, and none decides."""
    with desk.worker() as worker:
        worker.wait_ready().wait_line("polling")
        (withdrawn,) = desk.ask(DANA, number="A-1", event_id="1")
        desk.upstream.publish(an_approval_withdrawn("A-1"))
        desk.questions(1)
        (old,) = desk.ask(DANA, number="A-2", event_id="2")
        (new,) = desk.ask(DANA, number="A-2", event_id="2b")
        (expired,) = desk.ask(DANA, number="A-3", event_id="3", expires_in=4)
        time.sleep(4)
        reasons = []
        for question in (withdrawn, old, expired):
            desk.deliver(question, "Approve\n")
            reasons.append(desk.told()["data"]["reason"])
        desk.deliver(new, "Approve\n")
        decision = desk.decision()
        worker.stop()
    assert reasons == ["withdrawn", "superseded", "expired"]
    assert decision["data"]["requested_event_id"] == "2b"
    assert desk.upstream.waiting("approvals") == 0


def test_strangers_and_machines_decide_nothing(desk: Desk) -> None:
    """Another sender, a failed proof, no proof, an absence notice, a bounce; what is untrusted waits in quarantine."""
    with desk.worker() as worker:
        worker.wait_ready().wait_line("polling")
        (dana,) = desk.ask(DANA)
        failed = "mx.corp.example; dmarc=fail header.from=corp.example"
        for forged in (
            dana.reply("Approve\n", sender="mallory@evil.example"),
            dana.reply("Approve\n", results=failed),
            dana.reply("Approve\n", results=None),
        ):
            desk.mailbox.deliver(forged, detail=dana.token)
            assert desk.told()["type"] == "reply.untrusted"
        desk.deliver(dana, "Approve\n", Auto_Submitted="auto-replied")
        automatic = desk.told()
        desk.mailbox.deliver(a_bounce(dana.approver), detail=dana.token, sender="")
        bounced = desk.told()
        wait_until(lambda: is_empty(desk), "an empty folder", 10)
        worker.stop()
    assert automatic["type"] == "reply.automatic"
    assert (bounced["type"], bounced["data"]["address"]) == ("reply.bounced", "dana@corp.example")
    assert bounced["data"]["approval_id"] == "A-77"
    assert len(desk.mailbox.mails("Quarantine")) == 3
    assert len(desk.smtp.mails) == 1
    assert desk.upstream.waiting("approvals") == 0


def a_bounce(address: str) -> bytes:
    """A delivery report (RFC 3464) that says that this address does not exist."""
    return (
        "From: Mail Delivery System <MAILER-DAEMON@mx.corp.example>\r\n"
        "Subject: Undelivered Mail Returned to Sender\r\n"
        "Auto-Submitted: auto-replied\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nIt could not be delivered.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.corp.example\r\n\r\n"
        f"Final-Recipient: rfc822; {address}\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--b--\r\n"
    ).encode()


def test_what_cannot_be_read_stops_nobody(desk: Desk) -> None:
    """A mail that breaks the limits is quarantined and told, and the answer behind it decides."""
    with desk.worker() as worker:
        worker.wait_ready().wait_line("polling")
        (dana,) = desk.ask(DANA)
        desk.mailbox.deliver(b"X: y\r\n" * 1500 + dana.reply("Approve\n"), detail=dana.token)
        unreadable = desk.told()
        desk.deliver(dana, "Approve\n")
        assert desk.decision()["type"] == "approval.approved"
        worker.stop()
    assert unreadable["type"] == "reply.unreadable"
    assert "1000 lines" in unreadable["data"]["reason"]
    assert len(desk.mailbox.mails("Quarantine")) == 1


def test_the_first_start_leaves_foreign_mail_alone(desk: Desk) -> None:
    """A folder with a mail that is not ours: it ends with 2 and says what to do; told that it is ours, it polls."""
    desk.mailbox.append(b"From: a@b.example\r\nTo: somebody@else.example\r\nSubject: hi\r\n\r\nhello\r\n")
    with desk.worker(POLL) as worker:
        assert worker.process.wait(20) == 2
        assert "REPLY_FOLDER_IS_OURS=true" in worker.text
        assert "Traceback" not in worker.text
    assert len(desk.mailbox.mails()) == 1
    with desk.worker(POLL, REPLY_FOLDER_IS_OURS="true") as worker:
        assert desk.told()["type"] == "reply.untrusted"
        worker.stop()
    desk.mailbox.append(b"From: a@b.example\r\nTo: somebody@else.example\r\nSubject: hi\r\n\r\nhello again\r\n")
    # It has been taken on by now.
    with desk.worker(POLL) as worker:
        assert desk.told()["type"] == "reply.untrusted"
        worker.stop()


def test_only_so_many_mails_an_interval(desk: Desk) -> None:
    """EMAIL_REPLY_PROCESS_COUNT holds for those read on IDLE, too, and the oldest go first."""
    with desk.worker() as worker:
        worker.wait_ready().wait_line("polling")
        questions = [desk.ask(DANA, number=f"A-{n}", event_id=f"{n}")[0] for n in range(5)]
        worker.stop()
    for question in questions:
        desk.deliver(question, "Approve\n")
    limits = {"EMAIL_REPLY_PROCESS_COUNT": "2", "EMAIL_REPLY_PROCESS_INTERVAL": "4s"}
    with desk.worker(POLL, **limits) as worker:
        decided = [desk.decision()["data"]["approval_id"] for _ in range(2)]
        time.sleep(1.5)
        assert desk.upstream.waiting("approvals") == 0
        assert len(desk.mailbox.mails()) == 3
        decided += [desk.decision()["data"]["approval_id"] for _ in range(3)]
        worker.stop()
    assert decided == [f"A-{n}" for n in range(5)]


def test_one_poller_at_a_time(desk: Desk) -> None:
    """Of two, one reads; when it is killed, the other takes over within 15 s, and nothing is decided twice."""
    with desk.worker() as worker:
        worker.wait_ready().wait_line("polling")
        first, second, third = (desk.ask(DANA, number=f"A-{n}", event_id=f"{n}")[0] for n in range(3))
        worker.stop()
    with desk.worker(POLL) as active:
        active.wait_line("polling")
        with desk.worker(POLL) as standby:
            desk.deliver(first, "Approve\n")
            assert desk.decision()["data"]["approval_id"] == "A-0"
            # A kill before the mail is gone would have the decision published once more.
            wait_until(lambda: is_empty(desk), "an empty folder", 10)
            assert not any(line["event"] == "polling" for line in standby.lines)
            active.kill()
            killed = time.monotonic()
            desk.deliver(second, "Approve\n")
            assert desk.decision()["data"]["approval_id"] == "A-1"
            assert time.monotonic() - killed < 15
            desk.deliver(third, "Approve\n")
            assert desk.decision()["data"]["approval_id"] == "A-2"
            standby.stop()
    assert desk.upstream.waiting("approvals") == 0


def test_outages_pause_and_lose_nothing(desk: Desk) -> None:
    """The mailbox's connection is ended, twice: the answers that come meanwhile are read afterwards."""
    with desk.worker() as worker:
        worker.wait_ready().wait_line("polling")
        first, second = (desk.ask(DANA, number=f"A-{n}", event_id=f"{n}")[0] for n in range(2))
        desk.mailbox.kick()
        desk.deliver(first, "Approve\n")
        assert desk.decision()["data"]["approval_id"] == "A-0"
        desk.mailbox.kick()
        desk.deliver(second, "Approve\n")
        assert desk.decision()["data"]["approval_id"] == "A-1"
        worker.stop()
        assert [line["cause"] for line in worker.lines if line["event"] == "outage"]


def test_once_reads_what_is_there(desk: Desk) -> None:
    """``poll --once`` settles it, answers, shows a row for each and a sum, and ends with 0."""
    with desk.worker() as worker:
        worker.wait_ready().wait_line("polling")
        dana, bo = desk.ask(DANA, BO)
        worker.stop()
    desk.deliver(dana, "Approve\n")
    desk.deliver(bo, "Vielleicht\n")
    desk.mailbox.append(b"From: a@b.example\r\nTo: x@y.example\r\n\r\n\x1b[31mhello\r\n")
    status, shown, said = desk.run(POLL_ONCE)
    assert status == 0, said
    assert "3 mails: 1 approval.approved, 1 reply.undecided, 1 reply.untrusted" in shown
    assert "\x1b" not in shown
    assert desk.decision()["type"] == "approval.approved"
    assert [question.approver for question in desk.questions(1)] == ["bo@corp.example"]
    assert "No mail to read." in desk.run(POLL_ONCE)[1]


def test_once_says_what_it_could_not_do(desk: Desk) -> None:
    """What can't be published stays in the folder, and the exit status says so; what could is in the table."""
    with desk.worker() as worker:
        worker.wait_ready().wait_line("polling")
        dana, bo = desk.ask(DANA, BO)
        worker.stop()
    desk.deliver(dana, "Approve\n")
    desk.deliver(bo, "Reject\n")
    # Otherwise it declares what is missing by itself.
    desk.upstream.channel.queue_delete("approvals.undecided")
    desk.upstream.channel.queue_declare("approvals.undecided", durable=True, arguments={"x-queue-type": "classic"})
    status, shown, said = desk.run(POLL_ONCE)
    assert status == 1
    assert "not as planned" in said
    assert "Traceback" not in said
    assert len(desk.mailbox.mails()) == 2
    assert shown == ""


def test_explain_shows_and_does_nothing(desk: Desk, tmp_path: Path) -> None:
    """The five questions of a saved mail, and the event it would be; nothing is published, and nothing written."""
    with desk.worker() as worker:
        worker.wait_ready().wait_line("polling")
        (dana,) = desk.ask(DANA)
        worker.stop()
    saved = tmp_path / "mail.eml"
    saved.write_bytes(dana.reply("Approve\n").replace(b"In-Reply-To", b"Delivered-To: x\r\nIn-Reply-To"))
    status, shown, said = desk.run(("-m", "worker", "explain", str(saved)))
    assert status == 0, said
    assert shown.count("✓") == 5
    assert '"type": "approval.approved"' in shown
    saved.write_bytes(dana.reply("Approve, but wait\n", results=None))
    _, shown, _ = desk.run(("-m", "worker", "explain", str(saved)))
    assert "not authenticated" in shown
    assert "it would be read as: an approval with a comment that limits" in shown
    assert desk.upstream.waiting("approvals") == desk.upstream.waiting("approvals.undecided") == 0


def test_polling_wants_approval_enabled(desk: Desk) -> None:
    """With ENABLE_EMAIL_APPROVAL off ``poll`` ends with 2 and names it."""
    desk.settings["ENABLE_EMAIL_APPROVAL"] = "false"
    with desk.worker(POLL) as worker:
        assert worker.process.wait(20) == 2
        assert "ENABLE_EMAIL_APPROVAL" in worker.text


def test_a_publication_that_is_refused_keeps_the_mail(desk: Desk) -> None:
    """The approvals queue is gone: nothing is removed; it comes back, and the decision arrives once."""
    with desk.worker() as worker:
        worker.wait_ready().wait_line("polling")
        (dana,) = desk.ask(DANA)
        desk.upstream.channel.queue_unbind("approvals", "approvals", "approval.approved")
        desk.deliver(dana, "Approve\n")
        worker.wait_line("reply not published")
        assert len(desk.mailbox.mails()) == 1
        desk.upstream.channel.queue_bind("approvals", "approvals", "approval.approved")
        desk.mailbox.kick()
        assert desk.decision()["type"] == "approval.approved"
        wait_until(lambda: is_empty(desk), "an empty folder", 10)
        worker.stop()
    assert desk.upstream.waiting("approvals") == 0


def test_a_withdrawal_before_it_is_read_wins(desk: Desk) -> None:
    """Answered first, withdrawn before the poller looks: the answer is late."""
    with desk.worker() as worker:
        worker.wait_ready().wait_line("polling")
        (dana,) = desk.ask(DANA)
        worker.stop()
    desk.deliver(dana, "Approve\n")
    with desk.worker(("-m", "worker", "consume")) as consumer:
        consumer.wait_ready()
        desk.upstream.publish(an_approval_withdrawn())
        desk.questions(1)
        consumer.stop()
    with desk.worker(POLL) as worker:
        assert desk.told()["data"]["reason"] == "withdrawn"
        worker.stop()
    assert desk.upstream.waiting("approvals") == 0


def test_an_alias_may_answer(desk: Desk) -> None:
    """An approver writes from another address that the event names."""
    with desk.worker() as worker:
        worker.wait_ready().wait_line("polling")
        (dana,) = desk.ask(DANA | {"aliases": ["dana.ito@corp.example"]})
        desk.deliver(dana, "Approve\n", sender="Dana <Dana.Ito@corp.example>")
        decision = desk.decision()
        worker.stop()
    assert decision["data"]["approver"] == DANA
    assert decision["data"]["mail"]["from"] == "Dana.Ito@corp.example"


def test_without_sub_addressing_the_token_is_in_the_ids(desk: Desk) -> None:
    """REPLY_SUBADDRESS empty: In-Reply-To carries the token, and for a mail of the buttons the subject."""
    desk.settings["REPLY_SUBADDRESS"] = ""
    with desk.worker() as worker:
        worker.wait_ready().wait_line("polling")
        (dana,) = desk.ask(DANA, number="A-1", event_id="1")
        assert dana.reply_to == desk.mailbox.name
        desk.mailbox.deliver(dana.reply("Approve\n"))
        assert desk.decision()["data"]["approval_id"] == "A-1"
        (dana,) = desk.ask(DANA, number="A-2", event_id="2")
        token = str(dana.message["Message-ID"]).removeprefix("<approval.").partition("@")[0]
        mail = dana.reply("Approve\n", Subject=f"Re: Deploy [{token}]").replace(b"In-Reply-To", b"X-Was")
        desk.mailbox.deliver(mail)
        assert desk.decision()["data"]["approval_id"] == "A-2"
        worker.stop()


def test_asking_again_is_not_deciding(desk: Desk) -> None:
    """The event is checked as published: an approval asked twice with one id is one mail."""
    event = an_approval_requested(DANA)
    with desk.worker() as worker:
        worker.wait_ready().wait_line("polling")
        desk.upstream.publish(event, event)
        (dana,) = desk.questions(1)
        desk.deliver(dana, "approved!\n")
        assert desk.decision()["type"] == "approval.approved"
        worker.stop()
    assert len(desk.smtp.mails) == 1
