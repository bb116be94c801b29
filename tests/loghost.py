"""An HTTPS server on loopback that serves logs, well and badly; and a certificate authority that vouches for it."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from threading import Thread
from typing import ClassVar

import trustme

PIECE = Random(1).randbytes(64 * 1024)


class _Log(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """Answer as the path says."""
        self.asked.append(self.path)
        self.close_connection = True
        case, _, argument = self.path[1:].partition("/")
        getattr(self, f"answer_{case}", self.answer_missing)(argument)

    def answer_log(self, text: str) -> None:
        """The text in the path, all of it."""
        self._head(200, {"Content-Length": str(len(text))})
        self.wfile.write(text.encode())

    def answer_chunked(self, text: str) -> None:
        """The text letter by letter."""
        self._head(200, {"Transfer-Encoding": "chunked"})
        for letter in text:
            self.wfile.write(f"1\r\n{letter}\r\n".encode())
        self.wfile.write(b"0\r\n\r\n")

    def answer_chunkcut(self, text: str) -> None:
        """Chunks without the last."""
        self._head(200, {"Transfer-Encoding": "chunked"})
        self.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())

    def answer_cut(self, text: str) -> None:
        """A byte less than announced."""
        self._head(200, {"Content-Length": str(len(text) + 1)})
        self.wfile.write(text.encode())

    def answer_endless(self, text: str) -> None:
        """No length: it ends when the connection does."""
        self._head(200, {})
        self.wfile.write(text.encode())

    def answer_moved(self, path: str) -> None:
        """A redirect."""
        self._head(302, {"Location": f"/{path}", "Content-Length": "0"})

    def answer_packed(self, text: str) -> None:
        """Gzip, that nobody asked for."""
        self._head(200, {"Content-Length": str(len(text)), "Content-Encoding": "gzip"})
        self.wfile.write(text.encode())

    def answer_huge(self, pieces: str) -> None:
        """So many pieces of 64 KiB that can't be packed."""
        self._head(200, {"Content-Length": str(int(pieces) * len(PIECE))})
        for _ in range(int(pieces)):
            self.wfile.write(PIECE)

    def answer_missing(self, _: str) -> None:
        """Not found."""
        self._head(404, {"Content-Length": "4"})
        self.wfile.write(b"nope")

    def log_message(self, *_: object) -> None:
        """Silence."""

    def _head(self, status: int, fields: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()


class LogHost:
    """The running server: its ``name`` (``localhost:port``) and the paths that it was ``asked`` for."""

    def __init__(self, port: int, ca_file: Path) -> None:
        self.name = f"localhost:{port}"
        self.ca_file = ca_file
        self.asked = _Log.asked
        self.asked.clear()

    def url(self, path: str) -> str:
        """The address of a log there."""
        return f"https://{self.name}/{path}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no error of this server."""


@contextmanager
def a_log_host(folder: Path) -> Iterator[LogHost]:
    """The server, until the block ends; its authority's certificate is put into the folder."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    with _Server(("127.0.0.1", 0), _Log) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield LogHost(server.server_port, ca_file)
        server.shutdown()
        thread.join()
