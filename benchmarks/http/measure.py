"""The measurement: answers held against torch's, then interleaved rounds, one server awake at a time."""

import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.http.cases import Answer, Case, problems, torch_answer
from benchmarks.http.load import LoadError, Post, Sample, Target, drive, warm_up
from benchmarks.http.processes import Running, ServerError, post, running
from benchmarks.http.servers import SUBJECT, Server

WARM_UP_SECONDS = 1
LOG_CHARACTERS = 4_000

Rounds = dict[tuple[str, int, str], list[Sample]]


@dataclass(frozen=True)
class Plan:
    """What is measured: `seconds` is the length of a round."""

    cases: Sequence[Case]
    servers: Sequence[Server]
    connections: Sequence[int]
    rounds: int
    seconds: int


def measure(plan: Plan, folder: Path, keep: Callable[[Rounds], None]) -> Rounds:
    """Run everything, with files in `folder`; on failure the servers' logs go to standard error.

    `keep` is given all that was measured so far after each round, so that a failure does not lose it.
    """
    try:
        with ExitStack() as stack:
            started = [stack.enter_context(running(server, folder)) for server in plan.servers]
            targets = {case.name: _targets(case, started, folder) for case in plan.cases}
            for one in started:
                one.signal(signal.SIGSTOP)
            return _rounds(plan, targets, keep)
    except (ServerError, LoadError, OSError):
        for log in folder.glob("*.log"):
            text = log.read_text(errors="replace")[-LOG_CHARACTERS:]
            print(f"--- {log.stem}'s log ---\n{text}", file=sys.stderr)
        raise


def _rounds(plan: Plan, targets: dict[str, list[Target]], keep: Callable[[Rounds], None]) -> Rounds:
    measured: Rounds = {}
    for case in plan.cases:
        for connections in plan.connections:
            for number in range(plan.rounds):
                # Server after server within each round, so that a slow minute of the machine strikes all alike.
                for target in targets[case.name]:
                    name = target.running.server.name
                    print(f"{case.title}, {connections}: round {number + 1}, {name}", file=sys.stderr)
                    with target.running.awake():
                        warm_up(target, connections, WARM_UP_SECONDS)
                        sample = drive(target, connections, plan.seconds)
                    measured.setdefault((case.name, connections, name), []).append(sample)
                keep(measured)
    return measured


def _targets(case: Case, everyone: Sequence[Running], folder: Path) -> list[Target]:
    """Every server that speaks the case's form."""
    lengths: list[int] = []
    found = []
    for one in everyone:
        if case.form in one.server.dialects:
            found.append(checked_target(case, one, folder, lengths))
            if one.server.name == SUBJECT:
                lengths = [post.answer_bytes for post in found[-1].posts]
    return found


def checked_target(case: Case, one: Running, folder: Path, lengths: Sequence[int] = ()) -> Target:
    """Ask once for each call of the case and check the answers; bodies go into `folder`.

    `lengths` are those of Gradwire's answers, for the echo; without them it answers as many bytes as it is sent.
    """
    dialect = one.server.dialects[case.form]
    posts = []
    for place, call in enumerate(case.calls):
        asked = problems(call)
        sent = dialect.encode(asked)
        length = lengths[place] if lengths else len(sent)
        path = dialect.path.format(answer_bytes=length)
        answer = post(one, path, dialect.headers, sent)
        if dialect.decode is not None:
            expected = [torch_answer(problem) for problem in asked]
            _check(f"{one.server.name} answers {case.title} wrongly", dialect.decode(answer), expected)
        elif len(answer) != length:
            raise ServerError(f"{one.server.name} answered {len(answer)} bytes to {case.title}, not {length}")
        body = folder / f"{case.name}.{place}.{one.server.name}.body"
        body.write_bytes(sent)
        posts.append(Post(path, body, len(answer)))
    return Target(one, dialect.headers, tuple(posts))


def _check(complaint: str, answers: Sequence[Answer], expected: Sequence[Answer]) -> None:
    if len(answers) != len(expected):
        raise ServerError(f"{complaint}: {len(answers)} answers to {len(expected)} losses")
    for answer, right in zip(answers, expected, strict=True):
        try:
            # Tiny gradients are held to 1e-8 instead: they are differences of nearly equal float32 numbers.
            np.testing.assert_allclose(answer.loss, right.loss, rtol=1e-5)
            np.testing.assert_allclose(answer.gradient.ravel(), right.gradient.ravel(), rtol=1e-5, atol=1e-8)
        except AssertionError as difference:
            raise ServerError(f"{complaint}: {difference}") from difference
