"""A real Dovecot in a temporary folder: IMAP in plain, with STARTTLS and with TLS, and LMTP, all on loopback."""

import base64
import grp
import hmac
import json
import os
import pwd
import shutil
import signal
import smtplib
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

import trustme
from imapclient import IMAPClient
from servers.ports import LOOPBACK, answers, free_port, wait_until

PLACES = "/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"
DOMAIN = "corp.example"
CAPABILITIES = "IMAP4rev1 SASL-IR LITERAL+ ID ENABLE IDLE NAMESPACE UIDPLUS MOVE SPECIAL-USE SAVEDATE"
"""What a user may be offered; leave words out of it to have a poorer server."""

_CONFIGURATION = """
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/log
protocols = imap lmtp
listen = 127.0.0.1
default_internal_user = {internal}
default_internal_group = {internal_group}
default_login_user = {login}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:~/mail
mailbox_list_index = no
mail_fsync = never
mailbox_idle_check_interval = 1 secs
mail_max_userip_connections = 50
recipient_delimiter = +
auth_mechanisms = plain login xoauth2
disable_plaintext_auth = no
auth_failure_delay = 0
ssl = yes
ssl_cert = <{root}/certificate.pem
ssl_key = <{root}/key.pem
namespace inbox {{
  inbox = yes
  mailbox Papierkorb {{
    special_use = \\Trash
  }}
}}
passdb {{
  driver = oauth2
  mechanisms = xoauth2
  args = {root}/oauth2.conf
}}
passdb {{
  driver = passwd-file
  mechanisms = plain login
  args = scheme=plain username_format=%u {root}/users/%u
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {root}/users/%u
}}
protocol lmtp {{
  lmtp_hdr_delivery_address = final
  postmaster_address = postmaster@corp.example
}}
service anvil {{
  chroot =
  # Else each failed login makes all others from loopback wait.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
  }}
  service_count = 0
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp_port}
  }}
}}
service stats {{
  chroot =
}}
"""
_OAUTH2 = """
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={root}/keys/
username_attribute = sub
"""
_KEY = b"a key that signs the tokens of the tests"


def find_program() -> str | None:
    """Where ``dovecot`` is, where it can do IMAP and LMTP too; sbin is not in everybody's PATH."""
    program = shutil.which("dovecot") or shutil.which("dovecot", path=PLACES)
    homes = (Path("/usr/lib/dovecot"), Path("/usr/libexec/dovecot"), Path("/opt/homebrew/libexec/dovecot"))
    complete = any((home / "imap").exists() and (home / "lmtp").exists() for home in homes)
    return program if complete else None


class Dovecot:
    """A running Dovecot; ``create_user()`` gives an empty mailbox in it. Its certificate is for ``localhost`` alone.

    Raises:
        TimeoutError: it did not start; what it said is in ``log`` of its folder.
    """

    def __init__(self, program: str) -> None:
        self.port, self.tls_port, self.lmtp_port = free_port(), free_port(), free_port()
        self._program = program
        self._numbers = count(1)

    def __enter__(self) -> Self:
        # Not pytest's folder: Dovecot's own users may not enter there, and its sockets need a short path.
        self.folder = Path(tempfile.mkdtemp(prefix="countersign-dovecot-", dir="/tmp"))
        self.folder.chmod(0o755)
        self._configure()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def start(self) -> None:
        """Start it, also again after ``stop``."""
        self._server = subprocess.Popen(
            [self._program, "-F", "-c", str(self.folder / "dovecot.conf")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(self._ready, f"the start of Dovecot ({self.folder}/log)", 20)

    def stop(self) -> None:
        """End the server; every session with it hears BYE soon after. The mails stay."""
        # All of its processes: by itself it lets them finish what they are at, for up to a minute.
        os.killpg(self._server.pid, signal.SIGTERM)
        try:
            self._server.wait(2)
        except subprocess.TimeoutExpired:
            # One that had hardly started.
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait(20)

    @property
    def ca_file(self) -> str:
        """The certificate to verify its own with."""
        return str(self.folder / "ca.pem")

    def create_user(self, *, capabilities: str | None = None, prefix: str = "") -> "DovecotUser":
        """A new user with an empty mailbox.

        ``capabilities`` is what IMAP offers after the login (some of ``CAPABILITIES``, and what Dovecot has not);
        with a ``prefix`` such as ``INBOX.`` all folders lie below it.
        """
        user = DovecotUser(self, f"user{next(self._numbers)}@{DOMAIN}", "pässwörd ☃")
        user.home.mkdir()
        # Dovecot never touches mails as root.
        owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        os.chown(user.home, owner.pw_uid, owner.pw_gid)
        extra = [
            # Spaces end a field of that file; to clients tabs are as good.
            *(["userdb_imap_capability=" + "\t".join(capabilities.split())] if capabilities else []),
            *([f"userdb_namespace/inbox/prefix={prefix}", "userdb_namespace/inbox/separator=."] if prefix else []),
        ]
        fields = (user.name, user.password, owner.pw_uid, owner.pw_gid, "", user.home, "", " ".join(extra))
        # A file each: Dovecot looks once a second whether one has changed.
        (self.folder / "users" / user.name).write_text(":".join(map(str, fields)) + "\n")
        return user

    def run(self, *arguments: str) -> str:
        """What ``doveadm`` says to these arguments."""
        doveadm = shutil.which("doveadm") or str(Path(self._program).with_name("doveadm"))
        command = [doveadm, "-c", str(self.folder / "dovecot.conf"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout

    def _configure(self) -> None:
        own = pwd.getpwuid(os.geteuid())
        as_root = own.pw_uid == 0
        names = {
            "root": self.folder,
            "internal": "dovecot" if as_root else own.pw_name,
            "internal_group": "dovecot" if as_root else grp.getgrgid(own.pw_gid).gr_name,
            "login": "dovenull" if as_root else own.pw_name,
            "port": self.port,
            "tls_port": self.tls_port,
            "lmtp_port": self.lmtp_port,
        }
        (self.folder / "dovecot.conf").write_text(_CONFIGURATION.format(**names))
        (self.folder / "oauth2.conf").write_text(_OAUTH2.format(**names))
        (self.folder / "users").mkdir()
        keys = self.folder / "keys/default/HS256"
        keys.mkdir(parents=True)
        (keys / "default").write_bytes(base64.b64encode(_KEY))
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost")
        authority.cert_pem.write_to_path(self.ca_file)
        certificate.private_key_pem.write_to_path(str(self.folder / "key.pem"))
        certificate.cert_chain_pems[0].write_to_path(str(self.folder / "certificate.pem"))

    def _ready(self) -> bool:
        if self._server.poll() is not None:
            raise RuntimeError(f"Dovecot ended at once: {(self.folder / 'log').read_text()[-2000:]}")
        return all(answers(port) for port in (self.port, self.tls_port, self.lmtp_port))


class DovecotUser:
    """A mailbox in a Dovecot, seen from the server's side; ``name`` is the login, and its address."""

    def __init__(self, server: Dovecot, name: str, password: str) -> None:
        self.server = server
        self.name = name
        self.password = password
        self.home = server.folder / name

    def address(self, detail: str | None = None) -> str:
        """Its address, or the sub-address with that behind the ``+``."""
        local, _, domain = self.name.partition("@")
        return f"{local}+{detail}@{domain}" if detail else self.name

    def token(self, *, seconds: float = 300) -> str:
        """An access token that Dovecot takes for so long (a JWT signed with HS256)."""
        now = int(time.time())
        claims = {"sub": self.name, "iat": now - 10, "exp": int(now + seconds)}
        parts = [_base64(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
        return ".".join([*parts, _base64(hmac.digest(_KEY, ".".join(parts).encode(), "sha256"))])

    def deliver(self, mail: bytes, *, detail: str | None = None, sender: str = "dana@corp.example") -> None:
        """Hand a mail over by LMTP, to the address with that detail: it comes with a Delivered-To, into INBOX."""
        with smtplib.LMTP(LOOPBACK, self.server.lmtp_port) as session:
            session.sendmail(sender, [self.address(detail)], mail)

    def append(
        self, mail: bytes, *, folder: str = "INBOX", flags: Sequence[bytes] = (), received_at: datetime | None = None
    ) -> None:
        """Put a mail into a folder, as it is."""
        with self.client() as client:
            client.append(folder, mail, flags, received_at)

    def fill(self, mail: bytes, copies: int) -> None:
        """So many of the same mail into INBOX, faster than any server takes them."""
        new = self.home / "mail/new"
        self.mails()  # Dovecot has made its folders then
        first = new / "0000000001.first.localhost"
        first.write_bytes(mail)
        shutil.copystat(new, first)
        shutil.chown(first, new.owner(), new.group())
        for number in range(2, copies + 1):
            os.link(first, new / f"{number:010}.copy.localhost")

    def mails(self, folder: str = "INBOX") -> list[bytes]:
        """The mails in a folder, oldest first, with CR LF; no flag changes."""
        with self.client() as client:
            client.select_folder(folder, readonly=True)
            found = client.fetch(client.search(), ["BODY.PEEK[]"])
            return [items[b"BODY[]"] for _, items in sorted(found.items())]

    def flags(self, folder: str = "INBOX") -> list[set[bytes]]:
        """The flags of each mail in it, oldest first; Recent is left out."""
        with self.client() as client:
            client.select_folder(folder, readonly=True)
            found: Mapping[int, Sequence[bytes]] = client.get_flags(client.search())
            return [set(flags) - {rb"\Recent"} for _, flags in sorted(found.items())]

    def folders(self) -> list[str]:
        """Their names."""
        with self.client() as client:
            return sorted(name for _, _, name in client.list_folders())

    def kick(self) -> None:
        """End this user's sessions: each hears BYE."""
        self.server.run("kick", self.name)

    @contextmanager
    def client(self) -> Iterator[IMAPClient]:
        """A client of the standard kind, logged in, for what else a test wants done."""
        with IMAPClient(LOOPBACK, self.server.port, ssl=False, timeout=30) as client:
            client.plain_login(self.name, self.password)
            yield client


def _base64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")
