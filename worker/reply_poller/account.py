"""Where the replies are and how to come in: a mail server, a login, three folders; refused where it is unsafe."""

from dataclasses import dataclass
from urllib.parse import quote

from worker.errors import SettingsError
from worker.mail.connection import is_loopback
from worker.mail.relay import Password, Token

INBOX = "INBOX"


@dataclass(frozen=True, slots=True)
class Account:
    """The mailbox to read. ``processed_folder`` ``None``: what was read is deleted (on Gmail: moved to the Trash).

    ``tls``: from the first octet; ``starttls``: required, except on loopback where the server does not offer it.

    Raises:
        SettingsError: both kinds of TLS, none towards another host without ``allow_insecure``, or one folder twice.
    """

    host: str
    port: int
    login: Password | Token
    starttls: bool = True
    tls: bool = False
    ca_file: str | None = None
    allow_insecure: bool = False
    folder: str = INBOX
    processed_folder: str | None = None
    quarantine_folder: str = "Quarantine"

    def __post_init__(self) -> None:
        if self.tls and self.starttls:
            raise SettingsError("IMAP_ENABLE_TLS and IMAP_ENABLE_STARTTLS exclude each other: set one of them to false")
        if not (self.tls or self.starttls or self.allow_insecure or is_loopback(self.host)):
            raise SettingsError(
                f"the login to {self.host} would cross the network unencrypted: set IMAP_ENABLE_STARTTLS or"
                " IMAP_ENABLE_TLS, or ALLOW_INSECURE_MAIL where that is acceptable"
            )
        self._check_folders()

    @property
    def server(self) -> str:
        """Host and port, as a sentence names them."""
        return f"{self.host}:{self.port}"

    @property
    def name(self) -> str:
        """The mailbox as a URL without a password (RFC 5092): what tells it from every other one."""
        user, folder = quote(self.login.user, safe=""), quote(_canonical(self.folder), safe="/")
        return f"imap://{user}@{self.host.lower()}:{self.port}/{folder}"

    def _check_folders(self) -> None:
        # What is put aside must not be found again as a reply.
        if _canonical(self.folder) in map(_canonical, filter(None, (self.processed_folder, self.quarantine_folder))):
            raise SettingsError("EMAIL_REPLY_FOLDER can't be PROCESSED_FOLDER or QUARANTINE_FOLDER: name another one")
        # What is in the quarantine is deleted one day.
        if self.processed_folder is not None and _canonical(self.processed_folder) == _canonical(
            self.quarantine_folder
        ):
            raise SettingsError("PROCESSED_FOLDER can't be QUARANTINE_FOLDER: name another one")


def _canonical(folder: str) -> str:
    # RFC 3501 5.1: this one name has no letter case.
    return INBOX if folder.upper() == INBOX else folder
