"""A mail is trusted where token, sender and gateway agree, and nowhere else."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reply_poller.lines import a_reply, headers

from worker.events import Approver
from worker.reply_poller.known import Known
from worker.reply_poller.sender import UNPROVEN, Sender, Trust, authenticate, find_tokens
from worker.reply_poller.verdict import Untrusted
from worker.reply_token import Question, TokenKeys

KEYS = TokenKeys([b"k" * 32])
QUESTION = Question("/deploy/prod", "A-77", "a-1", "Dana@corp.example", None)
TOKEN = KEYS.mint(QUESTION)
OTHER = "a" * 32
DANA = Approver(
    name="Dana Ito", email="Dana@corp.example", aliases=("dana.ito@sub.example", "dana@xn--mnchen-3ya.example")
)
KNOWN = Known(QUESTION, DANA, "48213", "Deploy Billing", datetime(2026, 11, 23, tzinfo=UTC), UUID(int=1))
OURS = "approvals@deploy.example"
TRUST = Trust("dmarc", "mx.deploy.example", frozenset({OURS}))


def passed(domain: str = "corp.example") -> str:
    """What our gateway writes for a mail of that domain."""
    return f"Authentication-Results: mx.deploy.example; dmarc=pass header.from={domain}"


def judged(*lines: str, tokens: frozenset[str] = frozenset({TOKEN}), trust: Trust = TRUST) -> Sender | str:
    """Who it is, or the code of the reason why nobody knows."""
    found = authenticate(a_reply(*lines), tokens, {TOKEN: KNOWN}, keys=KEYS, trust=trust)
    return found.reason.partition(":")[0] if isinstance(found, Untrusted) else found


def tokens(*lines: str, subject: str = "", address: str = OURS, separator: str = "+") -> frozenset[str]:
    """The tokens in a header."""
    return find_tokens(headers(*lines), subject, address=address, separator=separator)


@pytest.mark.parametrize(
    "line",
    [
        f"To: approvals+{TOKEN}@deploy.example",
        f"To: Bo <bo@corp.example>, Approvals <APPROVALS+{TOKEN.upper()}@Deploy.Example>, x@y.example",
        f'Cc: "approvals+{TOKEN}"@deploy.example',
        f"Delivered-To: approvals+{TOKEN}@deploy.example",
        f"X-Original-To: '<approvals+{TOKEN}@deploy.example>'",
        f"To: 'approvals+{TOKEN}@deploy.example'",
        f"In-Reply-To: <approval.{TOKEN}@corp.example>",
        f"References: <x@y.example> <approval.{TOKEN}@corp.example> <z@y.example>",
    ],
)
def test_a_token_is_found_where_we_put_it(line: str) -> None:
    """In an address of ours, or in the id of our mail; letter case aside."""
    assert tokens(line) == {TOKEN}


@pytest.mark.parametrize(
    "line",
    [
        f"To: approvals+{TOKEN[1:]}@deploy.example",
        f"To: approvals+{TOKEN}a@deploy.example",
        f"To: approvals+{TOKEN[1:]}1@deploy.example",
        f"To: approvals-{TOKEN}@deploy.example",
        f"To: xapprovals+{TOKEN}@deploy.example",
        f"To: approvals+{TOKEN}@deploy.example.evil.example",
        f"To: approvals+{TOKEN}@deploy-example",
        f"To: approvals+{TOKEN} @deploy.example",
        "To: approvals+' or 1=1--@deploy.example",
        f"To: approval\u017f+{TOKEN}@deploy.example",
        f"Bcc: approvals+{TOKEN}@deploy.example",
        f"Reply-To: approvals+{TOKEN}@deploy.example",
        f"From: approvals+{TOKEN}@deploy.example",
        f"X-To: approvals+{TOKEN}@deploy.example",
        f"In-Reply-To: <approval.{TOKEN}x@corp.example>",
        f"In-Reply-To: <noapproval.{TOKEN}@corp.example>",
        f"Message-ID: <approval.{TOKEN}@corp.example>",
        f"Subject: [{TOKEN}]",
    ],
)
def test_no_other_place_counts(line: str) -> None:
    """Malformed ones, other addresses and other fields hold no token."""
    assert tokens(line, subject=f"Re: Deploy [{TOKEN}]") == frozenset()


def test_the_subject_counts_where_addresses_cannot() -> None:
    """Without sub-addressing the links put it there, and no address holds one."""
    line = f"To: approvals{TOKEN}@deploy.example, approvals+{TOKEN}@deploy.example"

    assert tokens(line, separator="") == frozenset()
    assert tokens(line, subject=f"AW: Deploy [{TOKEN.upper()}]", separator="") == {TOKEN}
    assert tokens(subject=f"Re: [{TOKEN}a] {TOKEN}", separator="") == frozenset()
    assert tokens(f"In-Reply-To: <approval.{TOKEN}@corp.example>", separator="") == {TOKEN}


def test_other_separators_and_addresses() -> None:
    """What is special in a pattern is nothing special here."""
    line = f"To: a.b-x.{TOKEN}@deploy.example"

    assert tokens(line, address="a.b-x@deploy.example", separator=".") == {TOKEN}
    assert tokens(line, address="aab-x@deploy.example", separator=".") == frozenset()
    assert tokens(f"To: a+b={TOKEN}@deploy.example", address="a+b@deploy.example", separator="=") == {TOKEN}


def test_every_different_token_is_found() -> None:
    """The same one twice is one; how many are taken has an end."""
    assert tokens(f"To: approvals+{TOKEN}@deploy.example", f"References: <approval.{OTHER}@x>") == {TOKEN, OTHER}
    assert tokens(f"To: approvals+{TOKEN}@deploy.example", f"Cc: approvals+{TOKEN.upper()}@deploy.example") == {TOKEN}
    many = " ".join(f"<approval.{letter * 32}@x>" for letter in "abcdefghijklmnop")
    assert len(tokens(f"References: {many}")) == 8


@pytest.mark.parametrize(
    ("lines", "authentication"),
    [
        ((passed(),), "dmarc=pass header.from=corp.example"),
        ((passed(), "From: Dana Ito <DANA@CORP.example>"), "dmarc=pass header.from=corp.example"),
        ((passed(), 'From: "Dana (dana.ito@sub.example)" <dana@corp.example>'), "dmarc=pass header.from=corp.example"),
        ((passed("sub.example"), "From: dana.ito@sub.example"), "dmarc=pass header.from=sub.example"),
        (
            (passed("münchen.example"), "From: dana@münchen.example"),
            "dmarc=pass header.from=xn--mnchen-3ya.example",
        ),
        ((passed(), "Sender: dana@corp.example"), "dmarc=pass header.from=corp.example"),
        ((passed(), "Sender: Dana <dana.ito@sub.example>"), "dmarc=pass header.from=corp.example"),
        ((passed(), "Sender: Approvals@deploy.example"), "dmarc=pass header.from=corp.example"),
        ((passed(), "Resent-From: approvals@deploy.example"), "dmarc=pass header.from=corp.example"),
        ((passed(), "Reply-To: x@y.example", "Date: x", "Date: y"), "dmarc=pass header.from=corp.example"),
    ],
)
def test_the_approver_is_trusted(lines: tuple[str, ...], authentication: str) -> None:
    """By the address that was asked, or an alias, where the gateway vouches for its domain."""
    found = judged(*lines)

    assert isinstance(found, Sender)
    assert found.authentication == authentication
    assert (found.known, found.token) == (KNOWN, TOKEN)


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (("From: bo@corp.example",), "wrong From"),
        (("From: dana@corp.example.evil.example",), "wrong From"),
        (("From: dana%corp.example@evil.example",), "wrong From"),
        (("From: dana@c\u043erp.example",), "wrong From"),
        (("From: Dan\u00e0@corp.example",), "wrong From"),
        (("From: <>",), "broken From"),
        (("From:",), "broken From"),
        (("From: dana@corp.example", "From: dana@corp.example"), "broken From"),
        (("From: dana@corp.example, bo@corp.example",), "broken From"),
        (("From: dana@corp.example <bo@corp.example>",), "broken From"),
        (('From: "bo@corp.example" <dana@corp.example>',), "ambiguous From"),
        (("Sender: bo@corp.example",), "sent on behalf"),
        (("Sender: <>",), "sent on behalf"),
        (("Sender: dana@corp.example", "Sender: bo@corp.example"), "sent on behalf"),
        (("Resent-From: bo@corp.example",), "sent on behalf"),
        (("Resent-Sender: bo@corp.example",), "sent on behalf"),
    ],
)
def test_nobody_else_is(lines: tuple[str, ...], code: str) -> None:
    """Whatever the gateway says of the domain, and whatever proves it."""
    assert judged(passed(), *lines) == code
    assert judged(*lines, trust=Trust("address")) == code


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (passed("evil.example"),),
        (passed().replace("mx.deploy", "mx.evil"),),
        (passed(), passed().replace("pass", "fail")),
        (passed("corp.example"), "From: dana.ito@sub.example"),
    ],
)
def test_an_address_alone_proves_nothing(lines: tuple[str, ...]) -> None:
    """The domain of From itself has to be the one that passed, also an alias's."""
    assert judged(*lines) == "not authenticated"


def test_exactly_one_genuine_token() -> None:
    """None, two, one that the journal lost, or one that no key signed: each is refused, with its reason."""
    moved = {
        TOKEN: Known(
            Question("/x", "A-1", "e", "dana@corp.example", None), DANA, "1", "t", KNOWN.requested_at, UUID(int=2)
        )
    }
    forged = authenticate(a_reply(passed()), frozenset({TOKEN}), moved, keys=KEYS, trust=TRUST)

    assert judged(passed(), tokens=frozenset()) == "no token"
    assert judged(passed(), tokens=frozenset({OTHER})) == "unknown token"
    assert judged(passed(), tokens=frozenset({TOKEN, OTHER})) == "two tokens"
    assert isinstance(forged, Untrusted)
    assert forged.reason.startswith("forged token")


def test_each_mode_has_its_own_proof() -> None:
    """Exchange's field proves nothing under ``dmarc``, nor ours under ``exchange``; ``address`` asks for none."""
    internal = "X-MS-Exchange-Organization-AuthAs: Internal"
    by_exchange = judged(internal, trust=Trust("exchange"))
    by_address = judged(trust=Trust("address"))

    assert judged(internal) == "not authenticated"
    assert judged(passed(), trust=Trust("exchange")) == "not authenticated"
    assert isinstance(by_exchange, Sender)
    assert by_exchange.authentication == internal
    assert isinstance(by_address, Sender)
    assert by_address.authentication == UNPROVEN


@given(
    st.lists(st.sampled_from(["dana", "@corp.example", "@evil.example", *'<>"\\(),;: =?.\t\x00é\udcff']), max_size=9)
)
def test_only_the_address_itself_authenticates(pieces: list[str]) -> None:
    """No other From is ever Dana's; and no reason names an address or a token."""
    value = "".join(pieces)
    found = authenticate(
        a_reply(f"From: {value}", passed()), frozenset({TOKEN}), {TOKEN: KNOWN}, keys=KEYS, trust=TRUST
    )

    if isinstance(found, Untrusted):
        assert "@" not in found.reason
        assert TOKEN not in found.reason
    else:
        assert found.address == "dana@corp.example"
        assert found.address in value


@given(
    st.lists(st.tuples(st.sampled_from(["to", "references", "from", "sender"]), st.text(max_size=80)), max_size=5),
    st.text(),
)
def test_anything_is_judged(fields: list[tuple[str, str]], subject: str) -> None:
    """No header raises."""
    lines = [f"{name}: {value}" for name, value in fields]
    for separator in ("+", ""):
        found = tokens(*lines, subject=subject, separator=separator)
        authenticate(a_reply(*lines), found, {}, keys=KEYS, trust=TRUST)


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    "piece", ["approvals+", f"approvals+{OTHER}", f"approval.{OTHER}@", f"[{OTHER}]", "a", "@", '"']
)
def test_long_headers_take_no_time(piece: str) -> None:
    """A megabyte in each field."""
    value = piece * (1_000_000 // len(piece))
    lines = [f"{name}: {value}" for name in ("To", "Cc", "References", "From", "Sender", "Authentication-Results")]

    assert len(tokens(*lines, subject=value)) <= 8
    assert judged(*lines) in {"broken From", "no token"}
