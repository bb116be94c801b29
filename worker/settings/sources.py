"""The environment, the files that it names and a TOML file to a ``Configuration``: settings, and where each came from.

The only place that reads them. Precedence: environment, ``<NAME>_FILE``, TOML, default. An empty value counts as
none, save for ``REPLY_SUBADDRESS``, where empty has a meaning.
"""

import os
import pwd
import re
import sys
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from worker.errors import SettingsError
from worker.settings.agreement import Problem, find_problems
from worker.settings.model import NAMES, SECRETS, Settings, derived_default, label
from worker.settings.names import CONFIG, check_keys, check_variables, is_service_link

Kind = TypeVar("Kind", bound=Settings)

LARGEST_SECRET = 64 * 1024

_MAY_BE_EMPTY = frozenset({"reply_subaddress"})
_SEPARATORS = {"broker_url": ";"}
# Lone surrogates are what Python makes of bytes that are no UTF-8.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Configuration(Generic[Kind]):
    """Settings, and for each name in lower case where its value came from, in words."""

    settings: Kind
    sources: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Found:
    text: str
    source: str


@dataclass(frozen=True, slots=True)
class _Sources:
    """What was found, not yet understood; ``problems`` collects whatever is wrong."""

    variables: Mapping[str, str]
    table: Mapping[str, Any]
    path: str
    problems: list[Problem]


def read_settings(
    environ: Mapping[str, str], kind: type[Kind], *, is_terminal: bool | None = None
) -> Configuration[Kind]:
    """The settings as ``kind``: ``Settings``, ``ConsumeSettings`` or ``PollSettings``.

    ``is_terminal`` says whether logs go to a terminal; left out, standard error is asked.

    Raises:
        SettingsError: one line for everything that is missing, misspelt, unreadable, wrong or contradicts another
            setting. No secret is in it.
    """
    sources = _open_sources(environ)
    found = {name: value for name in NAMES if (value := _find(sources, name))}
    defaults = _machine_defaults(environ, is_terminal=sys.stderr.isatty() if is_terminal is None else is_terminal)
    settings = _validate(kind, {name: each.text for name, each in found.items()}, defaults, sources.problems)
    if settings is None or sources.problems:
        raise SettingsError("\n".join(_lines(sources.problems)))
    return Configuration(settings, {name: _source(name, found) for name in NAMES})


def _lines(problems: Iterable[Problem]) -> Iterable[str]:
    # A name in the environment or a TOML key may hold a line break.
    return dict.fromkeys(" ".join(problem.sentence.split()) for problem in problems)


def _open_sources(environ: Mapping[str, str]) -> _Sources:
    variables = {name: value for name, value in environ.items() if not is_service_link(name, value)}
    problems = [Problem((), line) for line in check_variables(variables)]
    path = variables.get(CONFIG, "")
    table = _read_table(path, problems) if path else {}
    problems += [Problem((), f"{path}: {line}") for line in check_keys(table)]
    return _Sources(variables, table, path, problems)


def _read_table(path: str, problems: list[Problem]) -> dict[str, Any]:
    try:
        with Path(path).open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        complaint = f"can't be read: {error.strerror}"
    except UnicodeDecodeError:
        complaint = "is not UTF-8"
    except ValueError as error:
        complaint = f"is not TOML: {error}"
    # Every setting may be in there, so none is called missing.
    problems.append(Problem(NAMES, f"{CONFIG}: {path} {complaint}"))
    return {}


def _find(sources: _Sources, name: str) -> _Found | None:
    """The first source that has something for that name; none where that something is wrong."""
    try:
        return next((found for found in _candidates(sources, name) if found.text or name in _MAY_BE_EMPTY), None)
    except ValueError as error:
        sources.problems.append(Problem((name,), f"{label(name)}: {error}"))
        return None


def _candidates(sources: _Sources, name: str) -> Iterator[_Found]:
    if name.upper() in sources.variables:
        yield _checked(name, sources.variables[name.upper()], "environment")
    if name in SECRETS and (path := _secret_path(sources, f"{name}_file")):
        yield _checked(name, _read_secret(path, f"the file named by {name.upper()}_FILE"), f"file {path}")
    if name in sources.table:
        yield _checked(name, _as_text(sources.table[name], _SEPARATORS.get(name, ",")), sources.path)


def _secret_path(sources: _Sources, name: str) -> str:
    return sources.variables.get(name.upper()) or str(sources.table.get(name, ""))


def _read_secret(path: str, described: str) -> str:
    # The path is not repeated: people have written the secret itself there.
    try:
        with Path(path).open("rb") as file:
            text = file.read(LARGEST_SECRET + 1).decode().rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"{described} can't be read: {error.strerror}") from None
    except ValueError:
        raise ValueError(f"{described} is not UTF-8") from None
    if not 0 < len(text) <= LARGEST_SECRET:
        raise ValueError(f"{described} is {'too large' if text else 'empty'}")
    return text


def _as_text(value: object, separator: str) -> str:
    """A TOML value as it would stand in the environment, so that there is one set of rules."""
    match value:
        case bool():
            return str(value).lower()
        case str() | int():
            return str(value)
        case list() if all(isinstance(item, str) for item in value):
            return separator.join(value)
        case _:
            raise ValueError("a text, a whole number, true, false or a list of texts is expected")


def _checked(name: str, text: str, source: str) -> _Found:
    # A password may begin or end with a blank; a stray line break around anything else does no harm.
    stripped = text if name in SECRETS else text.strip()
    if _UNPRINTABLE.search(stripped):
        raise ValueError("control characters, such as a line break, are not allowed")
    return _Found(stripped, source)


def _machine_defaults(environ: Mapping[str, str], *, is_terminal: bool) -> dict[str, str]:
    return {
        "state_url": f"sqlite:///{_state_folder(environ) / 'journal.db'}",
        "log_format": "console" if is_terminal else "json",
    }


def _state_folder(environ: Mapping[str, str]) -> Path:
    # systemd separates several by colons; a relative XDG folder is to be ignored (Base Directory Specification).
    if folder := environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(folder)
    if (folder := environ.get("XDG_STATE_HOME", "")).startswith("/"):
        return Path(folder) / "countersign"
    return Path(environ.get("HOME") or _home_of_user()) / ".local" / "state" / "countersign"


def _home_of_user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/"


def _validate(
    kind: type[Kind], texts: Mapping[str, str], defaults: Mapping[str, str], problems: list[Problem]
) -> Kind | None:
    chosen = _build(kind, {**defaults, **texts}, problems)
    # What is wrong alone is left out, so that contradictions among the rest are told in the same run.
    failed = {name for problem in problems for name in problem.names}
    rest = {**defaults, **{name: text for name, text in texts.items() if name not in failed}}
    agreeing = Settings.model_validate(rest) if chosen is None else chosen
    problems += [each for each in find_problems(kind, agreeing) if failed.isdisjoint(each.names)]
    return chosen


def _build(kind: type[Kind], texts: Mapping[str, str], problems: list[Problem]) -> Kind | None:
    try:
        return kind.model_validate(texts)
    except ValidationError as error:
        failed = {name for problem in problems for name in problem.names}
        details = error.errors(include_url=False, include_input=False)
        problems += [_explain(each) for each in details if _is_told(each, texts, failed)]
        return None


def _is_told(error: ErrorDetails, texts: Mapping[str, str], failed: Collection[str]) -> bool:
    # A default that follows from what is wrong can't be known: that is no error of its own.
    name = error["loc"][0]
    return name in texts or (error["type"] == "missing" and name not in failed)


def _explain(error: ErrorDetails) -> Problem:
    name = str(error["loc"][0])
    if error["type"] == "missing":
        return Problem((name,), f"{label(name)} is required")
    sentence = error["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    return Problem((name,), f"{label(name)}: {sentence}")


def _source(name: str, found: Mapping[str, _Found]) -> str:
    if name in found:
        return found[name].source
    follows = Settings.model_fields[name].default_factory is not None
    return f"default: {derived_default(name).replace('`', '')}" if follows else "default"
