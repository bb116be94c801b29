"""Octets of a server to responses, and what they mean."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.errors import OutageError
from worker.mail.response import BDAT, GO_ON, MAIL, OK, RCPT, Response, ResponseReader, is_outage


def read(octets: bytes) -> list[Response]:
    """The responses in it."""
    return ResponseReader().feed(octets)


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"250 2.1.0 Ok\r\n", OK),
        (b"250\r\n", Response(250, "")),
        (b"354 go on\n", GO_ON),
        (b"550-5.1.1 no\r\n550-5.1.1 such\r\n550 5.1.1 user\r\n", Response(550, "5.1.1 no such user")),
        (b"250-a\r\n250 b\r\n", Response(250, "a b")),
        (b"421 4.3.2 bye\x00\x1b[31m\r\n", Response(421, "4.3.2 bye [31m")),
        (b"550 \xff\xc3\xa4\r\n", Response(550, "\ufffdä")),
        (b"550-one\r\n551 two\r\n", Response(551, "one two")),
    ],
)
def test_a_response_is_read(octets: bytes, expected: Response) -> None:
    """One line or several, with odd line ends and characters; one printable line of text comes out."""
    assert read(octets) == [expected]


@pytest.mark.parametrize(
    "octets",
    [b"banana\r\n", b"25\r\n", b"2500 x\r\n", b"199 x\r\n", b"600 x\r\n", b"\r\n", b" 250 x\r\n", b"250_x\r\n"],
)
def test_what_is_no_response_is_an_outage(octets: bytes) -> None:
    """Nothing is guessed."""
    with pytest.raises(OutageError):
        read(octets)


@pytest.mark.parametrize("octets", [b"2" * 9000, b"250-" + b"x" * 9000 + b"\r\n", b"250-x\r\n" * 300])
def test_a_response_without_end_is_an_outage(octets: bytes) -> None:
    """Neither a line nor the number of lines grows without limit."""
    with pytest.raises(OutageError):
        read(octets)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(200, 599), st.lists(st.text("abc .-", max_size=9), min_size=1, max_size=4))),
    st.data(),
)
def test_how_the_octets_are_cut_changes_nothing(answers: list[tuple[int, list[str]]], data: st.DataObject) -> None:
    """Whatever the segments, the same responses come out, and nothing is left."""
    octets = b"".join(
        f"{code}{'-' if number < len(lines) - 1 else ' '}{line}\r\n".encode()
        for code, lines in answers
        for number, line in enumerate(lines)
    )
    reader, found, start = ResponseReader(), [], 0
    while start < len(octets):
        length = data.draw(st.integers(1, 40))
        found += reader.feed(octets[start : start + length])
        start += length
    assert [response.code for response in found] == [code for code, _ in answers]
    assert found == read(octets)
    assert reader.empty


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_octets_are_responses_or_an_outage(octets: bytes) -> None:
    """No other error, whatever comes."""
    try:
        found = read(octets)
    except OutageError:
        return
    assert all(200 <= response.code < 600 and response.text.isprintable() for response in found)


@pytest.mark.parametrize(
    ("step", "code", "text", "expected"),
    [
        (MAIL, 421, "", True),
        (BDAT, 421, "4.7.0 too many errors", True),
        (MAIL, 530, "5.7.0 Must issue a STARTTLS command first", True),
        (RCPT, 530, "5.7.57 Client was not authenticated to send anonymous mail", True),
        (MAIL, 535, "", True),
        (MAIL, 538, "", True),
        (MAIL, 454, "Throttling failure: Daily message quota exceeded", True),
        (MAIL, 452, "4.3.1 Insufficient system storage", True),
        (BDAT, 452, "insufficient system storage", True),
        (RCPT, 452, "too many recipients", False),
        (RCPT, 452, "4.5.3 too many recipients", False),
        (RCPT, 452, "4.2.2 mailbox full", False),
        (BDAT, 550, "5.4.5 Daily user sending limit exceeded", True),
        (BDAT, 451, "4.4.5 congestion", True),
        (MAIL, 450, "4.3.2 not accepting network messages", True),
        (BDAT, 554, "5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", True),
        (BDAT, 550, "5.7.705 Access denied, tenant has exceeded threshold", True),
        (BDAT, 450, "4.2.1 Peak SMTP relay limit exceeded for customer", True),
        (MAIL, 503, "5.5.1 nested MAIL", True),
        (RCPT, 503, "5.5.1 need MAIL", False),
        (RCPT, 550, "5.1.1 no such user", False),
        (RCPT, 450, "4.7.1 greylisted", False),
        (RCPT, 550, "5.7.1 relaying denied", False),
        (BDAT, 552, "5.3.4 message too big", False),
        (BDAT, 554, "5.6.0 refused", False),
        (RCPT, 550, "5.3.10 odd", False),
    ],
)
def test_an_outage_is_told_from_a_refusal(step: str, code: int, text: str, *, expected: bool) -> None:
    """By code, enhanced status code, or words, as the table says."""
    assert is_outage(step, Response(code, text)) is expected
