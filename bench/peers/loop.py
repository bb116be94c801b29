"""A folder to a queue, as most people write it: imapclient, ``email``, a blocking pika channel with confirms.

Settings come from the environment: BROKER_URL, QUEUE, IMAP_PORT, IMAP_USER, IMAP_PASSWORD.
"""

import os
import signal
import threading

from imapclient import IMAPClient

from bench.peers.answers import Decisions


def sweep(client: IMAPClient, decisions: Decisions, stopped: threading.Event) -> None:
    """Publish what each mail decides and flag it as deleted; then delete all of them."""
    for uid in client.search("UNDELETED"):
        if stopped.is_set():
            break
        raw = client.fetch([uid], ["BODY.PEEK[]"])[uid][b"BODY[]"]
        decisions.publish(raw)
        client.delete_messages([uid], silent=True)
    client.expunge()


def main() -> None:
    """Run until SIGTERM."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    decisions = Decisions(os.environ["BROKER_URL"], os.environ["QUEUE"])
    with IMAPClient("127.0.0.1", int(os.environ["IMAP_PORT"]), ssl=False, timeout=60) as client:
        client.plain_login(os.environ["IMAP_USER"], os.environ["IMAP_PASSWORD"])
        client.select_folder("INBOX")
        while not stopped.is_set():
            sweep(client, decisions, stopped)
            stopped.wait(5)


if __name__ == "__main__":
    main()
