"""A Celery task to a mail: the plain worker's code in a task, late acks, one kept session a child process.

``celery --app bench.peers.tasks worker``; settings come from the environment: BROKER_URL, QUEUE, SMTP_HOST, SMTP_PORT.
"""

import os
from functools import lru_cache
from typing import Any

from celery import Celery  # type: ignore[import-not-found, import-untyped, unused-ignore] # the bench's own environment

from bench.peers.plain import Relay
from bench.peers.words import compose

app = Celery("bench", broker=os.environ["BROKER_URL"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    task_default_queue=os.environ["QUEUE"],
    task_default_queue_type="quorum",
    task_create_missing_queues=True,
    # Times two children: 100, as the plain worker's.
    worker_prefetch_multiplier=50,
    worker_send_task_events=False,
)


@lru_cache
def _relay() -> Relay:
    return Relay(os.environ["SMTP_HOST"], int(os.environ["SMTP_PORT"]))


def mail(event: dict[str, Any]) -> None:
    """Send the mail for one event."""
    _relay().send(compose(event))


app.task(name="bench.mail")(mail)
