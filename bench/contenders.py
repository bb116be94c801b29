"""Names to workers that can be started: their commands, environments, and what has to be installed first.

The peers' packages go into ``bench/.cache`` with pip and npm on the first run; they are in no lock file of ours.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench import payload
from bench.broker import declare_ours, declare_queue
from bench.payload import Published
from worker.topology import REQUESTS_QUEUE

HERE = Path(__file__).resolve().parent
CACHE = HERE / ".cache"
PEERS = HERE / "peers"
TEMPLATES = PEERS / "templates"
PYTHON = CACHE / "venv" / "bin" / "python"
PYTHON_PACKAGES = "kombu", "jinja2", "celery"
PEER_QUEUE = "bench.requests"


class UnavailableError(Exception):
    """A contender can't run here; the text says why."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A worker: how it is made ready, started, and what it expects in its queue."""

    name: str
    prepare: Callable[[], None]
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(hash=False)
    queue: str = PEER_QUEUE
    events: Callable[[int, int], Iterator[Published]] = payload.plain

    def declare(self, broker: str) -> None:
        """Its queue, and what belongs to it, on a broker that has none of it."""
        if self.queue == REQUESTS_QUEUE:
            declare_ours(broker)
        else:
            declare_queue(broker, self.queue)

    def surroundings(self, broker: str, smtp_port: int, state: Path) -> dict[str, str]:
        """The environment of its process: nothing of ours but what a shell has, and its settings."""
        shell = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
        mail = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(smtp_port)}
        places = {"BROKER_URL": broker, "QUEUE": self.queue} | mail
        if self.queue == REQUESTS_QUEUE:
            del places["QUEUE"]
            places["STATE_URL"] = f"sqlite:///{state}/journal.sqlite"
        return shell | places | dict(self.environment)


def _nothing() -> None:
    """Ours runs in the project's own environment, which the bench runs in too."""


def _install_python() -> None:
    if PYTHON.exists() and not _status([str(PYTHON), "-c", "import kombu, jinja2, celery"]):
        return
    _cache()
    _install([sys.executable, "-m", "venv", "--clear", str(PYTHON.parent.parent)])
    _install([str(PYTHON), "-m", "pip", "install", "--quiet", *PYTHON_PACKAGES])


def _install_node() -> None:
    if not shutil.which("node") or not shutil.which("npm"):
        raise UnavailableError("node and npm are not installed")
    folder = CACHE / "node"
    if (folder / "node_modules" / "nodemailer").exists():
        return
    _cache()
    folder.mkdir(exist_ok=True)
    shutil.copy(PEERS / "node" / "package.json", folder)
    _install(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(folder)])


def _cache() -> None:
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")


def _install(command: list[str]) -> None:
    if status := _status(command):
        raise UnavailableError(f"`{' '.join(command[:5])} ...` ended with status {status}")


def _status(command: list[str]) -> int:
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode


def _ours(title: str, **settings: str) -> Contender:
    fixed = {
        "SMTP_FROM_ADDRESS": "Deployments <deploy@corp.example>",
        "SMTP_ENABLE_STARTTLS": "false",
        "ATTACH_LOGS": "always",
        "LOG_LEVEL": "warning",
        # The peers' own words, so that all send the same.
        "TEMPLATES_DIR": str(TEMPLATES),
    }
    command = (sys.executable, "-m", "worker", "consume")
    chosen_settings = {name: value for name, value in (fixed | settings).items() if value}
    return Contender(title, _nothing, command, chosen_settings, REQUESTS_QUEUE)


_CELERY = ("-m", "celery", "--app", "bench.peers.tasks", "worker", "--loglevel", "warning", "--concurrency", "2")
_ALONE = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--queues", PEER_QUEUE)
_NODE = {
    "NODE_PATH": str(CACHE / "node" / "node_modules"),
    "TEMPLATES": str(TEMPLATES / "request.completed"),
    "NODE_ENV": "production",
}

CONTENDERS = (
    _ours("ours depth 64", SMTP_CONNECTIONS="2", SMTP_PIPELINE_DEPTH="64"),
    _ours("ours default"),
    _ours("ours 1 session", SMTP_CONNECTIONS="1", SMTP_PIPELINE_DEPTH="64"),
    _ours("ours built-in", SMTP_CONNECTIONS="2", SMTP_PIPELINE_DEPTH="64", TEMPLATES_DIR=""),
    Contender("plain", _install_python, (str(PYTHON), "-m", "bench.peers.plain"), {}),
    Contender("celery", _install_python, (str(PYTHON), *_CELERY, *_ALONE), {}, events=payload.celery),
    Contender("node", _install_node, ("node", str(PEERS / "node" / "worker.js")), _NODE),
)


def chosen(names: Iterable[str]) -> tuple[Contender, ...]:
    """The contenders whose names start with one of ``names``."""
    wanted = tuple(names)
    return tuple(contender for contender in CONTENDERS if contender.name.startswith(wanted))
