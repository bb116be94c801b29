"""An approval is one word alone with a harmless comment; a rejection is its word; all else decides nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reply_poller.hostile import TITLE, WORDS, a_mail, approves, both, decide, html, text

from worker.reply_poller.decision import Vocabulary, read_decision
from worker.reply_poller.reply import Doubt, Headers, Reply, Typed
from worker.reply_poller.verdict import Approved, Rejected, Undecided


def decided(*lines: str, aside: tuple[str, ...] = (), words: Vocabulary = WORDS) -> Approved | Rejected | Undecided:
    """What these typed lines decide."""
    return read_decision(Reply(b"", Headers(), typed=(Typed(lines, aside),)), words, title=TITLE)


@pytest.mark.parametrize(
    "line", ["Approve", "approve", "APPROVED", "Approve.", "Approved!", "Approve .", "*Approve*", "_approve_"]
)
def test_word_alone(line: str) -> None:
    """The word alone approves, letter case, one dot and marks of bold print aside."""
    assert decided(line) == Approved("")


@pytest.mark.parametrize("separator", [": ", ":", ", ", ",", " - ", "- ", " -", " \u2013 ", "\u2013", "\u2014", " : "])
def test_comment_on_line(separator: str) -> None:
    """A comment follows behind each of the separators."""
    assert decided(f"Approve{separator}list checked") == Approved("list checked")


def test_comment_below() -> None:
    """All other typed text is comment."""
    assert decided("Approve, fine", "", "List checked.", "Dana") == Approved("fine\n\nList checked.\nDana")


@pytest.mark.parametrize(
    "line",
    [
        *(
            "Approve this",
            "I approve",
            "To approve",
            "Approve?",
            "Approve?!",
            "Approve!!",
            "Approve..",
            "Approve\u2026",
        ),
        *(
            "Approve / Reject",
            "Approve/if",
            "Approve (if QA passes)",
            "Approve; wait",
            "Approve & wait",
            "Approve ~ if",
        ),
        *('"Approve"', "\u201cApprove\u201d", "(Approve)", "[Approve]", "<Approve>", "1. Approve", "- Approve"),
        *(
            "\u2022 Approve",
            "* Approve",
            "#Approve",
            "~~Approve~~",
            "-Approve-",
            "+Approve+",
            "Approve 2",
            "Approve -1",
        ),
        *("Approve:", "Approve: ???", "Approval", "Approves", "Disapprove", "Not approved", "App rove", "OK", "yes"),
        *("\u0410pprove", "\u0391pprove", "App\u00adrove", "App\u200brove", "Approve\u0301", "\u202eevorppA"),
        *("\uff21pprove", "Approve\u20dd", "\u202eApprove", "Subject: Approve", "Re: Approve", "Approve-if"),
    ],
)
def test_not_the_word(line: str) -> None:
    """Whatever is more, less or other than the word decides nothing."""
    assert not isinstance(decided(line), Approved)


def test_first_line_decides() -> None:
    """The word on a later line is none."""
    assert decided("Hello,", "Approve") == Undecided("no-word")


@pytest.mark.parametrize(
    "line", ["Reject", "R e j e c t", "re-ject", "rej*ect*", "re\nject", "APPROVED", "a.p.p.r.o.v.e", "Rejected_it"]
)
def test_second_word(line: str) -> None:
    """A second word that decides keeps an approval from counting, whatever stands between its letters."""
    assert decided("Approve", line) == Undecided("both-words")


def test_aside_counts_against() -> None:
    """What is probably a footer may take back, though it is no comment."""
    assert decided("Approve", aside=("Dana Ito",)) == Approved("")
    assert decided("Approve", aside=("Sent from my phone, please wait",)) == Undecided("comment")
    assert decided("Approve", aside=("Reject",)) == Undecided("both-words")


@pytest.mark.parametrize("line", ["Reject: too risky", "reject - too risky", "Rejected too risky", "Reject, too risky"])
def test_rejection(line: str) -> None:
    """A rejection is its word and then whatever it says, on the line or below."""
    assert decided(line) == Rejected("too risky")
    assert decided(line, "Approve only after QA") == Rejected("too risky\nApprove only after QA")


def test_no_rejection() -> None:
    """A word that only begins like one is none."""
    assert decided("Rejection") == Undecided("no-word")


def test_nothing_typed() -> None:
    """Without a typed line nothing is decided, and the reason says whether something is hidden."""
    assert decided() == Undecided("empty")
    assert read_decision(Reply(b"", Headers()), WORDS, title="") == Undecided("empty")
    hidden = Reply(b"", Headers(), typed=(Typed(doubt="hidden"),))
    assert read_decision(hidden, WORDS, title="") == Undecided("hidden")


@pytest.mark.parametrize("doubt", ["hidden", "too-long"])
def test_doubt(doubt: Doubt) -> None:
    """Text that may be more or less than what a person saw does not approve; it may reject."""
    form = {"approve": Typed(("Approve",), doubt=doubt), "reject": Typed(("Reject",), doubt=doubt)}

    assert read_decision(Reply(b"", Headers(), typed=(form["approve"],)), WORDS, title="") == Undecided(doubt)
    assert read_decision(Reply(b"", Headers(), typed=(form["reject"],)), WORDS, title="") == Rejected("")


@pytest.mark.parametrize(
    ("plain", "markup"),
    [
        ("Approve", "<p>Reject</p>"),
        ("Reject", "<p>Approve</p>"),
        ("Approve", "<p>see you</p>"),
        ("question", "<p>Approve</p>"),
        ("Approve", ""),
        ("Approve", '<img src="cid:no">'),
        ("Approve", "Approve<br>but wait"),
        ("Approve\r\nbut wait", "Approve"),
        ("Approve\r\nblue cluster", "Approve<br>green cluster"),
        ("Approve", '<p>Approve</p><p style="display:none">Reject</p>'),
    ],
)
def test_forms_disagree(plain: str, markup: str) -> None:
    """Text and HTML that disagree decide nothing."""
    assert not approves(both(plain, markup))


def test_forms_agree() -> None:
    """What both say counts, however lines are broken; a text that is left empty says nothing of its own."""
    assert decide(both("Approve\r\n\r\nchecked the\r\nlist", "<p>Approve</p><p>checked the list</p>")) == Approved(
        "checked the list"
    )
    assert decide(both("\r\n", "<p>Approve</p>")) == Approved("")


@pytest.mark.parametrize(
    "subject",
    ["Reject", "Re: Rejected", f"Re: {TITLE} - REJECT", f"Reject: {TITLE}", "=?utf-8?q?Re=3A_Re?= =?utf-8?q?ject?="],
)
def test_subject_contradicts(subject: str) -> None:
    """A subject that speaks of a rejection keeps an approval from counting."""
    assert decide(a_mail("text/plain", "Approve", subject=subject)) == Undecided("subject")


def test_subject_repeats_title() -> None:
    """The approval's own title is no answer, whatever word it holds and however its blanks are folded."""
    reply = Reply(b"", Headers(), subject="Re: Approval needed: Reject stale  sessions", typed=(Typed(("Approve",)),))

    assert read_decision(reply, WORDS, title="Reject  stale sessions") == Approved("")
    assert read_decision(reply, WORDS, title="Another one") == Undecided("subject")


@pytest.mark.parametrize(
    ("approve", "reject", "line"),
    [
        ("genehmigt", "abgelehnt", "Genehmigt"),
        ("\u540c\u610f", "\u5426\u51b3", "\u540c\u610f"),
        ("onayland\u0131", "reddedildi", "ONAYLAND\u0131"),
        (
            "\u043e\u0434\u043e\u0431\u0440\u0435\u043d\u043e",
            "\u043d\u0435\u0442",
            "\u041e\u0434\u043e\u0431\u0440\u0435\u043d\u043e.",
        ),
    ],
)
def test_other_words(approve: str, reject: str, line: str) -> None:
    """The words that decide may be of any language, and then no other ones are."""
    words = Vocabulary((approve,), (reject,))

    assert decided(line, words=words) == Approved("")
    assert decided("Approve", words=words) == Undecided("no-word")
    assert decided(line, f"x {reject} x", words=words) == Undecided("both-words")


def test_word_without_blanks() -> None:
    """In a script without blanks a word that decides is found inside of others."""
    words = Vocabulary(("\u540c\u610f",), ("\u5426\u51b3",))
    assert decided("\u540c\u610f", "\u6211\u5426\u51b3\u6b64\u9879", words=words) == Undecided("both-words")


@given(st.text(max_size=80), st.lists(st.text(max_size=40), max_size=4))
def test_anything_typed(first: str, rest: list[str]) -> None:
    """Whatever is typed: what approves begins with the word, and its comment holds neither word."""
    verdict = decided(first, *rest)

    if isinstance(verdict, Approved):
        assert first.strip("*_ \t").casefold().startswith("approve")
        assert not {"approve", "approved", "reject", "rejected"} & {*verdict.comment.casefold().split()}


@given(st.text(alphabet="aApPrRoOvVeEdD .,:!-\u2013\u0430\u200b\u0301/", max_size=14))
def test_near_words(line: str) -> None:
    """Among all that looks like the word, only the word with its separators approves."""
    if isinstance(decided(line), Approved):
        assert line.strip().casefold().startswith("approve")
        assert "\u200b" not in line[:7]


@pytest.mark.parametrize("answer", ["Approve\n" + "fine\n" * 600, "Approve\n> x\n" * 400])
def test_too_long(answer: str) -> None:
    """More than is looked at does not approve."""
    assert not approves(text(answer))


def test_much_quoted() -> None:
    """A long marked quote is no reason to doubt what stands above it, and hides nothing that stands below."""
    assert approves(text("Approve\n" + "> x\n" * 900))
    assert not approves(text("Approve\n" + "> x\n" * 900 + "but wait for QA"))
    assert not approves(html("Approve<blockquote type=cite>" + "<br>x" * 40_000 + "</blockquote>but wait"))
