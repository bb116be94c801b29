"""A PostgreSQL of our own in a temporary folder: nothing outlives it, and it listens on loopback alone."""

import os
import shutil
import signal
import subprocess
import tempfile
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from servers.ports import LOOPBACK, free_port, wait_until

HOMES = "usr/lib/postgresql/*/bin/postgres", "usr/pgsql-*/bin/postgres", "opt/homebrew/opt/postgresql*/bin/postgres"


def find_programs() -> Path | None:
    """The folder of ``initdb`` and ``postgres``, the newest version; Debian keeps it out of PATH."""
    found = [path.parent for pattern in HOMES for path in Path("/").glob(pattern)]
    if on_path := shutil.which("postgres"):
        found.append(Path(on_path).resolve().parent)
    complete = [folder for folder in found if (folder / "initdb").exists()]
    return max(complete, key=_version, default=None)


def _version(folder: Path) -> int:
    said = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.split()[2].partition(".")[0])


class Cluster:
    """A running PostgreSQL server; ``create_database()`` gives the URL of an empty database in it.

    Raises:
        subprocess.CalledProcessError: ``initdb`` failed; its words are in ``stderr``.
        TimeoutError: it did not start; what it said is in ``log`` of its folder.
    """

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._port = free_port()
        self._numbers = count(1)

    def __enter__(self) -> Self:
        # Not pytest's folder: PostgreSQL never runs as root, and its user may not enter there.
        self._folder = Path(tempfile.mkdtemp(prefix="countersign-postgres-"))
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(self._folder, self._user)
        self._run("initdb", "--pgdata", "data", "--auth", "trust", "--username", "postgres", "--no-sync", "-E", "UTF8")
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._log.close()
        shutil.rmtree(self._folder)

    def stop(self) -> None:
        """End the server, and every connection to it."""
        # PostgreSQL's fast shutdown; SIGTERM would wait for the clients.
        self._server.send_signal(signal.SIGINT)
        self._server.wait(30)

    def create_database(self) -> str:
        """The SQLAlchemy URL of a new, empty database."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql+psycopg://postgres@{LOOPBACK}:{self._port}/{name}"

    def _address(self, database: str) -> str:
        return f"postgresql://postgres@{LOOPBACK}:{self._port}/{database}?connect_timeout=5"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        subprocess.run(command, cwd=self._folder, user=self._user, capture_output=True, check=True, timeout=60)

    def _start(self) -> None:
        self._log = (self._folder / "log").open("wb")
        program = str(self._programs / "postgres")
        command = [program, "-D", "data", "-h", LOOPBACK, "-p", str(self._port), "-F", "-k", str(self._folder)]
        self._server = subprocess.Popen(
            command, cwd=self._folder, user=self._user, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )
        wait_until(self._ready, "the start of PostgreSQL", 30)

    def _ready(self) -> bool:
        try:
            psycopg.connect(self._address("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True
