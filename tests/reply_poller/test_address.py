"""A From field names one mailbox, or nobody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reply_poller.lines import headers

from worker.reply_poller.address import LONGEST, address_key, domain_key, read_mailbox, sole_author

DANA = "dana@corp.example"
EVIL = "mallory@evil.example"
SPECIALS = '<>@"\\(),;:[] .\t\x00\n%é\udcff'
PIECES = st.sampled_from(
    [DANA, EVIL, "dana", "corp.example", "=?utf-8?b?ZGFuYUBjb3JwLmV4YW1wbGU=?=", "=?", "?=", *SPECIALS]
)


@pytest.mark.parametrize(
    "value",
    [
        DANA,
        f"<{DANA}>",
        f"Dana Ito <{DANA}>",
        f"Dana J. Ito <{DANA}>",
        f'"Ito, Dana (Ops)" <{DANA}>',
        f'"Dana \\"D\\" Ito"<{DANA}>',
        f"{DANA} (Dana (Ops) Ito)",
        f"(Ops) Dana <{DANA}> (CET)",
        f"=?utf-8?Q?Dana_It=C3=B4?= <{DANA}>",
        f"=?utf-8?B?RGFuYSBJdMO0?=\t=?iso-8859-1?q?_=28Ops=29?= <{DANA}>",
        f"Dana Itô <{DANA}>",
        f'"" <{DANA}>',
        f'"Dana (dana@corp)" <{DANA}>',
    ],
)
def test_usual_forms_are_read(value: str) -> None:
    """What mail clients write for one person."""
    mailbox = read_mailbox(value)

    assert mailbox is not None
    assert mailbox.address == DANA
    assert mailbox.shown == frozenset()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Dana Ito",
        "<>",
        "Dana <>",
        f"{DANA}, mallory@evil.example",
        f"{DANA},",
        f"{DANA} mallory@evil.example",
        f"{DANA} <mallory@evil.example>",
        f"{DANA}]<mallory@evil.example>",
        f"{DANA})<mallory@evil.example>",
        f"{DANA}><mallory@evil.example>",
        f"<{DANA}> <mallory@evil.example>",
        f"<{DANA}",
        f"{DANA}>",
        f"<<{DANA}>>",
        f"<{DANA}> Dana",
        f"Staff: {DANA};",
        f"<@evil.example:{DANA}>",
        f"Ito, Dana <{DANA}>",
        f'"Dana <{DANA}>',
        f"(Dana <{DANA}>",
        f"Dana) <{DANA}>",
        f"Dana \\ <{DANA}>",
        f"Dana\x00 <{DANA}>",
        f"Dana\r <{DANA}>",
        f"Dana\x85 <{DANA}>",
        f"Dana\udce9 <{DANA}>",
        "dana(x)@corp.example",
        "dana @corp.example",
        "< dana@corp.example >",
        "<dana@corp.example.>",
        "dana.@corp.example",
        "da..na@corp.example",
        "dana@@corp.example",
        "dana@corp@evil.example",
        '"dana"@corp.example',
        "dana@[192.0.2.1]",
        "=?utf-8?B?ZGFuYUBjb3JwLmV4YW1wbGU=?=",
        "<=?utf-8?B?ZGFuYUBjb3JwLmV4YW1wbGU=?=>",
        "x" * LONGEST + f" <{DANA}>",
    ],
)
def test_doubtful_forms_are_refused(value: str) -> None:
    """Where the grammar is broken, or readers are known to differ, there is no mailbox."""
    assert read_mailbox(value) is None


@pytest.mark.parametrize(
    "value",
    [
        f'"Bo@Corp.Example" <{DANA}>',
        f'"Bo (bo@corp.example)" <{DANA}>',
        f'"bo\\@corp.example" <{DANA}>',
        f"{DANA} (bo@corp.example)",
        f"(bo@corp.example) {DANA}",
        f"=?utf-8?B?Qm8gPGJvQGNvcnAuZXhhbXBsZT4=?= <{DANA}>",
        f"=?utf-8?q?bo=40corp?= =?utf-8?q?=2Eexample?= <{DANA}>",
        f'"=?utf-8?q?bo=40corp.example?=" <{DANA}>',
        f"=?utf-7?q?bo+AEA-corp.example?= <{DANA}>",
        f"=?x-unknown?q?bo=40corp.example?= <{DANA}>",
        f'"bo＠corp.example" <{DANA}>',  # noqa: RUF001 - the full-width sign is what it is about
    ],
)
def test_addresses_in_a_name_are_shown(value: str) -> None:
    """However they are written into a display name or comment."""
    mailbox = read_mailbox(value)

    assert mailbox is not None
    assert mailbox.address == DANA
    assert mailbox.shown == {"bo@corp.example"}


def test_letter_case_is_ascii_only() -> None:
    """A Kelvin sign is no k, and a dotless i no i."""
    assert address_key("Dana@CORP.Example") == DANA
    assert address_key("dan\u212a@corp.example") != address_key("dank@corp.example")
    assert domain_key("ban\u212a.example") != "bank.example"
    assert domain_key("s\u0131te.example") != "site.example"


def test_international_domains_are_compared_as_dns_does() -> None:
    """In the one form that IDNA gives back; what it would map to another domain stays what it is."""
    assert domain_key("münchen.Example") == "xn--mnchen-3ya.example"
    for lookalike in ("straße.example", "corp\u3002example", "\uff43orp.example", "co\u00adrp.example", "ﬁrm.example"):
        assert domain_key(lookalike) not in {"strasse.example", "corp.example", "firm.example"}
    assert domain_key("ü" * 300) == "ü" * 300


def test_one_author_is_one_field() -> None:
    """A second From field, or none, leaves nobody."""
    assert sole_author(headers(f"From: {DANA}")) == read_mailbox(DANA)
    assert sole_author(headers("To: dana@corp.example")) is None
    assert sole_author(headers(f"From: {DANA}", f"From: {DANA}")) is None


@given(st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=60))
def test_anything_is_read(value: str) -> None:
    """No value raises, and an address found stands in it as it is, with one @."""
    mailbox = read_mailbox(value)

    assert mailbox is None or (mailbox.address in value and mailbox.address.count("@") == 1)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_nothing_in_front_changes_the_address(before: str) -> None:
    """Whatever stands before another's address in angle brackets, it never becomes Dana's."""
    mailbox = read_mailbox(f"{before}<{EVIL}>")

    assert mailbox is None or mailbox.address == EVIL
