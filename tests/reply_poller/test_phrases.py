"""The lists of what clients write: no word that could make a condition is among them."""

import pytest

from worker.consumers.approvals import REPLY_LINE
from worker.reply_poller.phrases import PHRASES, words_of

# What limits, postpones or denies, in the languages whose words are in the lists.
CONDITIONS = words_of(
    """no not only until unless if but wait after before first nicht nur wenn aber erst bis nach vor kein pas sauf mais
    avant après seulement solo sólo pero hasta después antes non dopo prima però não só até depois niet alleen maar
    nie tylko ale dopiero inte bara men innan efter ikke kun før etter ei vain mutta ennen jen pouze až nem csak nu
    doar după înainte sadece ama önce sonra не только но после до ні тільки але після само след ne samo ali nakon μόνο
    όχι αλλά μετά לא רק אבל אחרי לפני لا فقط لكن بعد قبل"""
)


@pytest.mark.parametrize("hesitation", ["until", "only", "after", "before", "wait", "but", "if", "not", "first", "bis"])
def test_attributions_hold_no_condition(hesitation: str) -> None:
    """A text with any such word says more than when."""
    assert PHRASES.only_says_when("On Tue, Mar 3, 2026 at 11:01 AM wrote:")
    assert not PHRASES.only_says_when(f"On Tue, {hesitation} Mar 3, 2026 at 11:01 AM wrote:")


@pytest.mark.parametrize("word", CONDITIONS)
def test_no_condition_among_them(word: str) -> None:
    """No such word is among those that a line may have and be dropped."""
    assert word not in PHRASES.phone_words
    assert not PHRASES.only_says_when(word)


@pytest.mark.parametrize(
    ("subject", "bare"),
    [
        ("Re: Deploy", "Deploy"),
        ("RE : Deploy", "Deploy"),
        ("AW: WG: Deploy", "Deploy"),
        ("Re[2]: Deploy", "Deploy"),
        ("回复\uff1aDeploy", "Deploy"),
        ("SV: VS: Odp: Ynt: ΑΠ: השב: Deploy", "Deploy"),
        ("Reject: Deploy", "Reject: Deploy"),
        ("Release: Deploy", "Release: Deploy"),
    ],
)
def test_prefixes(subject: str, bare: str) -> None:
    """What clients put before a subject is taken off, and nothing else."""
    assert PHRASES.strip_prefixes(subject) == bare


def test_our_reply_line() -> None:
    """The line that stands above everything in our mails is known."""
    assert REPLY_LINE.casefold() in PHRASES.reply_lines


def test_words() -> None:
    """Letter case and apostrophes don't count."""
    assert words_of("L'Iphone\u2019s 3 o\u02bcclock") == ["liphones", "3", "oclock"]
