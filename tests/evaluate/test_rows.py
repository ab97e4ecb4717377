"""Rows that cannot be evaluated are told by file and row, before anything counts them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.evaluate.conftest import Run
from tests.evaluate.standin import StandIn
from tests.needs import needs_package

HEAD = "input_0,input_1,target\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEAD + "1,2,0\n1,,1\n", "a.csv, row 1: input_1 is empty"),
        (HEAD + "1,2,0\n\n1,2\n", "a.csv, row 1: it has 2 cells, the first line has 3"),
        (HEAD + "1,2,0\n1,x,1\n", "row 1: input_1 is 'x', which is no number"),
        (HEAD + "1,2,99999999999999999999\n", "row 0: target is '99999999999999999999', which no int64 holds"),
        (HEAD + "1,2,0.5\n", "row 0: target is '0.5', where a whole number is needed"),
        (HEAD + "1,2,nan\n", "row 0: target is 'nan', which is no whole number"),
        (HEAD + "1,2,cat\n", "row 0: target is 'cat', which is no whole number; tell the names by --classes"),
        (HEAD + '1,2,"0\n', "line 2: unexpected end of data"),
        (HEAD, "there are no rows"),
        ("", "the file is empty"),
        ("input,target\n[1],0\n[1;2],0\n", "row 1: input is '[1;2]', which is no list of numbers"),
        ('input,target\n"[1,2]",0\n[1],0\n', "row 1: input has shape [1], other rows have [2]; pad them to one"),
        ('input,target\n"[null]",0\n', "row 0: input is '[null]', which is no list of numbers"),
        ("input,input,target\n1,2,0\n", "there are 2 columns input"),
    ],
)
def test_a_bad_csv_is_told_by_row(text: str, told: str, tmp_path: Path, run: Run, standin: StandIn) -> None:
    (tmp_path / "a.csv").write_text(text)
    assert told in run(tmp_path / "a.csv", "--loss", "cross_entropy", exits=3).stderr
    assert not any(standin.batches.values())


def test_a_row_far_down_stops_the_run_unsealed(tmp_path: Path, run: Run, standin: StandIn) -> None:
    (tmp_path / "a.csv").write_text(HEAD + "1,2,0\n" * 2500 + "1,2,many\n" + "1,2,0\n" * 100)
    assert "row 2500: target is 'many'" in run(tmp_path / "a.csv", "--loss", "cross_entropy", exits=3).stderr
    assert not standin.sealed


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (np.array([0, 2**63], np.uint64), "row 1: target is 9223372036854775808, which no int64 holds"),
        (np.array([0.0, 1.5]), "row 1: target is 1.5, where a whole number is needed"),
        (np.array([0.0, np.nan]), "row 1: target is nan, where a whole number is needed"),
        (np.array([0, 1], "M8[s]"), "target has type datetime64[s], which are no real numbers"),
        (np.array([0, 1j]), "target has type complex128, which are no real numbers"),
        (np.array([0, 1], np.longdouble), "the service takes float16, bfloat16, float32 and float64"),
        (np.array(["a", "b"]), "row 0: target is 'a', which is no whole number"),
        (np.array([0, None]), "target holds Python objects"),
        (np.array(3), "target is a single number, no column"),
    ],
)
def test_arrays_of_no_fitting_type_are_refused(target: NDArray[Any], told: str, tmp_path: Path, run: Run) -> None:
    np.savez(tmp_path / "a.npz", input=np.zeros((2, 3)), target=target)
    assert told in run(tmp_path / "a.npz", "--loss", "cross_entropy", exits=3).stderr


def test_whole_numbers_written_as_floats_are_class_indices(tmp_path: Path, run: Run, standin: StandIn) -> None:
    np.savez(tmp_path / "a.npz", input=np.zeros((2, 3)), target=np.array([0.0, 2.0]))
    run(tmp_path / "a.npz", "--loss", "cross_entropy")
    assert standin.rows("target").dtype == np.int64


def test_probabilities_in_several_columns_stay_probabilities(tmp_path: Path, run: Run, standin: StandIn) -> None:
    (tmp_path / "a.csv").write_text("input_0,input_1,target_0,target_1\n1,2,1,0\n3,4,0.25,0.75\n")
    run(tmp_path / "a.csv", "--loss", "cross_entropy")
    np.testing.assert_array_equal(standin.rows("target"), [[1, 0], [0.25, 0.75]])


@pytest.mark.parametrize("broken", [b"", b"PK\3\4 no archive", b"\x93NUMPY"])
@pytest.mark.parametrize("suffix", ["npz", "npy", "safetensors", "csv.gz", "parquet", "arrow"])
def test_broken_files_fail(suffix: str, broken: bytes, tmp_path: Path, run: Run) -> None:
    if suffix in ("parquet", "arrow"):
        needs_package("pyarrow")
    file = tmp_path / f"a.{suffix}"
    file.write_bytes(broken)
    assert str(file) in run(file, "--loss", "mse_loss", exits=3).stderr


def test_a_truncated_npz_fails(tmp_path: Path, run: Run) -> None:
    np.savez_compressed(tmp_path / "a.npz", input=np.arange(5000.0), target=np.arange(5000.0))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[300:320] = bytes(20)
    (tmp_path / "a.npz").write_bytes(data)
    assert "input cannot be read" in run(tmp_path / "a.npz", "--loss", "mse_loss", exits=3).stderr


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ([[1.0, 2.0], None], "row 1: input is null"),
        ([[1.0, 2.0], [3.0, None]], "row 1: input at 1 is null"),
        ([[1.0, 2.0], [3.0]], "row 1: input has 1 values, other rows have 2"),
    ],
)
@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_nulls_and_ragged_lists_are_told_by_row(
    column: list[list[float | None] | None], told: str, suffix: str, tmp_path: Path, run: Run
) -> None:
    pa = needs_package("pyarrow")
    table = pa.table({"input": pa.array(column, pa.list_(pa.float64())), "target": [0, 1]})
    file = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        needs_package("pyarrow.parquet").write_table(table, file)
    else:
        with pa.ipc.new_file(str(file), table.schema) as writer:
            writer.write_table(table)
    assert told in run(file, "--loss", "cross_entropy", exits=3).stderr
