"""A comment that denies, limits, asks or holds is noticed in many languages; one that agrees is not stumbled over."""

import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.reply_poller.hesitation import hesitates, spoken_in, words_of

_SAID = tomllib.loads(Path(__file__).with_name("comments.toml").read_text("utf-8"))
TAKES_BACK = {f"{tongue}-{said}": said for tongue, comments in _SAID["takes_back"].items() for said in comments}


@pytest.mark.parametrize("comment", TAKES_BACK.values(), ids=TAKES_BACK)
def test_takes_back(comment: str) -> None:
    """A negation, a condition, a question and a hold are noticed in each language, in any letter case."""
    assert hesitates([comment])
    assert hesitates(["fine", comment.capitalize(), "Dana"])


@pytest.mark.parametrize("comment", _SAID["agrees"])
def test_agrees(comment: str) -> None:
    """What people write under a plain yes is no hesitation."""
    assert not hesitates([comment])


@pytest.mark.parametrize("comment", _SAID["disguised"])
def test_disguised(comment: str) -> None:
    """A word that hesitates is found between blanks, ornaments, line ends, look-alikes and what is invisible."""
    assert hesitates([comment])


@pytest.mark.parametrize("comment", _SAID["signs"])
def test_signs(comment: str) -> None:
    """So are marks, faces, pictures and times that say no, perhaps or later."""
    assert hesitates([comment])


def test_accents_left_out() -> None:
    """Accents of longer words may be left out, as people do; short words without them are others."""
    assert hesitates(["manana"])
    assert hesitates(["spater"])
    assert not hesitates(["so fine"])


def test_nothing() -> None:
    """No comment does not hesitate."""
    assert not hesitates([])
    assert not hesitates(["", ""])


def test_words() -> None:
    """Words are compared without apostrophes, letter case, widths and marks that belong to no letter."""
    assert words_of("Don\u2019t WAIT, \uff49\uff46 Stra\u00dfe a_b") == ["dont", "wait", "if", "strasse", "a", "b"]
    assert {"reject", "wait"} <= spoken_in("r e j e c t\nwa\nit")


@given(st.text(max_size=60), st.text(max_size=60), st.sampled_from(["not", "wait", "if", "nicht", "pas", "нет", "不"]))
def test_found_anywhere(before: str, after: str, word: str) -> None:
    """Whatever text stands around it, a word that hesitates is found."""
    assert hesitates([f"{before} {word} {after}"])


@given(st.lists(st.text(), max_size=5))
def test_anything(lines: list[str]) -> None:
    """Any text is judged, and more of it never makes it less hesitant."""
    if hesitates(lines):
        assert hesitates([*lines, "fine"])


@pytest.mark.parametrize(
    "text",
    ["a " * 32_000, "a." * 32_000, "a" * 64_000, "'" * 64_000, "at 1 " * 12_000, "a\u0301" * 20_000, "[(" * 32_000],
)
def test_in_time(text: str) -> None:
    """As much text as is looked at is judged in less than two seconds."""
    begin = time.process_time()
    hesitates([text])

    assert time.process_time() - begin < 2
