"""Connections to a port of ours, passed on to a server that can be made to seem away, slow or gone."""

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from servers.ports import LOOPBACK

CHUNK = 65536
JOIN_SECONDS = 5.0


class TcpProxy:
    """Passes bytes between the clients of ``port`` and ``target``, until told to make trouble.

    ``refuse()``: new connections are closed at once. ``cut()``: those open are ended. ``stall()``: they stay open
    and nothing comes through, either way. ``delay(seconds)``: every chunk comes that much later.
    ``restore()``: new connections and bytes pass again; what was cut stays cut.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.accepted = 0
        self._target = target
        self._refusing = threading.Event()
        self._flowing = threading.Event()
        self._flowing.set()
        self._closing = False
        self._delay = 0.0
        self._lock = threading.Lock()
        self._lines: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        # A plain close would leave accept() waiting.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(JOIN_SECONDS)
        self.restore()
        self.cut()
        for thread in list(self._threads):
            thread.join(JOIN_SECONDS)

    def refuse(self) -> None:
        """Close every new connection before a byte is passed."""
        self._refusing.set()

    def cut(self) -> None:
        """End every open connection, both ways."""
        with self._lock:
            for line in self._lines:
                with suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)

    def stall(self) -> None:
        """Hold back whatever comes from now on."""
        self._flowing.clear()

    def delay(self, seconds: float) -> None:
        """Pass each chunk that much later."""
        self._delay = seconds

    def restore(self) -> None:
        """Be a plain proxy again; what a stall held back comes through."""
        self._refusing.clear()
        self._delay = 0.0
        self._flowing.set()

    def _accept(self) -> None:
        while not self._closing:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._threads.append(threading.Thread(target=self._serve, args=(client,), daemon=True))
            self._threads[-1].start()

    def _serve(self, client: socket.socket) -> None:
        # A refused client, and one whose server is away, find their connection closed.
        with client, suppress(OSError):
            if self._refusing.is_set():
                return
            with socket.create_connection(self._target) as server:
                self._join(client, server)

    def _join(self, client: socket.socket, server: socket.socket) -> None:
        ends = {client, server}
        with self._lock:
            self._lines |= ends
        back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
        back.start()
        self._pump(client, server)
        back.join()
        with self._lock:
            self._lines -= ends

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(CHUNK):
                time.sleep(self._delay)
                self._flowing.wait()
                sink.sendall(chunk)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
