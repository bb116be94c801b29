"""A raw mail to a decision, as people write it: the standard library's ``email``, the first line, a word."""

import json
import re
from email import message_from_bytes, policy
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

_TOKEN = re.compile(r"\+([a-z2-7]{32})@", re.IGNORECASE)
_WORD = re.compile(r"(approved?|reject(?:ed)?)\b\W*(.*)", re.IGNORECASE)
_TAG = re.compile(r"<head.*?</head>|<[^>]*>", re.DOTALL | re.IGNORECASE)


class Decisions:
    """A connection to the broker, with confirms; ``publish`` returns when the queue has it."""

    def __init__(self, url: str, queue: str) -> None:
        self._queue = queue
        self._channel: BlockingChannel = pika.BlockingConnection(pika.URLParameters(url)).channel()
        self._channel.confirm_delivery()

    def publish(self, raw: bytes) -> None:
        """Read the mail and publish what it decides; what decides nothing is dropped."""
        decided = decide(raw)
        if decided is not None:
            properties = pika.BasicProperties(delivery_mode=2, message_id=decided["token"])
            body = json.dumps(decided).encode()
            self._channel.basic_publish("", self._queue, body, properties, mandatory=True)


def decide(raw: bytes) -> dict[str, Any] | None:
    """The decision in a mail: whose token it is, approved or rejected, and what else stands on the first line."""
    mail = message_from_bytes(raw, policy=policy.default)
    token = _TOKEN.search(str(mail["To"]))
    body = mail.get_body(("plain", "html"))
    text = body.get_content() if body is not None else ""
    if body is not None and body.get_content_subtype() == "html":
        text = _TAG.sub("\n", text)
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    word = _WORD.match(first)
    if token is None or word is None:
        return None
    decision = "approved" if word[1].lower().startswith("approve") else "rejected"
    return {"token": token[1].lower(), "decision": decision, "comment": word[2], "from": str(mail["From"])}
