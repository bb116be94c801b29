"""Mails delivered to what an IMAP client finds of them, and leaves, in its folders: the demo's mailbox (pymap).

One account on loopback with an empty INBOX, in memory, gone when it stops.
"""

import asyncio
import secrets
import socket
import ssl
import threading
from argparse import Namespace
from asyncio import StreamReader, StreamWriter
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack, closing, suppress
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, Final, Self, TypeVar

from proxyprotocol.sock import SocketInfoLocal
from pymap.backend.dict import Config, Login, Session
from pymap.backend.dict.filter import FilterSet
from pymap.backend.dict.mailbox import MailboxData, MailboxSet
from pymap.concurrent import Event, Subsystem
from pymap.context import connection_exit
from pymap.imap import IMAPConnection
from pymap.imap.state import ConnectionState
from pymap.parsing.message import AppendMessage
from pymap.parsing.response import Response
from pymap.parsing.specials import FetchRequirement
from pymap.selected import SelectedMailbox
from pymap.user import UserMetadata
from pysasl.hashing import Cleartext

from worker.errors import OutageError

LOOPBACK: Final = "127.0.0.1"
INBOX: Final = "INBOX"
_PATIENCE: Final = 5.0

_Answer = TypeVar("_Answer")


class ImapServer:
    """Serves IMAP while its ``with`` block runs; ``user`` and ``password`` log in at ``port``."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.password = secrets.token_urlsafe(16)
        self._talks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        listener = socket.create_server((LOOPBACK, 0))
        self.port: int = listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._stop, self._ready = asyncio.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listener,), name="demo-mailbox", daemon=True)
        self._thread.start()
        if not self._ready.wait(_PATIENCE):
            raise OutageError("the mailbox for trying out did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def deliver(self, raw: bytes) -> None:
        """Put a mail into INBOX, received now; who waits with IDLE hears of it."""
        self._ask(self._session.append_messages(INBOX, [AppendMessage(raw, datetime.now(UTC))]))

    def folders(self) -> Mapping[str, tuple[bytes, ...]]:
        """The mails in each folder, oldest first."""
        return self._ask(self._list())

    def _ask(self, work: Coroutine[Any, Any, _Answer]) -> _Answer:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)

    async def _list(self) -> Mapping[str, tuple[bytes, ...]]:
        tree = await self._session.mailbox_set.list_mailboxes()
        return {entry.name: await self._read(entry.name) for entry in tree.list()}

    async def _read(self, folder: str) -> tuple[bytes, ...]:
        found = await self._session.mailbox_set.get_mailbox(folder)
        mails = [await mail.load_content(FetchRequirement.CONTENT) async for mail in found.messages()]
        return tuple(bytes(mail.get_body(None)) for mail in mails)

    def _run(self, listener: socket.socket) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(listener))

    async def _serve(self, listener: socket.socket) -> None:
        self._login = self._open()
        server = await asyncio.start_server(self._connected, sock=listener)
        self._ready.set()
        await self._stop.wait()
        server.close()
        talks = tuple(self._talks)
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)

    def _open(self) -> Login:
        config = _Config(
            Namespace(passlib_cfg=None, proxy_protocol=None),
            host=LOOPBACK,
            port=self.port,
            demo_data=False,
            demo_user=self.user,
            demo_password=self.password,
            tls_enabled=False,
            ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),  # used by nobody; its default reads the environment
            hash_context=Cleartext(),
            cpu_subsystem=Subsystem.for_asyncio(),
        )
        folders = _Folders(), FilterSet()
        config.set_cache[self.user] = folders
        self._session = Session(self.user, config, *folders)
        login = Login(config)
        login.users_dict[self.user] = UserMetadata(config, self.user, password=self.password)
        return login

    def _connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = self._loop.create_task(self._talk(reader, writer))
        self._talks.add(task)
        task.add_done_callback(self._talks.discard)

    async def _talk(self, reader: StreamReader, writer: StreamWriter) -> None:
        peer = SocketInfoLocal(writer, unique_id=secrets.token_bytes(8))
        config = self._login.config
        async with AsyncExitStack() as stack:
            connection_exit.set(stack)
            connection = stack.enter_context(closing(_Connection(config.commands, config, reader, writer, peer)))
            await connection.run(ConnectionState(self._login, config))


class _Connection(IMAPConnection):
    """Sends a response in one piece: imapclient takes half a line for a lost connection while it idles."""

    async def write_response(self, resp: Response) -> None:
        whole = BytesIO()
        await resp.async_write(whole)
        with suppress(ConnectionError):
            self.writer.write(whole.getvalue())
            await self.writer.drain()


class _Config(Config):
    """pymap's settings, with a greeting that looks up no host name."""

    @property
    def greeting(self) -> bytes:
        return b"Mailbox for trying out ready."


class _Inbox(MailboxData):
    """A folder that tells a client on IDLE of what came before it began to wait; pymap's forgets that."""

    async def update_selected(self, selected: SelectedMailbox, *, wait_on: Event | None = None) -> SelectedMailbox:
        missed = selected.mod_sequence != self._mod_sequences.highest
        return await super().update_selected(selected, wait_on=None if missed else wait_on)


class _Folders(MailboxSet):
    """An empty INBOX, and what clients create beside it."""

    def __init__(self) -> None:
        super().__init__()
        self._inbox = _Inbox(self._content_cache, self._thread_cache)
