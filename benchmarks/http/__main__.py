"""Start the servers, check their answers, drive them in interleaved rounds, print the table and the verdict."""

import argparse
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.http.cases import CASES, Case, problem, torch_answer
from benchmarks.http.goals import GOALS
from benchmarks.http.load import LoadError, Sample, Target, drive
from benchmarks.http.machine import facts
from benchmarks.http.report import ratio, table, verdict
from benchmarks.http.servers import Running, ServerError, post, running, servers

WARM_UP_SECONDS = 1
LOG_CHARACTERS = 4_000

Rounds = dict[tuple[str, int, str], list[Sample]]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http", description=__doc__)
    parser.add_argument("--rounds", type=_positive, default=3, help="measurements of each server (default %(default)s)")
    parser.add_argument("--seconds", type=_positive, default=5, help="length of a measurement (default %(default)s)")
    parser.add_argument("--connections", type=_positive, nargs="+", default=[1, 16], help="default: 1 16")
    parser.add_argument("--case", choices=[case.name for case in CASES], nargs="+", help="default: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw figures there")
    parser.add_argument(
        "--gradwire-command",
        default=str(Path(sys.executable).with_name("gradwire")),
        help="followed by `serve --host 127.0.0.1 --port PORT` (default: the one beside this Python)",
    )
    parser.add_argument("--check", action="store_true", help="end with code 1 if a goal that was measured is missed")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def targets(case: Case, everyone: Sequence[Running], folder: Path) -> list[Target]:
    """Ask every server that speaks the case's form once and hold its answer against torch's; say where to post."""
    asked = problem(case)
    expected = torch_answer(asked)
    answer_bytes = 0
    found = []
    for one in everyone:
        dialect = one.server.dialects.get(case.form)
        if dialect is None:
            continue
        sent = dialect.encode(asked)
        path = dialect.path.format(answer_bytes=answer_bytes)
        raw = post(one, path, dialect.headers, sent)
        if dialect.decode is None:
            if len(raw) != answer_bytes:
                raise ServerError(f"{one.server.name} answered {len(raw)} bytes to {case.title}, not {answer_bytes}")
        else:
            answer = dialect.decode(raw)
            try:
                # Tiny gradients are held to 1e-8 instead: they are differences of nearly equal float32 numbers.
                np.testing.assert_allclose(answer.loss, expected.loss, rtol=1e-5)
                np.testing.assert_allclose(answer.gradient, expected.gradient, rtol=1e-5, atol=1e-8)
            except AssertionError as difference:
                raise ServerError(f"{one.server.name} answers {case.title} wrongly: {difference}") from difference
        answer_bytes = answer_bytes or len(raw)
        body = folder / f"{case.name}.{one.server.name}.body"
        body.write_bytes(sent)
        found.append(Target(one.server.name, one.origin + path, dialect.headers, body, one.process.pid))
    return found


def measure(options: argparse.Namespace, cases: Sequence[Case], folder: Path) -> Rounds:
    """Run everything; on failure the servers' logs go to standard error."""
    measured: Rounds = {}
    everyone: list[Path] = []
    try:
        with ExitStack() as stack:
            started = []
            for server in servers(options.gradwire_command):
                everyone.append(folder / f"{server.name}.log")
                started.append(stack.enter_context(running(server, folder)))
            asked = {case.name: targets(case, started, folder) for case in cases}
            for case in cases:
                for connections in options.connections:
                    for number in range(options.rounds):
                        # Server after server within each round, so that a slow minute of the machine strikes all alike.
                        for target in asked[case.name]:
                            print(f"{case.title}, {connections}: round {number + 1}, {target.name}", file=sys.stderr)
                            drive(target, connections, WARM_UP_SECONDS)
                            sample = drive(target, connections, options.seconds)
                            measured.setdefault((case.name, connections, target.name), []).append(sample)
    except (ServerError, LoadError, OSError):
        for log in everyone:
            if log.exists():
                text = log.read_text(errors="replace")[-LOG_CHARACTERS:]
                print(f"--- {log.stem}'s log ---\n{text}", file=sys.stderr)
        raise
    return measured


def raw(measured: Rounds, options: argparse.Namespace, machine: dict[str, str]) -> dict[str, object]:
    return {
        "machine": machine,
        "seconds": options.seconds,
        "samples": [
            {"case": case, "connections": connections, "server": server, "round": number, **asdict(sample)}
            for (case, connections, server), rounds in measured.items()
            for number, sample in enumerate(rounds, 1)
        ],
        "goals": [{**asdict(goal), "ratio": ratio(measured, goal)} for goal in GOALS],
    }


def main() -> int:
    options = parse()
    if shutil.which("wrk") is None:
        print("wrk is not installed (Debian: apt-get install wrk)", file=sys.stderr)
        return 2
    # Python ends at once on SIGTERM; as an exception it lets the servers be stopped first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cases = [case for case in CASES if options.case is None or case.name in options.case]
    machine = facts()
    with tempfile.TemporaryDirectory(prefix="gradwire-benchmark-") as folder:
        try:
            measured = measure(options, cases, Path(folder))
        except (ServerError, LoadError, OSError) as failure:
            print(f"failed: {failure}", file=sys.stderr)
            return 2
    print(", ".join(f"{name} {value}" for name, value in machine.items()) + ".")
    print(f"Medians of {options.rounds} interleaved rounds of {options.seconds} s; one process a server.\n")
    print(table(measured, cases))
    print(f"\n{verdict(measured, GOALS, CASES)}")
    if options.json is not None:
        options.json.write_text(json.dumps(raw(measured, options, machine), indent=1) + "\n")
    ratios = [(goal, ratio(measured, goal)) for goal in GOALS]
    missed = any(found is not None and not goal.is_met(found) for goal, found in ratios)
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
