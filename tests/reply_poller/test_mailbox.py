"""Mails in a real Dovecot: which are read, what becomes of them, and what is left alone."""

from datetime import UTC, datetime

import pytest
from reply_poller.mailboxes import a_mail, an_account, an_open_mailbox, put, read_subjects, subjects
from servers.dovecot import DovecotUser

from worker.errors import OutageError, SettingsError
from worker.mail.relay import Password
from worker.reply_poller.mailbox import MAX_MAIL_BYTES, Account, Mailbox


def test_oldest_come_first_and_stay_as_they_were(dovecot: DovecotUser) -> None:
    """The batch holds the oldest mails, octet by octet; reading sets no flag, least of all Seen."""
    put(dovecot, "one", "two", "three")
    with an_open_mailbox(dovecot) as mailbox:
        mails = mailbox.read(2)
    assert [mail.raw for mail in mails] == [a_mail("one"), a_mail("two")]
    assert [mail.uid for mail in mails] == [1, 2]
    assert [mail.size for mail in mails] == [len(a_mail("one")), len(a_mail("two"))]
    assert dovecot.flags() == [set(), set(), set()]


def test_time_of_arrival_is_the_servers(dovecot: DovecotUser) -> None:
    """INTERNALDATE, whatever zone it is in, comes as UTC."""
    arrival = datetime(2026, 11, 23, 9, 24, tzinfo=UTC)
    dovecot.append(a_mail("one"), received_at=arrival.astimezone().replace(microsecond=0))
    with an_open_mailbox(dovecot) as mailbox:
        (mail,) = mailbox.read(1)
    assert mail.received_at == arrival
    assert mail.received_at.tzinfo is UTC


def test_empty_folder_gives_nothing(dovecot: DovecotUser) -> None:
    """No mail is no error."""
    with an_open_mailbox(dovecot) as mailbox:
        assert mailbox.read(30) == []


def test_mails_that_come_later_are_read(dovecot: DovecotUser) -> None:
    """A session that stays open sees what came, and what others took away, since the last read."""
    put(dovecot, "one", "two")
    with an_open_mailbox(dovecot) as mailbox:
        mailbox.read(30)
        put(dovecot, "three")
        with dovecot.client() as other:
            other.select_folder("INBOX")
            other.add_flags([1], [b"\\Deleted"])
            other.expunge()
        assert read_subjects(mailbox) == ["two", "three"]


@pytest.mark.parametrize(
    ("limit", "set_aside", "expected"),
    [
        (2, (), ["one", "two"]),
        (2, (1,), ["two", "three"]),
        (2, (1, 2), ["three", "four"]),
        (3, (1, 2), ["three", "four", "one"]),
        (9, (2,), ["one", "three", "four", "two"]),
        (2, (1, 2, 3, 4), ["one", "two"]),
        (2, (77, 78), ["one", "two"]),
    ],
)
def test_set_aside_come_behind(
    dovecot: DovecotUser, limit: int, set_aside: tuple[int, ...], expected: list[str]
) -> None:
    """What could not be settled never keeps another mail waiting, and is not forgotten either."""
    put(dovecot, "one", "two", "three", "four")
    with an_open_mailbox(dovecot) as mailbox:
        assert read_subjects(mailbox, limit, set_aside) == expected


def test_too_large_is_not_fetched(dovecot: DovecotUser) -> None:
    """A mail over 10 MB is named without its text; one of 10 MB to the octet is read."""
    dovecot.append(a_mail("large", size=MAX_MAIL_BYTES))
    just = a_mail("just").ljust(MAX_MAIL_BYTES - 2, b"x") + b"\r\n"
    dovecot.append(just)
    with an_open_mailbox(dovecot) as mailbox:
        large, fitting = mailbox.read(30)
    assert (large.raw, large.size > MAX_MAIL_BYTES) == (None, True)
    assert fitting.raw == just


def test_many_large_mails_come_in_parts(dovecot: DovecotUser) -> None:
    """What one read holds is bounded; the rest comes with the next."""
    dovecot.fill(a_mail("large", size=9_000_000), 9)
    with an_open_mailbox(dovecot) as mailbox:
        first = mailbox.read(30)
        mailbox.remove([mail.uid for mail in first])
        rest = mailbox.read(30)
    assert (len(first), len(rest)) == (7, 2)


def test_removed_mails_are_gone(dovecot: DovecotUser) -> None:
    """Only these: what others flagged as deleted, and what came meanwhile, stays."""
    put(dovecot, "one", "flagged", "three")
    with an_open_mailbox(dovecot) as mailbox:
        mails = mailbox.read(30)
        with dovecot.client() as other:
            other.select_folder("INBOX")
            other.add_flags([2], [b"\\Deleted"])
        put(dovecot, "late")
        mailbox.remove([mails[0].uid, mails[2].uid])
        assert read_subjects(mailbox) == ["flagged", "late"]
    assert dovecot.flags() == [{b"\\Deleted"}, set()]


def test_removing_nothing_removes_nothing(dovecot: DovecotUser) -> None:
    """No UID is not all of them."""
    put(dovecot, "flagged")
    with dovecot.client() as other:
        other.select_folder("INBOX")
        other.add_flags([1], [b"\\Deleted"])
    with an_open_mailbox(dovecot) as mailbox:
        mailbox.read(1)
        mailbox.remove([])
        mailbox.quarantine([])
    assert subjects(dovecot) == ["flagged"]


def test_removing_what_is_gone_already_is_no_error(dovecot: DovecotUser) -> None:
    """A person may have been quicker."""
    put(dovecot, "one")
    with an_open_mailbox(dovecot) as mailbox:
        (mail,) = mailbox.read(1)
        with dovecot.client() as other:
            other.select_folder("INBOX")
            other.delete_messages([1])
            other.expunge()
        mailbox.remove([mail.uid])
    assert subjects(dovecot) == []


def test_hundreds_at_once(dovecot: DovecotUser) -> None:
    """A batch larger than one command line is read and removed whole."""
    dovecot.fill(a_mail("many"), 700)
    with an_open_mailbox(dovecot) as mailbox:
        mails = mailbox.read(650)
        mailbox.remove([mail.uid for mail in mails])
    assert len({mail.uid for mail in mails}) == 650
    assert len(subjects(dovecot)) == 50


def test_quarantine_keeps_the_mail(dovecot: DovecotUser) -> None:
    """It moves as it is, into a folder that is made for it."""
    put(dovecot, "one", "two")
    with an_open_mailbox(dovecot) as mailbox:
        mailbox.read(30)
        mailbox.quarantine([2])
    assert subjects(dovecot) == ["one"]
    assert dovecot.mails("Quarantine") == [a_mail("two")]


def test_processed_mails_are_kept_where_that_is_set(dovecot: DovecotUser) -> None:
    """PROCESSED_FOLDER: moved, not deleted."""
    put(dovecot, "one", "two")
    with an_open_mailbox(dovecot, processed_folder="Done") as mailbox:
        mailbox.read(30)
        mailbox.remove([1])
    assert (subjects(dovecot), subjects(dovecot, "Done")) == (["two"], ["one"])


def test_what_was_not_read_is_not_removed(dovecot: DovecotUser) -> None:
    """A UID that this mailbox never gave out is refused."""
    put(dovecot, "one", "two")
    with an_open_mailbox(dovecot) as mailbox:
        mailbox.read(1)
        with pytest.raises(OutageError, match="changed since"):
            mailbox.remove([1, 2])
    assert subjects(dovecot) == ["one", "two"]


def test_reconnecting_keeps_what_was_read(dovecot: DovecotUser) -> None:
    """A mail that was read before a drop can be removed after it, the folder being the same."""
    put(dovecot, "one")
    with an_open_mailbox(dovecot) as mailbox:
        (mail,) = mailbox.read(1)
        mailbox.close()
        mailbox.open()
        mailbox.remove([mail.uid])
    assert subjects(dovecot) == []


def test_delivery_to_a_sub_address_arrives(dovecot: DovecotUser) -> None:
    """A reply to user+token lands in INBOX over LMTP, and Delivered-To has the token, in its letters."""
    dovecot.deliver(a_mail("reply"), detail="ToKen77")
    with an_open_mailbox(dovecot) as mailbox:
        (mail,) = mailbox.read(1)
    assert mail.raw is not None
    assert f"Delivered-To: {dovecot.address('ToKen77')}\r\n".encode() in mail.raw


@pytest.mark.parametrize(
    ("foreign", "expected"),
    [
        (None, None),
        (b"To: dana@corp.example\r\nSubject: lunch\r\n\r\nnoon?\r\n", "UID 3"),
        (b"Subject: no recipient\r\n\r\napprovals@corp.example\r\n", "UID 3"),
    ],
)
def test_foreign_mail_is_found(dovecot: DovecotUser, foreign: bytes | None, expected: str | None) -> None:
    """One mail that is not for us is found among ours, and described without a word of it; no flag changes."""
    put(dovecot, "one")
    dovecot.append(a_mail("two", to='"A, B" <Approvals+x7@CORP.example>'))
    if foreign:
        dovecot.append(foreign)
    with an_open_mailbox(dovecot) as mailbox:
        found = mailbox.find_foreign("approvals@corp.example", "+")
    assert (found or "None").endswith(f"({expected})" if expected else "None")
    assert "lunch" not in (found or "")
    assert not any(dovecot.flags())


def test_delivered_to_makes_a_mail_ours(dovecot: DovecotUser) -> None:
    """A mail to a group or in Bcc says in Delivered-To that it is for us."""
    dovecot.deliver(a_mail("one", to="everybody@corp.example"))
    with an_open_mailbox(dovecot) as mailbox:
        assert mailbox.find_foreign(dovecot.name, "+") is None
        assert mailbox.find_foreign("approvals@corp.example", "+") is not None


def test_nothing_is_foreign_in_an_empty_folder(dovecot: DovecotUser) -> None:
    """No mail is ours."""
    with an_open_mailbox(dovecot) as mailbox:
        assert mailbox.find_foreign("approvals@corp.example", "+") is None


def test_name_tells_mailboxes_apart() -> None:
    """The identity holds user, server and folder, and never the password."""
    account = Account("Mail.Example", 993, Password("dana@corp", "swordfish"), starttls=False, tls=True, folder="inbox")
    assert Mailbox(account).name == "imap://dana%40corp@mail.example:993/INBOX"
    assert "swordfish" not in repr(account)


@pytest.mark.parametrize(
    "changes",
    [
        {"quarantine_folder": "Inbox"},
        {"processed_folder": "INBOX"},
        {"processed_folder": "Same", "quarantine_folder": "Same"},
        {"tls": True},
        {"host": "mail.example", "starttls": False},
    ],
)
def test_unsafe_accounts_are_refused(changes: dict[str, str]) -> None:
    """What is put aside is never found again as a reply, and no password crosses a network in plain."""
    with pytest.raises(SettingsError):
        Account(**{"host": "localhost", "port": 143, "login": Password("dana", "x"), **changes})  # type: ignore[arg-type]


def test_nothing_works_before_open(dovecot: DovecotUser) -> None:
    """A mailbox that is not open says so."""
    mailbox = Mailbox(an_account(dovecot))
    with pytest.raises(OutageError, match="not open"):
        mailbox.read(1)
    mailbox.close()
