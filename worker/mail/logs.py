"""A request's steps to the logs that go with its mail: chosen by policy, within the budget, never the mail's failure.

What was cut or left out, and the last lines of the logs of failed steps, are for the templates to tell.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Self

from worker.events import AttachLogs, Log, RequestEvent, Step
from worker.mail.bundle import LARGEST, ZIP, Bundle, ChosenLog, LeftOut, Shortened
from worker.mail.email import Attachment
from worker.mail.filenames import archive_name, log_name, member_names
from worker.mail.mime import base64_capacity
from worker.mail.places import Places

PATIENCE = 60.0
"""Seconds that reading all logs of an event may take; those that come late are left out."""

_NARROWNESS: tuple[AttachLogs, ...] = ("never", "on_failure", "always")
_FINISHED = ("request.completed", "request.failed")


@dataclass(frozen=True, slots=True)
class AttachedLogs:
    """What goes with a mail. ``close`` gives the temporary files back, once the mail is taken or given up.

    ``tails`` has the last lines of the log of each failed step, by the step's index in the event.
    """

    attachments: tuple[Attachment, ...] = ()
    shortened: tuple[Shortened, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    tails: Mapping[int, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    zipped: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the temporary files; the attachments can't be read any more."""
        for attachment in self.attachments:
            attachment.content.close()


class Logs:
    """The logs of events, as the settings allow.

    ``max_bytes`` is what the attachments of a mail may take as sent, base64 counted. ``log_hosts`` are ``host`` or
    ``host:port``. ``patience`` is in seconds, for all logs of an event together.
    """

    def __init__(
        self,
        *,
        policy: AttachLogs,
        max_bytes: int,
        logs_dir: Path | None = None,
        log_hosts: frozenset[str] | None = None,
        ca_file: Path | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._policy = policy
        self._room = min(base64_capacity(max_bytes), LARGEST)
        self._places = Places(logs_dir, log_hosts or frozenset(), ca_file)
        self._patience = patience

    def attach(self, event: RequestEvent) -> AttachedLogs:
        """The logs of that event; whatever happens to one of them, the others come."""
        chosen = list(_chosen(event, self._policy))
        if not chosen:
            return AttachedLogs()
        names = member_names(step for _, step, _ in chosen)
        logs = [
            ChosenLog(index, name, log, is_failed=step.status == "failed")
            for name, (index, step, log) in zip(names, chosen, strict=True)
        ]
        instance = event.data.request.instance
        bundle = Bundle(self._places, self._room, time.monotonic() + self._patience)
        attachment = bundle.attachment(
            logs, alone=log_name(instance, chosen[0][1]) if len(chosen) == 1 else None, zipped=archive_name(instance)
        )
        return AttachedLogs(
            attachments=() if attachment is None else (attachment,),
            shortened=tuple(bundle.shortened),
            left_out=tuple(bundle.left_out[index] for index in sorted(bundle.left_out)),
            tails=MappingProxyType(bundle.tails),
            zipped=attachment is not None and attachment.media_type == ZIP,
        )


def _chosen(event: RequestEvent, policy: AttachLogs) -> Iterator[tuple[int, Step, Log]]:
    policy = min(policy, event.data.attach_logs or policy, key=_NARROWNESS.index)
    if event.type not in _FINISHED or policy == "never" or (policy == "on_failure" and event.type != "request.failed"):
        return
    for index, step in enumerate(event.data.steps):
        if step.log is not None and (policy == "always" or step.status == "failed"):
            yield index, step, step.log
