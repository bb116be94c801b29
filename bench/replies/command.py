"""Arguments to measurements of the inbound half, one after the other, and the table."""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.broker import BrokerError
from bench.replies.contenders import Contender, chosen
from bench.replies.folder import NoDovecotError, dovecot
from bench.replies.race import Result, Stock, run, stock
from bench.report import machine

GOAL = 400.0
"""Replies a second, ours, in one process."""
OURS, PEER = "ours", "plain loop"


def _arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench replies", description="Replies in a folder to decisions.")
    known = os.environ.get("BENCH_BROKER_URL") or os.environ.get("TEST_BROKER_URL")
    parser.add_argument(
        "--broker-url", default=known, help="a real RabbitMQ; default BENCH_BROKER_URL, TEST_BROKER_URL"
    )
    parser.add_argument("--replies", type=int, default=5_000, help="in the folder before a poller starts")
    parser.add_argument("--only", default="ours,plain,mail_room", help="names, or how they start, with commas")
    parser.add_argument("--seconds", type=float, default=120.0, help="cut a run after so long")
    parser.add_argument("--rounds", type=int, default=1, help="of each, one after all others; the median counts")
    parser.add_argument("--markdown", type=Path, help="write one table there too")
    return parser.parse_args(given)


def main(given: Sequence[str]) -> int:
    """Measure what the command line asks for; 1 when a reply was lost, or decided twice or wrong."""
    arguments = _arguments(given)
    if not arguments.broker_url:
        print("python -m bench replies: no broker: give --broker-url or set BENCH_BROKER_URL", file=sys.stderr)
        return 2
    console = Console(width=None if sys.stdout.isatty() else 140)
    contenders = chosen(arguments.only.split(","))
    skipped = {one.name: reason for one in contenders if (reason := one.missing())}
    try:
        results = _medians(_measure(arguments, [one for one in contenders if one.name not in skipped], console))
    except (BrokerError, NoDovecotError) as error:
        print(f"python -m bench replies: {error}", file=sys.stderr)
        return 1
    _show(console, results, skipped)
    if arguments.markdown:
        arguments.markdown.write_text(_markdown(results))
    return 1 if any(result.faults for result in results) else 0


def _measure(arguments: argparse.Namespace, contenders: list[Contender], console: Console) -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as folder, dovecot() as server:
        replies = stock(arguments.replies, Path(folder))
        console.print(f"[dim]{_described(replies)}[/dim]")
        # Round after round: what else the machine does in a minute then meets all of them.
        for contender in contenders * arguments.rounds:
            result = run(contender, replies, server, arguments.broker_url, arguments.seconds)
            console.print(f"[dim]{contender.name}: {result.rate:,.0f} replies/s {'; '.join(result.faults)}[/dim]")
            yield result


def _described(replies: Stock) -> str:
    size = sum(map(len, replies.mails)) / max(1, len(replies.mails)) / 1000
    return f"{len(replies.mails):,} replies of {size:.1f} kB"


def _medians(results: Iterable[Result]) -> list[Result]:
    """Of each contender's rounds the middle one by speed (of two the slower); one with a fault before any other."""
    rounds: dict[str, list[Result]] = {}
    for result in results:
        rounds.setdefault(result.name, []).append(result)
    return [next((one for one in several if one.faults), _middle(several)) for several in rounds.values()]


def _middle(several: list[Result]) -> Result:
    return sorted(several, key=lambda one: one.rate)[(len(several) - 1) // 2]


def _show(console: Console, results: list[Result], skipped: Mapping[str, str]) -> None:
    table = Table("poller", title="replies to decisions", title_justify="left")
    for name in ("replies", "replies/s", f"x {PEER}", "CPU us/reply", "peak MiB"):
        table.add_column(name, justify="right")
    table.add_column("")
    for result in results:
        table.add_row(*_cells(result, results), _remarks(result))
    console.print(table)
    for result in results:
        if result.name == OURS:
            word = "[green]met   [/green]" if result.rate >= GOAL else "[red]missed[/red]"
            console.print(f"{word} {result.rate:,.0f} replies a second, goal {GOAL:g}")
    for name, reason in skipped.items():
        console.print(f"{name} did not run: {reason}")
    console.print(f"[dim]{machine()}, load {os.getloadavg()[0]:.1f}[/dim]")


def _cells(result: Result, results: list[Result]) -> tuple[str, ...]:
    usual = next((one.rate for one in results if one.name == PEER), 0.0)
    ratio = f"{result.rate / usual:.1f}" if usual else ""
    return result.name, f"{result.replies:,}", f"{result.rate:,.0f}", ratio, f"{result.cpu:,.0f}", f"{result.peak:,.0f}"


def _remarks(result: Result) -> str:
    return "; ".join([*result.faults, *([f"cut at {result.seconds:.0f} s"] if result.cut else [])])


def _markdown(results: list[Result]) -> str:
    head = f"| poller | replies | replies/s | x {PEER} | CPU us/reply | peak MiB |\n|---|--:|--:|--:|--:|--:|\n"
    return head + "".join(f"| {' | '.join(_cells(result, results))} |\n" for result in results)
