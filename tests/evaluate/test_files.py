"""Every kind of file arrives as the very numbers that it holds."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16
from safetensors.numpy import save_file

from tests.evaluate.conftest import Run
from tests.evaluate.standin import StandIn
from tests.needs import needs_package

ROWS, CLASSES = 2500, 4
"""More rows than are read at once, and no multiple of a batch."""
LOGITS = np.random.default_rng(7).normal(size=(ROWS, CLASSES)).astype(np.float32)
LABELS = np.random.default_rng(8).integers(0, CLASSES, ROWS)
NAMES = ["ant", "bee", "cat", "dog"]
IDS = [f"{at:04}" for at in range(ROWS)]
GROUPS = ["night" if at % 3 else "day" for at in range(ROWS)]


def write_npz(folder: Path) -> list[Path]:
    np.savez(folder / "a.npz", logits=LOGITS, label=LABELS, id=np.array(IDS), light=np.array(GROUPS, "S"))
    return [folder / "a.npz"]


def write_compressed_npz(folder: Path) -> list[Path]:
    np.savez_compressed(folder / "a.npz", logits=LOGITS, label=LABELS, id=np.array(IDS), light=np.array(GROUPS))
    return [folder / "a.npz"]


def write_npy(folder: Path) -> list[Path]:
    arrays: dict[str, Any] = {"logits": LOGITS.T.copy().T, "label": LABELS.astype(">i4"), "id": IDS, "light": GROUPS}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return sorted(folder.glob("*.npy"))


def write_records(folder: Path) -> list[Path]:
    kind = [("logits", np.float32, CLASSES), ("label", np.uint16), ("id", "U4"), ("light", "U5")]
    rows = list(zip(map(tuple, LOGITS), LABELS, IDS, GROUPS, strict=True))
    np.save(folder / "a.npy", np.array(rows, kind))
    return [folder / "a.npy"]


def csv_lines() -> str:
    head = ",".join(f"logits_{at}" for at in range(CLASSES)) + ",label,id,light\n"
    lines = zip(LOGITS.astype(float).tolist(), LABELS, IDS, GROUPS, strict=True)
    return head + "".join(f"{','.join(map(repr, row))},{NAMES[label]},{i},{g}\n" for row, label, i, g in lines)


def write_csv(folder: Path) -> list[Path]:
    (folder / "a.csv").write_text(csv_lines())
    return [folder / "a.csv"]


def write_gzipped_csv(folder: Path) -> list[Path]:
    (folder / "a.csv.gz").write_bytes(gzip.compress(csv_lines().encode("utf-8-sig")))
    return [folder / "a.csv.gz"]


def write_tsv_of_lists(folder: Path) -> list[Path]:
    lines = zip(LOGITS.astype(float).tolist(), LABELS, IDS, GROUPS, strict=True)
    text = "logits\tlabel\tid\tlight\n" + "".join(f"{row}\t{label}.0\t{i}\t{g}\n" for row, label, i, g in lines)
    (folder / "a.tsv").write_text(text)
    return [folder / "a.tsv"]


def arrow_table(*, fixed: bool) -> Any:
    pa = needs_package("pyarrow")
    lists = pa.array(LOGITS.tolist(), pa.list_(pa.float32(), CLASSES) if fixed else pa.list_(pa.float32()))
    labels = (
        pa.array([NAMES[label] for label in LABELS]).dictionary_encode() if fixed else pa.array(LABELS, pa.uint64())
    )
    return pa.table({"logits": lists, "label": labels, "id": IDS, "light": pa.array(GROUPS).dictionary_encode()})


def write_parquet(folder: Path) -> list[Path]:
    needs_package("pyarrow.parquet").write_table(arrow_table(fixed=False), folder / "a.parquet", row_group_size=700)
    return [folder / "a.parquet"]


def write_parquet_of_names(folder: Path) -> list[Path]:
    needs_package("pyarrow.parquet").write_table(arrow_table(fixed=True), folder / "a.parquet", row_group_size=700)
    return [folder / "a.parquet"]


def write_arrow(folder: Path) -> list[Path]:
    pa = needs_package("pyarrow")
    table = arrow_table(fixed=True).combine_chunks()
    with pa.ipc.new_file(str(folder / "a.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=600)
    return [folder / "a.arrow"]


def write_arrow_stream(folder: Path) -> list[Path]:
    pa = needs_package("pyarrow")
    table = arrow_table(fixed=False)
    with pa.ipc.new_stream(str(folder / "a.arrows"), table.schema) as writer:
        writer.write_table(table, max_chunksize=600)
    return [folder / "a.arrows"]


def write_feather(folder: Path) -> list[Path]:
    needs_package("pyarrow.feather").write_feather(arrow_table(fixed=True), str(folder / "a.feather"), chunksize=600)
    return [folder / "a.feather"]


WRITERS = [
    write_npz,
    write_compressed_npz,
    write_npy,
    write_records,
    write_csv,
    write_gzipped_csv,
    write_tsv_of_lists,
    write_parquet,
    write_parquet_of_names,
    write_arrow,
    write_arrow_stream,
    write_feather,
]


@pytest.mark.parametrize("write", WRITERS)
def test_every_kind_of_file_arrives_whole(
    write: Callable[[Path], list[Path]], tmp_path: Path, run: Run, standin: StandIn
) -> None:
    files = write(tmp_path)
    columns = ("--input", "logits", "--target", "label", "--id", "id", "--group", "light")
    run(*files, "--loss", "cross_entropy", *columns, "--classes", ",".join(NAMES), "--batch-size", 300)
    assert [len(batch.tensors["target"]) for batch in standin.taken()] == [300] * 8 + [100]
    np.testing.assert_array_equal(standin.rows("input"), LOGITS)
    np.testing.assert_array_equal(standin.rows("target"), LABELS)
    assert standin.listed("sample_ids") == IDS
    assert standin.listed("groups") == GROUPS
    assert standin.specs[standin.run()]["groups"] == ["day", "night"]
    if "csv" not in files[0].name and "tsv" not in files[0].name:
        assert standin.rows("input").dtype == np.float32


def test_safetensors_files_keep_their_types(tmp_path: Path, run: Run, standin: StandIn) -> None:
    save_file({"input": LOGITS.astype(bfloat16), "target": LABELS}, tmp_path / "a.safetensors")
    run(tmp_path / "a.safetensors", "--loss", "cross_entropy")
    assert standin.rows("input").dtype == bfloat16
    np.testing.assert_array_equal(standin.rows("input"), LOGITS.astype(bfloat16))
    assert [len(batch.tensors["target"]) for batch in standin.taken()] == [1024, 1024, 452]


def test_both_wires_carry_the_same_bits(tmp_path: Path, run: Run, standin: StandIn) -> None:
    numbers = np.array([[np.nan, 1 / 3], [np.inf, -0.0], [5e-324, 1e308]])
    np.savez(tmp_path / "a.npz", input=numbers, target=numbers)
    for wire in ("safetensors", "json"):
        run(tmp_path / "a.npz", "--loss", "mse_loss", "--wire", wire, "--name", wire, "--json")
    one, other = (next(iter(batches.values())) for batches in standin.batches.values())
    assert one.tensors["input"].tobytes() == other.tensors["input"].tobytes() == numbers.tobytes()
    assert one.members == other.members


def test_rows_of_many_elements_make_smaller_batches(tmp_path: Path, run: Run, standin: StandIn) -> None:
    np.savez(tmp_path / "a.npz", input=np.zeros((20, 100_000), np.float32), target=np.zeros((20, 100_000), np.float32))
    run(tmp_path / "a.npz", "--loss", "mse_loss")
    assert [len(batch.tensors["target"]) for batch in standin.taken()] == [4] * 5


def test_samples_lie_where_the_loss_wants_them(tmp_path: Path, run: Run, standin: StandIn) -> None:
    log_probs = np.random.default_rng(1).normal(size=(7, 5, 3))
    lengths = np.full(7, 2)
    np.savez(tmp_path / "a.npz", log_probs=log_probs, targets=np.ones((7, 2), int), n=lengths)
    standin.next_answers.append((422, {}, {"errors": [{"pointer": "/log_probs/4/3/0", "detail": "is broken"}]}))
    lengths_of = ("--tensor", "input_lengths=n", "--tensor", "target_lengths=n")
    told = run(tmp_path / "a.npz", "--loss", "ctc_loss", *lengths_of, exits=3)
    assert "a.npz, row 3: log_probs: is broken" in told.stderr


def test_several_files_and_patterns_are_one_run(tmp_path: Path, run: Run, standin: StandIn) -> None:
    for at in range(3):
        np.savez(
            tmp_path / f"part-{at}.npz", input=LOGITS[at * 10 : at * 10 + 10], target=LABELS[at * 10 : at * 10 + 10]
        )
    run(tmp_path / "part-*.npz", "--loss", "cross_entropy")
    assert sorted(standin.rows("target").tolist()) == sorted(LABELS[:30].tolist())
    assert standin.specs[standin.run()]["expected_samples"] == 30
    run(tmp_path / "part-2.npz", tmp_path / "part-0.npz", tmp_path / "part-1.npz", "--loss", "cross_entropy")
    assert len(standin.specs) == 1


def test_without_pyarrow_a_message_says_what_to_install(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.delitem(__import__("sys").modules, "service.evaluate.arrow_files", raising=False)
    (tmp_path / "a.parquet").touch()
    assert "pip install 'gradwire[evaluate]'" in run(tmp_path / "a.parquet", "--loss", "mse_loss", exits=2).stderr
