"""However often the command is broken off, in the end every row has been taken once."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from service.evaluate.evaluation import Evaluation
from tests.evaluate.conftest import Run
from tests.evaluate.standin import StandIn
from tests.serving import COMMAND, environment

ROWS = 1000
INPUT = np.random.default_rng(5).normal(size=ROWS)
TARGET = np.random.default_rng(6).normal(size=ROWS)
MSE = ("--loss", "mse_loss", "--batch-size", "50")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    np.savez_compressed(tmp_path / "a.npz", input=INPUT, target=TARGET)
    return tmp_path / "a.npz"


@pytest.fixture
def _heeded() -> Iterator[None]:
    """SIGINT has its usual effect: tests that a shell runs in the background begin with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_heeded")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_a_command_that_was_broken_off_goes_on(
    sent: signal.Signals, code: int, file: Path, run: Run, standin: StandIn
) -> None:
    standin.held_after = 5
    command = [COMMAND, "evaluate", str(file), *MSE, "--server", standin.url]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment()) as process:
        assert standin.holding.wait(60)
        process.send_signal(sent)
        _, told = process.communicate()
    assert process.returncode == code, told
    if sent == signal.SIGINT:
        assert f"interrupted\ngradwire: what was sent is in run {standin.run()}; the same command goes on" in told
    before = set(standin.batches[standin.run()])
    assert len(before) >= 5
    assert not standin.sealed
    standin.held_after = None
    standin.go.set()
    calls = len(standin.calls)
    run(file, *MSE)
    np.testing.assert_array_equal(standin.rows("input"), INPUT)
    np.testing.assert_array_equal(standin.rows("target"), TARGET)
    assert standin.calls[calls:].count("POST batches") == 20 - len(before)
    assert standin.sealed == {standin.run()}


def test_what_is_done_is_only_reported(file: Path, run: Run, standin: StandIn) -> None:
    first = run(file, *MSE)
    calls = len(standin.calls)
    assert run(file, *MSE).stdout == first.stdout
    assert not {"POST batches", "PATCH"} & set(standin.calls[calls:])


def test_the_whole_command_again_asks_for_its_run_of_a_renamed_file(file: Path, run: Run, standin: StandIn) -> None:
    run(file, *MSE)
    run(file.rename(file.with_name("b.npz")), *MSE)
    assert len(standin.specs) == 1


@pytest.mark.parametrize(
    "other",
    [("--option", "delta=2"), ("--batch-size", "60"), ("--input", "target"), ("--name", "n"), ("--dtype", "float32")],
)
def test_what_is_evaluated_otherwise_is_another_run(
    other: tuple[str, str], file: Path, run: Run, standin: StandIn
) -> None:
    huber = ("--loss", "huber_loss")
    run(file, *huber)
    run(file, *huber, *other)
    assert len(standin.specs) == 2


def test_the_order_of_tags_and_options_is_no_other_run(file: Path, run: Run, standin: StandIn) -> None:
    tags, options = ("--tag=a=1", "--tag=b=2"), ("--option=beta=2", "--option=tau=1")
    for told in ((*tags, *options), (*tags[::-1], *options[::-1])):
        run(file, "--loss", "huber_loss", *told)
    spec = standin.specs[standin.run()]
    assert (list(spec["tags"]), list(spec["options"])) == (["a", "b"], ["beta", "tau"])


def test_an_edited_file_is_another_run(file: Path, run: Run, standin: StandIn) -> None:
    run(file, *MSE)
    np.savez_compressed(file, input=INPUT, target=INPUT)
    run(file, *MSE)
    assert len(standin.specs) == 2


def test_gaps_are_filled(file: Path, run: Run, standin: StandIn) -> None:
    run(file, *MSE, "--no-seal")
    batches = standin.batches[standin.run()]
    gone = sorted(batches)[7], sorted(batches)[12]
    for name in gone:
        del batches[name]
    calls = len(standin.calls)
    run(file, *MSE, "--no-seal")
    np.testing.assert_array_equal(standin.rows("input"), INPUT)
    assert standin.calls[calls:].count("POST batches") == 2
    assert not standin.sealed


def test_many_commands_fill_one_run(file: Path, run: Run, standin: StandIn) -> None:
    run(file, *MSE, "--no-seal")
    other = file.with_name("b.npz")
    np.savez(other, input=TARGET, target=TARGET)
    run(other, "--run", standin.run())
    assert sorted(standin.rows("input")) == sorted([*INPUT, *TARGET])
    assert standin.sealed == {standin.run()}


@pytest.mark.parametrize("other", [("--batch-size", "60"), ("--input", "target", "--batch-size", "50")])
def test_rows_that_would_count_twice_are_refused(
    other: tuple[str, ...], file: Path, run: Run, standin: StandIn
) -> None:
    run(file, *MSE, "--no-seal")
    assert "they would count twice" in run(file, "--run", standin.run(), *other, exits=2).stderr
    assert len(standin.taken()) == 20


def test_a_sealed_run_that_lacks_rows_fails(file: Path, run: Run, standin: StandIn) -> None:
    run(file, *MSE)
    del standin.batches[standin.run()][sorted(standin.batches[standin.run()])[3]]
    told = run(file, *MSE, exits=3).stderr
    assert f"is sealed, and lacks rows 150 to 199 of {file}" in told


def test_another_loss_than_the_runs_is_wrong_usage(file: Path, run: Run, standin: StandIn) -> None:
    run(file, *MSE, "--no-seal")
    told = run(file, "--run", standin.run(), "--loss", "l1_loss", exits=2).stderr
    assert "computes mse_loss, not l1_loss" in told


def test_other_classes_than_the_runs_are_wrong_usage(tmp_path: Path, run: Run, standin: StandIn) -> None:
    file, other = tmp_path / "a.npz", tmp_path / "b.npz"
    np.savez(file, input=np.eye(2), target=np.array(["cat", "dog"]))
    np.savez(other, input=-np.eye(2), target=np.array(["dog", "cat"]))
    run(file, "--loss", "cross_entropy", "--classes", "cat,dog", "--no-seal")
    told = run(other, "--run", standin.run(), "--classes", "dog,cat", exits=2).stderr
    assert f"--classes are not those of run {standin.run()}" in told
    assert len(standin.taken()) == 1
    run(other, "--run", standin.run(), "--classes", "cat,dog")
    assert len(standin.taken()) == 2


def test_a_file_that_changes_meanwhile_leaves_the_run_unsealed(
    file: Path, run: Run, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    sending = Evaluation._send

    async def touched(self: Evaluation, left: object) -> None:
        await sending(self, left)  # type: ignore[arg-type] # passed through
        file.write_bytes(file.read_bytes() + b" ")  # noqa: ASYNC240 - nothing else is to happen meanwhile

    monkeypatch.setattr(Evaluation, "_send", touched)
    assert "was changed while it was read" in run(file, *MSE, exits=3).stderr
    assert not standin.sealed
