"""Events published to a real RabbitMQ become mails at a real mail server, through the real command."""

import time
from collections import Counter
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from builders import a_request_event, a_step, as_bytes
from process import Worker
from servers.mailbox_sink import SmtpSink
from servers.ports import wait_until
from servers.proxy import TcpProxy
from upstream import Upstream

from worker import topology
from worker.broker import parse_url

IN_FLIGHT = 2 * 8
"""Mails on their way at once: the defaults of SMTP_CONNECTIONS and SMTP_PIPELINE_DEPTH."""


def parsed(raw: bytes) -> EmailMessage:
    """A mail as a mail client reads it."""
    return message_from_bytes(raw, policy=policy.default)


def message_ids(smtp: SmtpSink) -> Counter[str]:
    """How often each mail arrived."""
    return Counter(str(parsed(raw)["Message-ID"]) for _, _, raw in smtp.mails)


def test_an_event_becomes_a_mail(upstream: Upstream, worker: Worker, smtp: SmtpSink) -> None:
    """All recipients in one mail, bcc in the envelope only, with the headers of the contract; the queue is empty."""
    recipients = {
        "to": [{"name": "Dana Ito", "email": "dana@corp.example"}],
        "cc": [{"email": "bo@corp.example"}],
        "bcc": [{"email": "audit@corp.example"}],
    }
    upstream.publish(a_request_event(steps=2, recipients=recipients))
    ((sender, to, raw),) = smtp.wait_for(1)
    mail = parsed(raw)
    assert sender == "deploy@corp.example"
    assert to == ("dana@corp.example", "bo@corp.example", "audit@corp.example")
    assert mail["From"] == "Deployments <deploy@corp.example>"
    assert mail["To"] == "Dana Ito <dana@corp.example>"
    assert mail["Cc"] == "bo@corp.example"
    assert b"audit@" not in raw
    assert "Deploy Billing 4.2 to PROD" in mail["Subject"]
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Auto-Response-Suppress"] == "All"
    assert mail["Message-ID"].endswith("@corp.example>")
    assert mail["References"]
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert worker.stop() == 0
    assert upstream.waiting(topology.REQUESTS_QUEUE) == 0


def test_the_same_event_sends_one_mail(upstream: Upstream, worker: Worker, smtp: SmtpSink) -> None:
    """Delivered three times, at once and later, with other words or not."""
    event = a_request_event()
    upstream.publish(event, event)
    smtp.wait_for(1)
    upstream.publish(event, a_request_event(event_id="other"))
    smtp.wait_for(2)
    upstream.wait_empty("countersign.retry.10")
    upstream.wait_empty()
    assert worker.stop() == 0
    assert list(message_ids(smtp).values()) == [1, 1]


def test_two_consumers_send_one_mail(
    tmp_path: Path, upstream: Upstream, worker: Worker, settings: dict[str, str], smtp: SmtpSink
) -> None:
    """Each event published twice, to two processes that share a journal."""
    with Worker(tmp_path, settings) as second:
        second.wait_ready()
        events = [a_request_event(event_id=f"e-{number}") for number in range(60)]
        upstream.publish(*events, *events)
        smtp.wait_for(60)
        upstream.wait_empty()
        upstream.wait_empty("countersign.retry.10")
        assert [worker.stop(), second.stop()] == [0, 0]
    assert set(message_ids(smtp).values()) == {1}
    assert len(message_ids(smtp)) == 60


def test_bad_deliveries_are_parked_and_the_next_goes_on(upstream: Upstream, worker: Worker, smtp: SmtpSink) -> None:
    """Each in the dead letters with its body and properties, and a reason that names what is wrong."""
    no_title = a_request_event(event_id="no-title")
    del no_title["data"]["request"]["title"]
    injected = a_request_event(recipients={"to": [{"email": "x@y.example\r\nBcc: z@y.example"}]})
    bad = {
        b"{": "not JSON",
        as_bytes(no_title): "data.request.title: Field required",
        as_bytes(injected): "data.recipients.to.0.email: not an email address",
        as_bytes(a_request_event("request.exploded")): "type: one of request.scheduled",
        b"": "not JSON",
    }
    for body in bad:
        upstream.publish_raw(body, "request.failed", message_id="m-1", headers={"x-mine": 7})
    upstream.publish(a_request_event())
    smtp.wait_for(1)
    dead = upstream.dead_letters(len(bad))
    assert {body for _, body in dead} == set(bad)
    for properties, body in dead:
        assert bad[body] in properties.headers["x-reason"]
        assert properties.headers["x-error"] == "InvalidEventError"
        assert properties.headers["x-origin-queue"] == topology.REQUESTS_QUEUE
        assert properties.headers["x-attempts"] == 1
        assert properties.headers["x-failed-at"].startswith("20")
        assert properties.headers["x-mine"] == 7
        assert properties.message_id == "m-1"
    assert "y.example" not in worker.text


def test_a_body_over_the_limit_is_parked(
    tmp_path: Path, upstream: Upstream, settings: dict[str, str], smtp: SmtpSink
) -> None:
    """The reason names the setting."""
    with Worker(tmp_path, settings | {"MAX_EVENT_BYTES": "10000"}) as running:
        running.wait_ready()
        upstream.publish(a_request_event(variables={"x": "y" * 20_000}), a_request_event())
        smtp.wait_for(1)
        ((properties, _),) = upstream.dead_letters()
    assert "MAX_EVENT_BYTES" in properties.headers["x-reason"]


def test_logs_are_attached(tmp_path: Path, upstream: Upstream, settings: dict[str, str], smtp: SmtpSink) -> None:
    """The failed step's log, under FlexDeploy's name; the other one stays out."""
    steps = [a_step(1, log={"text": "fine\n"}), a_step(2, status="failed", name="Migrate", log={"text": "boom\n"})]
    with Worker(tmp_path, settings | {"ATTACH_LOGS": "on_failure"}) as running:
        running.wait_ready()
        upstream.publish(a_request_event("request.failed", steps=steps))
        ((_, _, raw),) = smtp.wait_for(1)
    (attachment,) = parsed(raw).iter_attachments()
    assert attachment.get_filename() == "BillingService_2_Migrate_db-01(90212).log"
    assert attachment.get_content() == "boom\n"


def test_a_refusal_for_good_is_parked(upstream: Upstream, worker: Worker, smtp: SmtpSink) -> None:
    """The reason holds the recipient and the server's words; who could get the mail has it, and only it."""
    smtp.fail("RCPT", "550 5.1.1 No such user", recipient="gone@corp.example")
    upstream.publish(a_request_event(recipients={"to": [{"email": "gone@corp.example"}, {"email": "bo@corp.example"}]}))
    ((properties, body),) = upstream.dead_letters()
    assert "gone@corp.example: 550 5.1.1 No such user" in properties.headers["x-reason"]
    assert smtp.wait_for(1)[0].recipients == ("bo@corp.example",)
    smtp.mend()
    upstream.publish_raw(body, "request.completed")
    assert smtp.wait_for(2)[1].recipients == ("gone@corp.example",)
    assert worker.stop() == 0


def test_a_header_that_no_client_can_read_is_parked(upstream: Upstream, worker: Worker, smtp: SmtpSink) -> None:
    """It ends no connection, and the next delivery goes on."""
    upstream.publish_raw(as_bytes(a_request_event()), "request.completed", app_id=b"\xff")
    upstream.publish(a_request_event(event_id="next"))
    smtp.wait_for(1)
    ((properties, body),) = upstream.dead_letters()
    assert "properties: not AMQP" in properties.headers["x-reason"]
    assert body == as_bytes(a_request_event())
    assert worker.stop() == 0


def test_hundreds_of_refusals_fit_a_dead_letter(upstream: Upstream, worker: Worker, smtp: SmtpSink) -> None:
    """However much the server says about each."""
    smtp.fail("RCPT", "550 5.1.1 " + "no such user " * 25)
    upstream.publish(a_request_event(recipients={"to": [{"email": f"r{n}@corp.example"} for n in range(500)]}))
    ((properties, _),) = upstream.dead_letters()
    assert "r0@corp.example: 550 5.1.1 no such user" in properties.headers["x-reason"]
    assert len(properties.headers["x-reason"]) < 5_000
    assert worker.stop() == 0


def test_a_refusal_for_now_is_tried_again(upstream: Upstream, worker: Worker, smtp: SmtpSink) -> None:
    """After a second in a retry queue, only for the recipient that was refused, with the same Message-ID."""
    smtp.fail("RCPT", "450 4.2.0 Greylisted", recipient="busy@corp.example")
    upstream.publish(a_request_event(recipients={"to": [{"email": "busy@corp.example"}, {"email": "bo@corp.example"}]}))
    smtp.wait_for(1)
    worker.wait_line("event deferred")
    smtp.mend()
    mails = smtp.wait_for(2)
    assert [mail.recipients for mail in mails] == [("bo@corp.example",), ("busy@corp.example",)]
    assert len(message_ids(smtp)) == 1
    assert worker.stop() == 0


def test_a_mail_is_given_up_after_a_day(upstream: Upstream, worker: Worker, smtp: SmtpSink) -> None:
    """24 hours after the first failure the next one is the last."""
    smtp.fail("RCPT", "450 4.2.0 Greylisted", recipient="dana@corp.example")
    headers = {"x-attempts": 99, "x-first-failed-at": "2026-01-01T00:00:00+00:00"}
    upstream.publish_raw(as_bytes(a_request_event()), "request.completed", headers=headers)
    ((properties, _),) = upstream.dead_letters()
    assert "100 times in 24 h" in properties.headers["x-reason"]
    assert properties.headers["x-attempts"] == 100
    assert worker.process.poll() is None


def test_an_outage_of_the_mail_server_loses_and_counts_nothing(
    upstream: Upstream, tmp_path: Path, settings: dict[str, str], smtp: SmtpSink
) -> None:
    """Away at the start and again in between: events wait in their queue, untouched, and then all arrive."""
    with (
        TcpProxy(("127.0.0.1", smtp.port)) as proxy,
        Worker(tmp_path, settings | {"SMTP_PORT": f"{proxy.port}"}) as run,
    ):
        proxy.refuse()
        upstream.publish(*(a_request_event(event_id=f"e-{number}") for number in range(5)))
        run.wait_line("outage")
        assert upstream.waiting(topology.REQUESTS_QUEUE) == 5
        proxy.restore()
        # A mail whose answer is cut off may come twice, and rightly so: none is on its way here.
        run.wait_line("event done", count=5)
        proxy.refuse()
        proxy.cut()
        upstream.publish(*(a_request_event(event_id=f"f-{number}") for number in range(5)))
        time.sleep(1)
        proxy.restore()
        smtp.wait_for(10, timeout=30)
        assert run.stop() == 0
    assert set(message_ids(smtp).values()) == {1}
    assert upstream.waiting(topology.DEAD_QUEUE) == 0
    assert upstream.waiting("countersign.retry.1") == 0


def test_an_expired_password_is_an_outage(upstream: Upstream, tmp_path: Path, settings: dict[str, str]) -> None:
    """Whatever it refuses, the server refuses everybody: nothing is parked."""
    with SmtpSink(login=("countersign", "right")) as strict:
        login = {"SMTP_PORT": str(strict.port), "SMTP_USER": "countersign", "SMTP_PASSWORD": "expired"}
        with Worker(tmp_path, settings | login) as running:
            upstream.publish(a_request_event())
            running.wait_line("outage", count=2)
            assert upstream.waiting(topology.REQUESTS_QUEUE) == 1
            assert upstream.waiting(topology.DEAD_QUEUE) == 0
            assert "expired" not in running.text


def test_a_lost_broker_is_found_again(
    upstream: Upstream, tmp_path: Path, settings: dict[str, str], smtp: SmtpSink
) -> None:
    """Over the second of two URLs while the first is away; the mails go on, none twice."""
    address = parse_url(settings["BROKER_URL"])
    with TcpProxy((address.host, address.port)) as first, TcpProxy((address.host, address.port)) as second:
        login = f"{address.user}:{address.password.get_secret_value()}"
        urls = ";".join(f"amqp://{login}@127.0.0.1:{proxy.port}/{address.vhost}" for proxy in (first, second))
        with Worker(tmp_path, settings | {"BROKER_URL": urls}) as running:
            running.wait_ready()
            upstream.publish(a_request_event(event_id="before"))
            smtp.wait_for(1)
            first.refuse()
            first.cut()
            upstream.publish(a_request_event(event_id="after"))
            smtp.wait_for(2, timeout=30)
            assert "broker" in next(line["cause"] for line in running.lines if line["event"] == "outage")
            assert running.stop() == 0
    assert set(message_ids(smtp).values()) == {1}


def test_a_cancelled_consumer_consumes_again(upstream: Upstream, worker: Worker, smtp: SmtpSink) -> None:
    """The broker ends the consumption (here: the queue is deleted); the worker declares and consumes anew."""
    upstream.channel.queue_delete(topology.REQUESTS_QUEUE)
    worker.wait_line("consuming", count=3)
    upstream.publish(a_request_event())
    smtp.wait_for(1)
    assert worker.stop() == 0


def test_a_queue_that_differs_stops_the_worker(upstream: Upstream, tmp_path: Path, settings: dict[str, str]) -> None:
    """Exit status 1, and a sentence that says what differs."""
    upstream.channel.queue_delete(topology.DEAD_QUEUE)
    upstream.channel.queue_declare(topology.DEAD_QUEUE, durable=True)
    with Worker(tmp_path, settings) as running:
        assert running.process.wait(timeout=20) == 1
        assert "queue countersign.dead-letters: x-queue-type is classic on the broker and quorum here" in running.text


def test_sigterm_finishes_what_is_in_flight(
    upstream: Upstream, tmp_path: Path, settings: dict[str, str], smtp: SmtpSink
) -> None:
    """The mail being sent is taken and acked; the rest is back in the queue at once, for the next worker."""
    smtp.pause = 0.5
    with Worker(tmp_path, settings | {"SMTP_CONNECTIONS": "1", "SMTP_PIPELINE_DEPTH": "1"}) as running:
        running.wait_ready()
        upstream.publish(*(a_request_event(event_id=f"e-{number}") for number in range(20)))
        smtp.wait_for(1)
        assert running.stop() == 0
    taken = len(smtp.mails)
    assert 1 <= taken < 20
    assert upstream.waiting(topology.REQUESTS_QUEUE) == 20 - taken
    smtp.pause = 0.0
    with Worker(tmp_path, settings) as running:
        smtp.wait_for(20)
        assert running.wait_ready().stop() == 0
    assert set(message_ids(smtp).values()) == {1}


def test_a_killed_worker_loses_nothing(
    upstream: Upstream, tmp_path: Path, settings: dict[str, str], smtp: SmtpSink
) -> None:
    """Killed three times while events flow: each has its mail, and what came twice was in flight at a kill."""
    smtp.pause = 0.005
    for number in range(3):
        upstream.publish(*(a_request_event(event_id=f"e-{number}-{each}") for each in range(100)))
        with Worker(tmp_path, settings) as running:
            running.wait_ready()
            smtp.wait_for(len(smtp.mails) + 20)
            running.kill()
    with Worker(tmp_path, settings) as running:
        # What was claimed by the dead is free when its lease ran out.
        wait_until(lambda: len(message_ids(smtp)) == 300, "every event has its mail", timeout=60)
        upstream.wait_empty()
        assert running.stop() == 0
    twice = [count for count in message_ids(smtp).values() if count > 1]
    assert len(twice) <= 3 * IN_FLIGHT
    assert set(twice) <= {2}
