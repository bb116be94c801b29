"""Real mail servers on loopback for the relay: smtp-sink, Postfix, aiosmtpd; each skips where it is missing."""

import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

SINK = shutil.which("smtp-sink", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
POSTFIX = shutil.which("postfix", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
DAEMONS = Path("/usr/lib/postfix/sbin")


def need(present: object, what: str) -> None:
    """Skip the test without it; where CI runs it must be there."""
    if present:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing")
    pytest.skip(f"{what} is missing")


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for(port: int) -> None:
    """Return when somebody listens on that port of loopback."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), 1):
                return
        except OSError:
            time.sleep(0.02)
    pytest.fail(f"nobody listens on {port}")


class Sinks:
    """Starts smtp-sink with options, and gives its port."""

    def __init__(self) -> None:
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def __call__(self, *options: str) -> int:
        """One more, listening."""
        port = free_port()
        privileges = ("-u", "nobody") if os.geteuid() == 0 else ()
        command = (str(SINK), *privileges, *options, f"127.0.0.1:{port}", "50")
        self._running[port] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _wait_quietly(port)
        return port

    def kill(self, port: int) -> None:
        """End the one on that port without notice."""
        process = self._running.pop(port)
        process.kill()
        process.wait()

    def end(self) -> None:
        """End all."""
        for port in list(self._running):
            self.kill(port)


@pytest.fixture
def smtp_sink() -> Iterator[Sinks]:
    """Starts smtp-sink as a test wants it."""
    need(SINK, "smtp-sink (Debian: postfix)")
    sinks = Sinks()
    yield sinks
    sinks.end()


def _wait_quietly(port: int) -> None:
    # Bound, not connected: a connection would count for smtp-sink's limits.
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return
        time.sleep(0.01)
    pytest.fail("smtp-sink does not listen")


MAIN_CF = """
compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
command_directory = /usr/sbin
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.example
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
virtual_mailbox_domains = corp.example
virtual_mailbox_base = {root}/mail
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_minimum_uid = 1
virtual_mailbox_limit = 0
mailbox_size_limit = 0
message_size_limit = 3000000
smtpd_peername_lookup = no
maillog_file = {root}/maillog
maillog_file_prefixes = {root}
smtpd_recipient_restrictions =
    check_recipient_access inline:{{ {{nobody@corp.example=REJECT no such user}} {{later@corp.example=DEFER later}}
    {{full@corp.example=452 4.3.1 full}} }} permit
smtpd_sender_restrictions = check_sender_access inline:{{ {{bad@corp.example=REJECT bad sender}} }}
header_checks = regexp:{{ {{/^Subject: refused/ REJECT not that subject}} }}
"""
MASTER_CF = """
127.0.0.1:{full} inet n - n - - smtpd
127.0.0.1:{pipelining} inet n - n - - smtpd -o smtpd_discard_ehlo_keywords=chunking
127.0.0.1:{bare} inet n - n - - smtpd -o smtpd_discard_ehlo_keywords=chunking,pipelining
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
tlsmgr unix - - n 1000? 1 tlsmgr
"""


class Postfix:
    """A Postfix of its own: three smtpd ports that offer less and less, and a Maildir for everybody."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ports = {"full": free_port(), "pipelining": free_port(), "bare": free_port()}

    def start(self) -> None:
        """Configure it, and run it in the background."""
        for folder, owner in (("etc", None), ("queue", None), ("data", "postfix"), ("mail", "nobody")):
            (self.root / folder).mkdir(parents=True)
            if owner:
                shutil.chown(self.root / folder, owner)
        (self.root / "etc/main.cf").write_text(MAIN_CF.format(root=self.root, daemons=DAEMONS))
        (self.root / "etc/master.cf").write_text(MASTER_CF.format(**self.ports))
        self._postfix("start")
        for port in self.ports.values():
            wait_for(port)

    def stop(self) -> None:
        """Stop it."""
        self._postfix("stop")

    def delivered(self, count: int) -> list[bytes]:
        """What lies in the Maildir, once so many mails do; it is empty afterwards."""
        new = self.root / "mail/box/new"
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline and (not new.exists() or len(list(new.iterdir())) < count):
            time.sleep(0.02)
        time.sleep(0.1)
        found = [path.read_bytes() for path in new.iterdir()] if new.exists() else []
        shutil.rmtree(new, ignore_errors=True)
        return found

    def _postfix(self, command: str) -> None:
        subprocess.run([str(POSTFIX), "-c", str(self.root / "etc"), command], check=True, capture_output=True)


@pytest.fixture(scope="session")
def postfix_server() -> Iterator[Postfix]:
    """One Postfix for all tests."""
    need(POSTFIX and DAEMONS.exists(), "postfix")
    need(os.geteuid() == 0, "root, which postfix needs")
    # Not below pytest's folder, which Postfix's own users may not enter.
    root = Path(f"/tmp/countersign-postfix-{os.getpid()}")
    server = Postfix(root)
    root.mkdir(mode=0o755)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def postfix(postfix_server: Postfix) -> Postfix:
    """Postfix with nothing delivered yet."""
    shutil.rmtree(postfix_server.root / "mail/box", ignore_errors=True)
    return postfix_server


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Signs the certificates of the tests."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The authority's certificate, for who verifies."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(scope="session")
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    """TLS for a server on localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context
