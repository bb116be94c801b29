"""One poller a mailbox, however many run: a lease in the journal, by the database's clock."""

from uuid import uuid4

from sqlalchemy import Connection, delete, or_, update

from worker.errors import TransientError
from worker.journal import Journal
from worker.tables import leases

LEASE = 10.0
"""Seconds after which another takes over from a poller that died."""


class LeaseLostError(TransientError):
    """Another poller reads this mailbox now, or ours was too slow to renew: nothing was written; take it anew."""


class Leases:
    """One poller's leases; two of these in one process are two pollers."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.owner = uuid4().hex

    def hold(self, mailbox: str) -> bool:
        """Take the lease, or renew it; False while another holds it.

        Raises:
            OutageError: the journal is away.
        """
        now = self._journal.now
        row = {"owner": self.owner, "until": now + LEASE}
        free = or_(leases.c.owner == self.owner, leases.c.until < now)
        statement = (
            self._journal.insert(leases)
            .values(mailbox=mailbox, **row)
            .on_conflict_do_update(index_elements=["mailbox"], set_=row, where=free)
            .returning(leases.c.owner)
        )
        with self._journal.transaction() as connection:
            return connection.execute(statement).first() is not None

    def release(self, mailbox: str) -> None:
        """Give the lease up, if it is ours: another may take it at once."""
        with self._journal.transaction() as connection:
            connection.execute(delete(leases).where(leases.c.mailbox == mailbox, leases.c.owner == self.owner))

    def require(self, connection: Connection, mailbox: str) -> None:
        """Renew the lease and lock it: until the end of this transaction nobody takes it over.

        Raises:
            LeaseLostError: it is not ours, or ran out.
        """
        now = self._journal.now
        ours = (leases.c.mailbox == mailbox) & (leases.c.owner == self.owner) & (leases.c.until >= now)
        if connection.execute(update(leases).where(ours).values(until=now + LEASE)).rowcount != 1:
            raise LeaseLostError("another poller may have this mailbox: its lease is not ours any more")
