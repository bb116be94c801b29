"""Settled mails and explanations to a terminal. What strangers wrote is shown as text, and never obeyed by it."""

import json
from collections import Counter
from collections.abc import Iterable
from unicodedata import category

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

from worker.reply_poller.explanation import Explanation
from worker.reply_poller.outcome import Outcome
from worker.reply_poller.verdict import UNDECIDED, Approved, Finding, Rejected, Undecided

LONGEST_CELL = 200

_STYLES = {"approval.approved": "green", "approval.rejected": "red", "reply.untrusted": "yellow"}
_MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("·", "dim")}


def show_settled(settled: Iterable[tuple[Finding, Outcome]], console: Console) -> None:
    """A row for each mail, and a sum; also of those before an outage that ends it."""
    table = Table("received", "from", "outcome", "approval", "why, or the comment", box=None, pad_edge=False)
    counted: Counter[str] = Counter()
    try:
        for finding, outcome in settled:
            counted[outcome.type] += 1
            table.add_row(*_row(finding, outcome))
    finally:
        if counted:
            total = sum(counted.values())
            kinds = ", ".join(f"{number} {kind}" for kind, number in counted.items())
            console.print(table)
            console.print(f"{total} mail{'' if total == 1 else 's'}: {kinds}")
    if not counted:
        console.print("No mail to read.")


def _row(finding: Finding, outcome: Outcome) -> tuple[str | Text, ...]:
    return (
        f"{finding.received_at:%Y-%m-%d %H:%M}",
        _text(finding.sender),
        Text(outcome.type, _STYLES.get(outcome.type, "")),
        _text(outcome.approval_id or ""),
        _text(_why(finding, outcome)),
    )


def show_explanation(explanation: Explanation, console: Console) -> None:
    """The five questions with their answers, and what would be published."""
    for number, answer in enumerate(explanation.answers, 1):
        mark, style = _MARKS[answer.passed]
        line = Text.assemble((f"{mark} ", style), (f"{number} {answer.question:24}", "bold"), _text(answer.said))
        console.print(line, style="dim" if answer.passed is None else "")
    if explanation.typed_text:
        console.print("\nWhat was read as typed:")
        for typed in explanation.typed_text.splitlines():
            console.print(Text("  > ") + _text(typed))
    console.print(f"\nThe mail {explanation.mail_goes}.")
    if explanation.event is None:
        console.print("Nothing would be published.")
    else:
        console.print("This would be published:")
        event = json.dumps(json.loads(explanation.event), ensure_ascii=False, indent=2)
        console.print(JSONHighlighter()(_escaped(event)))


def _why(finding: Finding, outcome: Outcome) -> str:
    match finding.verdict:
        case Approved(comment=said) | Rejected(comment=said) if outcome.decides:
            return said
        case Undecided(reason=reason):
            return UNDECIDED[reason]
        case _:
            return outcome.reason


def _escaped(said: str) -> str:
    """JSON with what a terminal might obey written as an escape."""
    return "".join(letter if letter.isprintable() or letter == "\n" else f"\\u{ord(letter):04x}" for letter in said)


def _text(said: str) -> Text:
    """Text without anything that a terminal would take for a command."""
    plain = "".join(letter if category(letter) not in {"Cc", "Cf", "Co", "Cs"} else " " for letter in said)
    return Text(plain if len(plain) <= LONGEST_CELL else f"{plain[:LONGEST_CELL]}…")
