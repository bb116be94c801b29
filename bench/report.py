"""Results to a table, ratios, and whether each goal is met."""

import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.race import Case, Result

Setting = tuple[str, float, int]

OURS = "ours depth 64"
BUILT_IN = "ours built-in"
PEAK_MIB = 120.0
# Base64 is longer than quoted-printable by less than that, another template is not.
LIKE = 1.5


@dataclass(frozen=True, slots=True)
class Goal:
    """At least ``factor`` times as fast as ``peer`` with that delay, at the mail servers of those kinds."""

    peer: str
    factor: float
    delay: float
    kinds: tuple[str, ...]


GOALS = (
    Goal("plain", 15, 0, ("chunking", "pipelining", "smtp-sink")),
    Goal("node", 5, 0, ("chunking", "pipelining", "smtp-sink")),
    Goal("plain", 40, 20, ("chunking",)),
    Goal("plain", 8, 20, ("pipelining", "smtp-sink")),
)


def setting(result: Result) -> Setting:
    """What is equal for those that are compared: mail server, delay, log."""
    return result.case.kind, result.case.delay, result.case.log_bytes


def show(console: Console, results: Iterable[Result], skipped: Mapping[str, str]) -> None:
    """One table a setting, then the goals, then who did not run and why."""
    grouped: dict[Setting, list[Result]] = {}
    for result in results:
        grouped.setdefault(setting(result), []).append(result)
    for group in grouped.values():
        console.print(_table(group))
    for line in _verdicts(grouped):
        console.print(line)
    for name, reason in skipped.items():
        console.print(f"{name} did not run: {reason}")
    console.print(f"[dim]{machine()}[/dim]")


def _table(group: list[Result]) -> Table:
    kind, delay, log_bytes = setting(group[0])
    title = f"{kind}, {delay:g} ms round trip" + (f", {log_bytes / 1000:g} kB log" if log_bytes else "")
    table = Table(title=title, title_justify="left")
    table.add_column("worker")
    names = "mails", "mails/s", "from start", "x plain", "x node", "CPU us/mail", "peak MiB", "kB/mail"
    for name in names:
        table.add_column(name, justify="right")
    table.add_column("")
    rates = {result.case.contender.name: result.rate for result in group}
    for result in group:
        table.add_row(*_cells(result, rates))
    return table


def _cells(result: Result, rates: Mapping[str, float]) -> Iterator[str]:
    yield result.case.contender.name
    yield f"{result.mails:,}"
    yield f"{result.rate:,.0f}"
    yield f"{result.rate_from_start:,.0f}"
    for peer in ("plain", "node"):
        yield f"{result.rate / rates[peer]:.1f}" if rates.get(peer) else ""
    yield f"{result.cpu:,.0f}"
    yield f"{result.peak:,.0f}"
    yield f"{result.mail_bytes / 1000:.1f}" if result.mail_bytes else ""
    yield "; ".join([*result.faults, *([f"cut at {result.case.seconds:g} s"] if result.cut else [])])


def _verdicts(grouped: Mapping[Setting, list[Result]]) -> Iterator[str]:
    for goal in GOALS:
        for kind in goal.kinds:
            rates = {one.case.contender.name: one.rate for one in grouped.get((kind, goal.delay, 0), ())}
            if OURS in rates and rates.get(goal.peer):
                yield _verdict(goal, kind, rates[OURS] / rates[goal.peer])
    yield from _peak([one for group in grouped.values() for one in group])
    for place, group in grouped.items():
        for name, size in _odd_sizes(group):
            where = f"{place[0]}, {place[1]:g} ms"
            yield f"[yellow]unequal[/yellow] {where}: {name} sent {size / 1000:.1f} kB a mail, not the others' words"


def _peak(results: Iterable[Result]) -> Iterator[str]:
    peaks = [one.peak for one in results if one.case.contender.name.startswith("ours")]
    if peaks:
        yield f"{_word(max(peaks) < PEAK_MIB)} peak memory {max(peaks):.0f} MiB, goal under {PEAK_MIB:.0f}"


def _odd_sizes(group: Iterable[Result]) -> Iterator[tuple[str, int]]:
    """Who sent mails of another size than the plain worker, encodings allowed for, and should not have."""
    sizes = {one.case.contender.name: one.mail_bytes for one in group if one.mail_bytes}
    usual = sizes.get("plain", 0)
    for name, size in sizes.items():
        if usual and name != BUILT_IN and not usual / LIKE < size < usual * LIKE:
            yield name, size


def _verdict(goal: Goal, kind: str, ratio: float) -> str:
    where = f"{kind}, {goal.delay:g} ms"
    return f"{_word(ratio >= goal.factor)} {where}: {ratio:.1f} times {goal.peer}, goal {goal.factor:g}"


def _word(met: bool) -> str:  # noqa: FBT001 - the only argument
    return "[green]met   [/green]" if met else "[red]missed[/red]"


def as_json(results: Iterable[Result]) -> list[dict[str, Any]]:
    """The results as plain values."""
    return [
        {
            "worker": one.case.contender.name,
            "server": one.case.kind,
            "delay_ms": one.case.delay,
            "log_bytes": one.case.log_bytes,
            "mails": one.mails,
            "mails_per_second": round(one.rate, 1),
            "mails_per_second_from_start": round(one.rate_from_start, 1),
            "cpu_us_per_mail": round(one.cpu, 1),
            "peak_mib": round(one.peak, 1),
            "mail_bytes": one.mail_bytes,
            "cut": one.cut,
            "faults": list(one.faults),
        }
        for one in results
    ]


def as_markdown(results: Iterable[Result]) -> str:
    """The results as one table for README.md."""
    head = "| mail server | round trip | log | worker | mails/s | CPU us/mail | peak MiB |\n"
    return head + "|---|--:|--:|---|--:|--:|--:|\n" + "".join(f"| {' | '.join(_row(one))} |\n" for one in results)


def _row(one: Result) -> tuple[str, ...]:
    kind, delay, log_bytes = setting(one)
    log = f"{log_bytes / 1000:g} kB" if log_bytes else ""
    figures = f"{one.rate:,.0f}", f"{one.cpu:,.0f}", f"{one.peak:,.0f}"
    return kind, f"{delay:g} ms", log, one.case.contender.name, *figures


def medians(results: Iterable[Result]) -> list[Result]:
    """Of each case's rounds the middle one by speed (of two the slower); one with a fault before any other."""
    rounds: dict[Case, list[Result]] = {}
    for result in results:
        rounds.setdefault(result.case, []).append(result)
    return [next((one for one in several if one.faults), _middle(several)) for several in rounds.values()]


def _middle(several: list[Result]) -> Result:
    return sorted(several, key=lambda one: one.rate)[(len(several) - 1) // 2]


def machine() -> str:
    """The machine, as far as it matters."""
    return f"{_processor()}, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - a device, not a path to work with
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(models)} x {models[0] if models else platform.machine()}"
