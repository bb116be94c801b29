"""Header fields are read back as they were meant, and nothing in them can begin another field."""

import email
import re
from collections.abc import Callable
from datetime import datetime
from email.header import decode_header
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import given, settings
from mailing import (
    DATE,
    FIELD,
    PEOPLE,
    PERSON,
    a_file,
    an_email,
    assert_same_words,
    assert_travels,
    read,
    read_header,
    unquoted,
    written,
)

from worker.errors import InvalidEventError, TemplateError
from worker.events import Person
from worker.mail.mime import encode


class TestHeaders:
    """The fields of a mail."""

    @given(subject=FIELD)
    @settings(max_examples=200, deadline=None)
    def test_any_subject_is_read_back(self, subject: str) -> None:
        """Both parsers read the subject that was written."""
        raw = written(subject=subject)

        assert_travels(raw)
        assert read_header(raw, "Subject") == subject
        assert_same_words(read(raw)["Subject"], subject)

    @pytest.mark.parametrize("subject", ["a\nBcc: x@evil.example", "a\rb", "a\0b", "a\x85b", "a\u2028b", "a\tb"])
    def test_a_subject_is_one_line(self, subject: str) -> None:
        """A subject with a line break or another control character is the template's fault."""
        with pytest.raises(TemplateError, match="subject"):
            encode(an_email(subject=subject))

    @given(sender=PERSON, to=PEOPLE, cc=PEOPLE)
    @settings(max_examples=100, deadline=None)
    def test_any_name_is_read_back(self, sender: Person, to: tuple[Person, ...], cc: tuple[Person, ...]) -> None:
        """The parser finds the same people in the same order, and nobody else."""
        raw = written(sender=sender, to=to, cc=cc)

        assert_travels(raw)
        mail = read(raw)
        for name, people in (("From", (sender,)), ("To", to), ("Cc", cc)):
            assert [address.addr_spec for address in mail[name].addresses] == [person.email for person in people]
            for address, person in zip(mail[name].addresses, people, strict=True):
                assert_same_words(address.display_name, person.name.strip())

    @given(name=FIELD)
    @settings(max_examples=200, deadline=None)
    def test_the_older_parser_reads_any_name(self, name: str) -> None:
        """Names survive the parser that programs used before Python 3.6, and most mail clients resemble."""
        raw = written(sender=Person(name=name, email="d@corp.example"))

        header = str(email.message_from_bytes(raw)["From"])
        phrase, address = re.fullmatch(r"(?s)(?:(.*)\s+)?<?(d@corp\.example)>?", header).groups()  # type: ignore[union-attr]
        assert address == "d@corp.example"
        assert unquoted(phrase) == name.strip()

    @pytest.mark.parametrize(
        "name",
        [
            'Ito, "Dana"',
            "dana@evil.example>",
            "a\\",
            "=?utf-8?q?Root?=",
            "(comment)",
            "Jörg Größe",
            "伊藤 ダナ" * 12,
            "x" * 300,
        ],
    )
    def test_a_name_never_becomes_an_address(self, name: str) -> None:
        """Specials, encoded words and overlong names stay the name of one address."""
        mail = read(written(to=(Person(name=name, email="dana@corp.example"),)))

        (address,) = mail["To"].addresses
        assert address.addr_spec == "dana@corp.example"
        assert_same_words(address.display_name, name)

    @given(value=FIELD)
    @settings(deadline=None)
    def test_further_fields_are_read_back(self, value: str) -> None:
        """A field that a composer adds is folded and encoded like a subject."""
        raw = written(headers=(("X-Release", value), ("Auto-Submitted", "auto-generated")))

        assert_travels(raw)
        assert read_header(raw, "X-Release") == value
        assert read(raw)["Auto-Submitted"] == "auto-generated"

    @given(date=DATE)
    @settings(deadline=None)
    def test_the_date_is_read_back(self, date: datetime) -> None:
        """The date is the same second, in the form of RFC 5322."""
        mail = read(written(date=date))

        assert parsedate_to_datetime(str(mail["Date"])) == date.replace(microsecond=0)
        assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d \+0000", str(mail["Date"]))

    def test_the_fields_of_a_mail(self) -> None:
        """A mail has these fields, each once, and no Bcc."""
        mail = read(
            written(
                cc=(Person(email="ops@corp.example"),),
                reply_to="approvals+k7w@corp.example",
                references="<request.1@corp.example>",
                headers=(("Auto-Submitted", "auto-generated"), ("X-Auto-Response-Suppress", "All")),
            )
        )

        assert {name: str(value) for name, value in mail.items() if name != "Content-Type"} == {
            "From": "FlexDeploy <deploy@corp.example>",
            "To": "Dana Ito <dana@corp.example>",
            "Cc": "ops@corp.example",
            "Reply-To": "approvals+k7w@corp.example",
            "Date": "Mon, 23 Nov 2026 07:24:00 +0000",
            "Subject": "Deployed",
            "Message-ID": "<e1@corp.example>",
            "References": "<request.1@corp.example>",
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "All",
            "MIME-Version": "1.0",
        }

    def test_hundreds_of_recipients_are_folded(self) -> None:
        """A field that names hundreds of people has no long line, and everybody is in it."""
        people = tuple(Person(name=f"Person Number {n}", email=f"person{n}@corp.example") for n in range(500))

        raw = written(to=people)

        assert max(map(len, raw.split(b"\r\n"))) <= 78
        assert [address.addr_spec for address in read(raw)["To"].addresses] == [person.email for person in people]

    def test_without_recipients_to_show_there_is_no_to(self) -> None:
        """A mail to nobody but ``cc`` or ``bcc`` has no empty To field."""
        assert "To" not in read(written(to=()))

    def test_lines_are_folded_at_78(self) -> None:
        """A long subject is folded between its words, ASCII or not."""
        for word in ("deployment ", "Größe "):
            raw = written(subject=(word * 40).strip())

            assert max(map(len, raw.split(b"\r\n"))) <= 78

    @given(text=FIELD)
    @settings(deadline=None)
    def test_encoded_words_keep_to_the_rfc(self, text: str) -> None:
        """An encoded word has at most 75 letters and holds whole characters (RFC 2047 2 and 5)."""
        raw = written(subject=text + "é", sender=Person(name=text + "é", email="d@corp.example"))

        for field in ("Subject", "From"):
            header = str(email.message_from_bytes(raw)[field])
            words = re.findall(r"=\?utf-8\?[qb]\?[^?]*\?=", header)
            assert words
            for word in words:
                ((octets, _charset),) = decode_header(word)
                assert len(word) <= 75
                assert octets.decode()

    def test_an_international_address_needs_smtputf8(self) -> None:
        """A local part that is not ASCII stands in UTF-8; names and subject are encoded all the same."""
        content = encode(an_email(to=(Person(name="Jörg", email="jörg@corp.example"),), subject="Größe"))
        raw = b"".join(content)

        assert content.smtputf8
        assert_travels(raw, ascii_only=False)
        assert "<jörg@corp.example>".encode() in raw
        assert raw.replace("jörg@".encode(), b"").isascii()

    def test_an_international_domain_needs_no_smtputf8(self) -> None:
        """The domain of an address was written in ASCII when the event was read."""
        content = encode(an_email(to=(Person(email="dana@bücher.example"),), subject="Größe"))

        assert not content.smtputf8
        assert read(b"".join(content))["To"] == "dana@xn--bcher-kva.example"

    @pytest.mark.parametrize("letter", ["\n", "\r", "\0", "\x7f", "\x85", "\u2029"])
    @pytest.mark.parametrize(
        "place",
        [
            lambda bad: {"sender": Person.model_construct(name=bad, email="d@corp.example")},
            lambda bad: {"to": (Person.model_construct(name="", email=f"d{bad}@corp.example"),)},
            lambda bad: {"cc": (Person.model_construct(name=bad, email="d@corp.example"),)},
            lambda bad: {"reply_to": f"d{bad}@corp.example"},
            lambda bad: {"message_id": f"<1{bad}@corp.example>"},
            lambda bad: {"references": f"<1{bad}@corp.example>"},
            lambda bad: {"headers": (("X-Release", f"a{bad}b"),)},
            lambda bad: {"headers": ((f"X{bad}", "a"),)},
            lambda bad: {"attachments": (a_file(name=f"a{bad}b"),)},
            lambda bad: {"attachments": (a_file(media_type=f"text/plain{bad}"),)},
        ],
    )
    def test_no_field_takes_a_control_character(self, place: Callable[[str], dict[str, Any]], letter: str) -> None:
        """Nothing that a field is built from may break its line."""
        with pytest.raises(InvalidEventError):
            encode(an_email(**place(f"a{letter}Bcc: x@evil.example")))

    @pytest.mark.parametrize("address", ["a@b@c", "a", "a b@c", "a,b@c", "<a@b>", '"a"@b', "a(b)@c", "x" * 950 + "@c"])
    def test_no_address_ends_early(self, address: str) -> None:
        """What is not plainly local@domain is refused, not written."""
        with pytest.raises(InvalidEventError, match="Reply-To"):
            encode(an_email(reply_to=address))

    @pytest.mark.parametrize("name", ["Bcc", "bcc", "X:Y", "X Y", "", "Ü"])
    def test_some_fields_can_not_be_added(self, name: str) -> None:
        """Bcc is never written, nor what is no field name."""
        with pytest.raises(InvalidEventError, match="header"):
            encode(an_email(headers=((name, "a"),)))
