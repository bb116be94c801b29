"""Replies of every mail client in every language are understood, with the comment that was typed and nothing else."""

from dataclasses import replace

import pytest
from reply_poller.clients import (
    CLIENTS,
    FROM_ADDRESS,
    NAME,
    REPLY_ADDRESS,
    TONGUES,
    Envelope,
    a_mail,
    a_part,
    a_reply,
    multipart,
    other_mail,
    our_mail,
)

from worker.reply_poller.decision import Vocabulary, read_decision
from worker.reply_poller.reader import Reader
from worker.reply_poller.verdict import Approved, Rejected, Undecided

WORDS = Vocabulary(("approve", "approved"), ("reject", "rejected"))
READER = Reader((REPLY_ADDRESS, FROM_ADDRESS), NAME)
UNNAMED = Reader((REPLY_ADDRESS, FROM_ADDRESS))
COMMENT = ("Approve", "", "The change list is complete.")
REASON = ("Reject: the migration is broken.", "Please run it on staging first.")
# What differs most between languages: the line above the quote, the header fields, what a phone signs with.
SPOKEN = (
    "gmail-web",
    "apple-mail",
    "ios-mail",
    "outlook-plain",
    "outlook-exchange",
    "yahoo-app",
    "notes",
    "horde",
)
TAGGED = [pytest.param(tongue, id=tongue) for tongue in TONGUES]


def verdict(raw: bytes, reader: Reader = READER) -> Approved | Rejected | Undecided:
    """What the mail decides."""
    return read_decision(reader.read(raw), WORDS, title="")


def assert_understood(client: str, tongue: str = "en", reader: Reader = READER, **more: object) -> None:
    """An approval, one with a comment, a rejection and nothing at all, as that client sends them."""

    def sent(*answer: str) -> Approved | Rejected | Undecided:
        return verdict(a_reply(client, *answer, tongue=tongue, **more), reader)  # type: ignore[arg-type]

    assert sent("Approve") == Approved("")
    assert sent(*COMMENT) == Approved("The change list is complete.")
    assert sent(*REASON) == Rejected("the migration is broken.\nPlease run it on staging first.")
    assert isinstance(sent(), Undecided)


@pytest.mark.parametrize("client", CLIENTS)
def test_every_client(client: str) -> None:
    """Each of them, above and below the quote, is understood."""
    assert_understood(client)


@pytest.mark.parametrize("client", CLIENTS)
def test_another_mail(client: str) -> None:
    """So is the answer to a mail whose lines begin with the words that decide: none of them is taken for it."""
    assert_understood(client, original=other_mail())


@pytest.mark.parametrize("client", CLIENTS)
def test_an_address_book(client: str) -> None:
    """An address book gives our address a name that we don't know, and the answer is understood."""
    assert_understood(client, reader=UNNAMED, original=replace(our_mail(), name="Deploy Desk"))


@pytest.mark.parametrize("tongue", TAGGED)
@pytest.mark.parametrize("client", SPOKEN)
def test_every_language(client: str, tongue: str) -> None:
    """What clients and phones write in each language is no part of the answer."""
    assert_understood(client, tongue)


@pytest.mark.parametrize("tongue", TAGGED)
def test_phone_signatures(tongue: str) -> None:
    """What phones sign with is neither comment nor reason, and stands in no approval's way."""
    for phone in TONGUES[tongue]["phones"]:
        assert verdict(a_reply("gmail-web", "Approve", "", phone, tongue=tongue)) == Approved("")
        assert verdict(a_reply("gmail-web", "Reject: too soon", "", phone, tongue=tongue)) == Rejected("too soon")


@pytest.mark.parametrize("client", ["gmail-web", "outlook-plain", "outlook-exchange", "apple-mail", "evolution"])
@pytest.mark.parametrize("tongue", [tongue for tongue in TONGUES if "disclaimer" in TONGUES[tongue]])
def test_disclaimers(tongue: str, client: str) -> None:
    """A company's notice, above the quote or below it, is no part of the answer."""
    notice = TONGUES[tongue]["disclaimer"]
    below = Envelope(below=f"\n\n{notice}\n")
    assert verdict(a_reply(client, "Approve", tongue=tongue, envelope=below)) == Approved("")
    assert verdict(a_reply(client, "Approve", "", notice, tongue=tongue)) == Approved("")
    assert verdict(a_reply(client, "Approve", notice, tongue=tongue)) == Approved("")
    assert verdict(a_reply(client, "Reject: too soon", "", notice, tongue=tongue)) == Rejected("too soon")


@pytest.mark.parametrize(
    ("tongue", "charset"),
    [
        ("de", "iso-8859-1"),
        ("fr", "iso-8859-15"),
        ("fr", "windows-1252"),
        ("pl", "iso-8859-2"),
        ("cs", "windows-1250"),
        ("ru", "koi8-r"),
        ("ru", "windows-1251"),
        ("uk", "koi8-u"),
        ("el", "iso-8859-7"),
        ("tr", "iso-8859-9"),
        ("he", "windows-1255"),
        ("ar", "windows-1256"),
        ("zh-CN", "gb2312"),
        ("zh-CN", "gb18030"),
        ("zh-TW", "big5"),
        ("ja", "shift_jis"),
        ("ja", "iso-2022-jp"),
        ("ja", "euc-jp"),
        ("ko", "euc-kr"),
    ],
)
@pytest.mark.parametrize("encoding", ["quoted-printable", "base64"])
def test_charsets(tongue: str, charset: str, encoding: str) -> None:
    """The older charsets of each language, in either encoding."""
    plain = replace(our_mail(), text=our_mail().text.replace("·", "-"))
    for client in ("outlook-plain", "outlook-exchange"):
        assert_understood(client, tongue, original=plain, envelope=Envelope(charset, encoding))


@pytest.mark.parametrize("client", ["gmail-web", "outlook-plain", "thunderbird-text", "outlook-exchange"])
def test_signed_and_illustrated(client: str) -> None:
    """S/MIME, OpenPGP, a logo beside the text and a list's footer behind it change nothing."""
    head, _, rest = a_reply(client, "Approve").partition(b"Content-Type")
    part = b"Content-Type" + rest
    smime = b"Content-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: base64\r\n\r\nMIAG\r\n"
    logo = b"Content-Type: image/png\r\nContent-ID: <logo>\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n"
    footer = a_part("plain", f"{'_' * 47}\nplatform mailing list\nplatform@lists.corp.example\n")
    protocol = '; protocol="application/pkcs7-signature"; micalg=sha-256'
    for whole in (
        multipart("signed", [part, smime], protocol),
        multipart("related", [part, logo]),
        multipart("mixed", [part, footer]),
    ):
        assert verdict(head + whole) == Approved("")


@pytest.mark.parametrize(
    "line",
    [
        "Approve",
        "APPROVE",
        "approve.",
        "Approved!",
        " Approve ",
        "\u00a0Approve\u00a0",
        "\u3000Approve",
        "*Approve*",
        "\u200fApprove\u200f",
        "\u202bApprove\u202c",
        "\u2067Approve\u2069",
        "\ufeffApprove",
    ],
)
def test_one_word(line: str) -> None:
    """The word as phones, editors and right-to-left keyboards write it."""
    for client in ("gmail-web", "outlook-plain", "thunderbird-text"):
        assert verdict(a_reply(client, line)) == Approved("")


@pytest.mark.parametrize(
    "condition",
    [
        "but only after 18:00, says Bo <bo@corp.example>:",
        "but only after 18:00, as Deployments <deployments@corp.example> wrote:",
        "not before 18:00 on 3 March 2026, Deployments wrote:",
        "wait for Tue, Mar 3, 2026 at 11:01 AM Deployments <deployments@corp.example>:",
        "on Tuesday\nOn Tue, Mar 3, 2026 at 11:01 AM Deployments <deployments@corp.example> wrote:",
        "--- only after QA ---",
        "-----only after QA-----\nFrom: Bo",
        "Owner: Deployments\nStart: only after 18:00\nEnd: 3.3.2026 20:00",
        "Note: Deployments must not start before 18:00\nDate: 3.3.2026 18:00\nSubject: wait",
        "From: 3.3.2026 18:00\nTo: bo@corp.example\nSubject: only with him",
        "but ask deployments@corp.example first:\n- is the database up",
        "only after 18:00 on 3 March 2026, ask deployments@corp.example:\n- is it up",
        "only after 18:00\nThis message is confidential",
        "Sent from my iPhone, but wait until 18:00",
        "iOS only\nSent from my iPhone",
        "please consider the environment before printing this email starts",
        "____________\nonly after 18:00",
        "\u2014\nonly after 18:00",
        "Thanks\nDana Ito\nonly after 18:00",
        "Reply above this line only after 18:00",
        "Deployments\nonly 3.3.2026 18:00",
    ],
)
@pytest.mark.parametrize("gap", ["\n", "\n\n"])
def test_conditions_are_kept(condition: str, gap: str) -> None:
    """What looks like an attribution, a header, a rule or a footer and holds a condition keeps its approval open."""
    for client in ("gmail-web", "outlook-plain", "mailto-link"):
        assert isinstance(verdict(a_reply(client, *f"Approve{gap}{condition}".split("\n"))), Undecided)
    quoted = "\n".join(f"> {line}" for line in our_mail().text.splitlines())
    raw = a_mail([a_part("plain", f"Approve{gap}{condition}\n\n{quoted}\n")], our_mail())
    assert isinstance(verdict(raw), Undecided)
