"""An event's file to its mails as files (``.eml``, ``.html``, ``.txt``), or to a page that follows each edit."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

from worker.errors import CountersignError, InvalidEventError
from worker.events import STRUCTURED, ApprovalRequested, ApprovalWithdrawn, Event, RequestEvent, parse_event, zone
from worker.mail.email import Email
from worker.mail.mime import encode

LARGEST_EVENT = 16 * 1024 * 1024
LOOPBACK = ("127.0.0.1", "localhost")

Compose = Callable[[Event], Sequence[Email]]


def read_event(path: Path, *, locale: str | None = None, timezone: str | None = None) -> Event:
    """The event in that file, for readers of another locale or zone where they are given.

    Raises:
        InvalidEventError: the file can't be read or holds no event; the text says why.
    """
    try:
        body = path.read_bytes()
    except OSError as error:
        raise InvalidEventError(f"{path}: {error.strerror}") from None
    event = parse_event(body, STRUCTURED, None, family=_family(body), max_bytes=LARGEST_EVENT)
    return _read_by(event, locale, _known_zone(timezone))


def write_preview(path: Path, event: Event, *, compose: Compose, out: Path) -> Sequence[Path]:
    """Write ``<stem>.eml``, ``.html`` and ``.txt`` for each mail of that event, and say which files that were.

    A second mail's are ``<stem>-2.eml`` and so on.
    """
    out.mkdir(parents=True, exist_ok=True)
    return [
        written
        for number, email in enumerate(compose(event), 1)
        for written in _write(email, out / (path.stem if number == 1 else f"{path.stem}-{number}"))
    ]


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page shows now: the mails, or why there are none; and what is wrong with overrides not in use."""

    emails: Sequence[Email]
    problems: Sequence[str]

    @property
    def version(self) -> str:
        """Equal as long as nothing changed."""
        words = [(email.words.subject, email.words.text, email.words.html) for email in self.emails]
        return sha256(json.dumps([words, *self.problems]).encode("utf-8", "replace")).hexdigest()


class Preview:
    """The event's file and the templates, read anew each time somebody looks.

    ``refresh`` takes up changed templates, ``problems`` says which of them are broken and not in use.
    """

    def __init__(
        self,
        path: Path,
        *,
        compose: Compose,
        refresh: Callable[[], None],
        problems: Callable[[], Sequence[str]],
        locale: str | None = None,
        timezone: str | None = None,
    ) -> None:
        self.path = path
        self._compose = compose
        self._refresh = refresh
        self._problems = problems
        self._locale = locale
        self._timezone = timezone
        self._lock = Lock()

    def look(self) -> Shown:
        """The mails as they are now; an error becomes a problem, and is gone when its cause is."""
        with self._lock:
            self._refresh()
            try:
                event = read_event(self.path, locale=self._locale, timezone=self._timezone)
                return Shown(_closed(self._compose(event)), self._problems())
            except CountersignError as error:
                return Shown((), (str(error), *self._problems()))


class PreviewServer(ThreadingHTTPServer):
    """Serves a preview to this machine alone. Port 0 takes a free one; ``url`` says which."""

    daemon_threads = True

    def __init__(self, preview: Preview, port: int = 0) -> None:
        super().__init__((LOOPBACK[0], port), _Page)
        self.preview = preview

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{LOOPBACK[0]}:{self.server_port}/"


class _Page(BaseHTTPRequestHandler):
    server: PreviewServer

    def do_GET(self) -> None:
        # A page elsewhere could point a name of its own at this address: only ours may ask.
        if self.headers.get("Host", "").partition(":")[0] not in LOOPBACK:
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        shown = self.server.preview.look()
        name, _, number = self.path.strip("/").partition("/")
        if name == "":
            self._send(_page(self.server.preview.path.name, shown), "default-src 'self' 'unsafe-inline'")
        elif name == "version":
            self._send(shown.version, "default-src 'none'")
        elif name == "mail" and number.isdecimal() and int(number) < len(shown.emails):
            policy = "default-src 'none'; style-src 'unsafe-inline'"
            self._send(shown.emails[int(number)].words.html, policy)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _send(self, text: str, policy: str) -> None:
        body = text.encode("utf-8", "replace")
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", policy)
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Nothing: the page asks every second."""


_STYLE = """
body{margin:0;padding:16px 24px 40px;font:14px/1.5 system-ui,sans-serif;background:#d5dae0;color:#1b2430}
h1{font-size:18px;margin:24px 0 8px}.row{display:flex;gap:16px;flex-wrap:wrap;align-items:flex-start}
figure{margin:0}figcaption{font-size:12px;margin:0 0 4px}iframe{border:0;background:#fff;height:860px}
pre{background:#fff;padding:16px;margin:0;white-space:pre-wrap;width:620px}
.problem{background:#fde5e5;color:#8a1016;padding:12px 16px;margin:0 0 12px;font:13px/1.5 monospace}
"""
_SCRIPT = """
setInterval(async () => {
  try { if (await (await fetch('/version')).text() !== document.body.dataset.version) location.reload() } catch {}
}, 1000)
"""
_FRAMES = (
    ("Desktop", 700, "light"),
    ("Phone", 360, "light"),
    ("Phone, dark", 360, "dark"),
    ("Desktop, dark", 700, "dark"),
)


def _page(name: str, shown: Shown) -> str:
    problems = "".join(f'<p class="problem">{escape(problem)}</p>' for problem in shown.problems)
    mails = "".join(_mail(number, email) for number, email in enumerate(shown.emails))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(name)}</title>'
        f'<style>{_STYLE}</style></head><body data-version="{shown.version}">{problems}{mails}'
        f"<script>{_SCRIPT}</script></body></html>"
    )


def _mail(number: int, email: Email) -> str:
    frames = "".join(
        f'<figure><figcaption>{caption}, {width} px</figcaption><iframe sandbox="" src="/mail/{number}"'
        f' title="{caption}" style="width:{width}px;color-scheme:{scheme}"></iframe></figure>'
        for caption, width, scheme in _FRAMES
    )
    text = f"<figure><figcaption>Plain text</figcaption><pre>{escape(email.words.text)}</pre></figure>"
    return f'<h1>{escape(email.words.subject)}</h1><div class="row">{frames}{text}</div>'


def _closed(emails: Sequence[Email]) -> Sequence[Email]:
    # A page that looks every second would hold every log it ever saw.
    for email in emails:
        for attachment in email.attachments:
            attachment.content.close()
    return emails


def _write(email: Email, stem: Path) -> Sequence[Path]:
    written = {
        ".eml": b"".join(encode(email)),
        ".html": email.words.html.encode("utf-8", "replace"),
        ".txt": email.words.text.encode("utf-8", "replace"),
    }
    # Not with_suffix: an event's file may have further dots in its name.
    paths = {suffix: stem.parent / f"{stem.name}{suffix}" for suffix in written}
    for suffix, content in written.items():
        paths[suffix].write_bytes(content)
    _closed((email,))
    return list(paths.values())


def _family(body: bytes) -> str:
    try:
        event = json.loads(body)
    except ValueError as error:
        raise InvalidEventError(f"body: not JSON: {error}") from None
    kind = event.get("type", "") if isinstance(event, dict) else ""
    return str(kind).partition(".")[0]


def _known_zone(name: str | None) -> str | None:
    if name is None:
        return None
    try:
        return zone(name).key
    except ValueError as error:
        raise InvalidEventError(f"timezone {name}: {error}") from None


def _read_by(event: Event, locale: str | None, timezone: str | None) -> Event:
    clock = {"timezone": timezone} if timezone else {}
    match event:
        case RequestEvent():
            tongue = {"locale": locale} if locale else {}
            return event.model_copy(update={"data": event.data.model_copy(update=clock | tongue)})
        case ApprovalRequested():
            tongue = {"locale": locale} if locale else {}
            approvers = tuple(approver.model_copy(update=tongue) for approver in event.data.approvers)
            return event.model_copy(update={"data": event.data.model_copy(update={**clock, "approvers": approvers})})
        case ApprovalWithdrawn():
            return event
