"""What a mail system reports is told apart: what came back, what waits, what arrived."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reply_poller.lines import a_reply, headers

from worker.reply_poller.bounce import find_report
from worker.reply_poller.reply import Headers, Reply
from worker.reply_poller.verdict import Automatic, Bounced

DAEMON = "From: Mail Delivery System <MAILER-DAEMON@mx.corp.example>"
NULL = "Return-Path: <>"
TOKEN = "abcdefghijklmnopqrstuvwxyz234567"
REPORTING = headers("Reporting-MTA: dns; mx.corp.example")

QMAIL = """Hi. This is the qmail-send program at corp.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<dana@corp.example>:
Sorry, no mailbox here by that name. (#5.1.1)

--- Below this line is a copy of the message.
Reply-To: approvals@deploy.example
"""
POSTFIX = """This is the mail system at host mx.corp.example.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients. It's attached below.

For further assistance, please send mail to <postmaster@mx.corp.example>

<dana@corp.example>: host mail.corp.example said: 550 5.1.1 User unknown
"""
SENDMAIL = """   ----- The following addresses had permanent fatal errors -----
<dana@corp.example>
    (reason: 550 5.1.1 <dana@corp.example>... User unknown)
"""
EXIM = """This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  dana@corp.example
    Unrouteable address
"""
EXCHANGE = """Delivery has failed to these recipients or groups:

Dana Ito (dana@corp.example)<mailto:dana@corp.example>
The email address you entered couldn't be found.
"""
GMAIL = """** Address not found **

Your message wasn\u2019t delivered to dana@corp.example because the address couldn't be found.
"""
DELAY = """This message was created automatically by mail delivery software.
A message that you sent has not yet been delivered to one or more of its recipients after more than 24 hours.

  dana@corp.example

No action is required on your part. Delivery attempts will continue for some time.
"""


def a_report(*recipients: Headers, kind: str = "delivery-status", text: str = "See below.") -> Reply:
    """A ``multipart/report`` of a mail system."""
    return a_reply(
        NULL,
        DAEMON,
        media_type="multipart/report",
        parameters={"report-type": kind},
        reports=recipients,
        text=text,
    )


def a_recipient(action: str, *more: str) -> Headers:
    """One recipient of a delivery report."""
    return headers("Final-Recipient: rfc822; dana@corp.example", *([f"Action: {action}"] if action else []), *more)


def test_a_failure_for_good_came_back() -> None:
    """With the address that failed, and what its server said in one line, our tokens left out."""
    found = find_report(
        a_report(
            REPORTING,
            a_recipient("delivered"),
            headers(
                "Final-Recipient: rfc822; dana@corp.example",
                "Action: Failed (for good)",
                "Status: 5.1.1",
                f"Diagnostic-Code: smtp; 550 5.1.1 no such user,\t{TOKEN}",
            ),
        )
    )

    assert found == Bounced("a mail came back: 5.1.1: smtp; 550 5.1.1 no such user, …", "dana@corp.example")


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        (
            ("Original-Recipient: rfc822;dana.ito@corp.example", "Final-Recipient: rfc822; d1@x.example"),
            "dana.ito@corp.example",
        ),
        (("Original-Recipient: rfc822;", "Final-Recipient: RFC822; <d1@x.example>"), "d1@x.example"),
        (("Final-Recipient: d1@x.example",), "d1@x.example"),
        (("Final-Recipient: x400; /c=de/", "Original-Recipient: unknown"), None),
        ((f"Final-Recipient: rfc822; approvals+{TOKEN}@deploy.example",), None),
        ((), None),
    ],
)
def test_the_recipient_that_failed_is_named(fields: tuple[str, ...], address: str | None) -> None:
    """By the name that we gave it, where the report repeats it; never by an address of ours with its token."""
    found = find_report(a_report(headers("Action: failed", *fields)))

    assert isinstance(found, Bounced)
    assert found.address == address


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ("delayed", "a delay"),
        ("relayed", "a receipt"),
        ("delivered", "a receipt"),
        ("expanded", "a receipt"),
        ("DELIVERED (yes)", "a receipt"),
        ("strange", "a delivery report that names no failure"),
    ],
)
def test_other_reports_bounce_nothing(action: str, reason: str) -> None:
    """A delay is no failure, whatever the diagnostic says; a receipt neither."""
    found = find_report(a_report(REPORTING, a_recipient(action, "Diagnostic-Code: smtp; 550 5.1.1 User unknown")))

    assert isinstance(found, Automatic)
    assert found.reason.startswith(reason)


def test_without_an_action_the_status_counts() -> None:
    """RFC 3464 requires it; some reports lack it all the same."""
    assert isinstance(find_report(a_report(a_recipient("", "Status: 5.2.2 (mailbox full)"))), Bounced)
    assert find_report(a_report(a_recipient("", "Status: 4.4.1"))) == find_report(a_report(a_recipient("delayed")))
    assert find_report(a_report(a_recipient("", "Status: 2.1.5"))) == find_report(a_report(a_recipient("delivered")))
    assert isinstance(find_report(a_report(a_recipient(""))), Automatic)


def test_an_empty_delivery_report_is_read_by_its_words() -> None:
    """Some mail systems say nothing in the part that is made for it."""
    assert find_report(a_report(text=POSTFIX)) == Bounced(
        "a mail came back: its mail system says so in words", "dana@corp.example"
    )
    assert isinstance(find_report(a_report()), Automatic)


@pytest.mark.parametrize("kind", ["disposition-notification", "feedback-report"])
def test_receipts_and_complaints_are_automatic(kind: str) -> None:
    """By their type, or by the fields that only they have; whoever they come from."""
    field = {"disposition-notification": "Disposition", "feedback-report": "Feedback-Type"}[kind]
    whole = a_reply(media_type=f"message/{kind}")
    named = a_reply(media_type="multipart/report", parameters={"report-type": kind.upper()})
    unnamed = a_reply(media_type="multipart/report", reports=(headers(f"{field}: x", "Final-Recipient: rfc822;a@b.c"),))

    for reply in (whole, named, unnamed):
        found = find_report(reply)
        assert isinstance(found, Automatic)
        assert found.reason.startswith("a receipt" if field == "Disposition" else "a complaint")


@pytest.mark.parametrize("text", [QMAIL, POSTFIX, SENDMAIL, EXIM, EXCHANGE, GMAIL])
@pytest.mark.parametrize(
    ("lines", "subject"),
    [
        ((DAEMON,), "failure notice"),
        (("From: MAILER-DAEMON (Mail Delivery System)",), ""),
        (("From: postmaster@corp.example",), "Re: x"),
        (("From: Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@corp.example>",), "x"),
        ((NULL, "From: System Administrator <admin@corp.example>"), "x"),
        (("From: admin@corp.example",), "Undeliverable: Approval needed"),
    ],
)
def test_words_alone_bounce(text: str, lines: tuple[str, ...], subject: str) -> None:
    """What mail systems wrote before there were reports, where one sent it or the title says so too."""
    found = find_report(a_reply(*lines, subject=subject, text=text))

    assert isinstance(found, Bounced)
    assert found.address == "dana@corp.example"


def test_a_title_alone_bounces_from_a_mail_system() -> None:
    """In words that we don't know, or in none."""
    for subject in ("Unzustellbar: Freigabe", "Undelivered Mail Returned to Sender", "Mail delivery failed: returning"):
        assert isinstance(find_report(a_reply(DAEMON, subject=subject, text="???")), Bounced)
    assert find_report(a_reply(DAEMON, subject="Hello", text="???")) is None


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("Warning: message 1xyz delayed 24 hours", DELAY),
        ("Delayed Mail (still being retried)", POSTFIX),
        ("Delivery Status Notification (Delay)", GMAIL),
        ("x", SENDMAIL + "THIS IS A WARNING MESSAGE ONLY"),
    ],
)
def test_a_delay_in_words_is_no_bounce(subject: str, text: str) -> None:
    """It may still arrive."""
    assert isinstance(find_report(a_reply(NULL, DAEMON, subject=subject, text=text)), Automatic)


def test_failed_recipients_have_their_field() -> None:
    """Exim's and Gmail's, whatever else the mail is."""
    assert find_report(a_reply("X-Failed-Recipients: dana@corp.example, bo@corp.example")) == Bounced(
        "a mail came back: X-Failed-Recipients", "dana@corp.example"
    )
    assert find_report(a_reply("X-Failed-Recipients:")) == Bounced("a mail came back: X-Failed-Recipients", None)


def test_people_may_write_about_bounces() -> None:
    """And attach one: neither the words nor the report are theirs."""
    assert find_report(a_reply(subject="Re: Undeliverable: x", text=f"Approve\n\n{EXCHANGE}")) is None
    assert find_report(a_reply(subject="Undeliverable: x", text="Reject: could it not be sent by post?")) is None
    assert find_report(a_reply(text=EXIM)) is None
    assert find_report(a_reply(media_type="multipart/mixed", reports=(a_recipient("failed"),))) is None
    assert isinstance(
        find_report(a_reply(DAEMON, media_type="multipart/mixed", reports=(a_recipient("failed"),))), Bounced
    )


REPORT_FIELDS = st.tuples(
    st.sampled_from(["action", "status", "final-recipient", "original-recipient", "diagnostic-code", "disposition"]),
    st.text(max_size=40) | st.sampled_from(["failed", "5.1.1", "rfc822; a@b.example", TOKEN, "\udcff@x.y"]),
)


@given(
    st.lists(st.lists(REPORT_FIELDS, max_size=4), max_size=3),
    st.text(max_size=200),
    st.sampled_from(["multipart/report", "message/delivery-status", "text/plain", "", "/", "message/"]),
)
def test_any_report_is_read(groups: list[list[tuple[str, str]]], text: str, media_type: str) -> None:
    """Nothing raises, and what is said of it can be published: one line, without tokens."""
    reports = tuple(Headers(tuple(group)) for group in groups)
    found = find_report(a_reply(NULL, DAEMON, subject=text, text=text, media_type=media_type, reports=reports))

    if found is not None:
        assert found.reason.isprintable()
        assert TOKEN not in found.reason
        assert len(found.reason) <= 300


@pytest.mark.timeout(5)
@pytest.mark.parametrize("piece", ["a", "@", "a@", "<", " ", "could not be delivered ", "a" * 64 + "@", ";", TOKEN])
def test_long_reports_take_no_time(piece: str) -> None:
    """A megabyte in each field and in the text."""
    value = piece * (1_000_000 // len(piece))
    group = headers("Action: failed", f"Status: {value}", f"Diagnostic-Code: {value}", f"Final-Recipient: {value}")

    assert isinstance(find_report(a_report(group, text=value)), Bounced)
    assert isinstance(find_report(a_reply(f"X-Failed-Recipients: {value}")), Bounced)
    find_report(a_reply(NULL, f"From: {value}", subject=value, text=value))
