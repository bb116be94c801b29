"""A ``Configuration`` to what `countersign settings` prints: a row a setting, secrets masked."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from types import UnionType
from typing import Any

from pydantic import SecretBytes, SecretStr
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.events import Person
from worker.settings.model import NAMES, Settings, flexdeploy_property
from worker.settings.sources import Configuration
from worker.settings.values import MASK, show_duration, show_size

HEADINGS = ("Setting", "Value", "Source", "FlexDeploy property")


_SHOWN: tuple[tuple[type | UnionType, Callable[[Any], str]], ...] = (
    (bool, lambda switch: str(switch).lower()),
    (SecretStr | SecretBytes, lambda _: MASK),
    (timedelta, show_duration),
    (Person, lambda person: f"{person.name} <{person.email}>" if person.name else person.email),
    (frozenset, lambda names: ",".join(sorted(names))),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One setting as it is in effect. ``value`` is safe to show."""

    name: str
    value: str
    source: str
    flexdeploy: str

    def cells(self) -> tuple[str, str, str, str]:
        """The row from left to right."""
        return self.name, self.value, self.source, self.flexdeploy


def describe(configuration: Configuration[Settings]) -> list[Row]:
    """A row for every setting, in the order of the page."""
    return [
        Row(
            name.upper(),
            show_value(name, getattr(configuration.settings, name)),
            configuration.sources[name],
            flexdeploy_property(name),
        )
        for name in NAMES
    ]


def show_settings(configuration: Configuration[Settings], console: Console) -> None:
    """Print a table on a terminal; elsewhere a line a setting, columns aligned, nothing cut or wrapped."""
    rows = [row.cells() for row in describe(configuration)]
    if console.is_terminal:
        console.print(_table(rows))
    else:
        for line in _aligned([HEADINGS, *rows]):
            # Not print: that wraps at 80 columns and takes square brackets for markup.
            console.out(line, highlight=False)


def _table(rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(*HEADINGS)
    for column in table.columns:
        column.overflow = "fold"
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _aligned(rows: list[tuple[str, ...]]) -> Iterable[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def show_value(name: str, value: Any) -> str:
    """The value as it could be written, a secret masked, nothing as ``none``."""
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return (";" if name == "broker_url" else ",").join(show_value(name, item) for item in value)
    if name.endswith("_bytes"):
        return show_size(value)
    shown = next((show(value) for kind, show in _SHOWN if isinstance(value, kind)), str(value))
    return shown or "(empty)"
