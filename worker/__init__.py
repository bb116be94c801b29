"""Deployment events on RabbitMQ become emails; the approvers' replies become approvals on RabbitMQ.

Events to emails (``consumers/``)::

    deliveries ─parse_event→ Events ─compose→ Emails ─claim→ encode → bytes ─Relay.send_many→ taken ─record→ ack
                   │                    │                                         │
            InvalidEventError     TemplateError          5yz → dead letter;  4yz → retry queue;  outage → hand back

``events`` parses, ``consumers`` composes and settles, ``mail`` renders, encodes and sends, ``journal`` remembers what
was sent and ``register`` who was asked. ``topology`` is the exchanges and queues. ``reply_token`` names an approver's
question so that the answer can be told from any other mail.
"""

__version__ = "0.1.0"
