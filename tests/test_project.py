"""The project's own files agree with each other: versions, locks, rules, targets, containers."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from servers.absence import missing
from servers.docker import compose_answers

from worker import __version__

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = "requirements.lock", "requirements-dev.lock", "requirements-build.lock"
TARGETS = "demo", "test", "check", "bench", "soak", "up", "lock", "docs"
# Written in pieces, so that this file does not name them.
INDEX_HOSTS = re.compile("|".join(("pypi" + r"\.org", "python" + "hosted", "simple" + r"/\s", r"--(extra-)?index-url")))


def normal(requirement: str) -> str:
    """The name in a requirement, as PEP 503 writes it."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def pinned(lock: str) -> dict[str, str]:
    """Each name in a lock file and its version; a package may have one for each platform."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))


def group(name: str) -> list[str]:
    """The requirements of a dependency group, those that it includes too."""
    entries: list[Any] = PROJECT["dependency-groups"][name]
    included = [entry["include-group"] for entry in entries if isinstance(entry, dict)]
    return [entry for entry in entries if isinstance(entry, str)] + [one for other in included for one in group(other)]


def wanted(lock: str) -> list[str]:
    """What ``pyproject.toml`` asks of a lock file."""
    runtime, extras = PROJECT["project"]["dependencies"], PROJECT["project"]["optional-dependencies"]
    return {
        "requirements.lock": [*runtime, *extras["postgres"]],
        "requirements-dev.lock": [*runtime, *extras["postgres"], *extras["demo"], *group("dev")],
        "requirements-build.lock": [*group("build"), *PROJECT["build-system"]["requires"]],
    }[lock]


def compose(*arguments: str) -> str:
    """What ``docker compose`` says about a copy of our file."""
    if not compose_answers():
        missing("docker compose", "install Docker with its compose plugin; no engine needs to run")
    return subprocess.run(["docker", "compose", *arguments], capture_output=True, text=True, check=True).stdout


def named_settings(text: str) -> set[str]:
    """The variables that an env file names, those behind a ``#`` too."""
    return set(re.findall(r"^#?([A-Z][A-Z_]+)=", text, re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_has_what_is_wanted(lock: str) -> None:
    """Whatever pyproject.toml asks for is in the lock: else `make lock`."""
    assert {normal(requirement) for requirement in wanted(lock)} <= set(pinned(lock))


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_versions_suffice(lock: str) -> None:
    """A locked version is never below the one that pyproject.toml asks for."""
    versions = pinned(lock)
    for requirement in wanted(lock):
        least = re.search(r">=([\d.]+)", requirement)
        if least:
            assert numbers(versions[normal(requirement)]) >= numbers(least[1]), requirement


def numbers(version: str) -> tuple[int, ...]:
    """A version's numbers, for comparing."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_is_hashed(lock: str) -> None:
    """Every pinned package has hashes."""
    entries = re.split(r"^(?=\S)", (ROOT / lock).read_text(), flags=re.MULTILINE)[1:]
    assert entries
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


def test_locks_agree() -> None:
    """What runs in the image is what the tests ran with."""
    everything = pinned("requirements-dev.lock")
    for lock in LOCKS:
        assert pinned(lock).items() <= everything.items()


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_index(lock: str) -> None:
    """Whoever installs chooses the index; a lock file names none."""
    assert INDEX_HOSTS.findall((ROOT / lock).read_text()) == []


def test_every_ignored_rule_has_a_reason() -> None:
    """A rule of ruff is off for a reason that stands beside it."""
    text = (ROOT / "pyproject.toml").read_text()
    section = text[text.index("[tool.ruff.lint]") : text.index("[tool.ruff.lint.mccabe]")]
    lines = [line for line in section.splitlines() if re.search(r'"[A-Z]+[0-9]*"', line) and "select" not in line]
    assert lines
    assert [line for line in lines if not re.search(r"# \w", line)] == []


def test_every_noqa_has_a_reason() -> None:
    """So is one that is off for a line."""
    marks = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in ("worker", "tests", "bench")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
        for line in path.read_text().splitlines()
        if "# no" + "qa" in line
    ]
    assert [mark for mark in marks if not re.search(r"qa: [A-Z]+\d+(, [A-Z]+\d+)* - \w", mark)] == []


def test_version_is_in_the_changelog() -> None:
    """The version that runs has an entry of its own."""
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_python_versions_agree() -> None:
    """Metadata, tools and CI speak of the same versions of Python."""
    least = PROJECT["project"]["requires-python"].removeprefix(">=")
    classified = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["project"]["classifiers"]))
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert workflow["jobs"]["run"]["strategy"]["matrix"]["python"] == classified
    assert min(classified, key=numbers) == least == PROJECT["tool"]["mypy"]["python_version"]
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{least.replace('.', '')}"


@pytest.mark.parametrize("target", TARGETS)
def test_make_knows(target: str) -> None:
    """Each target exists, and `make help` lists it."""
    if shutil.which("make") is None:
        missing("make", "install make")
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^make {target} +\w", listed, re.MULTILINE)


def test_ci_calls_only_make() -> None:
    """What CI runs can be run at a desk: the workflow calls one script, and that calls make."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert [step["run"] for step in workflow["jobs"]["run"]["steps"] if "run" in step] == [".ci/run"]
    targets = re.findall(r"make --no-print-directory (\w+)", (ROOT / ".ci/run").read_text())
    assert targets == ["check", "test"]


def test_example_settings_exist() -> None:
    """What .env.example names is a setting, or a variable of the compose file or of compose itself."""
    known = set(re.findall(r"`([A-Z][A-Z_]+)`", (ROOT / "docs/settings.md").read_text()))
    used = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))
    assert named_settings((ROOT / ".env.example").read_text()) - known - used == {"COMPOSE_PROFILES"}


def test_compose_without_settings(tmp_path: Path) -> None:
    """The compose file is valid without any .env: what is missing is the consumer's to say."""
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    compose("--project-directory", str(tmp_path), "--file", str(tmp_path / "docker-compose.yml"), "config", "--quiet")


def test_compose_passes_settings_on(tmp_path: Path) -> None:
    """Whatever .env says reaches the consumer."""
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    (tmp_path / ".env").write_text("SMTP_HOST=mail.example\nAPPROVE_WORDS=ja\nRABBITMQ_PASSWORD=s3cret\n")
    shown = compose("--project-directory", str(tmp_path), "--file", str(tmp_path / "docker-compose.yml"), "config")
    environment = yaml.safe_load(shown)["services"]["consumer"]["environment"]
    assert (environment["SMTP_HOST"], environment["APPROVE_WORDS"]) == ("mail.example", "ja")
    assert environment["BROKER_URL"] == "amqp://countersign:s3cret@rabbitmq:5672/"


def test_containers_can_do_little() -> None:
    """No container has a capability, gains one, or listens beyond this machine; ours writes to its volumes alone."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["mem_limit"]
        assert [port for port in service.get("ports", ()) if not port.startswith("127.0.0.1:")] == []
    assert services["consumer"]["read_only"] is True
    assert re.search(r"^USER \d+:\d+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
