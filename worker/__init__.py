"""Deployment events on RabbitMQ become emails; the approvers' replies become approvals on RabbitMQ.

Events to emails (``consumers/``)::

    deliveries ─parse_event→ Events ─compose→ Emails ─claim→ encode → bytes ─Relay.send_many→ taken ─record→ ack
                   │                    │                                         │
            InvalidEventError     TemplateError          5yz → dead letter;  4yz → retry queue;  outage → hand back

Replies to decisions (``reply_poller/``)::

    mail ─Reader→ Reply ─find_origin→ a person's ─authenticate→ Sender ─read_decision→ Approved | Rejected
            │                  │                      │                      │
       Unreadable     Automatic, Bounced          Untrusted              Undecided        each published as reply.*

    findings ─Ledger.settle→ outcomes ─publish→ confirmed ─Ledger.published→ marked ─Mailbox.remove→ gone

``events`` parses, ``consumers`` composes and settles, ``mail`` renders, encodes and sends, ``journal`` remembers what
was sent and ``register`` who was asked. ``topology`` is the exchanges and queues. ``reply_token`` names an approver's
question so that the answer can be told from any other mail; ``reply_events`` is what the answers become.
"""

__version__ = "0.1.0"
