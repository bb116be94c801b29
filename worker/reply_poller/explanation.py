"""A mail's evidence, finding and outcome to the answers of the five questions, as a person wants them."""

from dataclasses import dataclass
from typing import assert_never

from worker.reply_poller.judge import Evidence
from worker.reply_poller.outcome import Outcome
from worker.reply_poller.verdict import (
    UNDECIDED,
    Approved,
    Automatic,
    Bounced,
    Finding,
    Rejected,
    Undecided,
    Unreadable,
    Untrusted,
)

QUESTIONS = (
    "Can it be read?",
    "Did a person write it?",
    "Is it who it must be?",
    "What does it say?",
    "Is it still open?",
)

Reading = Approved | Rejected | Undecided
_WORDS = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """One question's answer: yes, no, or not asked any more (None); and what was found."""

    question: str
    passed: bool | None
    said: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """All there is to show of one mail; ``event`` is what would be published, None where nothing would."""

    answers: tuple[Answer, ...]
    typed_text: str
    event: bytes | None
    mail_goes: str


def explain(evidence: Evidence, finding: Finding, outcome: Outcome, reading: Reading | None) -> Explanation:
    """The five answers, and what would be done. ``reading`` is what the mail says, whoever wrote it."""
    failed = _failed_at(finding, outcome)
    said = (
        _read(evidence),
        _origin(finding),
        _trusted(finding),
        _says(reading),
        outcome.reason if failed == len(QUESTIONS) - 1 else "open, and this approver has not decided yet",
    )
    answers = tuple(
        Answer(question, None if number > failed else number < failed, _unless_late(number, failed, text))
        for number, (question, text) in enumerate(zip(QUESTIONS, said, strict=True))
    )
    return Explanation(answers, finding.typed_text, outcome.body, _goes(outcome))


def _unless_late(number: int, failed: int, said: str) -> str:
    """What a question would have found that was not asked any more: its words alone are known without trust."""
    if number <= failed:
        return said
    return f"not asked; it would be read as: {said}" if number == _WORDS and said else ""


def _failed_at(finding: Finding, outcome: Outcome) -> int:
    """The number of the question that was answered with no; that of none, where all were passed."""
    match finding.verdict:
        case Unreadable():
            return 0
        case Automatic() | Bounced():
            return 1
        case Untrusted():
            return 2
        case Undecided():
            return 3
        case Approved() | Rejected():
            return len(QUESTIONS) if outcome.decides else len(QUESTIONS) - 1
        case _:
            assert_never(finding.verdict)


def _origin(finding: Finding) -> str:
    if isinstance(finding.verdict, Automatic | Bounced):
        return finding.verdict.reason
    return "nothing says that a machine did"


def _read(evidence: Evidence) -> str:
    if evidence.reply is None:
        return evidence.broken
    forms = {0: "no text", 1: "one form of its text", 2: "text and HTML"}
    count = len(evidence.reply.typed)
    return f"{evidence.mail.size:,} bytes, {forms.get(count, f'{count} forms of its text')}"


def _trusted(finding: Finding) -> str:
    if isinstance(finding.verdict, Untrusted):
        return finding.verdict.reason
    if finding.known is None:
        return ""
    asked = finding.known
    return f"{finding.sender}, asked about approval {asked.question.approval_id} ({finding.authentication})"


def _says(reading: Reading | None) -> str:
    match reading:
        case Approved(comment=comment):
            return "approved" + (f", with the comment: {comment}" if comment else "")
        case Rejected(comment=comment):
            return "rejected" + (f", because: {comment}" if comment else "")
        case Undecided(reason=reason):
            return UNDECIDED[reason]
        case None:
            return ""
        case _:
            assert_never(reading)


def _goes(outcome: Outcome) -> str:
    return "goes to quarantine" if outcome.disposal == "quarantine" else "leaves the folder once it is published"
