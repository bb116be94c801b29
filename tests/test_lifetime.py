"""Loops run until one of them fails, and then all stop."""

import threading

import pytest

from worker.lifetime import Loop, run_until_told


class Recorder:
    """A loop that notes what is done to it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.stopped = threading.Event()

    def run(self) -> None:
        """Fail, or wait to be stopped."""
        if self.error is not None:
            raise self.error
        assert self.stopped.wait(10)

    def loop(self) -> Loop:
        """As a process runs it."""
        return Loop(self.run, self.stopped.set, lambda: None)


def test_a_loop_that_fails_ends_all() -> None:
    """Its error is raised, and the others were stopped in order."""
    good, bad = Recorder(), Recorder(ValueError("boom"))
    with pytest.raises(ValueError, match="boom"):
        run_until_told([good.loop(), bad.loop()])
    assert good.stopped.is_set()
