"""Mails to findings: the first four questions, in their order. The fifth, whether it is still open, is the ledger's.

::

    1 can it be read?           reading     Unreadable
    2 did a person write it?    automatic   Automatic, Bounced
    3 is it who it must be?     sender      Untrusted
    4 what does it say?         decision    Undecided, Approved, Rejected
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

import structlog

from worker.errors import CountersignError
from worker.reply_poller.automatic import find_origin
from worker.reply_poller.decision import Vocabulary, read_decision
from worker.reply_poller.known import Known
from worker.reply_poller.mailbox import MAX_MAIL_BYTES, Mail
from worker.reply_poller.reader import UnreadableError
from worker.reply_poller.reply import Headers, Reply
from worker.reply_poller.sender import Sender, Trust, authenticate, find_genuine, find_tokens
from worker.reply_poller.verdict import Automatic, Bounced, Finding, Undecided, Unreadable, Untrusted
from worker.reply_token import TOKEN_LENGTH, TokenKeys

TYPED_BYTES = 4096
"""Of typed text that is published with what decided nothing."""

AT_ONCE = 10
"""Mails whose tokens are looked up together."""

log = structlog.get_logger()

_TOKEN = re.compile(rf"(?<![a-z0-9])[a-z2-7]{{{TOKEN_LENGTH}}}(?![a-z0-9])", re.IGNORECASE)
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,900}>")
_ADDRESS = re.compile(r"[^\s<>,;:\"()]{1,64}@[^\s<>,;:\"()]{1,255}")


@dataclass(frozen=True, slots=True)
class Rules:
    """What the questions are asked with: where replies go, who we are, which keys signed, whom to trust, which words.

    ``own_addresses`` are in lower case.
    """

    address: str
    separator: str
    own_addresses: frozenset[str]
    keys: TokenKeys
    trust: Trust
    words: Vocabulary


@dataclass(frozen=True, slots=True)
class Evidence:
    """A mail as far as it could be read, and the tokens in it. ``broken`` is why it could not be read."""

    mail: Mail
    digest: bytes
    reply: Reply | None
    tokens: frozenset[str]
    broken: str = ""


class Judge:
    """Judges mails; ``read`` raises ``UnreadableError``, ``find`` says what the journal knows of tokens."""

    def __init__(
        self,
        rules: Rules,
        *,
        read: Callable[[bytes], Reply],
        find: Callable[[Collection[str]], Mapping[str, Known]],
    ) -> None:
        self._rules = rules
        self._read = read
        self._find = find

    def judge(self, mails: Sequence[Mail]) -> Sequence[Finding]:
        """A finding for each mail.

        Raises:
            OutageError: the journal is away, or the reading process can't be had: nothing is said about any of them.
        """
        thread = ThreadPoolExecutor(1, "reading")
        # The next mails are read, by another process, while these are judged.
        reading = [thread.submit(self._examine_or_park, mail) for mail in mails]
        try:
            return [
                finding
                for begin in range(0, len(reading), AT_ONCE)
                for finding in self._judge([one.result() for one in reading[begin : begin + AT_ONCE]])
            ]
        finally:
            thread.shutdown(cancel_futures=True)

    def _judge(self, evidence: Sequence[Evidence]) -> Sequence[Finding]:
        known = self._find({token for one in evidence for token in one.tokens})
        return [self._conclude_or_park(one, known) for one in evidence]

    def _examine_or_park(self, mail: Mail) -> Evidence:
        try:
            return self.examine(mail)
        except CountersignError:
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours must not stop the mails behind; it is quarantined
            return Evidence(mail, _digest(mail), None, frozenset(), _fault(error, _digest(mail)))

    def _conclude_or_park(self, evidence: Evidence, known: Mapping[str, Known]) -> Finding:
        try:
            return self.conclude(evidence, known)
        except CountersignError:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            reason = _fault(error, evidence.digest)
            return Finding(evidence.digest, evidence.mail.received_at, Unreadable(reason))

    def examine(self, mail: Mail) -> Evidence:
        """The first question: what can be read of that mail."""
        digest = _digest(mail)
        if mail.raw is None:
            return Evidence(mail, digest, None, frozenset(), _too_large())
        try:
            reply = self._read(mail.raw)
        except UnreadableError as error:
            return Evidence(mail, digest, None, frozenset(), str(error))
        return Evidence(mail, digest, reply, self._tokens(reply))

    def _tokens(self, reply: Reply) -> frozenset[str]:
        rules = self._rules
        return find_tokens(reply.headers, reply.subject, address=rules.address, separator=rules.separator)

    def conclude(self, evidence: Evidence, known: Mapping[str, Known]) -> Finding:
        """The second, third and fourth question."""
        mail, reply = evidence.mail, evidence.reply
        if reply is None:
            return Finding(evidence.digest, mail.received_at, Unreadable(evidence.broken))
        finding = _facts(evidence, reply, mail.received_at)
        origin = find_origin(reply, own_addresses=self._rules.own_addresses)
        if origin is not None:
            return self._machine(finding, reply, origin, evidence.tokens, known)
        sender = authenticate(reply, evidence.tokens, known, keys=self._rules.keys, trust=self._rules.trust)
        if isinstance(sender, Untrusted):
            return replace(finding, verdict=sender, known=self._genuine(evidence.tokens, known))
        return _said(finding, reply, sender, self._rules.words)

    def _machine(
        self,
        finding: Finding,
        reply: Reply,
        origin: Automatic | Bounced,
        tokens: frozenset[str],
        known: Mapping[str, Known],
    ) -> Finding:
        # Without sub-addressing the token stands in the mail that came back alone.
        returned = tokens or _returned_tokens(reply)
        known = known if tokens else self._find(returned)
        return replace(finding, verdict=origin, known=self._genuine(returned, known))

    def _genuine(self, tokens: frozenset[str], known: Mapping[str, Known]) -> Known | None:
        genuine = find_genuine(tokens, known, self._rules.keys)
        return None if isinstance(genuine, Untrusted) else genuine[1]


def blank_tokens(text: str) -> str:
    """The text without what could be a token: it is published where more people read than the approver."""
    return _TOKEN.sub("[token]", text)


def _digest(mail: Mail) -> bytes:
    # What is never fetched has no digest of its own: its place in the folder has to do.
    name = f"{mail.uid} {mail.size} {mail.received_at.isoformat()}".encode()
    return sha256(name if mail.raw is None else mail.raw).digest()


def _fault(error: Exception, digest: bytes) -> str:
    log.error("a mail breaks the reader", digest=digest.hex()[:16], exc_info=error)
    return f"it breaks the reader ({type(error).__name__})"


def _too_large() -> str:
    return f"it is larger than {MAX_MAIL_BYTES // 1_000_000} MB"


def _facts(evidence: Evidence, reply: Reply, received_at: datetime) -> Finding:
    message_id = _MESSAGE_ID.search(reply.headers.first("message-id") or "")
    sender = _ADDRESS.search(reply.headers.first("from") or "")
    lines = next((form.lines for form in reversed(reply.typed) if form.lines), ())
    typed = blank_tokens("\n".join(lines)).encode("utf-8", "replace")[:TYPED_BYTES].decode("utf-8", "ignore")
    return Finding(
        evidence.digest,
        received_at,
        Unreadable(""),
        message_id=blank_tokens(message_id[0]) if message_id else "",
        sender=sender[0] if sender else "",
        typed_text=typed,
    )


def _returned_tokens(reply: Reply) -> frozenset[str]:
    ours = "" if reply.returned is None else reply.returned.first("message-id") or ""
    return find_tokens(Headers((("references", ours),)), "", address="@", separator="+")


def _said(finding: Finding, reply: Reply, sender: Sender, words: Vocabulary) -> Finding:
    verdict = read_decision(reply, words, title=sender.known.title)
    if not isinstance(verdict, Undecided):
        verdict = replace(verdict, comment=blank_tokens(verdict.comment))
    return replace(
        finding,
        verdict=verdict,
        known=sender.known,
        sender=sender.address,
        authentication=sender.authentication,
    )
