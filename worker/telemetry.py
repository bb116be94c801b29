"""What happens to lines that operators read: one an outcome, JSON for machines, columns for people."""

import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

Outcomes = Callable[[str, Sequence[Mapping[str, Any]]], None]
"""Writes an info line for each row: the sentence, and the row's fields."""

_encode = json.JSONEncoder(ensure_ascii=False).encode
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure_logging(log_format: str, level: str) -> None:
    """Send all log lines to standard error, as ``json`` or ``console``, from ``level`` on.

    What libraries log goes the same way, from warnings on: their debug lines hold bodies and addresses.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = (
        [structlog.processors.dict_tracebacks, _flatten, structlog.processors.JSONRenderer(ensure_ascii=False)]
        if log_format == "json"
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last], foreign_pre_chain=shared
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    # What the broker refuses, pika logs and raises: it is said once, by us.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    # It warns with what the server said, as it stands.
    logging.getLogger("imapclient").setLevel(logging.CRITICAL)


def outcome_writer(log_format: str, level: str) -> Outcomes:
    """What writes many lines of the same kind at once: thousands a second, a fifth of what each by itself costs."""
    if log_format != "json":
        return _one_by_one
    return _all_at_once if _LEVELS[level] <= logging.INFO else _none


def _one_by_one(event: str, rows: Sequence[Mapping[str, Any]]) -> None:
    log = structlog.get_logger()
    for row in rows:
        log.info(event, **row)


def _all_at_once(event: str, rows: Sequence[Mapping[str, Any]]) -> None:
    common = {"event": event, "level": "info", "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z")}
    sys.stderr.write("".join([f"{_encode({**row, **common})}\n" for row in rows]))


def _none(event: str, rows: Sequence[Mapping[str, Any]]) -> None:
    pass


def _flatten(_: Any, __: str, event: EventDict) -> EventDict:
    """An exception as its kind and the places it passed; never its locals, which hold bodies and addresses."""
    for exception in event.pop("exception", None) or []:
        event.setdefault("exception_type", exception["exc_type"])
        event.setdefault("frames", [f"{f['filename']}:{f['lineno']} {f['name']}" for f in exception["frames"]])
    return event
