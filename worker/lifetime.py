"""Loops to the end of a process: run until a signal, stop in order, and in time."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

ABORT_SECONDS, DRAIN_SECONDS = 25.0, 30.0
_AT_ONCE = 1


@dataclass(frozen=True, slots=True)
class Loop:
    """Something that runs until it is stopped. ``abort`` cuts what it waits for, and may be called at any time."""

    run: Callable[[], None]
    stop: Callable[[], None]
    abort: Callable[[], None]


def run_until_told(loops: Sequence[Loop]) -> None:
    """Run each loop in a thread until SIGTERM, SIGINT, or until one fails, and then stop all.

    What a mail server is still asked for after ``ABORT_SECONDS`` is cut. A second signal, or ``DRAIN_SECONDS`` after
    the first, ends the process as it stands: what it had in hand goes back to the broker with the connection.

    Raises:
        BaseException: what the first loop that failed raised.
    """
    told = threading.Event()
    failures: list[BaseException] = []
    _listen(told)
    threads = [threading.Thread(target=_run, args=(loop, told, failures), daemon=True) for loop in loops]
    for thread in threads:
        thread.start()
    told.wait()
    for loop in loops:
        loop.stop()
    with _in_time(loops):
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


def _listen(told: threading.Event) -> None:
    def tell(*_: object) -> None:
        if told.is_set():
            os._exit(_AT_ONCE)
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, tell)


def _run(loop: Loop, told: threading.Event, failures: list[BaseException]) -> None:
    try:
        loop.run()
    except BaseException as error:  # noqa: BLE001 - carried to the main thread and raised there
        failures.append(error)
    finally:
        told.set()


@contextmanager
def _in_time(loops: Sequence[Loop]) -> Iterator[None]:
    timers = [threading.Timer(ABORT_SECONDS, loop.abort) for loop in loops]
    timers.append(threading.Timer(DRAIN_SECONDS, os._exit, (_AT_ONCE,)))
    for timer in timers:
        timer.daemon = True
        timer.start()
    yield
    for timer in timers:
        timer.cancel()
