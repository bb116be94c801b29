"""A step's log to its bytes, piece by piece, from wherever it lies: the event, ``LOGS_DIR`` or one of ``LOG_HOSTS``.

What is allowed is decided here: files below one folder, reached without a link; hosts on the list, over TLS, as they
answer, without a redirect. Nothing is ever read whole.
"""

import errno
import os
import ssl
import time
from binascii import a2b_base64
from collections.abc import Iterator
from contextlib import closing
from functools import cached_property
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from io import FileIO
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from typing import Literal
from urllib.parse import SplitResult, quote, unquote, urlsplit

from worker.errors import PermanentError
from worker.events import Log

Reason = Literal["not_allowed", "unreadable", "too_large"]

PIECE = 64 * 1024
_SECONDS_OF_SILENCE = 10.0
_LETTERS = PIECE // 4
_HTTPS_PORT = 443
_OK = 200
_URL_MARKS = "/%:@!$&'()*+,;=~"

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without blocking: nobody may ever write to a FIFO, and opening it would wait for that.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LINK_OR_DEVICE = {errno.ELOOP, errno.ENOTDIR, errno.ENXIO}


class LogError(PermanentError):
    """A log may not or can't be read; ``reason`` says which."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"a log is left out: {reason}")
        self.reason: Reason = reason


class Places:
    """The places that logs may lie in.

    ``log_hosts`` are ``host`` (then on port 443) or ``host:port``, in lower case. ``ca_file`` holds the authorities
    that vouch for them, where the system's do not.
    """

    def __init__(self, logs_dir: Path | None, log_hosts: frozenset[str], ca_file: Path | None) -> None:
        self._folder = None if logs_dir is None else logs_dir.absolute()
        self._hosts = log_hosts
        self._ca_file = ca_file

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._ca_file)

    def pieces(self, log: Log, deadline: float) -> Iterator[bytes]:
        """The bytes of a log, some 64 kB at a time, until that ``time.monotonic()``.

        A file that grows is read as far as it went when it was opened.

        Raises:
            LogError: it may not be read, can't be, broke off, or took too long.
        """
        try:
            for piece in self._opened(log, deadline):
                if time.monotonic() > deadline:
                    raise LogError("unreadable")
                yield piece
        except (OSError, HTTPException, ValueError) as error:
            raise LogError("unreadable") from error

    def _opened(self, log: Log, deadline: float) -> Iterator[bytes]:
        if log.text is not None:
            return _encoded(log.text)
        if log.base64 is not None:
            return _decoded(log.base64)
        return self._referenced(log.url or "", deadline)

    def _referenced(self, url: str, deadline: float) -> Iterator[bytes]:
        try:
            parts = urlsplit(url)
        except ValueError:
            raise LogError("not_allowed") from None
        if parts.scheme == "file":
            return self._file(parts)
        return self._download(parts, deadline)

    def _file(self, parts: SplitResult) -> Iterator[bytes]:
        folder, names = self._allowed_path(parts)
        with _regular_file(folder, names) as file:
            left = os.fstat(file.fileno()).st_size
            while left and (piece := file.read(min(PIECE, left))):
                left -= len(piece)
                yield piece

    def _allowed_path(self, parts: SplitResult) -> tuple[Path, tuple[str, ...]]:
        path = PurePosixPath(unquote(parts.path, errors="surrogateescape"))
        local = parts.netloc in {"", "localhost"} and not parts.query and not parts.fragment
        if self._folder is None or not local or not path.is_relative_to(self._folder):
            raise LogError("not_allowed")
        names = path.relative_to(self._folder).parts
        if not names or ".." in names or "\0" in str(path):
            raise LogError("not_allowed")
        return self._folder, names

    def _download(self, parts: SplitResult, deadline: float) -> Iterator[bytes]:
        host, port = self._allowed_host(parts)
        target = quote(parts.path or "/", safe=_URL_MARKS) + _query(parts)
        silence = min(_SECONDS_OF_SILENCE, max(deadline - time.monotonic(), 0.001))
        with closing(HTTPSConnection(host, port, timeout=silence, context=self._trust)) as connection:
            connection.request("GET", target, headers={"Accept-Encoding": "identity", "User-Agent": "countersign"})
            with connection.getresponse() as response:
                yield from _gathered(_received(response, deadline))

    def _allowed_host(self, parts: SplitResult) -> tuple[str, int]:
        try:
            host, port = (parts.hostname or "").lower(), parts.port or _HTTPS_PORT
        except ValueError:
            raise LogError("not_allowed") from None
        shown = f"[{host}]" if ":" in host else host
        names = {f"{shown}:{port}"} | ({shown, host} if port == _HTTPS_PORT else set())
        if parts.scheme != "https" or "@" in parts.netloc or names.isdisjoint(self._hosts):
            raise LogError("not_allowed")
        return host, port


def _encoded(text: str) -> Iterator[bytes]:
    for start in range(0, len(text), _LETTERS):
        yield text[start : start + _LETTERS].encode("utf-8", "replace")


def _decoded(encoded: str) -> Iterator[bytes]:
    if "\n" in encoded:
        # As the MIME flavour of base64 has it; a copy, of a log that is in memory anyway.
        encoded = encoded.replace("\r", "").replace("\n", "")
    if len(encoded) % 4:
        raise ValueError("base64 comes in fours")
    for start in range(0, len(encoded), PIECE):
        piece = encoded[start : start + PIECE]
        if "=" in piece and start + PIECE < len(encoded):
            raise ValueError("base64 goes on behind its padding")
        yield a2b_base64(piece, strict_mode=True)


def _regular_file(folder: Path, names: tuple[str, ...]) -> FileIO:
    # From one open folder to the next: no link can be put into the way between a check and its use.
    parent = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in names[:-1]:
        parent = _opened_in(parent, name, _FOLDER)
    descriptor = _opened_in(parent, names[-1], _FILE)
    if not S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise LogError("not_allowed")
    return FileIO(descriptor)


def _opened_in(parent: int, name: str, flags: int) -> int:
    try:
        return os.open(name, flags, dir_fd=parent)
    except OSError as error:
        if error.errno in _LINK_OR_DEVICE:
            raise LogError("not_allowed") from None
        raise
    finally:
        os.close(parent)


def _query(parts: SplitResult) -> str:
    return f"?{quote(parts.query, safe=_URL_MARKS + '?')}" if parts.query else ""


def _gathered(body: Iterator[bytes]) -> Iterator[bytes]:
    piece = bytearray()
    for received in body:
        piece += received
        if len(piece) >= PIECE:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def _received(response: HTTPResponse, deadline: float) -> Iterator[bytes]:
    left = response.length
    if response.status != _OK or response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise LogError("unreadable")
    if left is None and not response.chunked:
        # Its end could not be told from a connection that was cut.
        raise LogError("unreadable")
    # What arrives is taken as it arrives: whoever sends a byte a second must not hold a piece back for a day.
    while left != 0 and (received := response.read1(PIECE)):
        if time.monotonic() > deadline:
            raise LogError("unreadable")
        left = None if left is None else left - len(received)
        yield received
    if left:
        raise LogError("unreadable")
