"""One mail on its way: what was asked and what was answered, to its ``Receipt``."""

from collections.abc import Iterator

from worker.mail.envelope import Receipt, Refusal
from worker.mail.response import BDAT, DATA, DOT, GO_ON, MAIL, OK, RCPT, Response, is_outage

_BODY = (BDAT, DOT)
_WHOLE = (MAIL, DATA, BDAT, DOT)
_TOO_MANY_RECIPIENTS = 552


class Flight:
    """A mail between its first command and its last response.

    ``asked`` and ``responses`` run side by side. ``script`` yields what to write next and moves on when all that was
    asked is answered. ``fault`` is set by ``receipt``: the step and response that speak of the server, not of the
    mail. ``end`` is where in the session's output the last octet of the mail stands, once that is known.
    """

    __slots__ = ("asked", "end", "fault", "final", "index", "recipients", "refused", "responses", "script", "size")

    def __init__(self, index: int, recipients: tuple[str, ...], refused: dict[str, Refusal], size: int) -> None:
        self.index = index
        self.recipients = recipients
        self.refused = refused
        self.size = size
        self.asked: list[str] = []
        self.responses: list[Response] = []
        self.script: Iterator[None] = iter(())
        self.final = False
        self.end: int | None = None
        self.fault: tuple[str, Response] | None = None

    @property
    def clean(self) -> bool:
        """Whether every response was a plain yes."""
        responses = self.responses
        return responses.count(OK) + responses.count(GO_ON) == len(self.asked)

    @property
    def awaits_end(self) -> bool:
        """Whether only the response to the content is missing."""
        return len(self.asked) == len(self.responses) + 1 and self.asked[-1] in _BODY

    @property
    def accepted(self) -> bool:
        """Whether the server took a sender and a recipient at least (what it took by mistake counts too)."""
        return any(
            step == RCPT and not answer.refuses for step, answer in zip(self.asked, self.responses, strict=False)
        )

    @property
    def hopeless(self) -> bool:
        """Whether nobody can take the mail any more, though not every response has come."""
        answers = [answer for step, answer in zip(self.asked, self.responses, strict=False) if step == RCPT]
        return not self.accepted and (self._whole() is not None or len(answers) == len(self.recipients))

    def receipt(self) -> Receipt | None:
        """What became of the mail; ``None``: nobody took it, and that is not the mail's ``fault``."""
        if self.clean:
            return Receipt(self.recipients, self.refused)
        if (
            len(self.responses) == len(self.asked)
            and self.asked[-1] in _BODY
            and not self.responses[-1].refuses
            and self.accepted
        ):
            return self._taken()
        return self._untaken()

    def _taken(self) -> Receipt:
        taken = [address for address, response in self._answers() if not response.refuses]
        refused = {address: self._refusal(response) for address, response in self._answers() if response.refuses}
        return Receipt(tuple(taken), self.refused | refused)

    def _refusal(self, response: Response) -> Refusal:
        outage = is_outage(RCPT, response)
        if outage:
            self.fault = (RCPT, response)
        return Refusal(_code(response), response.text, outage)

    def _untaken(self) -> Receipt | None:
        whole = self._whole()
        # What stands behind a refused sender only says that the sender was refused.
        early = whole is not None and whole[0] == MAIL
        decisive = {
            address: whole if whole and (early or not response.refuses) else (RCPT, response)
            for address, response in self._answers()
        }
        for step, response in decisive.values():
            if is_outage(step, response):
                self.fault = (step, response)
                return None
        refused = {address: Refusal(_code(answer, step), answer.text) for address, (step, answer) in decisive.items()}
        return Receipt((), self.refused | refused)

    def _answers(self) -> list[tuple[str, Response]]:
        answers = [answer for step, answer in zip(self.asked, self.responses, strict=False) if step == RCPT]
        # One command at a time ends at a refused sender: no recipient was asked for.
        unasked = [OK] * (len(self.recipients) - len(answers))
        return list(zip(self.recipients, answers + unasked, strict=True))

    def _whole(self) -> tuple[str, Response] | None:
        pairs = zip(self.asked, self.responses, strict=False)
        return next(((step, response) for step, response in pairs if step in _WHOLE and response.refuses), None)


def _code(response: Response, step: str = RCPT) -> int:
    # RFC 5321 4.5.3.1.10: a 552 for too many recipients is an old mistake for 452.
    too_many = response.status == "5.3" or "too many" in response.text.lower()
    return 452 if step == RCPT and response.code == _TOO_MANY_RECIPIENTS and too_many else response.code
