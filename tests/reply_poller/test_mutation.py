"""Damaged mails: none breaks the reader or keeps it busy, and none approves that does not say so.

Which of them may approve is not asked of the reader. A mail in which the word nowhere stands can't get it by damage;
one that takes its yes back in what was typed takes it back in every client; and where a damaged mail approves, a line
that begins with the word stands in it for whoever decodes it.
"""

import re
import time
from email import message_from_bytes
from email.errors import MessageError
from functools import cache
from pathlib import Path
from random import Random

import pytest
from reply_poller.clients import CLIENTS, TONGUES, a_reply
from reply_poller.hostile import approves, both, html, text
from reply_poller.mutation import mutate

NEVER = Path(__file__).parents[1] / "replies" / "never"
SECONDS = 2
# What the library is known to raise on damaged mails: nothing in them says yes.
BREAKS = (MessageError, LookupError, ValueError, TypeError, AttributeError, RecursionError, AssertionError)
_YES = re.compile(rb"(?:^|[>\r\n])[\s\W]*(?:&[a-z#0-9]+;|<[^<>]*>|[\s\W])*approved?(?![a-z])", re.IGNORECASE)
_INLINE = re.compile(rb"<(?!/?(?:br|p|div|td|tr|li)\b)[^<>]*>", re.IGNORECASE)
WITHOUT_THE_WORD = (
    text("OK, go ahead and deploy it.\r\n\r\nOn 3 March Dana wrote:\r\n> Deploy search?\r\n"),
    text("Reject: too risky\r\n\r\n-- \r\nDana\r\n"),
    html("<div hidden>Yes</div><p>Genehmigt</p><blockquote type=cite>Deploy?</blockquote>"),
    both("yes please\r\n> Deploy?\r\n", "<style>.q{display:none}</style><p class=q>yes</p><p>please</p>"),
    both("\r\n", "<table><tr><td>LGTM<td>&#128077;</table><!--[if mso]>no<![endif]-->"),
)
TAKEN_BACK = (
    ("Approve", "but wait for QA"),
    ("Approve", "", "Reject"),
    ("Approve", "not before Monday"),
    ("Approve, if QA passes",),
    ("Approve", "is this tested?"),
    ("Approve", "nur nach QA"),
    ("Approve", "pas encore"),
    ("To approve, reply with the single word Approve.",),
    ("Approve this",),
    ("I do not", "Approve"),
    ("Approve", "\U0001f6d1"),
    ("\u201cApprove\u201d",),
)


@cache
def bases() -> tuple[bytes, ...]:
    """All mails that there are: those that never approve, and each client's yes and no."""
    hostile = [path.read_bytes() for path in sorted(NEVER.glob("*.eml"))]
    clients = [a_reply(client, *said) for client in CLIENTS for said in (("Approve",), ("Reject: no", "too risky"))]
    return (*hostile, *clients)


def _says_yes(raw: bytes) -> bool:
    """Whether a line begins with the word, in the raw mail or in a part of it as the standard library decodes it."""
    try:
        parts = [part.get_payload(decode=True) for part in message_from_bytes(raw).walk()]
    except BREAKS:
        parts = []
    texts = [part.replace(b"\0", b"") for part in (raw, *parts) if isinstance(part, bytes)]
    # A tag that no browser knows may stand in the middle of the word.
    return any(_YES.search(said) for found in texts for said in (found, _INLINE.sub(b"", found)))


def _check(seed: int) -> None:
    all_bases = bases()
    raw = mutate(all_bases[seed % len(all_bases)], seed)
    begin = time.process_time()
    is_yes = approves(raw)
    assert time.process_time() - begin < SECONDS, f"seed {seed} is slow"
    assert not is_yes or _says_yes(raw), f"seed {seed} approves"
    wordless = mutate(WITHOUT_THE_WORD[seed % len(WITHOUT_THE_WORD)], seed)
    assert not approves(wordless), f"seed {seed} approves without the word"


def _check_taken_back(seed: int) -> None:
    random = Random(seed)
    client, tongue = random.choice([*CLIENTS]), random.choice([*TONGUES])
    said = random.choice(TAKEN_BACK)
    assert not approves(a_reply(client, *said, tongue=tongue)), f"seed {seed}: {client} in {tongue} says {said}"


def test_damaged() -> None:
    """Of 2,000 damaged mails none breaks the reader, none is slow, and none approves that does not say so."""
    for seed in range(2_000):
        _check(seed)


def test_taken_back() -> None:
    """A yes that is taken back in the same breath is none, whatever client sends it in whatever language."""
    for seed in range(400):
        _check_taken_back(seed)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_damaged_soak() -> None:
    """Likewise of 100,000, and 10,000 that are taken back."""
    for seed in range(2_000, 102_000):
        _check(seed)
    for seed in range(400, 10_400):
        _check_taken_back(seed)
