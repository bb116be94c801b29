"""Where mails go, on servers that offer more or less, and folders that are made, made anew, or emptied."""

from datetime import UTC, datetime, timedelta

import pytest
from reply_poller.mailboxes import a_mail, an_account, an_open_mailbox, put, read_subjects, subject_of, subjects
from servers.dovecot import CAPABILITIES, Dovecot, DovecotUser

from worker.errors import OutageError, SettingsError
from worker.reply_poller.mailbox import Mailbox

WITHOUT_MOVE = CAPABILITIES.replace(" MOVE", "")
WITHOUT_UIDPLUS = CAPABILITIES.replace(" UIDPLUS", "")
WITHOUT_BOTH = WITHOUT_MOVE.replace(" UIDPLUS", "")
GMAIL = f"{CAPABILITIES} X-GM-EXT-1"
TRASH = "Papierkorb"


@pytest.mark.parametrize("processed", [None, "Done"])
@pytest.mark.parametrize("capabilities", [WITHOUT_MOVE, WITHOUT_UIDPLUS])
def test_either_capability_is_enough(dovecot_server: Dovecot, capabilities: str, processed: str | None) -> None:
    """With UIDPLUS or MOVE alone mails leave the folder, and nothing that others flagged leaves with them."""
    user = dovecot_server.create_user(capabilities=capabilities)
    put(user, "one", "flagged", "three")
    with an_open_mailbox(user, processed_folder=processed) as mailbox:
        mailbox.read(30)
        with user.client() as other:
            other.select_folder("INBOX")
            other.add_flags([2], [b"\\Deleted"])
        mailbox.remove([1])
        mailbox.quarantine([3])
    assert subjects(user) == ["flagged"]
    assert subjects(user, "Quarantine") == ["three"]
    if processed:
        assert subjects(user, processed) == ["one"]
    elif capabilities == WITHOUT_UIDPLUS:
        # MOVE alone can't delete.
        assert subjects(user, "Trash") == ["one"]


def test_neither_capability_is_refused(dovecot_server: Dovecot) -> None:
    """A server on which nothing can be removed without risk for other mails is not used, and said to be unfit."""
    user = dovecot_server.create_user(capabilities=WITHOUT_BOTH)
    with pytest.raises(SettingsError, match="neither UIDPLUS nor MOVE"):
        Mailbox(an_account(user)).open()
    assert user.folders() == ["INBOX"]


def test_gmail_moves_to_the_trash(dovecot_server: Dovecot) -> None:
    """Where an expunge may only archive, mails go to the folder that the server calls the Trash, in its language."""
    user = dovecot_server.create_user(capabilities=GMAIL)
    with user.client() as client:
        client.create_folder(TRASH)
    put(user, "one", "two")
    with an_open_mailbox(user) as mailbox:
        mailbox.read(30)
        mailbox.remove([1])
        mailbox.quarantine([2])
        mailbox.purge_quarantine(datetime.now(UTC) + timedelta(days=1))
    assert (subjects(user), subjects(user, "Quarantine")) == ([], [])
    assert subjects(user, TRASH) == ["one", "two"]


def test_gmail_without_a_trash_is_refused(dovecot_server: Dovecot) -> None:
    """A Trash that is not shown over IMAP is a setting that a person has to change."""
    user = dovecot_server.create_user(capabilities=GMAIL)
    with pytest.raises(SettingsError, match="Show in IMAP"):
        Mailbox(an_account(user)).open()


@pytest.mark.parametrize("name", ["Quarantäne", "R&D", 'a "quoted" name', "back\\slash", "per%cent * star", "審査"])
def test_any_name_makes_a_folder(dovecot: DovecotUser, name: str) -> None:
    """Characters beyond ASCII, those that IMAP treats specially, and wildcards are but letters of a name."""
    put(dovecot, "one")
    for _ in range(2):
        with an_open_mailbox(dovecot, quarantine_folder=name, processed_folder=f"{name} 2") as mailbox:
            mailbox.read(1)
    with an_open_mailbox(dovecot, quarantine_folder=name) as mailbox:
        mailbox.read(1)
        mailbox.quarantine([1])
    with an_open_mailbox(dovecot, folder=name) as mailbox:
        assert read_subjects(mailbox) == ["one"]
    assert dovecot.folders() == sorted(["INBOX", "Quarantine", name, f"{name} 2"])


def test_folders_below_inbox_where_the_server_wants_it(dovecot_server: Dovecot) -> None:
    """A server whose personal namespace has a prefix gets it, and the folder is found again."""
    user = dovecot_server.create_user(prefix="INBOX.")
    for subject in ("one", "two"):
        put(user, subject)
        with an_open_mailbox(user, processed_folder="Done") as mailbox:
            (mail,) = mailbox.read(1)
            mailbox.quarantine([mail.uid])
    assert subjects(user, "INBOX.Quarantine") == ["one", "two"]
    assert user.folders() == ["INBOX", "INBOX.Done", "INBOX.Quarantine"]


def test_reply_folder_that_is_missing_is_an_outage(dovecot: DovecotUser) -> None:
    """It is not made: a person may have misspelt it, or be about to make it."""
    with pytest.raises(OutageError, match=r"folder Replies: .*doesn't exist"):
        Mailbox(an_account(dovecot, folder="Replies")).open()


def test_folder_made_anew_keeps_its_mails(dovecot: DovecotUser) -> None:
    """After a change of UIDVALIDITY nothing that was read before is removed: the UIDs are other mails' now."""
    with dovecot.client() as client:
        client.create_folder("Replies")
    put(dovecot, "old", folder="Replies")
    with an_open_mailbox(dovecot, folder="Replies") as mailbox:
        (old,) = mailbox.read(1)
        with dovecot.client() as client:
            client.delete_folder("Replies")
            client.create_folder("Replies")
        put(dovecot, "new", folder="Replies")
        for act in (mailbox.remove, mailbox.quarantine):
            mailbox.close()
            mailbox.open()
            with pytest.raises(OutageError, match="folder Replies changed"):
                act([old.uid])
        mailbox.open()
        (new,) = mailbox.read(1)
        assert (new.uid, subject_of(new.raw)) == (old.uid, "new")
        mailbox.remove([new.uid])
    assert subjects(dovecot, "Replies") == []


def test_folder_deleted_while_open_is_an_outage(dovecot: DovecotUser) -> None:
    """Under an open session too, nothing of the new folder is touched for the old one's sake."""
    with dovecot.client() as client:
        client.create_folder("Replies")
    put(dovecot, "old", folder="Replies")
    with an_open_mailbox(dovecot, folder="Replies") as mailbox:
        (old,) = mailbox.read(1)
        with dovecot.client() as client:
            client.delete_folder("Replies")
            client.create_folder("Replies")
        put(dovecot, "new", folder="Replies")
        with pytest.raises(OutageError):
            mailbox.remove([old.uid])
    assert subjects(dovecot, "Replies") == ["new"]


def test_purge_takes_what_is_old(dovecot: DovecotUser) -> None:
    """The quarantine is emptied by the time that mails are in it, not by how old they are; no other folder is."""
    put(dovecot, "reply")
    with an_open_mailbox(dovecot) as mailbox:
        dovecot.append(a_mail("ancient"), folder="Quarantine", received_at=datetime(2020, 1, 1, tzinfo=UTC))
        assert mailbox.purge_quarantine(datetime.now(UTC) - timedelta(hours=1)) == 0
        assert mailbox.purge_quarantine(datetime.now(UTC) + timedelta(hours=1)) == 1
        assert read_subjects(mailbox) == ["reply"]
    assert subjects(dovecot, "Quarantine") == []


def test_purge_by_arrival_without_savedate(dovecot_server: Dovecot) -> None:
    """A server that does not say since when a mail is there is believed when it came; to the second, not to the day."""
    user = dovecot_server.create_user(capabilities=CAPABILITIES.replace(" SAVEDATE", ""))
    limit = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    with an_open_mailbox(user) as mailbox:
        for hours in (-1, +1, -1000):
            arrival = limit + timedelta(hours=hours)
            user.append(a_mail(f"{hours:+}"), folder="Quarantine", received_at=arrival)
        assert mailbox.purge_quarantine(limit) == 2
    assert subjects(user, "Quarantine") == ["+1"]
