"""Mails that somebody writes to be misread, in as few words as they take, and what our reader makes of them."""

from worker.reply_poller.decision import Vocabulary, read_decision
from worker.reply_poller.reader import Reader, UnreadableError
from worker.reply_poller.verdict import Approved, Rejected, Undecided

WORDS = Vocabulary(("approve", "approved"), ("reject", "rejected"))
READER = Reader(("approvals@deploy.example.net",), "Deploy Approvals")
TITLE = "Deploy search 1.19.0"

_HEAD = (
    "From: Dana Approver <dana@corp.example>\r\n"
    "To: Deploy Approvals <approvals+c0ffee@deploy.example.net>\r\n"
    "Subject: {subject}\r\n"
    "MIME-Version: 1.0\r\n"
)


def decide(raw: bytes) -> Approved | Rejected | Undecided:
    """What the mail says; one that can't be read says nothing."""
    try:
        return read_decision(READER.read(raw), WORDS, title=TITLE)
    except UnreadableError:
        return Undecided("empty")


def approves(raw: bytes) -> bool:
    """Whether the mail is taken for an approval."""
    return isinstance(decide(raw), Approved)


def a_mail(media_type: str, body: str | bytes, *, subject: str = f"Re: {TITLE}", more: str = "") -> bytes:
    """A mail of one part, or of parts that are written already."""
    head = f"{_HEAD.format(subject=subject)}{more}Content-Type: {media_type}\r\n\r\n"
    return head.encode() + (body if isinstance(body, bytes) else body.encode())


def html(body: str) -> bytes:
    """A mail that is HTML alone."""
    return a_mail("text/html; charset=utf-8", body)


def text(body: str) -> bytes:
    """A mail that is plain text alone."""
    return a_mail("text/plain; charset=utf-8", body)


def both(plain: str, markup: str) -> bytes:
    """The same in two forms, or not the same."""
    parts = [("plain", plain), ("html", markup)]
    body = "".join(f"--b\r\nContent-Type: text/{kind}; charset=utf-8\r\n\r\n{said}\r\n" for kind, said in parts)
    return a_mail("multipart/alternative; boundary=b", f"{body}--b--\r\n")
