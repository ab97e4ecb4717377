"""Start the servers, check their answers, drive them in interleaved rounds, print the table and the verdict."""

import argparse
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.http.cases import CASES
from benchmarks.http.chart import chart
from benchmarks.http.figures import FiguresError, Run, read, write
from benchmarks.http.goals import GOALS
from benchmarks.http.load import LoadError
from benchmarks.http.machine import facts
from benchmarks.http.measure import Plan, measure
from benchmarks.http.processes import ServerError
from benchmarks.http.report import Measured, ratio, table, verdict
from benchmarks.http.servers import Server, own_servers
from benchmarks.peers.environments import EnvironmentFailure, is_made, make
from benchmarks.peers.services import FOLDERS, PEERS

CASE_NAMES = [case.name for case in CASES]
SERVER_NAMES = [server.name for server in (*own_servers("gradwire"), *PEERS)]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http", description=__doc__)
    parser.add_argument("--rounds", type=_positive, default=3, help="measurements of each server (default %(default)s)")
    parser.add_argument("--seconds", type=_positive, default=5, help="length of a measurement (default %(default)s)")
    parser.add_argument("--connections", type=_positive, nargs="+", default=[1, 16], help="default: 1 16")
    parser.add_argument(
        "--case", choices=CASE_NAMES, nargs="+", default=CASE_NAMES, metavar="CASE", help=_listed(CASE_NAMES)
    )
    parser.add_argument(
        "--server", choices=SERVER_NAMES, nargs="+", default=SERVER_NAMES, metavar="SERVER", help=_listed(SERVER_NAMES)
    )
    parser.add_argument("--peers", action="store_true", help="make the environments of peers that lack one (gigabytes)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw figures there, after each round")
    parser.add_argument(
        "--from",
        type=Path,
        metavar="FILE",
        dest="source",
        help="measure nothing: report on such a file, whole or in part",
    )
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw the figures at 16 connections there, as SVG")
    parser.add_argument(
        "--gradwire-command",
        default=str(Path(sys.executable).with_name("gradwire")),
        help="followed by `serve --host 127.0.0.1 --port PORT` (default: the one beside this Python)",
    )
    parser.add_argument("--check", action="store_true", help="end with code 1 if a goal that was measured is missed")
    return parser.parse_args(arguments)


def _listed(names: Sequence[str]) -> str:
    return f"any of {shlex.join(names)} (default: all)"


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def chosen(options: argparse.Namespace) -> Iterator[Server]:
    """The servers that are asked for and can run; says which peers are left out."""
    for server in (*own_servers(options.gradwire_command), *PEERS):
        if server.name not in options.server:
            continue
        folder = FOLDERS.get(server.name)
        if folder is not None and not is_made(folder):
            if not options.peers:
                print(f"{server.name} is left out: it has no environment yet (--peers makes it)", file=sys.stderr)
                continue
            print(f"making the environment of {server.name}", file=sys.stderr)
            make(folder)
        yield server


def run(options: argparse.Namespace) -> Run:
    """Measure what is asked for; with `--json`, the figures so far are in that file after each round."""
    with tempfile.TemporaryDirectory(prefix="gradwire-") as folder:
        servers = list(chosen(options))
        machine = facts([server.name for server in servers])
        cases = [case for case in CASES if case.name in options.case]
        plan = Plan(cases, servers, options.connections, options.rounds, options.seconds)

        def figures(measured: Measured, *, complete: bool) -> Run:
            return Run(machine, options.rounds, options.seconds, complete, measured)

        def keep(measured: Measured) -> None:
            if options.json is not None:
                write(options.json, figures(measured, complete=False))

        return figures(measure(plan, Path(folder), keep), complete=True)


def report(found: Run) -> None:
    print(", ".join(f"{name} {value}" for name, value in found.machine.items()) + ".")
    if found.complete:
        print(f"Medians of {found.rounds} interleaved rounds of {found.seconds} s.\n")
    else:
        print("Partial: the run ended early. What it had not reached is missing.")
        print(f"Medians of up to {found.rounds} interleaved rounds of {found.seconds} s.\n")
    print(table(found.measured))
    print(f"\n{verdict(found.measured, GOALS)}")


def main() -> int:
    options = parse()
    if options.source is None and shutil.which("wrk") is None:
        print("wrk is not installed (Debian: apt-get install wrk)", file=sys.stderr)
        return 2
    # Python ends at once on SIGTERM; as an exception it lets the servers be stopped first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        found = read(options.source) if options.source else run(options)
    except (EnvironmentFailure, FiguresError, ServerError, LoadError, OSError) as failure:
        print(f"failed: {failure}", file=sys.stderr)
        return 2
    if options.json is not None:
        write(options.json, found)
    report(found)
    if options.chart is not None:
        options.chart.write_text(chart(found.measured))
    ratios = [(goal, ratio(found.measured, goal)) for goal in GOALS]
    missed = any(figure is not None and not goal.is_met(figure) for goal, figure in ratios)
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
