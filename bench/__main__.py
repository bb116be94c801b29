"""Arguments to measurements, one after the other, and the table: ``python -m bench --help``.

``python -m bench replies --help`` is the inbound half's.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from bench.broker import BrokerError
from bench.contenders import Contender, UnavailableError, chosen
from bench.mailbox import KINDS, missing
from bench.race import Case, Result, run
from bench.replies.command import main as replies
from bench.report import as_json, as_markdown, medians, show


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Ours against what a user would pick instead.")
    known = os.environ.get("BENCH_BROKER_URL") or os.environ.get("TEST_BROKER_URL")
    parser.add_argument(
        "--broker-url", default=known, help="a real RabbitMQ; default BENCH_BROKER_URL, TEST_BROKER_URL"
    )
    parser.add_argument("--events", type=int, default=20_000, help="in the queue before a worker starts")
    parser.add_argument("--log-events", type=int, default=1_000, help="the same where a log is attached")
    parser.add_argument("--only", default="ours,plain,celery,node", help="names, or how they start, with commas")
    parser.add_argument("--delay", type=float, nargs="+", default=[0, 20], help="milliseconds of round trip")
    parser.add_argument("--log", type=int, nargs="+", default=[0, 100_000], help="bytes of log attached")
    parser.add_argument("--sink", default=",".join(KINDS), help="mail servers, with commas")
    parser.add_argument("--seconds", type=float, default=30.0, help="cut a run after so long")
    parser.add_argument("--rounds", type=int, default=1, help="of each case, one after all others; the median counts")
    parser.add_argument("--markdown", type=Path, help="write one table there too")
    parser.add_argument("--json", type=Path, help="write the results there too")
    return parser.parse_args()


def _cases(arguments: argparse.Namespace, contenders: tuple[Contender, ...]) -> Iterator[Case]:
    """Every combination that says something: the log at the first mail server and without delay only."""
    kinds = arguments.sink.split(",")
    settings = [(kind, delay, 0) for delay in arguments.delay for kind in kinds if 0 in arguments.log]
    settings += [(kinds[0], min(arguments.delay), log) for log in arguments.log if log]
    for kind, delay, log in settings:
        if missing(kind):
            continue
        events = arguments.log_events if log else arguments.events
        # Round after round: what else the machine does in a minute then meets all of them.
        for contender in contenders * arguments.rounds:
            yield Case(contender, kind, delay, log, events, arguments.seconds)


def _ready(contenders: tuple[Contender, ...], skipped: dict[str, str]) -> tuple[Contender, ...]:
    for contender in contenders:
        try:
            contender.prepare()
        except UnavailableError as error:
            skipped[contender.name] = str(error)
    return tuple(contender for contender in contenders if contender.name not in skipped)


def _measure(cases: Iterator[Case], broker: str, console: Console) -> Iterator[Result]:
    for case in cases:
        result = run(case, broker)
        where = f"{case.kind}, {case.delay:g} ms, {case.log_bytes} B log"
        console.print(
            f"[dim]{case.contender.name}: {where}: {result.rate:,.0f} mails/s {'; '.join(result.faults)}[/dim]"
        )
        yield result


def _write(arguments: argparse.Namespace, results: list[Result]) -> None:
    if arguments.json:
        arguments.json.write_text(json.dumps(as_json(results), indent=1) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(as_markdown(results))


def main() -> int:
    """Measure what the command line asks for; 1 when a mail was lost or came twice."""
    if sys.argv[1:2] == ["replies"]:
        return replies(sys.argv[2:])
    arguments = _arguments()
    if not arguments.broker_url:
        print("python -m bench: no broker: give --broker-url or set BENCH_BROKER_URL", file=sys.stderr)
        return 2
    console = Console(width=None if sys.stdout.isatty() else 140)
    skipped: dict[str, str] = {}
    contenders = _ready(chosen(arguments.only.split(",")), skipped)
    try:
        results = medians(_measure(_cases(arguments, contenders), arguments.broker_url, console))
    except BrokerError as error:
        print(f"python -m bench: {error}", file=sys.stderr)
        return 1
    show(console, results, skipped)
    _write(arguments, results)
    return 1 if any(result.faults for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
