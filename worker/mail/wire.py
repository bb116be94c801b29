"""Octets to a socket and from it, both at once, with patience that ends; it knows nothing of SMTP."""

import contextlib
import select
import socket
import ssl

_READ_SIZE = 65536
_TLS_RECORD = 16384
_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class Wire:
    """A connected socket, from now on not blocking.

    Every ``OSError`` (a time-out is one) means that the connection is of no more use. ``handed`` counts the octets
    that may have left: under TLS those of a record that is still being written too.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._tls = isinstance(sock, ssl.SSLSocket)
        self._written = 0
        self._attempted = 0
        self._poll = select.poll()
        self._mask = select.POLLIN
        self._poll.register(sock, self._mask)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._acknowledge()

    @property
    def handed(self) -> int:
        """Octets written, or perhaps written, since the beginning."""
        return self._written + self._attempted

    def send(self, view: memoryview) -> int:
        """Write what fits now and give its length; 0 where nothing does.

        After 0 the next call must begin with the same octets.
        """
        if self._tls:
            # One record a call: what a call that fits nothing may have sent stays small and known.
            view = view[:_TLS_RECORD]
            self._attempted = len(view)
        try:
            sent = self._sock.send(view)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0
        self._attempted = 0
        self._written += sent
        return sent

    def receive(self) -> bytes | None:
        """What has come; empty at the end of the connection, ``None`` where nothing has come yet."""
        try:
            octets = self._sock.recv(_READ_SIZE)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        self._acknowledge()
        return octets

    def read(self, timeout: float) -> bytes:
        """What has come, waited for up to ``timeout`` seconds; empty at the end of the connection."""
        octets = None
        while octets is None:
            # What TLS has read already, no poll sees.
            if not (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending()):
                self.wait(timeout)
            octets = self.receive()
        return octets

    def wait(self, timeout: float, *, writing: bool = False) -> None:
        """Return when there is something to read, or room to write.

        Raises:
            TimeoutError: neither within ``timeout`` seconds.
        """
        mask = select.POLLIN | select.POLLOUT if writing else select.POLLIN
        if mask != self._mask:
            self._poll.modify(self._sock, mask)
            self._mask = mask
        if not self._poll.poll(timeout * 1000):
            raise TimeoutError(f"no answer within {timeout:g} seconds")

    def close(self) -> None:
        """Give the socket back."""
        self._sock.close()

    def _acknowledge(self) -> None:
        # Postfix answers BDAT in parts and waits for the acknowledgement of the first: 44 ms a mail without this.
        # Linux forgets the option after a while, so it is set again after each read.
        if _QUICK_ACK is not None:
            self._sock.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)


class Handle:
    """A second hold on a connection: cuts it from any thread, whatever the first one waits for."""

    def __init__(self) -> None:
        self._sock: socket.socket | None = None
        self._aborted = False

    def hold(self, sock: socket.socket) -> None:
        """Take a duplicate of the socket, instead of the one held."""
        self.drop()
        self._sock = sock
        if self._aborted:
            self._cut()

    def abort(self) -> None:
        """Cut the connection, and each one held from now on."""
        self._aborted = True
        self._cut()

    def drop(self) -> None:
        """Let go."""
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()

    def _cut(self) -> None:
        sock = self._sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
