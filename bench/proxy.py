"""Bytes to the same bytes, later: a TCP proxy that adds a round-trip time, half of it each way.

A process of its own, two threads a direction, so that any number of bytes can be under way at once::

    python -m bench.proxy --port 3525 --to 2525 --milliseconds 20
"""

import argparse
import contextlib
import queue
import socket
import threading
import time

READ_BYTES = 1 << 18
# What is under way on one direction: 256 reads are more than any window here, and still a bound.
UNDER_WAY = 256

Chunks = queue.Queue[tuple[float, bytes]]


def relay(source: socket.socket, target: socket.socket, delay: float) -> None:
    """Everything from ``source`` to ``target``, in order, each byte ``delay`` seconds after it came."""
    chunks: Chunks = queue.Queue(UNDER_WAY)
    threading.Thread(target=_send, args=(target, chunks), daemon=True).start()
    got = b"."
    while got:
        try:
            got = source.recv(READ_BYTES)
        except OSError:
            got = b""
        chunks.put((time.monotonic() + delay, got))


def _send(target: socket.socket, chunks: Chunks) -> None:
    while True:
        due, chunk = chunks.get()
        time.sleep(max(0.0, due - time.monotonic()))
        if not chunk:
            break
        try:
            target.sendall(chunk)
        except OSError:
            break
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
    # The reader may wait for room: what still comes in is nobody's any more.
    while chunk:
        _, chunk = chunks.get()


def _pair(client: socket.socket, to: int, delay: float) -> None:
    server = socket.create_connection(("127.0.0.1", to))
    for source, target in ((client, server), (server, client)):
        source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=relay, args=(source, target, delay), daemon=True).start()


def main() -> None:
    """Run one proxy as the command line says."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--to", type=int, required=True)
    arguments.add_argument("--milliseconds", type=float, required=True)
    chosen = arguments.parse_args()
    with socket.create_server(("127.0.0.1", chosen.port), backlog=128) as listener:
        while True:
            client, _ = listener.accept()
            _pair(client, chosen.to, chosen.milliseconds / 2000)


if __name__ == "__main__":
    main()
