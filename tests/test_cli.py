"""The command as a user types it: what it prints, and its exit status."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from builders import a_request_event, as_bytes
from upstream import Upstream

from worker import topology
from worker.health import health_file

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(*arguments: str, cwd: Path | None = None, text: str | None = None, **settings: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of ``countersign`` with only those settings."""
    done = subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "COLUMNS": "120"} | settings,
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_help_names_every_command() -> None:
    """Each with a line of its own."""
    status, printed, _ = run("--help")
    assert status == 0
    for name in (
        "consume",
        "demo",
        "explain",
        "health",
        "poll",
        "preview",
        "publish",
        "run",
        "schema",
        "settings",
        "topology",
    ):
        assert f"\n  {name} " in printed


@pytest.mark.parametrize("arguments", [["fly"], ["publish"], ["consume", "--fast"], ["preview", "none.json"]])
def test_wrong_usage_is_status_2(arguments: list[str]) -> None:
    """With a sentence."""
    status, _, said = run(*arguments)
    assert status == 2
    assert "Error: " in said


def test_missing_settings_are_named_with_their_property() -> None:
    """All at once, and exit status 2."""
    status, _, said = run("consume")
    assert status == 2
    assert "SMTP_HOST (SMTP Host Name) is required" in said
    assert "SMTP_FROM_ADDRESS (SMTP From Address) is required" in said


def test_a_misspelt_setting_is_refused() -> None:
    """By every command that reads settings."""
    status, _, said = run("topology", SMPT_HOST="mail")
    assert status == 2
    assert "did you mean SMTP_HOST?" in said


def test_settings_mask_secrets() -> None:
    """A password is set, and not shown."""
    status, printed, _ = run("settings", SMTP_USER="u", SMTP_PASSWORD="hush", BROKER_URL="amqp://u:hush@mq/")
    assert status == 0
    assert "hush" not in printed
    assert "SMTP Password" in printed


def test_the_topology_is_printed_without_a_broker() -> None:
    """As a table, as a definitions file, and as permissions."""
    assert "countersign.retry.600" in run("topology")[1]
    names = {queue["name"] for queue in json.loads(run("topology", "--json")[1])["queues"]}
    assert "countersign.dead-letters" in names
    assert "rabbitmqctl set_permissions" in run("topology", "--permissions")[1]


def test_the_topology_is_declared_and_checked(vhost_url: str) -> None:
    """Missing before, as planned afterwards; the exit status says so."""
    status, printed, _ = run("topology", "--check", BROKER_URL=vhost_url)
    assert status == 1
    assert "queue countersign.requests: is missing" in printed
    assert run("topology", "--declare", BROKER_URL=vhost_url)[0] == 0
    assert run("topology", "--check", BROKER_URL=vhost_url)[:2] == (0, "the broker is as planned\n")


def test_a_broker_that_is_away_is_status_1() -> None:
    """Host, port and what the system said."""
    status, _, said = run("topology", "--check", BROKER_URL="amqp://guest:hush@127.0.0.1:1/")
    assert status == 1
    assert "127.0.0.1:1: Connection refused" in said
    assert "hush" not in said


def test_events_are_published(vhost_url: str, tmp_path: Path) -> None:
    """From files and from standard input, each confirmed, to the queue of its type."""
    path = tmp_path / "event.json"
    path.write_bytes(as_bytes(a_request_event()))
    text = as_bytes(a_request_event(event_id="e-2")).decode()
    with Upstream(vhost_url) as upstream:
        status, printed, _ = run("publish", str(path), "-", text=text, BROKER_URL=vhost_url)
        assert status == 0
        assert printed == f"{path}: request.completed e-1 published\n-: request.completed e-2 published\n"
        assert len(upstream.take(topology.REQUESTS_QUEUE, count=2)) == 2


def test_nothing_is_published_beside_a_bad_file(vhost_url: str, tmp_path: Path) -> None:
    """The file and the field are named."""
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_bytes(as_bytes(a_request_event()))
    bad.write_text('{"type": "request.failed"}')
    with Upstream(vhost_url) as upstream:
        status, _, said = run("publish", str(good), str(bad), BROKER_URL=vhost_url)
        assert status == 1
        assert f"{bad}: specversion: Field required" in said
        assert upstream.waiting(topology.REQUESTS_QUEUE) == 0


def test_a_file_that_is_not_there_is_status_1(vhost_url: str) -> None:
    """Named in the sentence."""
    status, _, said = run("publish", "/nonexistent/event.json", BROKER_URL=vhost_url)
    assert status == 1
    assert "/nonexistent/event.json" in said


def test_the_schemas_are_written(tmp_path: Path) -> None:
    """All files of the contract; without a folder the document is printed."""
    status, printed, _ = run("schema", "--out", str(tmp_path / "out"))
    assert status == 0
    assert (tmp_path / "out/schemas/request.failed.json").is_file()
    assert f"{tmp_path}/out/asyncapi.yaml\n" in printed
    assert run("schema")[1] == (tmp_path / "out/asyncapi.yaml").read_text()


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_every_example_has_a_preview(example: Path, tmp_path: Path) -> None:
    """As a mail, a page and a text."""
    status, printed, said = run("preview", str(example), "--out", str(tmp_path), ENABLE_EMAIL_APPROVAL="true")
    assert status == 0, said
    written = {Path(line).suffix for line in printed.splitlines()}
    assert written == {".eml", ".html", ".txt"}
    assert (tmp_path / f"{example.stem}.txt").read_text().strip()


def test_a_preview_follows_who_reads(tmp_path: Path) -> None:
    """Another language and another zone than the event's."""
    arguments = ["--locale", "de", "--timezone", "Asia/Tokyo", "--out", str(tmp_path)]
    assert run("preview", str(EXAMPLES / "request-failed.json"), *arguments)[0] == 0
    text = (tmp_path / "request-failed.txt").read_text()
    assert "FEHLGESCHLAGEN" in text
    assert "Asia/Tokyo" in text


def test_a_preview_of_no_event_is_status_1(tmp_path: Path) -> None:
    """The field is named."""
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    status, _, said = run("preview", str(bad))
    assert status == 1
    assert "type: one of request.scheduled" in said


def test_a_preview_is_served() -> None:
    """On loopback, until Ctrl-C."""
    command = [sys.executable, "-m", "worker", "preview", str(EXAMPLES / "request-failed.json"), "--serve"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    url = process.stdout.readline().split()[0]
    with urllib.request.urlopen(url, timeout=10) as page:
        assert b"Billing" in page.read()
    process.send_signal(signal.SIGINT)
    assert process.wait(10) in {0, 1}
    assert "Traceback" not in process.stderr.read()
    process.stdout.close()
    process.stderr.close()


def test_health_follows_the_process(tmp_path: Path) -> None:
    """Not running: 1. All loops turned lately: 0. One did not for a minute: 1, and it is named."""
    assert run("health", STATE_DIRECTORY=str(tmp_path))[0] == 1
    path = health_file(str(tmp_path), "consume")
    now = time.time()
    path.write_text(json.dumps({"pid": 1, "loops": {"a": [now, "consuming"], "b": [now, "sending"]}}))
    assert run("health", STATE_DIRECTORY=str(tmp_path))[0] == 0
    path.write_text(json.dumps({"pid": 1, "loops": {"a": [now, "consuming"], "b": [now - 120, "sending"]}}))
    status, printed, _ = run("health", STATE_DIRECTORY=str(tmp_path))
    assert status == 1
    assert "b: sending, 120 s ago" in printed
    path.write_text("half")
    assert run("health", STATE_DIRECTORY=str(tmp_path))[0] == 1


def test_health_looks_at_all_processes_of_this_machine(tmp_path: Path) -> None:
    """Of two in one state folder the stuck one is not hidden by the other; those of other machines do not count."""
    now = time.time()
    for role, moment in (("consume", now), ("poll", now - 120)):
        health_file(str(tmp_path), role).write_text(json.dumps({"pid": 1, "loops": {role: [moment, "working"]}}))
    status, printed, _ = run("health", STATE_DIRECTORY=str(tmp_path))
    assert status == 1
    assert "consume: working, 0 s ago" in printed
    assert "poll: working, 120 s ago" in printed
    health_file(str(tmp_path), "poll").rename(tmp_path / "health-elsewhere.poll.json")
    assert run("health", STATE_DIRECTORY=str(tmp_path))[0] == 0
