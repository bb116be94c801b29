"""One contender, one mail server, one full queue to a ``Result``: how fast, at what cost, and whether all arrived."""

import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench.broker import fill, own_vhost, waiting
from bench.contenders import Contender
from bench.mailbox import ROOT, Counted, Mailbox, mailbox
from worker.topology import DEAD_QUEUE

LOOK_SECONDS = 0.05
# psutil walks all of /proc to find children: looking often would be part of what is measured.
FAMILY_SECONDS = 2.0
START_SECONDS = 30.0
# With no new mail for this long before the end, something is wrong; longer than a retry queue's first second.
QUIET_SECONDS = 10.0
STOP_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured: who, through which server, with which delay (milliseconds of round trip) and log (bytes)."""

    contender: Contender
    kind: str
    delay: float
    log_bytes: int
    events: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a case; times in seconds, memory in MiB, CPU in microseconds a mail."""

    case: Case
    mails: int
    until_first: float
    from_first: float
    cpu: float
    peak: float
    mail_bytes: int
    cut: bool
    faults: tuple[str, ...]

    @property
    def rate(self) -> float:
        """Mails a second, from the first one taken to the last."""
        return (self.mails - 1) / self.from_first if self.from_first else 0.0

    @property
    def rate_from_start(self) -> float:
        """Mails a second, from the start of the worker's process to the last one taken."""
        return self.mails / (self.until_first + self.from_first) if self.mails else 0.0


@dataclass(slots=True)
class Usage:
    """CPU and memory of a process and its children, looked at while they live."""

    process: psutil.Process
    peak: float = 0.0
    cpu: float = 0.0
    family: list[psutil.Process] = field(default_factory=list)
    known_at: float = 0.0

    def look(self) -> float:
        """User and system seconds so far; the sum of all peaks is kept beside it."""
        with suppress(psutil.NoSuchProcess):
            everyone = self._everyone()
            self.cpu = sum(times.user + times.system for times in (one.cpu_times() for one in everyone))
            self.peak = max(self.peak, sum(_high_water(one.pid) for one in everyone))
        return self.cpu

    def _everyone(self) -> list[psutil.Process]:
        if time.monotonic() - self.known_at > FAMILY_SECONDS:
            self.known_at = time.monotonic()
            self.family = [self.process, *self.process.children(recursive=True)]
        return self.family


def _high_water(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def run(case: Case, broker: str) -> Result:
    """Fill a queue, start mail server and worker, watch, stop both, and count what is where."""
    contender = case.contender
    with own_vhost(broker) as url, mailbox(case.kind, case.delay) as (server, port):
        contender.declare(url)
        fill(url, contender.queue, contender.events(case.events, case.log_bytes))
        with tempfile.TemporaryDirectory() as state:
            environment = contender.surroundings(url, port, Path(state))
            began = time.monotonic()
            with started(contender.command, environment, Path(state) / "output") as process:
                watch = _watch(case, server, Usage(psutil.Process(process.pid)))
            output = (Path(state) / "output").read_text(errors="replace")
        return _judge(case, server.everything(), watch, began, _left(url, contender.queue), output)


@dataclass(frozen=True, slots=True)
class _Watch:
    cpu: float
    peak: float
    cut: bool


def _watch(case: Case, server: Mailbox, usage: Usage) -> _Watch:
    """Look every few milliseconds until all is taken, time is up, or nothing moves any more."""
    began, before = _first_mail(server, usage)
    until = time.monotonic() + case.seconds
    seen = server.count()
    while seen.count < case.events and time.monotonic() < until and not _stuck(seen) and usage.process.is_running():
        time.sleep(LOOK_SECONDS)
        usage.look()
        seen = server.count()
    used = usage.look() - before
    return _Watch(1e6 * used / max(1, seen.count - began.count), usage.peak, seen.count < case.events)


def _first_mail(server: Mailbox, usage: Usage) -> tuple[Counted, float]:
    until = time.monotonic() + START_SECONDS
    while True:
        cpu, seen = usage.look(), server.count()
        if seen.count or time.monotonic() > until or usage.process.status() == psutil.STATUS_ZOMBIE:
            return seen, cpu
        time.sleep(LOOK_SECONDS)


def _stuck(seen: Counted) -> bool:
    return time.monotonic() - seen.last > QUIET_SECONDS


@contextmanager
def started(command: Sequence[str], environment: Mapping[str, str], output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that runs; told to stop, and waited for, behind it. What it says goes into ``output``."""
    with output.open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
    children: list[psutil.Process] = []
    try:
        yield process
        # The last acks are under way: what was taken must not come back for want of a moment.
        time.sleep(0.5)
    finally:
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        _end(process, children)


def _end(process: subprocess.Popen[bytes], children: list[psutil.Process]) -> None:
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()


@dataclass(frozen=True, slots=True)
class _Left:
    queue: int
    dead: int


def _left(url: str, queue: str) -> _Left:
    # The worker's connection is closed by now: what it had not acked counts as ready again.
    time.sleep(0.3)
    return _Left(waiting(url, queue), waiting(url, DEAD_QUEUE))


def _judge(case: Case, counted: Counted, watch: _Watch, began: float, left: _Left, output: str) -> Result:
    faults = tuple(_faults(case, counted, left))
    if faults and output.strip():
        faults = (*faults, output.strip().splitlines()[-1][:200])
    return Result(
        case,
        counted.count,
        counted.first - began if counted.count else 0.0,
        counted.last - counted.first,
        watch.cpu,
        watch.peak,
        counted.size // max(1, counted.count),
        watch.cut,
        faults,
    )


def _faults(case: Case, counted: Counted, left: _Left) -> Iterator[str]:
    if counted.unique is not None and counted.unique != counted.count:
        yield f"{counted.count - counted.unique} mails twice"
    if left.dead:
        yield f"{left.dead} dead letters"
    if counted.count + left.queue != case.events:
        yield f"{counted.count} mails taken and {left.queue} events left of {case.events}"
    if not counted.count:
        yield "no mail at all"
