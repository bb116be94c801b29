"""Logs go with a mail as the policy says, and the mail's words can tell what became of each."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import a_step
from logbook import a_failure, a_log, content, files, gap, noise, number_in, some_logs
from loghost import PIECE, LogHost, a_log_host

from worker.mail.bundle import LeftOut
from worker.mail.logs import AttachedLogs


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogHost]:
    """A server with logs."""
    with a_log_host(tmp_path_factory.mktemp("ca")) as host:
        yield host


class TestPolicy:
    """Which logs are attached."""

    STEPS = (a_log(1, status="succeeded"), a_log(2), a_step(3, status="failed"), a_log(4, status="skipped"))

    @pytest.mark.parametrize(
        ("kind", "setting", "narrowed", "numbers"),
        [
            ("request.failed", "always", None, "124"),
            ("request.failed", "on_failure", None, "2"),
            ("request.failed", "never", None, ""),
            ("request.completed", "always", None, "124"),
            ("request.completed", "on_failure", None, ""),
            ("request.scheduled", "always", None, ""),
            ("request.deploying", "always", None, ""),
            ("request.rejected", "always", None, ""),
            ("request.failed", "always", "on_failure", "2"),
            ("request.failed", "always", "never", ""),
            ("request.failed", "on_failure", "always", "2"),
            ("request.failed", "never", "always", ""),
            ("request.completed", "always", "on_failure", ""),
        ],
    )
    def test_setting_and_event_choose(self, kind: str, setting: str, narrowed: str | None, numbers: str) -> None:
        """The setting says which logs; the event may narrow it, and never widens it."""
        event = a_failure(*self.STEPS, kind=kind, attach_logs=narrowed)

        with some_logs(policy=setting).attach(event) as attached:
            assert "".join(re.findall(r"(\d)_Step", " ".join(files(attached)))) == numbers
            assert set(attached.tails) == ({1} if "2" in numbers else set())
            assert not attached.left_out

    def test_never_reads_nothing(self, host: LogHost) -> None:
        """Without permission a log is not even asked for."""
        host.asked.clear()
        logs = some_logs(policy="never", log_hosts=frozenset({host.name}), ca_file=host.ca_file)

        assert logs.attach(a_failure(a_log(url=host.url("log/done")))) == AttachedLogs()
        assert not host.asked

    def test_a_request_without_logs_has_no_attachment(self) -> None:
        """Nothing to attach is nothing."""
        assert some_logs().attach(a_failure(a_step(1, status="failed"))) == AttachedLogs()


class TestForm:
    """As what the logs are attached."""

    def test_one_log_is_a_file(self) -> None:
        """The only log is attached as it is."""
        with some_logs().attach(a_failure(a_log(3, "größe\r\n"))) as attached:
            (attachment,) = attached.attachments
            assert attachment.filename == "BillingService_3_Step 3_db-01(90213).log"
            assert attachment.media_type == "text/plain; charset=utf-8"
            assert content(attachment) == "größe\r\n".encode()
            assert not attached.zipped

    def test_several_logs_are_a_zip(self) -> None:
        """Several logs are one zip file, in the order of the steps."""
        with some_logs().attach(a_failure(a_log(1), a_log(2, base64="ZG9uZQ=="), a_log(2))) as attached:
            (attachment,) = attached.attachments
            assert (attachment.filename, attachment.media_type) == ("BillingService_logs.zip", "application/zip")
            assert list(files(attached).items()) == [
                ("1_Step 1_db-01(90211).log", b"done\n"),
                ("2_Step 2_db-01(90212).log", b"done"),
                ("2_Step 2_db-01(90212) (2).log", b"done\n"),
            ]
            assert attached.zipped

    def test_equal_events_have_equal_attachments(self) -> None:
        """A mail that is tried again is the same mail."""
        event = a_failure(a_log(1), a_log(2))

        with some_logs().attach(event) as first, some_logs().attach(event) as second:
            assert content(first.attachments[0]) == content(second.attachments[0])

    def test_closed_is_closed(self) -> None:
        """Once the mail left, nothing of its logs is kept."""
        attached = some_logs().attach(a_failure(a_log(base64=noise(1 << 20))))

        attached.close()

        assert attached.attachments[0].content.closed


class TestReferences:
    """Logs that lie elsewhere."""

    def test_an_unreadable_log_leaves_the_others(self, tmp_path: Path, host: LogHost) -> None:
        """What may not or can't be read is named with the reason; the rest is attached."""
        (tmp_path / "3.log").write_bytes(b"from a file\n")
        (tmp_path / "link").symlink_to("/etc/passwd")
        logs = some_logs(logs_dir=tmp_path, log_hosts=frozenset({host.name}), ca_file=host.ca_file)
        urls = ("log/done", "cut/" + "x" * 9000, "moved/log/x", "missing")
        steps = [a_log(n, url=host.url(path)) for n, path in enumerate(urls)]
        steps += [a_log(n, url=url) for n, url in enumerate((f"file:{tmp_path}/3.log", f"file:{tmp_path}/link"), 4)]
        steps += [a_log(6, base64="?"), a_log(7, url="https://other.example/x")]

        with logs.attach(a_failure(*steps)) as attached:
            assert list(files(attached).values()) == [b"done", b"from a file\n"]
        assert [(number_in(log.filename), log.reason) for log in attached.left_out] == [
            ("1", "unreadable"),
            ("2", "unreadable"),
            ("3", "unreadable"),
            ("5", "not_allowed"),
            ("6", "unreadable"),
            ("7", "not_allowed"),
        ]

    def test_the_only_log_is_not_allowed(self) -> None:
        """Without a log that may be read there is no attachment, not even an empty one."""
        attached = some_logs().attach(a_failure(a_log(url="file:///etc/passwd")))

        assert attached == AttachedLogs(
            left_out=(LeftOut("BillingService_1_Step 1_db-01(90211).log", "not_allowed"),), tails=attached.tails
        )
        assert not attached.tails

    def test_a_large_download_is_cut(self, host: LogHost) -> None:
        """Of 8 MiB from a server, head and tail within the budget are kept."""
        logs = some_logs(max_bytes=1 << 20, log_hosts=frozenset({host.name}), ca_file=host.ca_file)

        with logs.attach(a_failure(a_log(url=host.url("huge/128")))) as attached:
            ((_, text),) = files(attached).items()
        line, missing = gap(text)
        assert missing == attached.shortened[0].missing_bytes == 128 * len(PIECE) - len(text) + len(line)
        assert text.startswith(PIECE[:60_000])
        assert text.endswith(PIECE[-60_000:])
        assert 750_000 < len(text) < 800_000

    def test_patience_is_for_all_logs_together(self, host: LogHost) -> None:
        """Logs that come too late are left out; those before are attached."""
        logs = some_logs(log_hosts=frozenset({host.name}), ca_file=host.ca_file, patience=1)
        began = time.monotonic()

        with logs.attach(a_failure(*(a_log(n, url=host.url("huge/900")) for n in range(1, 9)), a_log(9))) as attached:
            assert time.monotonic() - began < 3
            assert attached.left_out[-1].reason == "unreadable"


class TestTails:
    """Last lines for the mail's text."""

    def test_failed_steps_have_last_lines(self) -> None:
        """The last lines of each failed step's log, by the step's place in the event."""
        with some_logs().attach(
            a_failure(
                a_log(1, status="succeeded"), a_log(2, "".join(f"\x1b[1mline {n}\n" for n in range(99))), a_log(3, "")
            )
        ) as attached:
            assert dict(attached.tails) == {1: tuple(f"line {n}" for n in range(84, 99))}
