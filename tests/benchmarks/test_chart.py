from __future__ import annotations

from xml.etree import ElementTree as ET

from benchmarks.http.chart import chart
from benchmarks.http.servers import SUBJECT
from tests.benchmarks.made import rounds

SVG = "{http://www.w3.org/2000/svg}"


def drawn(text: str) -> tuple[list[str], list[float]]:
    """The texts, and the lengths of the bars."""
    root = ET.fromstring(text)  # noqa: S314 # our own
    bars = [rect for rect in root.iter(f"{SVG}rect") if rect.get("class", "").startswith("bar")]
    return [element.text or "" for element in root.iter(f"{SVG}text")], [float(bar.attrib["width"]) for bar in bars]


def test_bars_are_proportional_within_a_panel_and_the_echo_is_told_in_words() -> None:
    rates = {("json-1x10", SUBJECT): (9000.0,), ("json-1x10", "naive"): (3000.0,), ("json-1x10", "echo"): (30_000.0,)}
    texts, (ours, naive) = drawn(chart(rounds(rates)))
    assert abs(ours - 3 * naive) < 0.2
    assert "bare echo of the same bytes: 30,000" in texts
    assert {"1x10 JSON", SUBJECT, "9,000", "naive", "3,000"} <= set(texts)


def test_binary_panels_show_what_the_naive_services_do_in_json() -> None:
    rates = {("binary-32x1000", SUBJECT): (4000.0,), ("json-32x1000", "naive"): (20.0,)}
    texts, bars = drawn(chart(rounds(rates)))
    assert "naive, JSON" in texts
    assert min(bars) >= 1  # a bar that would vanish is still seen


def test_a_peers_bare_service_is_a_mark_in_its_row() -> None:
    rates = {
        ("json-1x10", SUBJECT): (900.0,),
        ("json-1x10", "MLServer"): (300.0,),
        ("json-1x10", "MLServer, bare"): (600.0,),
    }
    text = chart(rounds(rates))
    texts, (ours, documented) = drawn(text)
    assert "300, bare 600" in texts
    assert "MLServer, bare" not in texts
    rects = list(ET.fromstring(text).iter(f"{SVG}rect"))  # noqa: S314 # our own
    (mark,) = (rect for rect in rects if rect.get("class") == "mark")
    (bar,) = (rect for rect in rects if rect.get("class") == "bar peer")
    assert abs(float(mark.attrib["x"]) - float(bar.attrib["x"]) - 2 * documented) < 0.2
    assert abs(ours - 3 * documented) < 0.2
