"""What mail_room posts to: a small HTTP server that reads each mail as the plain loop does; it starts mail_room too.

``python -m bench.peers.postback PORT mail_room --config FILE``; BROKER_URL and QUEUE come from the environment.
"""

import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from bench.peers.answers import Decisions


def _serve(port: int, decisions: Decisions) -> HTTPServer:
    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            decisions.publish(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    return HTTPServer(("127.0.0.1", port), Receiver)


def main() -> None:
    """Run both until SIGTERM."""
    port, *command = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with _serve(int(port), Decisions(os.environ["BROKER_URL"], os.environ["QUEUE"])) as server:
        mail_room = subprocess.Popen(command)
        try:
            server.serve_forever()
        finally:
            mail_room.kill()
            mail_room.wait()


if __name__ == "__main__":
    main()
