"""Lines of a mail to what was typed: each way in which a client quotes, and what must not be taken for one."""

import re
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.reply_poller.line import Line, Mark, bare
from worker.reply_poller.origin import Origin
from worker.reply_poller.plain import read_plain
from worker.reply_poller.quotation import find_typed
from worker.reply_poller.reply import Typed

OURS = re.compile(r"deploy(?:\+[a-z0-9]+)?@corp\.example", re.IGNORECASE)
ORIGIN = Origin(OURS, ("Deployments",), "Deploy Billing?", "Dana Ito")
WHO = "Deployments <deploy@corp.example>"


def typed(text: str) -> Typed:
    """What was typed in that plain text."""
    return find_typed(read_plain(text), ORIGIN)


def test_between_quotes() -> None:
    """What stands above, between and below marked quotes is typed, in its order."""
    assert typed("one\n\n> a\n\ntwo\n> b\nthree\n").lines == ("one", "", "", "two", "three")


@pytest.mark.parametrize(
    "attribution",
    [
        f"On Tue, Mar 3, 2026 at 11:01 AM {WHO} wrote:",
        "On Tue, Mar 3, 2026 at 11:01 AM Deployments\n<deploy+1a2b@corp.example> wrote:",
        "On Tuesday, March 3, 2026 at\n11:01 AM, Deployments wrote:",
        "On Tue, 3 Mar 2026 11:01:02 +0100\nDeployments <deploy@corp.example> wrote:",
        'On 3 March 2026 at 11:01 "Deploy Desk" <deploy@corp.example> wrote:',
        "2026年3月3日(火) 11:01 Deployments <deploy@corp.example>:",
        f"Zitat von {WHO}:",
        f"{WHO} writes:",
    ],
)
def test_attributions(attribution: str) -> None:
    """A line that names us, and says beside that only when, belongs to the quote below it."""
    assert typed(f"Approve\n\n{attribution}\n\n> a\n").lines == ("Approve",)
    assert typed(f"{attribution}\n> a\n\nApprove\n").lines == ("Approve",)


def test_an_unknown_attribution() -> None:
    """One with words that we don't know is set aside: those words, without the day of the week among them."""
    found = typed("Approve\n\nOn Tuesday, 3 March 2026 11:01 Deploy Desk grunted, wrote:\n> a\n")
    assert found.lines == ("Approve",)
    assert found.aside == ("deploy desk grunted",)


@pytest.mark.parametrize(
    "line",
    [
        "but only after 18:00:",
        "On Tuesday:",
        "ask Deployments first:",
        "at 18:00, Deployments will restart:",
        "Deployments only",
    ],
)
def test_no_attribution(line: str) -> None:
    """Words above a quote that say more than who and when are typed, or at least looked at."""
    found = typed(f"Approve\n\n{line}\n> a\n")
    assert line in found.lines or any(word in " ".join(found.aside) for word in ("only", "first", "will restart"))


@pytest.mark.parametrize(
    "heading",
    [
        f"From: {WHO}\nSent: Tuesday, March 3, 2026 11:01 AM\nTo: dana@corp.example\nSubject: Deploy Billing?",
        "*From: *Deployments <deploy@corp.example>\n*Date: *Tuesday, March 3, 2026 11:01\n*Subject: *Deploy Billing?",
        f"Kw: {WHO}\nLedoj: 3.3.2026 11:01\nTomo: dana@corp.example\nWu: Deploy Billing?",
        "Betreff: Deploy Billing?\nDatum: 2026-03-03 11:01\nVon: deploy@corp.example",
        "发件人\uff1aDeployments <deploy@corp.example>\n发送时间\uff1a2026年3月3日 11:01\n主题\uff1aDeploy Billing?",
        "From: The Desk <desk@corp.example>\nSent: 3 March 2026 11:01\nTo: Dana\nSubject: Deploy",
        "-----Original Message-----",
        "-------- Ursprüngliche Nachricht --------",
        "---------- Forwarded message ---------",
        "------------------ 原始邮件 ------------------",
        f"-----{WHO} schrieb: -----",
        f"---- On Tue, 03 Mar 2026 11:01:02 +0100 {WHO} wrote ----",
        f">>> {WHO} 3/3/2026 11:01 AM >>>",
        f"{WHO}\n03.03.2026 11:01",
        "Reply above this line",
        f"On Tue, Mar 3, 2026 at 11:01 AM {WHO} wrote:",
        "Original Message\nFrom: Deployments <deploy@corp.example>\nSent: 3 March 2026 11:01\nSubject: Deploy",
    ],
)
def test_unmarked_quotes(heading: str) -> None:
    """What a client puts above a mail that it returns without marks ends the typed text."""
    found = typed(f"Approve\n\n{heading}\n\nReject\nand more\n")
    assert (found.lines, found.aside) == (("Approve",), ())


@pytest.mark.parametrize(
    "text",
    [
        "Owner: Deployments\nStart: 18:00\nEnd: 3.3.2026 20:00",
        "From: 18:00\nTo: 20:00\nContact: deploy@corp.example",
        "From: Bo\nSubject: wait\nReason: 18:00",
        "--- only after QA ---",
        "-----only after QA-----",
        "ask deploy@corp.example by 3 March 2026 18:00:\n- is it up",
        "Deployments\n18:00",
        "Original Message\nis what I mean",
    ],
)
def test_no_heading(text: str) -> None:
    """Fields, rules and names that a person might type hide nothing that follows."""
    found = typed(f"Approve\n\n{text}\nlast\n")
    assert found.lines == ("Approve", "", *text.split("\n"), "last")


def test_a_heading_above_marks() -> None:
    """Where marks follow a heading, the quote ends with them, and what is below is typed."""
    assert typed("-----Original Message-----\n> a\n> b\n\nApprove\n").lines == ("Approve",)


def test_a_reason_like_a_field() -> None:
    """``Reject: reason`` right above a client's header fields is none of them."""
    fields = f"From: {WHO}\nSent: Tuesday, March 3, 2026 11:01 AM\nTo: dana@corp.example\nSubject: Deploy Billing?"
    assert typed(f"Reject: broken\nOn staging first\n{fields}\n\nx\n").lines == ("Reject: broken", "On staging first")


def test_a_nameless_rule() -> None:
    """A titled rule in a language that we don't know, above a marked quote, is set aside."""
    found = typed("Approve\n\n----- Kwa ledoj -----\n> a\n")
    assert (found.lines, found.aside) == (("Approve",), ("----- Kwa ledoj -----",))


def test_what_markup_says() -> None:
    """A signature of the HTML splits the text, the original ends it, and a doubt stays where it was typed."""
    lines = [
        Line("Approve"),
        Line("Dana", Mark.SIGNATURE),
        Line("more", doubt="hidden"),
        Line("x", Mark.ORIGINAL),
        Line("Reject"),
    ]
    found = find_typed(lines, ORIGIN)
    assert found == Typed(("Approve", "more"), doubt="hidden", whole="approvedanamorexreject")


def test_blank() -> None:
    """A form without any text says so; one with a quote alone is not blank."""
    assert typed(" \n\n").is_blank
    assert not typed("> a\n").is_blank


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\u200fApprove\u200f", "Approve"),
        ("\u202bApprove\u202c", "Approve"),
        ("\u2067\u200fApprove\u2069", "Approve"),
        ("\u202eevorppA\u202c", "\u202eevorppA\u202c"),
        ("\u202bApprove", "\u202bApprove"),
        ("\u202bA\u202eb\u202c\u202c", "\u202bA\u202eb\u202c\u202c"),
    ],
)
def test_direction_marks(text: str, shown: str) -> None:
    """Marks that change nothing are taken off; an override, or half of a pair, stays to be seen."""
    assert bare(text) == shown


QUOTING = ["On ", "wrote:", ">", "> ", ">>>", "From: ", "<deploy@corp.example>", "Deployments", "2026", "11:01", ":"]
OTHERS = [
    "\n",
    " ",
    "--",
    "-----",
    "_____",
    "Original Message",
    "This e-mail",
    "Sent from my iPhone",
    "\u202b",
    "\u202c",
]
HOSTILE = st.sampled_from([*QUOTING, *OTHERS])


@given(st.lists(st.one_of(HOSTILE, st.text(max_size=5)), max_size=60).map("".join))
def test_nothing_breaks(text: str) -> None:
    """Whatever the lines hold, each typed line is one of theirs."""
    found = typed(text)
    assert {*found.lines} <= {"", *(line.text for line in read_plain(text)), *found.lines}
    assert len(found.lines) <= text.count("\n") + len(text) + 1


@pytest.mark.parametrize(
    "text",
    [
        "On " * 20_000,
        "On \n" * 500,
        ">" * 60_000,
        "> \nx\n" * 20_000,
        "From: " * 10_000,
        "From: deploy@corp.example\n" * 500,
        "From: \n" * 4_000,
        "-" * 60_000,
        ("-" * 100 + " a ") * 600,
        "<" * 60_000,
        "a@" * 30_000,
        "\u202b" * 20_000,
        "This e-mail \n" * 5_000,
        "Deployments " * 5_000,
        '"' * 60_000 + "<deploy@corp.example>",
        "A " * 30_000 + "<deploy@corp.example>:",
        "11:01 " * 10_000 + "\n> a",
        "Re:" * 20_000,
    ],
)
def test_hostile_text(text: str) -> None:
    """64 kB made to keep a reader busy take it no more than moments."""
    begun = perf_counter()
    typed(text)
    assert perf_counter() - begun < 2
