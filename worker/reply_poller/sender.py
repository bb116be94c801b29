"""A ``Reply`` to the approver who must have sent it, or to the reason why it is not trusted. Pure: asks no journal.

The token says which question is answered; that its holder is the approver asked is proven by the sender's domain.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Literal, assert_never

from worker.reply_poller.address import Mailbox, address_key, read_mailbox, sole_author
from worker.reply_poller.authentication import prove_dmarc, prove_exchange
from worker.reply_poller.known import Known
from worker.reply_poller.reply import Headers, Reply
from worker.reply_poller.structured import fold
from worker.reply_poller.verdict import Untrusted
from worker.reply_token import TOKEN_LENGTH, TokenKeys

MOST_TOKENS = 8
"""Different tokens that are taken from a mail: two are one too many already."""
LONGEST = 65_536
"""Characters of a field in which tokens are looked for."""

UNPROVEN = "none: token and sender address alone"
"""What is published in an authentication's place where ``APPROVAL_TRUST`` is ``address``."""

_ADDRESS_FIELDS = "to", "cc", "delivered-to", "x-original-to"
_ID_FIELDS = "in-reply-to", "references"
# Who sent it in the author's place (RFC 5322 3.6.2), or again (3.6.6).
_SENDER_FIELDS = "sender", "resent-from", "resent-sender"

_TOKEN = rf"([a-z2-7]{{{TOKEN_LENGTH}}})"
# No apostrophe, which some clients set around an address.
_BEGIN = r"(?<![A-Za-z0-9!#$%&*+/=?^_`{|}~.-])"
_IN_ID = re.compile(rf"{_BEGIN}approval\.{_TOKEN}@", re.IGNORECASE | re.ASCII)
_IN_SUBJECT = re.compile(rf"\[{_TOKEN}\]", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Trust:
    """What proves a sender's address. ``own_addresses``, in lower case, may stand in Sender: groups write theirs."""

    mode: Literal["dmarc", "exchange", "address"]
    authserv_id: str = ""
    own_addresses: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Sender:
    """Proven: ``address`` is the approver's, as written in From; ``authentication`` is what proved it, to be shown."""

    address: str
    authentication: str
    known: Known
    token: str


def find_tokens(headers: Headers, subject: str, *, address: str, separator: str) -> frozenset[str]:
    """The well-formed tokens of a mail, in lower case; whether they are genuine is another question.

    ``address`` is where replies go, without a token; ``separator`` is empty where there is no sub-addressing.
    """
    return frozenset(islice(_unique(_tokens(headers, subject, address, separator)), MOST_TOKENS))


def authenticate(
    reply: Reply, tokens: frozenset[str], known: Mapping[str, Known], *, keys: TokenKeys, trust: Trust
) -> Sender | Untrusted:
    """Who sent it, where everything agrees; ``known`` is what the journal knows of ``tokens``."""
    genuine = find_genuine(tokens, known, keys)
    if isinstance(genuine, Untrusted):
        return genuine
    token, asked = genuine
    mailbox = _author(reply.headers, asked, trust)
    if isinstance(mailbox, Untrusted):
        return mailbox
    proof = _proof(reply.headers, mailbox.domain, trust)
    if proof is None:
        return Untrusted("not authenticated: nothing trusted says that the domain in From sent it")
    return Sender(mailbox.address, proof, asked, token)


def find_genuine(tokens: frozenset[str], known: Mapping[str, Known], keys: TokenKeys) -> tuple[str, Known] | Untrusted:
    """The one token that is there, known and signed by us, with what it stands for; or why there is none."""
    if not tokens:
        return Untrusted("no token: it answers no question of ours")
    if len(tokens) > 1:
        return Untrusted("two tokens: it answers more than one question")
    (token,) = tokens
    asked = known.get(token)
    if asked is None:
        return Untrusted("unknown token: the journal has no such question")
    if not keys.verify(token, asked.question):
        return Untrusted("forged token: no key of ours signed it for this question")
    return token, asked


def _author(headers: Headers, asked: Known, trust: Trust) -> Mailbox | Untrusted:
    mailbox = sole_author(headers)
    if mailbox is None:
        return Untrusted("broken From: not exactly one address")
    approver = {address_key(address) for address in (asked.approver.email, *asked.approver.aliases)}
    if mailbox.key not in approver:
        return Untrusted("wrong From: not the approver who was asked")
    if not mailbox.shown <= approver:
        return Untrusted("ambiguous From: its name shows another address")
    if any(not _is_harmless(value, approver, trust) for name in _SENDER_FIELDS for value in headers.all(name)):
        return Untrusted("sent on behalf: somebody else sent it in the approver's name")
    return mailbox


def _is_harmless(value: str, approver: set[str], trust: Trust) -> bool:
    mailbox = read_mailbox(value)
    return mailbox is not None and (mailbox.key in approver or fold(mailbox.address) in trust.own_addresses)


def _proof(headers: Headers, domain: str, trust: Trust) -> str | None:
    match trust.mode:
        case "dmarc":
            return prove_dmarc(headers, authserv_id=trust.authserv_id, domain=domain)
        case "exchange":
            return prove_exchange(headers, domain=domain)
        case "address":
            return UNPROVEN
        case _:
            assert_never(trust.mode)


def _tokens(headers: Headers, subject: str, address: str, separator: str) -> Iterator[str]:
    local, _, domain = address.rpartition("@")
    if separator:
        # The local part may be quoted, with the token inside.
        ours = rf'{_BEGIN}{re.escape(local + separator)}{_TOKEN}"?@{re.escape(domain)}(?![A-Za-z0-9.-])'
        yield from _found(re.compile(ours, re.IGNORECASE | re.ASCII), headers, _ADDRESS_FIELDS)
    else:
        yield from _IN_SUBJECT.findall(subject[:LONGEST])
    yield from _found(_IN_ID, headers, _ID_FIELDS)


def _found(pattern: re.Pattern[str], headers: Headers, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        for value in headers.all(name):
            yield from pattern.findall(value[:LONGEST])


def _unique(tokens: Iterator[str]) -> Iterator[str]:
    return iter(dict.fromkeys(token.lower() for token in tokens))
