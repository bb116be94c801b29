"""What was taken is told before another mail is begun, so that a crash doubles no more than may be in flight."""

import threading
from collections.abc import Sequence

import pytest
from mail.envelopes import a_relay, some
from mail.scripted import ALL, BARE, NO_CHUNKING, Play, Scripted

from worker.mail.relay import Receipt


class Watch:
    """Notes how many mails are begun and not told of, at most."""

    def __init__(self) -> None:
        self.begun = 0
        self.told: list[int] = []
        self.most = 0
        self._lock = threading.Lock()

    def may_start(self) -> bool:
        """A mail is begun."""
        with self._lock:
            self.begun += 1
            self.most = max(self.most, self.begun - len(self.told))
        return True

    def settled(self, receipts: Sequence[tuple[int, Receipt]]) -> None:
        """These have receipts."""
        with self._lock:
            self.told += [index for index, _ in receipts]


@pytest.mark.parametrize("offers", [ALL, NO_CHUNKING, BARE], ids=["chunking", "pipelining", "bare"])
@pytest.mark.parametrize(("connections", "depth"), [(1, 1), (1, 8), (2, 8), (2, 3)])
def test_no_more_is_unsettled_than_may_be_in_flight(offers: tuple[str, ...], connections: int, depth: int) -> None:
    """Each mail is told of once, and those begun and not told of are never more than sessions times depth."""
    watch = Watch()
    with Scripted(offers=offers) as server, a_relay(server.port, connections=connections, depth=depth) as relay:
        sent = relay.send_many(some(100), watch.may_start, watch.settled)
    assert sent.outage is None
    assert sorted(watch.told) == list(range(100))
    assert watch.most <= connections * depth


def test_a_slow_server_is_not_waited_for() -> None:
    """What was taken is told while the next mail is still on its way, not when the batch ends."""
    told_early = threading.Event()

    def slow(verb: str, line: str) -> Play:
        if verb == "RCPT" and "m5@" in line:
            assert told_early.wait(5)
        return Play()

    def settled(_: Sequence[tuple[int, Receipt]]) -> None:
        told_early.set()

    envelopes = some(10)
    with Scripted(slow, NO_CHUNKING) as server, a_relay(server.port) as relay:
        assert relay.send_many(envelopes, settled=settled).outage is None
    assert told_early.is_set()
