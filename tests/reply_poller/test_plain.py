"""A text part's bytes to lines: charsets, flowed text, quote marks, OpenPGP's armour."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.reply_poller.line import Mark
from worker.reply_poller.plain import decode, read_plain


def texts(text: str, *, flowed: bool = False, delsp: bool = False) -> list[str]:
    """The lines."""
    return [line.text for line in read_plain(text, flowed=flowed, delsp=delsp)]


@pytest.mark.parametrize(
    ("raw", "charset", "text"),
    [
        (b"caf\xc3\xa9", "utf-8", "café"),
        (b"caf\xe9", "iso-8859-1", "café"),
        (b"\x80", "iso-8859-1", "€"),
        (b"\xc3\xa9", "", "é"),
        (b"\xc3\xa9", "us-ascii", "é"),
        (b"\xc3\xa9", "no-such-charset", "é"),
        (b"caf\xe9", "utf-8", "caf\ufffd"),
        (b"\x93\xfa", '"Shift_JIS"', "日"),
        (b"+AEEAcA-", "utf-7", "+AEEAcA-"),
        (b"\xef\xbb\xbfApprove", "utf-8", "Approve"),
    ],
)
def test_charsets(raw: bytes, charset: str, text: str) -> None:
    """A charset is what browsers take it for; UTF-7 is none, and what can't be read is marked."""
    assert decode(raw, charset).lstrip("\ufeff") == text


@pytest.mark.parametrize("mark", [">", "> ", "  > ", "\u200f> ", "\u202b> ", ">> ", "&gt; ", "\u203a "])
def test_quote_marks(mark: str) -> None:
    """Each of these marks a line as quoted."""
    assert read_plain(f"{mark}Approve")[0].mark is Mark.QUOTED


@pytest.mark.parametrize("line", ["Approve > all", "a> b", "| x", "-> x", "<x>"])
def test_no_quote_marks(line: str) -> None:
    """And none of these."""
    assert read_plain(line)[0].mark is Mark.NONE


def test_white_space() -> None:
    """Blanks of every kind are folded, and every kind of line end ends a line."""
    assert texts("\u00a0Approve\u3000\r\na\u2028b\rc\td") == ["Approve", "a", "b", "c d"]


def test_flowed() -> None:
    """A line that ends in a blank goes on in the next at the same depth; a signature's line does not."""
    assert texts("one \ntwo\n> a \n> b\nthree \n> c\n-- \nDana", flowed=True) == [
        "one two",
        ">a b",
        "three",
        ">c",
        "--",
        "Dana",
    ]


def test_stuffed() -> None:
    """The blank before From and before a mark that was typed is taken off."""
    assert texts(" From here\n > typed", flowed=True) == ["From here", "> typed"]
    assert texts("日 \n本", flowed=True, delsp=True) == ["日本"]


SIGNED = (
    "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{}\n"
    "-----BEGIN PGP SIGNATURE-----\n\n{}\n-----END PGP SIGNATURE-----\n{}"
)


def test_clearsigned() -> None:
    """OpenPGP's lines around a signed text are none of it; a line with a dash in front gets its own back."""
    assert texts(SIGNED.format("Approve\n- -- ", "iQEzBAEB\n=abcd", "")) == ["", "Approve", "--", ""]


def test_words_behind_a_signature() -> None:
    """What isn't signed, or stands in the signature without being one, is still there."""
    assert "wait" in texts(SIGNED.format("Approve", "iQEz", "wait"))
    assert "wait until noon" in texts(SIGNED.format("Approve", "wait until noon", ""))
    assert "Hash of it" in texts("-----BEGIN PGP SIGNED MESSAGE-----\nHash of it\n\nApprove")


@given(st.text(alphabet=st.sampled_from("> -\nab\r\u2028"), max_size=80), st.booleans())
def test_no_word_is_lost(text: str, flowed: bool) -> None:  # noqa: FBT001 - hypothesis passes it
    """Reading lines, flowed or not, keeps every letter."""
    found = "".join(line.text for line in read_plain(text, flowed=flowed))
    assert [letter for letter in found if letter in "ab"] == [letter for letter in text if letter in "ab"]


def test_what_is_stuffed_is_typed() -> None:
    """In a flowed text a ``>`` behind a blank was typed by a person (RFC 3676 4.4); in any other it marks a quote."""
    (_, stuffed) = read_plain("Approve\n >wait for QA", flowed=True)
    assert (stuffed.text, stuffed.mark) == (">wait for QA", Mark.NONE)
    (_, quoted) = read_plain("Approve\n >wait for QA")
    assert quoted.mark is Mark.QUOTED


@pytest.mark.parametrize("text", ["[cid:logo@1]", "[image: logo.png]", "<image001.png>", "[Logo.jpg]"])
def test_a_picture_is_no_words(text: str) -> None:
    """What stands in its place in a plain text is set aside; other brackets are typed."""
    assert read_plain(text)[0].mark is Mark.ASIDE
    assert read_plain("[x] Reject")[0].mark is Mark.NONE
