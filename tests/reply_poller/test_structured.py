"""Comments and quoted strings are told apart as RFC 5322 does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.reply_poller.structured import Structured, fold, split_comments, unquote


@pytest.mark.parametrize(
    ("value", "text", "comments"),
    [
        ("a (b) c", "a   c", " b "),
        ("a(b(c)d)e", "a e", " b c d "),
        ('"(a)" (b")c', '"(a)"  c', ' b" '),
        ('"a\\"(b" c', '"a\\"(b" c', ""),
        ("(a\\)b)c", " c", " a\\)b "),
    ],
)
def test_comments_are_cut_out(value: str, text: str, comments: str) -> None:
    """Nested ones too; a quoted string holds none, and in a comment nothing is quoted but by a backslash."""
    assert split_comments(value) == Structured(text, comments, whole=True)


@pytest.mark.parametrize(
    ("value", "text"), [("a (b", "a  "), ("a) b", "a"), ('a "b', "a "), ("a \\b", "a "), ("(a\\", " ")]
)
def test_what_is_broken_is_read_up_to_there(value: str, text: str) -> None:
    """And is marked."""
    found = split_comments(value)

    assert (found.text, found.whole) == (text, False)


def test_words_are_unquoted_and_folded() -> None:
    """Only whole quoted strings, and only ASCII letters."""
    assert unquote('"a\\"b\\\\"') == 'a"b\\'
    assert unquote('"a"b') == '"a"b'
    assert fold("ABZ\u212aÄ") == "abz\u212aÄ"


@given(st.text(alphabet='ab"()\\ ', max_size=40))
def test_nothing_is_made_up(value: str) -> None:
    """What comes out was in it, and no more of it."""
    found = split_comments(value)

    for letter in 'ab"\\':
        assert f"{found.text}{found.comments}".count(letter) <= value.count(letter)
        assert not found.whole or f"{found.text}{found.comments}".count(letter) == value.count(letter)
