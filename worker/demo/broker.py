"""An AMQP 0-9-1 broker in a thread of this process, FOR TRYING OUT ONLY: ``with Broker() as broker: broker.url``.

It serves the product, kombu and pika as RabbitMQ 4.3 does, as far as ``make demo`` goes: on loopback, for anyone on
the machine, and with everything in memory, gone when it stops.
"""

import asyncio
import contextlib
import ipaddress
import socket
from threading import Thread
from types import TracebackType
from typing import Final, Self

import structlog

from worker.demo.connection import NOTICE, ClientConnection
from worker.demo.vhost import VirtualHost
from worker.errors import SettingsError

_GOODBYE_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)


class Broker:
    """Listens while its ``with`` block runs. Port 0 takes a free one; ``url`` says which.

    Raises:
        SettingsError: the host is not this machine alone, or the port is taken.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        if not _is_loopback(host):
            raise SettingsError(f"the broker for trying out listens on loopback only, not on {host}")
        self._host = host
        self._port = port
        self._connections: set[ClientConnection] = set()

    @property
    def url(self) -> str:
        """Where clients connect, with user and password."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"amqp://guest:guest@{host}:{self._port}/"

    def __enter__(self) -> Self:
        listener = self._listen()
        self._port = listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._stop, self._lost = asyncio.Event(), asyncio.Event()
        self._thread = Thread(target=self._run, args=(listener,), name="demo-broker", daemon=True)
        self._thread.start()
        _log.warning("demo broker started", url=f"amqp://{self._host}:{self._port}/", notice=NOTICE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        _log.info("demo broker stopped")

    def opened(self, connection: ClientConnection) -> None:
        """A client came."""
        self._connections.add(connection)

    def lost(self, connection: ClientConnection) -> None:
        """A client went."""
        self._connections.discard(connection)
        self._lost.set()

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            return socket.create_server((self._host, self._port), family=family)
        except OSError as error:
            raise SettingsError(f"the broker for trying out cannot listen on {self.url}: {error.strerror}") from error

    def _run(self, listener: socket.socket) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(listener))

    async def _serve(self, listener: socket.socket) -> None:
        vhost = VirtualHost(self._loop)
        server = await self._loop.create_server(lambda: ClientConnection(vhost, self), sock=listener)
        await self._stop.wait()
        server.close()
        await self._say_goodbye()

    async def _say_goodbye(self) -> None:
        for connection in tuple(self._connections):
            connection.shut()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_gone(), _GOODBYE_SECONDS)
        for connection in tuple(self._connections):
            connection.abort()
        await asyncio.sleep(0)  # lets the aborted ones close their sockets

    async def _all_gone(self) -> None:
        while self._connections:
            self._lost.clear()
            await self._lost.wait()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
