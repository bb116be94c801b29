"""A queue to mails, as most people write it: kombu, jinja2, ``EmailMessage`` and one kept smtplib session.

Settings come from the environment: BROKER_URL, QUEUE, SMTP_HOST, SMTP_PORT.
"""

import json
import os
import signal
import smtplib
import threading
from email.message import EmailMessage
from typing import Any

import kombu as kombu_package

from bench.peers.words import compose

# Only parts of kombu have types.
kombu: Any = kombu_package

PREFETCH = 100


class Relay:
    """One SMTP session, kept open, opened again where the server closed it."""

    def __init__(self, host: str, port: int) -> None:
        self._server = host, port
        self._smtp: smtplib.SMTP | None = None

    def send(self, mail: EmailMessage) -> None:
        """Send it; a session that the server closed meanwhile is opened again, once."""
        try:
            self._session().send_message(mail)
        except smtplib.SMTPServerDisconnected:
            self._smtp = None
            self._session().send_message(mail)

    def _session(self) -> smtplib.SMTP:
        if self._smtp is None:
            self._smtp = smtplib.SMTP(*self._server)
        return self._smtp


def work(connection: Any, queue: str, relay: Relay, stopped: threading.Event) -> None:
    """Send a mail for each delivery, and ack it when the server took it."""

    def on_message(delivery: Any) -> None:
        # A stop hands back what is prefetched; it does not wait for a hundred mails.
        if not stopped.is_set():
            relay.send(compose(json.loads(delivery.body)))
            delivery.ack()

    channel = connection.default_channel
    consumer = kombu.Consumer(channel, [kombu.Queue(queue, no_declare=True)], on_message=on_message)
    consumer.qos(prefetch_count=PREFETCH)
    with consumer:
        while not stopped.is_set():
            try:
                connection.drain_events(timeout=1)
            except TimeoutError:
                connection.heartbeat_check()


def main() -> None:
    """Run until SIGTERM."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    relay = Relay(os.environ["SMTP_HOST"], int(os.environ["SMTP_PORT"]))
    with kombu.Connection(os.environ["BROKER_URL"]) as connection:
        work(connection, os.environ["QUEUE"], relay, stopped)


if __name__ == "__main__":
    main()
