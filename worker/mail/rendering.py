"""An event's values and the templates of that kind of mail to ``Words``: subject, text and HTML.

Templates come from disk only; event data are variables only. Overrides are taken up while running: each change is
tried on sample events first, and what fails is left where it was.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from worker.errors import TemplateError
from worker.events import Step, zone
from worker.mail.edition import FAILURES, Edition, Fault, explain
from worker.mail.email import Words
from worker.mail.filters import Clock, clean, shortened
from worker.mail.samples import KINDS, samples
from worker.mail.sources import BUILT_IN, Folder, Source, read_folder

LONGEST_SUBJECT = 200
LARGEST_HTML = 100_000
"""Bytes. Gmail hides what comes after 102 kB."""

CHECK_SECONDS = 1.0
"""How often the folder of overrides is looked at."""

ROOMY: Final[Mapping[str, int]] = {"steps": 40, "failures": 3, "files": 10, "characters": 2000, "log": 3000}
TIGHT: Final[Mapping[str, int]] = {"steps": 10, "failures": 1, "files": 3, "characters": 300, "log": 500}
"""How much of a large event is shown, and how much when that was too large."""


class AttachedFile(Protocol):
    """A file that goes with the mail, and its size in bytes."""

    @property
    def filename(self) -> str:
        """As the recipient sees it."""

    @property
    def size(self) -> int:
        """Before base64."""


class LogsShown(Protocol):
    """What a mail says about its logs."""

    @property
    def attachments(self) -> Sequence[AttachedFile]:
        """What is attached."""

    @property
    def shortened(self) -> Sequence[Any]:
        """What lost its middle; each has its ``filename`` and ``missing_bytes``."""

    @property
    def left_out(self) -> Sequence[Any]:
        """What is not attached; each has its ``filename`` and a ``reason``: not_allowed, unreadable or too_large."""

    @property
    def tails(self) -> Mapping[int, Sequence[str]]:
        """The last lines of failed steps' logs, by the step's place among the steps."""


class Templates:
    """All templates, current with the disk.

    ``report`` hears a sentence whenever an override is taken up, given up or found broken.
    """

    def __init__(
        self,
        *,
        directory: Path | None,
        default_locale: str,
        report: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Overrides that are there already are tried before this returns; a broken one leaves the built-in in place."""
        self._folder = Folder(directory) if directory else None
        self._default_locale = default_locale
        self._report = report
        self._clock = clock
        self._built_in = read_folder(BUILT_IN)
        self._overrides: dict[str, Source] = {}
        self._refused: dict[str, tuple[Source | None, str]] = {}
        self._edition = self._edition_of({})
        self._next_check = -1.0
        self.refresh()

    def refresh(self) -> None:
        """Take up what changed in the folder of overrides; looks at most once a second."""
        if self._folder is None or self._clock() < self._next_check:
            return
        self._next_check = self._clock() + CHECK_SECONDS
        wanted = self._folder.changed()
        if wanted is not None:
            self._take_up(wanted)

    def render(self, event_type: str, *, locale: str | None, timezone: str | None, **context: Any) -> Words:
        """The words of one mail.

        Raises:
            TemplateError: a template failed on this event, or there is none for this type.
        """
        try:
            return _words(self._edition, event_type, locale, timezone, context)
        except FAILURES as error:
            raise TemplateError(str(explain(error, event_type))) from error

    def problems(self) -> Sequence[str]:
        """What is wrong with overrides that are on disk but not in use, a sentence each."""
        return [text for _, text in self._refused.values()]

    def _edition_of(self, overrides: Mapping[str, Source]) -> Edition:
        return Edition(self._built_in, overrides, self._default_locale)

    def _take_up(self, wanted: Mapping[str, Source]) -> None:
        changes = [
            name for name in sorted({*wanted, *self._overrides}) if wanted.get(name) != self._overrides.get(name)
        ]
        refused: dict[str, tuple[Source | None, str]] = {}
        taken = self._sifted(wanted, changes, refused)
        overrides = self._with(wanted, taken)
        if taken:
            self._edition, self._overrides = self._edition_of(overrides), overrides
        self._say(wanted, taken, refused)
        self._refused = refused

    def _sifted(
        self, wanted: Mapping[str, Source], changes: list[str], refused: dict[str, tuple[Source | None, str]]
    ) -> list[str]:
        """The changes that work together; the others go into ``refused``."""
        left = list(changes)
        while left and (fault := self._fault(self._with(wanted, left))):
            guilty = [name for name in left if name in wanted and str(wanted[name].path) == fault.path]
            if not guilty:
                return self._one_by_one(wanted, left, refused)
            left.remove(guilty[0])
            refused[guilty[0]] = (wanted[guilty[0]], str(fault))
        return left

    def _one_by_one(
        self, wanted: Mapping[str, Source], changes: list[str], refused: dict[str, tuple[Source | None, str]]
    ) -> list[str]:
        # An untouched file fails because of a changed one: which, only trying tells.
        taken: list[str] = []
        for name in changes:
            if fault := self._fault(self._with(wanted, [*taken, name])):
                refused[name] = (wanted.get(name), str(fault))
            else:
                taken.append(name)
        return taken

    def _with(self, wanted: Mapping[str, Source], names: Sequence[str]) -> dict[str, Source]:
        changed = {name: wanted[name] for name in names if name in wanted}
        gone = {name for name in names if name not in wanted}
        return {name: source for name, source in (self._overrides | changed).items() if name not in gone}

    def _fault(self, overrides: Mapping[str, Source]) -> Fault | None:
        return _tried(self._edition_of(overrides))

    def _say(
        self, wanted: Mapping[str, Source], taken: Sequence[str], refused: Mapping[str, tuple[Source | None, str]]
    ) -> None:
        for name in taken:
            self._report(f"template {name}: " + ("taken up" if name in wanted else "override removed"))
        for name, finding in refused.items():
            if self._refused.get(name) != finding:
                self._report(f"template {name} is broken and not used, the last good one stays: {finding[1]}")


def _tried(edition: Edition) -> Fault | None:
    """What is wrong with that edition: every template on every sample, in every locale."""
    for locale in sorted(edition.tags):
        for event_type in KINDS:
            for sample in samples(event_type):
                try:
                    words = _words(edition, event_type, locale, "Europe/Berlin", sample)
                    if not words.subject:
                        raise ValueError("the subject is empty")
                except FAILURES as error:
                    trio = f"{event_type}/subject.txt.j2"
                    return explain(error, trio)
    return None


def _words(
    edition: Edition, event_type: str, locale: str | None, timezone: str | None, context: Mapping[str, Any]
) -> Words:
    subject, text, html_sheet = edition.trio(event_type, locale)
    values = {
        **html_sheet.environment.globals,
        **context,
        "timezone": timezone or "UTC",
        "mail_clock": Clock(zone(timezone or "UTC")),
        "limits": ROOMY,
    }
    _add_steps(values, context.get("logs"), ROOMY)
    html = html_sheet.write(values)
    # A character is at most four bytes: most mails need no counting.
    if len(html) * 4 > LARGEST_HTML and len(html.encode("utf-8", "replace")) > LARGEST_HTML:
        tight = values | {"limits": TIGHT}
        _add_steps(tight, context.get("logs"), TIGHT)
        html = html_sheet.write(tight)
    return Words(_one_line(subject.write(values)), _tidy(text.write(values)), html)


def _one_line(subject: str) -> str:
    return shortened(" ".join(subject.split()), LONGEST_SUBJECT - 1)


def _tidy(text: str) -> str:
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text.strip() + "\n"


def _add_steps(values: dict[str, Any], logs: LogsShown | None, limits: Mapping[str, int]) -> None:
    steps: Sequence[Step] = values.get("steps", ())
    most = limits["steps"]
    failed = [index for index, step in enumerate(steps) if step.status == "failed"]
    values["rows"] = steps[:most]
    values["hidden_rows"] = max(len(steps) - most, 0)
    values["hidden_failures"] = max(len(failed) - limits["failures"], 0)
    values["failures"] = _failures(steps, failed[: limits["failures"]], logs, limits) if failed else ()
    values["logs"] = _log_notes(logs, limits["files"]) if logs is not None else None


def _failures(
    steps: Sequence[Step], failed: Sequence[int], logs: LogsShown | None, limits: Mapping[str, int]
) -> Sequence[Mapping[str, Any]]:
    tails = logs.tails if logs is not None else {}
    return [{"step": steps[index], "log": _tail(tails.get(index, ()), limits["log"])} for index in failed]


def _tail(lines: Sequence[str], most: int) -> str:
    kept: list[str] = []
    for line in reversed(lines):
        most -= len(line) + 1
        if most < 0 and kept:
            break
        kept.append(clean(line[:500]).expandtabs().rstrip())
    return "\n".join(reversed(kept))


def _log_notes(logs: LogsShown, most: int) -> dict[str, Any] | None:
    attached, cut, left_out = logs.attachments, logs.shortened, logs.left_out
    if not (attached or cut or left_out):
        return None
    return {
        # Name and size alone: a template has no business in the file.
        "attachments": [{"filename": file.filename, "size": file.size} for file in attached[:most]],
        "shortened": cut[:most],
        "left_out": left_out[:most],
        "hidden": sum(max(len(files) - most, 0) for files in (attached, cut, left_out)),
    }
