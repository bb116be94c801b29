"""No mail that an approver may answer reads as an answer, when a client quotes it without marks."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pages import Page
from rendered import a_question, asked, sound

from worker.mail.email import Words
from worker.mail.rendering import Templates
from worker.mail.samples import LATE, WHYS, SampleLinks
from worker.reply_events import Asked, Decided
from worker.reply_poller.decision import Vocabulary, read_decision
from worker.reply_poller.reply import Headers, Reply, Typed
from worker.reply_poller.verdict import Undecided

LOCALES = ("en", "de")
HOSTILE = ("approve", "Reject: no", "APPROVED.", "approve\nrejected - see below\n\napprove", ": x", "- go")
A_WORD = re.compile(r"\w+\s*(?:[.!]?$|[:,\u2013\u2014-])")
"""A line that would decide if its first word were one that does."""
LIKELY = re.compile(
    r"(?:approved?|approval|rejected?|yes|no|ok|okay|go|stop|deny|denied|decline|ja|nein|genehmigt|freigegeben"
    r"|abgelehnt|stattgegeben|oui|non|s[ií]|nej|tak|nie)\b",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def built_in() -> Templates:
    """The templates without overrides."""
    return Templates(directory=None, default_locale="en", report=lambda _: None)


def mails(templates: Templates, locale: str, value: str) -> Iterator[tuple[str, Words]]:
    """Every mail that goes to an approver, with that value wherever the event may have one."""
    line = value.partition("\n")[0]
    person = {"name": line, "email": "a@b.example"}
    about = dict.fromkeys(("id", "title", "instance", "project", "environment", "release"), line)
    event = a_question(
        {"title": line, "description": value, "expires_at": "2026-11-24T18:00:00Z", "url": "https://d.example/a"},
        **about,
        submitted_by=person,
        url="https://d.example/r",
    )
    for links in (SampleLinks(), None):
        yield "requested", asked(templates, event, locale=locale, links=links)
        for why in WHYS:
            more = {"links": links, "why": why}
            yield why, asked(templates, event, kind="reply.undecided", locale=locale, **more)
    yield "withdrawn", asked(templates, event, kind="approval.withdrawn", locale=locale, reason=value)
    for reason in LATE:
        yield reason, asked(templates, event, kind="reply.late", locale=locale, **late(reason, line))


def late(reason: str, name: str = "Dana Ito", *, newer: bool = False) -> dict[str, Any]:
    """What a mail about a late reply has."""
    moment = datetime(2026, 11, 24, 18, tzinfo=UTC)
    decided = Decided(decision="approved", approver=Asked(name=name, email="d@c.example"), time=moment)
    return {"reason": reason, "newer": newer, "since": moment, "decided": decided if reason == "decided" else None}


def lines(words: Words) -> list[str]:
    """The lines of both forms, as a client may quote them."""
    text = [line.strip() for line in words.text.splitlines() if not line.startswith(">")]
    return text + [line for line in Page(words.html).lines if not line.startswith("\u203a")]


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("value", HOSTILE)
def test_no_line_reads_as_an_answer_whatever_words_decide(built_in: Templates, locale: str, value: str) -> None:
    """No line is one word alone, or one word and a separator: whatever APPROVE_WORDS are, "Freigabe: Titel" is none."""
    for kind, words in mails(built_in, locale, value):
        sound(words)
        assert [line for line in lines(words) if A_WORD.match(line)] == [], kind


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("value", HOSTILE)
def test_no_line_begins_with_a_word_that_may_decide(built_in: Templates, locale: str, value: str) -> None:
    """Nor with a value of the event, a yes, a no, or an approval in the languages that people choose words from."""
    for kind, words in mails(built_in, locale, value):
        assert [line for line in lines(words) if LIKELY.match(line)] == [], kind


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("value", ["x", "Reject: approve"])
def test_the_reader_finds_no_decision_in_our_words(built_in: Templates, locale: str, value: str) -> None:
    """A single line of ours, or all from there on: no decision by the usual words, no approval by the line's first."""
    usual = Vocabulary(("approve", "approved"), ("reject", "rejected"))
    for _, words in mails(built_in, locale, value):
        shown = lines(words)
        for place, line in enumerate(shown):
            first = re.match(r"\w*", line)
            chosen = Vocabulary((first[0] if first and first[0] else "approve",), ("nothing",))
            for quoted in ((line,), tuple(shown[place:])):
                reply = Reply(b"", Headers(), typed=(Typed(quoted),))
                assert isinstance(read_decision(reply, usual, title=""), Undecided), line
                assert isinstance(read_decision(reply, chosen, title=""), Undecided), line


@pytest.mark.parametrize("locale", LOCALES)
def test_our_own_lines_are_short(built_in: Templates, locale: str) -> None:
    """No client wraps a line of the text, so no word comes to stand at the beginning of one."""
    for kind, words in mails(built_in, locale, "x"):
        assert kind == "withdrawn" or max(map(len, words.text.splitlines())) <= 72


@pytest.mark.parametrize("locale", LOCALES)
def test_each_reason_has_words_of_its_own(built_in: Templates, locale: str) -> None:
    """An approver is told why: no two reasons read the same, in text and HTML alike."""
    event = a_question()
    texts = [asked(built_in, event, kind="reply.undecided", locale=locale, why=why).text for why in WHYS]
    texts += [asked(built_in, event, kind="reply.late", locale=locale, **late(reason)).text for reason in LATE]
    assert len(set(texts)) == len(WHYS) + len(LATE)


def test_undecided_says_how_to_decide(built_in: Templates) -> None:
    """With links: the reply line, both buttons, both words. Without: which mail to answer."""
    event = a_question()
    linked = asked(built_in, event, kind="reply.undecided", why="comment", links=SampleLinks())
    assert linked.text.splitlines()[0] == Page(linked.html).lines[0] == "Reply above this line"
    assert linked.html.count('href="mailto:') == 2
    assert "single word approve." in linked.text
    bare = asked(built_in, event, kind="reply.undecided", why="comment")
    assert "Please answer the mail that asked you" in bare.text
    assert "mailto:" not in bare.html
    assert "Reply above" not in bare.text


def test_late_says_who_decided_what_and_when(built_in: Templates) -> None:
    """The first decision, its approver and its time on the reader's clock; no way to decide again."""
    found = asked(built_in, a_question(), kind="reply.late", **late("decided"))
    for shown in ("· Decision: approved", "· By: Dana Ito", "· When: 2026-11-24 19:00 CET"):
        assert shown in found.text
        assert shown in Page(found.html).lines
    assert "mailto:" not in found.html


def test_a_newer_question_is_pointed_at(built_in: Templates) -> None:
    """Where the approver is asked anew the newer mail is the one to answer; else nothing is left to do."""
    event = a_question({"url": "https://d.example/a/77"})
    asked_anew = asked(built_in, event, kind="reply.late", **late("superseded", newer=True))
    assert "Please answer the newer mail" in asked_anew.text
    assert "https://d.example/a/77" in asked_anew.html
    no_more = asked(built_in, event, kind="reply.late", **late("superseded"))
    assert "nothing is left for you to decide" in no_more.text


def test_an_override_of_an_answer_is_tried_first(built_in: Templates, tmp_path: Any) -> None:
    """One that fails on a single reason is not used, and the log says so."""
    assert built_in.problems() == []
    folder = tmp_path / "reply.undecided"
    folder.mkdir()
    (folder / "subject.txt.j2").write_text("{% if why == 'hidden' %}{{ nonsense }}{% else %}x{% endif %}")
    reports: list[str] = []
    templates = Templates(directory=tmp_path, default_locale="en", report=reports.append)
    assert asked(templates, a_question(), kind="reply.undecided", why="hidden").subject.startswith("? Not decided yet")
    assert "UndefinedError" in reports[0]
