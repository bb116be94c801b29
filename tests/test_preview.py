"""What ``countersign preview`` writes and shows."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email import message_from_bytes, policy
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread

import pytest

from worker.errors import InvalidEventError
from worker.events import TYPES, ApprovalRequested, ApprovalWithdrawn, Event, Person, RequestEvent
from worker.mail.email import Email, Words
from worker.mail.rendering import Templates
from worker.mail.samples import SampleLinks, question
from worker.preview import Preview, PreviewServer, read_event, write_preview

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.json"))


class Composer:
    """Composes as the consumers do, without journal and tokens."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates

    def __call__(self, event: Event) -> list[Email]:
        """One mail, or one an approver."""
        match event:
            case RequestEvent():
                return [self._request(event)]
            case ApprovalRequested():
                links = SampleLinks()
                return [
                    self._approval(event, event.type, number, links=links)
                    for number in range(len(event.data.approvers))
                ]
            case ApprovalWithdrawn():
                return [self._approval(question(), event.type, 0, reason=event.data.reason)]

    def _request(self, event: RequestEvent) -> Email:
        data = event.data
        words = self._templates.render(
            event.type,
            locale=data.locale,
            timezone=data.timezone,
            event=event,
            request=data.request,
            steps=data.steps,
            variables=data.variables,
            logs=None,
        )
        return an_email(words)

    def _approval(self, event: ApprovalRequested, kind: str, number: int, **more: object) -> Email:
        data = event.data
        approver = data.approvers[number]
        words = self._templates.render(
            kind,
            locale=approver.locale,
            timezone=data.timezone,
            event=event,
            approval=data.approval,
            request=data.request,
            approver=approver,
            variables=data.variables,
            **more,
        )
        return an_email(words)


def an_email(words: Words) -> Email:
    """A mail with these words."""
    somebody = Person(name="Dana Ito", email="dana@corp.example")
    return Email("<1@corp.example>", datetime(2026, 11, 23, tzinfo=UTC), somebody, (somebody,), words)


def composer(folder: Path | None = None) -> tuple[Templates, Composer]:
    """Templates that look at the disk each time, and what composes with them."""
    ticks = iter(range(0, 10**6, 2))
    templates = Templates(
        directory=folder, default_locale="en", report=lambda _: None, clock=lambda: float(next(ticks))
    )
    return templates, Composer(templates)


def example(name: str) -> Path:
    """The file of that example."""
    return next(path for path in EXAMPLES if path.stem == name)


@contextmanager
def serving(preview: Preview) -> Iterator[PreviewServer]:
    """A server that answers until the block ends."""
    with PreviewServer(preview) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def get(server: PreviewServer, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    """Status and body of a page."""
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_every_type_has_an_example() -> None:
    """Each of the types is shown by an example, whose name begins with it."""
    found = {read_event(path).type for path in EXAMPLES}
    assert found == set(TYPES)
    assert all(path.stem.startswith(read_event(path).type.replace(".", "-")) for path in EXAMPLES)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_preview_is_three_files_a_mail(path: Path, tmp_path: Path) -> None:
    """Each example becomes .eml, .html and .txt for each of its mails, and they agree."""
    _, compose = composer()
    event = read_event(path)
    written = write_preview(path, event, compose=compose, out=tmp_path / "out")
    mails = len(event.data.approvers) if isinstance(event, ApprovalRequested) else 1
    assert len(written) == 3 * mails
    mail = message_from_bytes((tmp_path / "out" / f"{path.stem}.eml").read_bytes(), policy=policy.default)
    text, html = (mail.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert html is not None
    assert text.get_content().split() == (tmp_path / "out" / f"{path.stem}.txt").read_text().split()
    assert html.get_content().split() == (tmp_path / "out" / f"{path.stem}.html").read_text().split()


def test_locale_and_zone_can_be_chosen(tmp_path: Path) -> None:
    """A preview can be read as by somebody of another language elsewhere."""
    _, compose = composer()
    path = example("request-failed")
    write_preview(path, read_event(path, locale="de", timezone="Asia/Tokyo"), compose=compose, out=tmp_path)
    assert "23.11.2026, 16:24 JST" in (tmp_path / "request-failed.txt").read_text()
    path = example("approval-requested")
    write_preview(path, read_event(path, locale="de"), compose=compose, out=tmp_path)
    assert "FREIGABE" in (tmp_path / "approval-requested.txt").read_text()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "No such file"), ("{", "not JSON"), ("[]", "object"), ('{"type": "request.gone"}', "type")],
)
def test_a_file_that_is_no_event_is_an_error(tmp_path: Path, content: str | None, complaint: str) -> None:
    """What can't be read, or is no event, raises InvalidEventError that says why."""
    path = tmp_path / "event.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InvalidEventError, match=complaint):
        read_event(path)


def test_an_unknown_zone_is_an_error() -> None:
    """A zone that does not exist is named in the error."""
    with pytest.raises(InvalidEventError, match="Mars/Olympus"):
        read_event(example("request-failed"), timezone="Mars/Olympus")


def test_the_page_shows_the_mail_at_two_widths() -> None:
    """The page has the HTML at desktop and phone width, light and dark, and the text."""
    templates, compose = composer()
    path = example("request-failed")
    preview = Preview(path, compose=compose, refresh=templates.refresh, problems=templates.problems)
    with serving(preview) as server:
        status, page = get(server, "/")
        assert status == 200
        assert re.findall(r"width:(\d+)px;color-scheme:(\w+)", page) == [
            ("700", "light"),
            ("360", "light"),
            ("360", "dark"),
            ("700", "dark"),
        ]
        assert "✕ FAILED" in page
        assert "<!doctype html>" in get(server, "/mail/0")[1]
        assert get(server, "/mail/1")[0] == 404
        assert get(server, "/other")[0] == 404


def test_an_edit_changes_the_version(tmp_path: Path) -> None:
    """Editing a template or the event's file changes what the page asks for each second."""
    path = tmp_path / "event.json"
    path.write_text(example("request-failed").read_text())
    templates, compose = composer(tmp_path / "templates")
    preview = Preview(path, compose=compose, refresh=templates.refresh, problems=templates.problems)
    with serving(preview) as server:
        versions = [get(server, "/version")[1], get(server, "/version")[1]]
        assert versions[0] == versions[1]
        (tmp_path / "templates" / "request.failed").mkdir(parents=True)
        (tmp_path / "templates" / "request.failed" / "subject.txt.j2").write_text("Ouch")
        versions.append(get(server, "/version")[1])
        path.write_text(path.read_text().replace("BillingService", "Ledger"))
        versions.append(get(server, "/version")[1])
        assert len(set(versions)) == 3
        assert "<h1>Ouch</h1>" in get(server, "/")[1]


def test_a_broken_template_is_shown_and_recovers(tmp_path: Path) -> None:
    """The page names file, line and fault, shows the last good mail meanwhile, and is clean after the repair."""
    templates, compose = composer(tmp_path)
    broken = tmp_path / "request.failed" / "subject.txt.j2"
    broken.parent.mkdir()
    preview = Preview(
        example("request-failed"), compose=compose, refresh=templates.refresh, problems=templates.problems
    )
    with serving(preview) as server:
        broken.write_text("\n{{ <b>oops }}")
        page = get(server, "/")[1]
        assert f"{broken}:2: " in page
        assert "✕ Failed: Deploy" in page
        broken.unlink()
        assert '<p class="problem">' not in get(server, "/")[1]
        assert str(broken) not in get(server, "/")[1]


def test_a_broken_event_is_shown_and_recovers(tmp_path: Path) -> None:
    """While the event's file is no event the page says why, and shows it again when it is."""
    path = tmp_path / "event.json"
    good = example("request-failed").read_text()
    path.write_text(json.dumps(json.loads(good) | {"id": ""}))
    templates, compose = composer()
    preview = Preview(path, compose=compose, refresh=templates.refresh, problems=templates.problems)
    with serving(preview) as server:
        assert "id: " in get(server, "/")[1]
        path.write_text(good)
        assert "✕ FAILED" in get(server, "/")[1]


def test_only_this_machine_may_look() -> None:
    """A page elsewhere that points its own name at the loopback address is refused; the server listens there alone."""
    templates, compose = composer()
    path = example("request-failed")
    preview = Preview(path, compose=compose, refresh=templates.refresh, problems=templates.problems)
    with serving(preview) as server:
        assert get(server, "/", host="evil.example")[0] == 403
        assert get(server, "/", host=f"localhost:{server.server_port}")[0] == 200
        assert server.server_address[0] == "127.0.0.1"
        assert server.url == f"http://127.0.0.1:{server.server_port}/"
