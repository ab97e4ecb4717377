"""The example in Node trains its classifier against a real server."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.needs import needs
from tests.serving import RunningServer

EXAMPLE = Path(__file__).parents[2] / "examples" / "node-digits"
EPOCHS = 15
SVG = "{http://www.w3.org/2000/svg}"


def test_a_model_in_node_learns_digits_and_draws_its_curve(server: RunningServer, tmp_path: Path) -> None:
    chart = tmp_path / "loss.svg"
    done = subprocess.run(
        [needs("node"), "train.mjs", "--url", server.url, "--epochs", str(EPOCHS), "--chart", str(chart)],
        cwd=EXAMPLE, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = re.findall(r"epoch (\d+): loss ([\d.]+), test accuracy ([\d.]+) %", done.stdout)
    assert [int(epoch) for epoch, _, _ in told] == list(range(1, EPOCHS + 1))
    losses = [float(loss) for _, loss, _ in told]
    assert losses[-1] < 0.2 < losses[0]
    assert float(told[-1][2]) > 95

    picture = ET.parse(chart).getroot()  # noqa: S314 - the example's own
    assert picture.tag == f"{SVG}svg"
    curves = [line.attrib["points"].split() for line in picture.iter(f"{SVG}polyline")]
    assert [len(curve) for curve in curves] == [EPOCHS, EPOCHS]
    heights = [float(point.split(",")[1]) for point in curves[0]]
    assert heights[-1] > heights[0], "the loss falls"
    words = [text.text for text in picture.iter(f"{SVG}text")]
    assert {"epoch", f"Training loss (cross entropy): {told[-1][1]} at the end"} <= set(words)


def test_the_data_are_1797_images_of_all_digits() -> None:
    data = (EXAMPLE / "digits.bin").read_bytes()
    assert len(data) == 1797 * 65
    records = [data[at : at + 65] for at in range(0, len(data), 65)]
    assert all(max(record[:64]) <= 16 for record in records)
    assert {record[64] for record in records} == set(range(10))
