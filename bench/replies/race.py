"""One contender, one full folder to a ``Result``: how fast, at what cost, and whether each decision is right."""

import json
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pika
import psutil
from servers.dovecot import Dovecot

from bench.broker import own_vhost, waiting
from bench.race import Usage, started
from bench.replies.clients import answer, reply
from bench.replies.contenders import Contender, Place
from bench.replies.folder import Folder, fill
from bench.replies.questions import Question, ask
from worker.journal import Journal
from worker.reply_events import decision_id
from worker.reply_poller.ledger import Ledger
from worker.topology import UNDECIDED_QUEUE

LOOK_SECONDS = 0.02
START_SECONDS = 30.0
JOURNAL = "journal.sqlite"


@dataclass(frozen=True, slots=True)
class Stock:
    """The replies that every contender gets, and the journal that knows their tokens."""

    questions: tuple[Question, ...]
    mails: tuple[bytes, ...]
    folder: Path

    @property
    def expected(self) -> Mapping[str, str]:
        """The right decision by message id: the peers', a token, and ours, a UUID that follows from it."""
        right = [(one.token, "approved" if answer(at)[1] else "rejected") for at, one in enumerate(self.questions)]
        return dict(right) | {str(decision_id(token)): decision for token, decision in right}


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run. Seconds count from the login at the mail server until the folder is empty.

    ``cpu`` is in microseconds a reply, ``peak`` in MiB, both of the process and its children.
    """

    name: str
    replies: int
    seconds: float
    cpu: float
    peak: float
    cut: bool
    faults: tuple[str, ...]

    @property
    def rate(self) -> float:
        """Replies a second."""
        return self.replies / self.seconds if self.seconds else 0.0


def stock(count: int, folder: Path) -> Stock:
    """Ask so many approvers, and write down what they answer."""
    questions = tuple(ask(count, folder / JOURNAL))
    return Stock(questions, tuple(reply(number, question) for number, question in enumerate(questions)), folder)


def run(contender: Contender, replies: Stock, server: Dovecot, broker: str, seconds: float) -> Result:
    """Fill a folder, start the poller, watch until the folder is empty, stop it, and look at every decision."""
    folder = fill(server, replies.mails)
    with own_vhost(broker) as url, tempfile.TemporaryDirectory() as state:
        place = Place(folder.port, folder.user.name, folder.user.password, url, Path(state))
        contender.declare(url)
        _prepare_journal(replies, place)
        output = Path(state) / "output"
        with started(contender.command(place), contender.surroundings(place), output) as process:
            watch = _watch(folder, process, len(replies.mails), seconds)
        decisions = _take(url, contender.queue) if contender.queue else []
        faults = [*_faults(contender, replies, decisions, watch), *_elsewhere(folder, url)]
        if faults and (said := output.read_text(errors="replace").strip()):
            faults.append(said.splitlines()[-1][:200])
    # Who deletes everything at the end has got so far all the same.
    done = max(watch.done, len(decisions)) if watch.cut else watch.done
    cpu = 1e6 * watch.cpu / max(1, done)
    return Result(contender.name, done, watch.seconds, cpu, watch.peak, watch.cut, tuple(faults))


def _prepare_journal(replies: Stock, place: Place) -> None:
    """What was asked, and that the folder was looked through at the first start, when nothing was in it."""
    for path in replies.folder.glob(f"{JOURNAL}*"):
        shutil.copy(path, place.state)
    journal = Journal(f"sqlite:///{place.state}/{JOURNAL}", retention=90 * 86400.0)
    journal.open()
    Ledger(journal).adopt(place.account.name)
    journal.close()


@dataclass(frozen=True, slots=True)
class _Watch:
    done: int
    seconds: float
    cpu: float
    peak: float
    cut: bool


def _watch(folder: Folder, process: subprocess.Popen[bytes], count: int, seconds: float) -> _Watch:
    usage = Usage(psutil.Process(process.pid))
    until = time.monotonic() + START_SECONDS
    while not folder.is_entered() and time.monotonic() < until and process.poll() is None:
        time.sleep(LOOK_SECONDS)
    before, began = usage.look(), time.monotonic()
    until = began + seconds
    while folder.left() and time.monotonic() < until and process.poll() is None:
        time.sleep(LOOK_SECONDS)
        usage.look()
    took, left = time.monotonic() - began, folder.left()
    return _Watch(count - left, took, usage.look() - before, usage.peak, left > 0)


def _take(url: str, queue: str) -> list[tuple[str, dict[str, Any]]]:
    """Message id and content of all that is in the queue."""
    found = []
    connection = pika.BlockingConnection(pika.URLParameters(url))
    with connection.channel() as channel:
        for method, properties, body in channel.consume(queue, auto_ack=True, inactivity_timeout=1.0):
            if method is None:
                break
            content = json.loads(body)
            found.append((str(properties.message_id), content.get("data", content)))
    with suppress(pika.exceptions.AMQPError):
        connection.close()
    return found


def _faults(
    contender: Contender, replies: Stock, decisions: list[tuple[str, dict[str, Any]]], watch: _Watch
) -> Iterator[str]:
    if not watch.done and not decisions:
        yield "no mail at all"
    if contender.queue is None:
        return
    times = Counter(name for name, _ in decisions)
    expected = replies.expected
    wrong = sum(expected.get(name) != said["decision"] for name, said in decisions)
    # What was published but not removed when the run was cut is no fault.
    if len(times) != watch.done and not (watch.cut and len(times) > watch.done):
        yield f"{watch.done} mails removed, {len(times)} decisions"
    if len(times) != len(decisions):
        yield f"{len(decisions) - len(times)} decisions twice"
    if wrong:
        yield f"{wrong} decisions wrong"


def _elsewhere(folder: Folder, url: str) -> Iterator[str]:
    if quarantined := folder.quarantined():
        yield f"{quarantined} mails in quarantine"
    if undecided := waiting(url, UNDECIDED_QUEUE):
        yield f"{undecided} undecided"
