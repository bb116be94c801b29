"""Results to a table, ratios, and whether each goal is met."""

import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.race import Result

Setting = tuple[str, float, int]

OURS = "ours depth 64"
PEAK_MIB = 120.0


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
    peaks = [one.peak for group in grouped.values() for one in group if one.case.contender.name.startswith("ours")]
    if peaks:
        yield f"{_word(max(peaks) < PEAK_MIB)} peak memory {max(peaks):.0f} MiB, goal under {PEAK_MIB:.0f}"


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


def machine() -> str:
    """The machine, as far as it matters."""
    return f"{_processor()}, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - a device, not a path to work with
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(models)} x {models[0] if models else platform.machine()}"
