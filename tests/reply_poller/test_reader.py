"""Bytes of mails to what they hold: limits, headers, parts, charsets, reports."""

from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.reply_poller.reader import MAX_BYTES, Reader, UnreadableError, decode_words, read_headers
from worker.reply_poller.reply import Reply

READER = Reader(("approvals@corp.example", "deploy@corp.example"), "Deploy Approvals")
HEAD = b"From: dana@corp.example\r\nTo: approvals@corp.example\r\n"


def read(body: bytes, content_type: bytes = b"text/plain; charset=utf-8", *fields: bytes) -> Reply:
    """A mail with that body, read."""
    return READER.read(HEAD + b"".join(fields) + b"Content-Type: " + content_type + b"\r\n\r\n" + body)


def multipart(kind: str, *parts: tuple[str, str]) -> tuple[bytes, bytes]:
    """The body and type of a multipart with these parts: their header fields, and their text."""
    body = "".join(f"--b\r\n{fields}\r\n\r\n{text}\r\n" for fields, text in parts) + "--b--\r\n"
    return body.encode(), f'multipart/{kind}; boundary="b"'.encode()


def lines(reply: Reply) -> list[tuple[str, ...]]:
    """What was typed in each form."""
    return [form.lines for form in reply.typed]


# -- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"From: a@b\r\n\r\n" + b"x" * MAX_BYTES, "larger than 10 MB"),
        (b"From: a@b\r\n\r\n" + b"\n" * 200_001, "more than 200000 lines"),
        (b"From: a@b\r\n\r\n" + b"\r" * 200_001, "more than 200000 lines"),
        (b"X: y\r\n" * 1001 + b"\r\n", "more than 1000 lines"),
        (b"From: a@b\rAuthentication-Results: mx; dmarc=pass\r\n\r\n", "control character"),
        (b"From: a@b\r\nno field at all\r\n\r\n", "no field"),
        (b" folded: from the start\r\n\r\n", "continuation"),
    ],
)
def test_a_mail_over_a_limit_is_unreadable(raw: bytes, reason: str) -> None:
    """Each limit, and each fault of a header, is a reason that can be shown."""
    with pytest.raises(UnreadableError, match=reason):
        READER.read(raw)


def test_parts_are_limited_in_number_and_depth() -> None:
    """A thousand parts, or a hundred levels, and not one more."""
    flat = multipart("mixed", *[("Content-Type: text/plain", "x")] * 1001)
    with pytest.raises(UnreadableError, match="more than 1000 parts"):
        read(*flat)
    levels = b"".join(
        b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (level, level + 1) for level in range(2000)
    )
    with pytest.raises(UnreadableError, match="deeper than 100 levels"):
        read(levels[: levels.index(b"--b105")], b"multipart/mixed; boundary=b0")
    with pytest.raises(UnreadableError, match="RecursionError"):
        read(levels, b"multipart/mixed; boundary=b0")


def test_a_long_reason_is_cut_and_in_doubt() -> None:
    """Two hundred kilobytes of one line: 64 kB are looked at."""
    (form,) = read(b"Reject: " + b"x" * 200_000).typed
    assert form.doubt == "too-long"
    assert 60_000 < len(form.lines[0]) <= 64_000


def test_marked_quotes_do_not_count_towards_the_limit() -> None:
    """An answer above a long thread is read without doubt; a long text of one's own is not."""
    (above,) = read(b"Approve\r\n\r\n" + b"> a line of the thread\r\n" * 2000).typed
    assert (above.lines, above.doubt) == (("Approve",), None)
    (own,) = read(b"Approve\r\n" + b"a line of my own\r\n" * 600).typed
    assert own.doubt == "too-long"


@given(st.binary(max_size=2000))
def test_nothing_but_unreadable_is_raised(raw: bytes) -> None:
    """Whatever the bytes are, behind a good header or not."""
    for mail in (raw, HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + raw, HEAD + b"\r\n" + raw):
        try:
            READER.read(mail)
        except UnreadableError:
            continue


# -- headers ----------------------------------------------------------------------------------------------------------


def test_headers_are_unfolded_in_their_order() -> None:
    """Names in lower case, values as they are; the line of a mailbox file in front is none."""
    headers = read_headers(
        b"From x Mon\nReceived: one\n two\nX-A:  b \nRECEIVED : three\nX-C: caf\xc3\xa9 \xff\n\nbody"
    )
    assert headers.all("received") == ("one two", "three")
    assert headers.first("x-a") == "b"
    assert headers.first("x-c") == "café \udcff"
    assert headers.first("absent") is None
    assert read_headers(b"\r\nno header").fields == ()


def test_authentication_results_of_a_part_are_not_the_mails() -> None:
    """Only the outermost header counts."""
    reply = read(*multipart("mixed", ("Authentication-Results: mx; dmarc=pass\r\nContent-Type: text/plain", "Approve")))
    assert reply.headers.all("authentication-results") == ()
    assert lines(reply) == [("Approve",)]


@given(st.text())
def test_decoding_words_never_fails(value: str) -> None:
    """Encoded words of any kind become one line that can be written."""
    decoded = decode_words(value)
    decoded.encode()
    assert decoded == " ".join(decoded.split())


def test_words_are_decoded() -> None:
    """RFC 2047, in two charsets."""
    assert decode_words("=?utf-8?B?6Ieq5YuV5b+c562U?=") == "自動応答"
    assert decode_words("Re: =?iso-8859-1?Q?gepr=FCft?=") == "Re: geprüft"


# -- forms ------------------------------------------------------------------------------------------------------------


def test_text_and_html_are_two_forms() -> None:
    """Each alternative is read by itself."""
    reply = read(
        *multipart(
            "alternative",
            ("Content-Type: text/plain", "Approve\r\n\r\n> Reject"),
            ("Content-Type: text/html", "<p>Approve</p><blockquote type=cite>Reject</blockquote>"),
        )
    )
    assert lines(reply) == [("Approve",), ("Approve",)]
    assert [form.doubt for form in reply.typed] == [None, None]


def test_an_alternative_that_is_not_read_leaves_a_doubt() -> None:
    """A client may show just that one."""
    reply = read(
        *multipart("alternative", ("Content-Type: text/plain", "Approve"), ("Content-Type: text/x-amp-html", ""))
    )
    assert [form.doubt for form in reply.typed] == [None, "hidden"]


@pytest.mark.parametrize(
    "fields",
    [
        "Content-Type: text/plain\r\nContent-Disposition: attachment",
        'Content-Type: text/plain; name="notes.txt"',
        "Content-Type: message/rfc822\r\n\r\nSubject: fwd\r\nContent-Type: text/plain",
        "Content-Type: application/ms-tnef",
    ],
)
def test_what_is_attached_is_not_typed(fields: str) -> None:
    """A file, a named text, a mail inside, Outlook's own format."""
    assert lines(read(*multipart("mixed", (fields, "Approve")))) == []


def test_a_later_part_is_set_aside() -> None:
    """What a client shows below is no answer, and an approval must not stumble over it."""
    reply = read(*multipart("mixed", ("Content-Type: text/plain", "Approve"), ("Content-Type: text/plain", "but wait")))
    assert [(form.lines, form.aside) for form in reply.typed] == [(("Approve",), ("but wait",))]


def test_the_root_of_related_parts_is_named() -> None:
    """RFC 2387: ``start`` says which."""
    body, kind = multipart(
        "related",
        ("Content-Type: text/plain\r\nContent-ID: <1>", "Approve"),
        ("Content-Type: text/html\r\nContent-ID: <2>", "<p>Reject</p>"),
    )
    reply = read(body, kind + b'; start="<2>"')
    assert lines(reply) == [("Reject",)]
    assert reply.typed[0].aside == ("Approve",)


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("iso-2022-jp", "Reject: まだです"),
        ("shift_jis", "Reject: まだです"),
        ("gb2312", "Reject: 还没测试"),
        ("euc-kr", "Reject: 아직 안됨"),
        ("koi8-r", "Reject: ещё нет"),
        ("iso-8859-15", "Reject: kostet 5 €"),
        ("utf-16", "Reject: später"),
    ],
)
def test_charsets_are_those_of_browsers(charset: str, text: str) -> None:
    """What people write is read, without doubt."""
    (form,) = read(text.encode(charset), f"text/plain; charset={charset}".encode()).typed
    assert (form.lines, form.doubt) == ((text,), None)


@pytest.mark.parametrize(
    ("content_type", "fields", "body"),
    [
        (b"text/plain; charset=utf-7", b"", b"+AEEAcABwAHIAbwB2AGU-"),
        (b"text/plain; charset=x-unheard-of", b"", b"Approve \xe9"),
        (b"text/plain; charset=us-ascii", b"", b"Approve\r\n\x1b$B$$\x1b(B"),
        (b"text/plain", b"Content-Transfer-Encoding: x-uuencode\r\n", b"Approve"),
        (b"text/plain", b"Content-Transfer-Encoding: base64\r\n", b"QXBwcm92ZQ==\r\nbut wait"),
        (b"text/plain\r\nContent-Type: text/html", b"", b"Approve"),
        (b"text/plain; charset=utf-8; charset=utf-7", b"", b"Approve"),
    ],
)
def test_bytes_that_readers_take_differently_are_in_doubt(content_type: bytes, fields: bytes, body: bytes) -> None:
    """A charset or an encoding that hides, damage, and what is said twice."""
    assert [form.doubt for form in read(body, content_type, fields).typed] == ["hidden"]


def test_mislabelled_text_is_read_with_replacement() -> None:
    """Latin-1 that calls itself UTF-8."""
    assert lines(read(b"Reject: caf\xe9")) == [("Reject: caf\ufffd",)]


# -- reports ----------------------------------------------------------------------------------------------------------


def test_a_report_gives_its_fields_and_the_returned_header() -> None:
    """RFC 3464: the groups of the status, and the header of the mail that came back."""
    reply = read(
        *multipart(
            'report; report-type="delivery-status"',
            ("Content-Type: text/plain", "It failed."),
            (
                "Content-Type: message/delivery-status",
                "Reporting-MTA: dns; mx\r\n\r\nFinal-Recipient: rfc822; a@b\r\nAction: failed\r\nStatus: 5.1.1\r\n",
            ),
            ("Content-Type: message/rfc822", "Message-ID: <approval.x@corp.example>\r\nSubject: s\r\n\r\nApprove"),
        )
    )
    assert reply.media_type == "multipart/report"
    assert reply.parameters["report-type"] == "delivery-status"
    assert [group.first("action") for group in reply.reports] == [None, "failed"]
    assert reply.returned is not None
    assert reply.returned.first("message-id") == "<approval.x@corp.example>"
    assert reply.text.startswith("It failed.")
    assert reply.typed == ()


def test_what_the_standard_library_writes_is_read() -> None:
    """A mail built by ``email`` with an attachment."""
    message = EmailMessage()
    message["From"], message["Subject"] = "dana@corp.example", "Re: Prüfung"
    message.set_content("Approve\n")
    message.add_alternative("<p>Approve</p>", subtype="html")
    message.add_attachment(b"Reject", maintype="application", subtype="pdf", filename="a.pdf")
    reply = READER.read(message.as_bytes())
    assert lines(reply) == [("Approve",), ("Approve",)]
    assert reply.subject == "Re: Prüfung"
