"""Mails to encode, anybody's words to put into them, and what two parsers of the standard library read back."""

import email
import re
from datetime import UTC, datetime, timedelta, timezone
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.policy import default
from io import BytesIO
from typing import Any

from hypothesis import strategies as st

from worker.events import Person
from worker.mail.email import Attachment, Email, Words
from worker.mail.mime import encode

DANA = Person(name="Dana Ito", email="dana@corp.example")

FIELD = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=120)
AWKWARD = st.sampled_from(
    [
        ".",
        "..",
        "From ",
        "\n",
        "\r",
        "\r\n",
        "=",
        "=\n",
        " ",
        "\t",
        " \n",
        "\0",
        "--=_a",
        "é",
        "日本",
        "🧑‍🔧",
        "e\u0301",
        "שלום",
    ]
)
RUN = st.builds(lambda letter, times: letter * times, st.sampled_from("x. =\t日é"), st.integers(60, 1100))
TEXT = st.lists(st.one_of(AWKWARD, RUN, st.text(st.characters(exclude_categories=["Cs"]))), max_size=8).map("".join)
LOCAL = st.from_regex(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}(\.[a-z0-9]{1,20})?", fullmatch=True)
PERSON = st.builds(Person, name=FIELD, email=LOCAL.map(lambda local: f"{local}@corp.example"))
PEOPLE = st.lists(PERSON, min_size=1, max_size=5).map(tuple)
ZONE = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
DATE = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2100, 1, 1), timezones=ZONE)  # noqa: DTZ001 - the strategy adds the zone
FILES = st.lists(st.tuples(FIELD.filter(bool), st.binary(max_size=300)), max_size=3)


def an_email(**fields: Any) -> Email:
    """A mail with only what a test is about changed."""
    words = Words(*(fields.pop(name, default) for name, default in WORDS.items()))
    plain: dict[str, Any] = {
        "message_id": "<e1@corp.example>",
        "date": datetime(2026, 11, 23, 7, 24, tzinfo=UTC),
        "sender": Person(name="FlexDeploy", email="deploy@corp.example"),
        "to": (DANA,),
    }
    return Email(words=words, **plain | fields)


WORDS = {"subject": "Deployed", "text": "It is done.\n", "html": "<p>It is done.</p>\n"}


def a_file(
    name: str = "3.log", content: bytes = b"done\n", media_type: str = "text/plain; charset=utf-8"
) -> Attachment:
    """An attachment that lies in memory."""
    return Attachment(name, media_type, BytesIO(content), len(content))


def written(**fields: Any) -> bytes:
    """The octets of that mail."""
    return b"".join(encode(an_email(**fields)))


def read(raw: bytes) -> EmailMessage:
    """The mail as the standard library's newer parser reads it, which may find nothing wrong with it."""
    mail = email.message_from_bytes(raw, policy=default)
    assert isinstance(mail, EmailMessage)
    assert not [defect for part in mail.walk() for defect in part.defects]
    assert not [defect for part in mail.walk() for value in part.values() for defect in value.defects]
    return mail


def read_header(raw: bytes, name: str) -> str:
    """A field as the standard library's older parser reads it."""
    mail: Message = email.message_from_bytes(raw)
    return str(make_header(decode_header(re.sub(r"\r\n(?=[ \t])", "", str(mail[name])))))


def normal(text: str) -> str:
    """The text with the line ends that a reader gets."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def body(mail: EmailMessage, kind: str) -> str:
    """The text of that part."""
    part = mail.get_body((kind,))
    assert isinstance(part, EmailMessage)
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return normal(payload.decode())


def assert_travels(raw: bytes, *, ascii_only: bool = True) -> None:
    """Nothing in these octets troubles a mail server."""
    assert raw.endswith(b"\r\n")
    lines = raw[:-2].split(b"\r\n")
    assert not [line for line in lines if b"\r" in line or b"\n" in line or b"\0" in line]
    assert not [line for line in lines if line.startswith(b".") or len(line) > 998]
    assert raw.isascii() or not ascii_only


def assert_same_words(found: str, expected: str) -> None:
    """The same but for blanks: CPython before 3.13 puts some between encoded words, and drops some at the ends."""
    assert "".join(str(found).split()) == "".join(expected.split())


def unquoted(phrase: str | None) -> str:
    """A display name without quotes and encoding."""
    if phrase is None:
        return ""
    phrase = re.sub(r"\r\n(?=[ \t])", "", phrase)
    if phrase.startswith('"'):
        return re.sub(r"\\(.)", r"\1", phrase[1:-1])
    return str(make_header(decode_header(phrase)))
