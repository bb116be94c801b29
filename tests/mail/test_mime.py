"""What the encoder writes is what the standard library's parser reads back, and no line troubles a mail server."""

import email
from io import BytesIO

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mailing import FILES, TEXT, a_file, an_email, assert_travels, body, normal, read, written

from worker.mail.email import Attachment
from worker.mail.mime import base64_capacity, base64_size, encode


class TestWords:
    """Subject, text and HTML."""

    @given(text=TEXT, html=TEXT.filter(bool))
    @settings(max_examples=200, deadline=None)
    def test_any_text_is_read_back(self, text: str, html: str) -> None:
        """Whatever the templates wrote, the reader gets it, line ends aside."""
        raw = written(text=text, html=html)

        assert_travels(raw)
        mail = read(raw)
        assert mail.get_content_type() == "multipart/alternative"
        assert (body(mail, "plain"), body(mail, "html")) == (normal(text), normal(html))

    @given(text=TEXT)
    @settings(max_examples=100, deadline=None)
    def test_text_alone_is_read_back(self, text: str) -> None:
        """Words without HTML are a mail of plain text; only a line break may have been added at its end."""
        raw = written(text=text, html="")

        assert_travels(raw)
        mail = read(raw)
        assert mail.get_content_type() == "text/plain"
        assert body(mail, "plain") in {normal(text), normal(text) + "\n"}

    @given(text=TEXT)
    @settings(max_examples=150, deadline=None)
    def test_encoded_lines_are_short(self, text: str) -> None:
        """Quoted-printable and base64 keep to lines of 76, and no line of theirs begins with ``From``."""
        mail = read(written(text=text))

        part = mail.get_body(("plain",))
        assert part is not None
        lines = str(part.get_payload()).splitlines()
        assume(part["Content-Transfer-Encoding"] != "7bit")
        assert max(map(len, lines), default=0) <= 76
        assert not [line for line in lines if line.startswith("From ")]

    @pytest.mark.parametrize(
        ("text", "encoding"),
        [
            ("It is done.\n", "7bit"),
            ("x" * 998, "7bit"),
            ("x" * 999, "quoted-printable"),
            (".hidden", "quoted-printable"),
            ("a\n.b", "quoted-printable"),
            ("From here", "quoted-printable"),
            ("a\nFrom here", "quoted-printable"),
            ("a\0b", "quoted-printable"),
            ("--=_a", "quoted-printable"),
            ("é" + "x" * 1999, "base64"),
            ("Größe: 4 kB, fertig in zehn Minuten", "quoted-printable"),
            ("部署已完成", "base64"),
        ],
    )
    def test_the_cheapest_encoding_is_taken(self, text: str, encoding: str) -> None:
        """ASCII goes as it is where it may; the rest takes whichever encoding is shorter."""
        part = read(written(text=text)).get_body(("plain",))

        assert part is not None
        assert part["Content-Transfer-Encoding"] == encoding

    @pytest.mark.parametrize("text", ["é" + "." * 300, "é" + "x" * 72 + ".From " + "x" * 90, "é\n." + "x" * 75])
    def test_a_dot_never_begins_a_line(self, text: str) -> None:
        """A dot that the encoder's own line break moved to the start is written as =2E."""
        raw = written(text=text)

        assert_travels(raw)
        assert body(read(raw), "plain") == text

    def test_the_boundary_is_not_in_the_parts(self) -> None:
        """A text that holds the very boundary, as a quoted mail does, does not end the part."""
        boundary = read(written()).get_boundary()

        raw = written(text=f"--{boundary}--\n\n--{boundary}\nContent-Type: text/html\n")

        assert raw.count(f"\r\n--{boundary}".encode()) == 3
        assert len(list(read(raw).iter_parts())) == 2


class TestAttachments:
    """Files beside the words."""

    @given(files=FILES.filter(bool), text=TEXT)
    @settings(max_examples=100, deadline=None)
    def test_any_file_is_read_back(self, files: list[tuple[str, bytes]], text: str) -> None:
        """Names, bytes and order of the attachments survive, and the words beside them."""
        attachments = tuple(a_file(name, content) for name, content in files)
        content = encode(an_email(attachments=attachments, text=text))

        raw = b"".join(content)
        assert_travels(raw)
        assert len(raw) == content.size
        mail = read(raw)
        found = [(part.get_filename(), part.get_payload(decode=True)) for part in mail.iter_attachments()]
        # The parser drops the blanks at a name's ends.
        assert found == [(name.strip(), content) for name, content in files]
        assert body(mail, "plain") == normal(text)

    @pytest.mark.parametrize(
        "name", ["a b.log", 'a"b\\c.log', "größe.log", "日本" * 40 + ".log", "x" * 300, "a;b=c.log"]
    )
    def test_the_older_parser_reads_the_name(self, name: str) -> None:
        """Quoted strings and RFC 2231 are what every parser knows."""
        mail = email.message_from_bytes(written(attachments=(a_file(name),)))

        assert [part.get_filename() for part in mail.walk() if part.get_filename()] == [name]

    @given(length=st.integers(0, 400_000))
    @settings(max_examples=20, deadline=None)
    def test_a_large_file_comes_in_pieces(self, length: int) -> None:
        """A file is read and written piece by piece; the size is known before."""
        content = encode(an_email(attachments=(a_file(content=bytes(range(256)) * (length // 256 + 1)),)))

        pieces = list(content)
        assert sum(map(len, pieces)) == content.size
        assert max(map(len, pieces)) < 100_000

    def test_a_mail_can_be_written_twice_at_once(self) -> None:
        """Each turn reads the files from their start, also while another one is under way."""
        content = encode(an_email(attachments=(a_file(content=b"0123456789" * 30_000),)))

        first, second = [], []
        for one, other in zip(content, content, strict=True):
            first.append(one)
            second.append(other)

        assert first == second == list(content)

    def test_a_file_that_shrank_is_an_error(self) -> None:
        """The size was announced: less must not be sent as if it were all."""
        attachment = Attachment("3.log", "text/plain", BytesIO(b"done"), 5)

        with pytest.raises(OSError, match="shorter"):
            list(encode(an_email(attachments=(attachment,))))

    def test_the_words_are_the_first_part(self) -> None:
        """A mail with files is mixed: the alternatives, then the files."""
        mail = read(written(attachments=(a_file(), a_file("logs.zip", b"PK", "application/zip"))))

        assert [part.get_content_type() for part in mail.iter_parts()] == [
            "multipart/alternative",
            "text/plain",
            "application/zip",
        ]


class TestSize:
    """What a mail weighs."""

    def test_a_small_mail_is_one_chunk(self) -> None:
        """Without attachments there is one piece, of the announced size."""
        content = encode(an_email())

        (chunk,) = content
        assert len(chunk) == content.size

    def test_equal_mails_are_equal_octets(self) -> None:
        """Every try sends the same octets."""
        assert written(attachments=(a_file(),)) == written(attachments=(a_file(),))
        assert written() != written(message_id="<e2@corp.example>")

    @given(octets=st.integers(-5, 10**10))
    @settings(deadline=None)
    def test_the_capacity_is_the_inverse_of_the_size(self, octets: int) -> None:
        """So many bytes fit, and not one more."""
        capacity = base64_capacity(octets)

        assert capacity == 0 or base64_size(capacity) <= octets
        assert base64_size(capacity + 1) > octets
