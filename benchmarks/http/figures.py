"""Raw figures in a file: written while a run goes on, and read back to report on."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from benchmarks.http.goals import GOALS
from benchmarks.http.load import Sample
from benchmarks.http.report import LOSSES_A_CALL, Measured, ratio


class FiguresError(Exception):
    """A file holds no figures of a run."""


@dataclass(frozen=True)
class Run:
    """What was measured: in up to `rounds` rounds of `seconds` each; in all of them if it is complete."""

    machine: dict[str, str]
    rounds: int
    seconds: int
    complete: bool
    measured: Measured


def write(path: Path, run: Run) -> None:
    """In one piece: whenever the run ends, the file holds whole rounds."""
    samples = [
        {
            "case": case,
            "connections": connections,
            "server": server,
            "round": number,
            "losses_a_call": LOSSES_A_CALL[case],
            **asdict(sample),
        }
        for (case, connections, server), rounds in run.measured.items()
        for number, sample in enumerate(rounds, 1)
    ]
    written = {
        "machine": run.machine,
        "rounds": run.rounds,
        "seconds": run.seconds,
        "complete": run.complete,
        "samples": samples,
        "goals": [{**asdict(goal), "ratio": ratio(run.measured, goal)} for goal in GOALS],
    }
    beside = path.with_name(f"{path.name}.part")
    beside.write_text(json.dumps(written, indent=1) + "\n")
    beside.replace(path)


def read(path: Path) -> Run:
    """What a run wrote, whole or in part; raises `FiguresError`, and `OSError`."""
    try:
        written = json.loads(path.read_text())
        measured: dict[tuple[str, int, str], list[Sample]] = {}
        for row in written["samples"]:
            figures = {figure.name: row[figure.name] for figure in fields(Sample)}
            measured.setdefault((row["case"], row["connections"], row["server"]), []).append(Sample(**figures))
        return Run(written["machine"], written["rounds"], written["seconds"], written["complete"], measured)
    except (ValueError, KeyError, TypeError) as error:
        raise FiguresError(f"{path} holds no figures of a run: {error!r}") from error
