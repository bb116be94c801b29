"""Logs keep to the budget, whatever they are: whole, zipped, cut, or left out; and they cost little memory."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logbook import NOISE, a_failure, a_log, bytes_of, content, encoded, files, gap, noise, number_in, some_logs

from worker.events import Log
from worker.mail.bundle import Bundle, ChosenLog, LeftOut, Shortened
from worker.mail.logs import AttachedLogs
from worker.mail.mime import base64_size
from worker.mail.places import LogError, Places


class TestBudget:
    """Within the budget, in three steps: zip, cut, leave out."""

    def test_the_budget_is_exact(self) -> None:
        """A log goes as it is where it fits to the octet, base64 counted; with one octet less it is zipped."""
        event = a_failure(a_log(text="done\n" * 1000 + "\n"))
        budget = base64_size(5001)

        with some_logs(max_bytes=budget).attach(event) as attached:
            assert not attached.zipped
        with some_logs(max_bytes=budget).attach(a_failure(a_log(text="done\n" * 1000 + ".."))) as attached:
            assert attached.zipped
        with some_logs(max_bytes=budget - 1).attach(event) as attached:
            assert attached.zipped
            assert files(attached) == {"1_Step 1_db-01(90211).log": b"done\n" * 1000 + b"\n"}
            assert attached.attachments[0].filename == "BillingService_logs.zip"
            assert not attached.shortened

    def test_over_the_zip_a_log_is_cut(self) -> None:
        """Head and tail stay, the line between says what is missing, and so does the result."""
        with some_logs(max_bytes=20_000).attach(a_failure(a_log(base64=noise(100_000)))) as attached:
            ((name, text),) = files(attached).items()
            (shortened,) = attached.shortened
        assert shortened == Shortened(name, 100_000 - (len(text) - len(gap(text)[0])))
        assert gap(text)[1] == shortened.missing_bytes
        assert len(text) > 13_000
        assert not attached.left_out

    def test_small_logs_stay_whole(self) -> None:
        """The large log is cut; those that take little room are not."""
        with some_logs(max_bytes=50_000).attach(
            a_failure(a_log(1, "done\n" * 5000), a_log(2, base64=noise(200_000)), a_log(3, base64=noise(9000)))
        ) as attached:
            found = files(attached)
        assert [log.filename for log in attached.shortened] == ["2_Step 2_db-01(90212).log"]
        assert [len(text) for text in found.values()][::2] == [25_000, 9000]
        assert 24_000 < len(found["2_Step 2_db-01(90212).log"]) < 27_000

    def test_what_has_no_room_is_left_out(self) -> None:
        """Where even head and tail have no room, logs are left out: those of failed steps last."""
        steps = [a_log(n, base64=noise(9000), status="failed" if n == 5 else "succeeded") for n in range(1, 7)]

        with some_logs(max_bytes=3000).attach(a_failure(*steps)) as attached:
            assert set(files(attached)) == {"5_Step 5_db-01(90215).log"}
        assert [log.filename[0] for log in attached.left_out] == list("12346")
        assert {log.reason for log in attached.left_out} == {"too_large"}

    def test_no_room_at_all(self) -> None:
        """A budget of nothing: no attachment, and every log is named; its last lines are told all the same."""
        attached = some_logs(max_bytes=100).attach(a_failure(a_log(base64=noise(9000) + "Cm9uZQp0d28=")))

        assert not attached.attachments
        assert attached.left_out == (LeftOut("1_Step 1_db-01(90211).log", "too_large"),)
        assert attached.tails[0][-2:] == ("one", "two")

    @given(
        sizes=st.lists(
            st.tuples(st.sampled_from(["text", "noise", "lines", "bad"]), st.integers(0, 30_000), st.booleans()),
            max_size=8,
        ),
        budget=st.one_of(st.integers(0, 60_000), st.integers(0, 4000)),
    )
    @settings(max_examples=150, deadline=None)
    def test_any_logs_keep_to_any_budget(self, sizes: list[tuple[str, int, bool]], budget: int) -> None:
        """As sent they never exceed the budget, and every log is whole, or cut and said so, or left out and named."""
        whole = [bytes_of(kind, size) for kind, size, _ in sizes]
        steps = [
            a_log(number, status="failed" if failed else "succeeded", base64=encoded(kind, log))
            for number, (log, (kind, _, failed)) in enumerate(zip(whole, sizes, strict=True))
        ]

        with some_logs(max_bytes=budget).attach(a_failure(*steps)) as attached:
            assert sum(base64_size(len(content(file))) for file in attached.attachments) <= budget
            found = {int(number_in(name)): text for name, text in files(attached).items()}
        shortened = {int(number_in(log.filename)): log.missing_bytes for log in attached.shortened}
        left_out = {int(number_in(log.filename)): log.reason for log in attached.left_out}
        assert len(attached.shortened) + len(attached.left_out) == len(shortened) + len(left_out)
        assert sorted([*found, *left_out]) == list(range(len(steps)))
        for number, text in found.items():
            if number not in shortened:
                assert text == whole[number]
                continue
            line, missing = gap(text)
            assert missing == shortened[number] == len(whole[number]) - len(text) + len(line)
        assert {n for n, reason in left_out.items() if reason == "unreadable"} == {
            n for n, (kind, _, _) in enumerate(sizes) if kind == "bad"
        }


class Changing(Places):
    """A place whose log is another one each time it is read; ``None`` can't be read."""

    def __init__(self, *contents: bytes | None) -> None:
        super().__init__(None, frozenset(), None)
        self._contents = iter(contents)

    def pieces(self, log: Log, deadline: float) -> Iterator[bytes]:  # noqa: ARG002 - it has one log
        """The next content."""
        content = next(self._contents)
        if content is None:
            raise LogError("unreadable")
        yield from (content[start : start + 5000] for start in range(0, len(content), 5000))


class TestChange:
    """A log that changes between the reading that measured it and the one that cut it."""

    @staticmethod
    def attached(*contents: bytes | None) -> tuple[Bundle, dict[str, bytes]]:
        """What becomes of a log with these contents, in 10 kB."""
        bundle = Bundle(Changing(*contents), 10_000, time.monotonic() + 30)
        attachment = bundle.attachment(
            [ChosenLog(0, "1.log", Log(text=""), is_failed=True)], alone=None, zipped="logs.zip"
        )
        if attachment is None:
            return bundle, {}
        with AttachedLogs((attachment,)) as attached:
            assert attachment.size <= 10_000
            return bundle, files(attached)

    def test_one_that_grew_is_as_long_as_it_was(self) -> None:
        """What came since is not in it: the number of missing bytes is of the log as it was measured."""
        bundle, found = self.attached(NOISE[:50_000], NOISE[:60_000])

        line, missing = gap(found["1.log"])
        assert bundle.shortened == [Shortened("1.log", missing)]
        assert missing == 50_000 - len(found["1.log"]) + len(line)
        assert found["1.log"].endswith(NOISE[49_000:50_000])

    @pytest.mark.parametrize("later", [NOISE[:49_999], b"", None])
    def test_one_that_shrank_is_unreadable(self, later: bytes | None) -> None:
        """Of a log that is no more what it was, nothing is attached."""
        bundle, found = self.attached(NOISE[:50_000], later)

        assert not found
        assert bundle.left_out == {0: LeftOut("1.log", "unreadable")}
        assert not bundle.shortened


class TestMemory:
    """What a log of any size costs."""

    @pytest.mark.parametrize("kind", ["packs well", "packs badly"])
    def test_a_log_of_1_gib_costs_little(self, kind: str, tmp_path: Path) -> None:
        """1 GiB by reference takes less than 64 MiB of memory, and little disk, whether it can be packed or not."""
        with (tmp_path / "huge.log").open("wb") as huge:
            for _ in range(0 if kind == "packs well" else 20):
                huge.write(NOISE)
            huge.truncate(1 << 30)
        began = time.monotonic()

        done = subprocess.run([sys.executable, "-c", ATTACH, str(tmp_path)], capture_output=True, text=True, check=True)

        peak, size, missing = map(int, done.stdout.split())
        assert peak < 64 << 20
        assert base64_size(size) <= 18 << 20
        assert (missing > 0) == (kind == "packs badly")
        assert time.monotonic() - began < 40

    def test_the_disk_holds_little_more_than_the_mail(self) -> None:
        """However many logs have to be measured, the temporary file is at most twice the budget."""
        done = subprocess.run([sys.executable, "-c", SMALL_DISK], capture_output=True, text=True, check=True)

        assert done.stdout == "0 20\n"

    def test_a_full_disk_costs_the_logs_alone(self) -> None:
        """Where no temporary file can be written, the mail goes without logs and names them."""
        done = subprocess.run([sys.executable, "-c", FULL_DISK], capture_output=True, text=True, check=True)

        assert done.stdout == "() unreadable\n() unreadable unreadable\n"
        assert not done.stderr


ATTACH = """
import sys
from pathlib import Path
from worker.events import Log, Recipients, Person, Request, RequestData, RequestEvent, Step
from worker.mail.logs import Logs
from worker.mail.mime import encode
from worker.mail.email import Email, Words
from datetime import datetime, UTC

def peak():
    # Not getrusage: its peak begins with that of the process that started this one.
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024

folder = Path(sys.argv[1])
dana = Person(email="dana@corp.example")
log = Log(url=f"file:{folder}/huge.log")
step = Step(number=1, name="Migrate", status="failed", endpoint="db", execution_id=1, log=log)
request = Request(id="1", title="Deploy", instance="Billing")
data = RequestData(request=request, steps=(step,), recipients=Recipients(to=(dana,)))
event = RequestEvent(specversion="1.0", id="1", source="/", type="request.failed", data=data)
logs = Logs(policy="always", max_bytes=18 << 20, logs_dir=folder)
before = peak()
with logs.attach(event) as attached:
    (file,) = attached.attachments
    email = Email("<1@x>", datetime.now(UTC), dana, (dana,), Words("s", "t", "h"), attachments=attached.attachments)
    assert sum(map(len, encode(email))) == encode(email).size
    print(peak() - before, file.size, sum(log.missing_bytes for log in attached.shortened))
"""

FULL_DISK = """
from base64 import b64encode
from random import Random
from resource import RLIMIT_FSIZE, setrlimit
from worker.events import Log, Recipients, Person, Request, RequestData, RequestEvent, Step
from worker.mail.logs import Logs

setrlimit(RLIMIT_FSIZE, (400_000, 400_000))
dana = Person(email="dana@corp.example")
log = Log(base64=b64encode(Random(1).randbytes(400_216)).decode())
step = Step(number=1, name="Migrate", status="failed", endpoint="db", execution_id=1, log=log)
request = Request(id="1", title="Deploy", instance="Billing")
for steps in ((step,), (step, step)):
    data = RequestData(request=request, steps=steps, recipients=Recipients(to=(dana,)))
    event = RequestEvent(specversion="1.0", id="1", source="/", type="request.failed", data=data)
    attached = Logs(policy="always", max_bytes=18 << 20).attach(event)
    print(attached.attachments, *(log.reason for log in attached.left_out))
"""

SMALL_DISK = """
from base64 import b64encode
from random import Random
from resource import RLIMIT_FSIZE, setrlimit
from worker.events import Log, Recipients, Person, Request, RequestData, RequestEvent, Step
from worker.mail.logs import Logs
from worker.mail.mime import base64_size

setrlimit(RLIMIT_FSIZE, (810_000, 810_000))
dana = Person(email="dana@corp.example")
log = Log(base64=b64encode(Random(1).randbytes(390_000)).decode())
step = Step(number=1, name="Migrate", status="failed", endpoint="db", execution_id=1, log=log)
request = Request(id="1", title="Deploy", instance="Billing")
data = RequestData(request=request, steps=(step,) * 20, recipients=Recipients(to=(dana,)))
event = RequestEvent(specversion="1.0", id="1", source="/", type="request.failed", data=data)
with Logs(policy="always", max_bytes=base64_size(400_000)).attach(event) as attached:
    print(len(attached.left_out), len(attached.shortened))
"""
