"""Which columns a name stands for."""

from __future__ import annotations

import pytest

from service.evaluate.columns import chosen
from service.evaluate.faults import Misused

TEN = [f"logits_{at}" for at in (10, 2, 1, 3, 4, 5, 6, 7, 8, 9, 0)] + ["logits", "label"]


@pytest.mark.parametrize(
    ("wanted", "columns", "found"),
    [
        ("logits", TEN, ["logits"]),
        ("logits", TEN[:11], [f"logits_{at}" for at in range(11)]),
        ("logits_*", TEN, [f"logits_{at}" for at in range(11)]),
        ("logits_2..logits_4", TEN, ["logits_2", "logits_3", "logits_4"]),
        ("p00..p02", ["p00", "p01", "p02"], ["p00", "p01", "p02"]),
        ("p", ["p1", "p2", "q1"], ["p1", "p2"]),
        ("b,a", ["a", "b"], ["b", "a"]),
        ("a,b", ["a,b", "a", "b"], ["a,b"]),
        ("x?", ["x1"], ["x1"]),
    ],
)
def test_names_stand_for_columns(wanted: str, columns: list[str], found: list[str]) -> None:
    assert chosen(wanted, columns, "f") == found


@pytest.mark.parametrize(
    ("wanted", "columns", "told"),
    [
        ("x", ["a", "b"], "f: there is no column 'x'; there are a, b"),
        ("x", [], "there are none"),
        ("x", [f"a{at}" for at in range(30)], "a19 and 10 more"),
        ("x*", ["a"], "no column 'x*'"),
        ("a,c", ["a", "b"], "no column 'c'"),
        ("x1..x3", ["x1", "x3"], "no column 'x2'"),
        ("x", ["x0", "x1", "x3"], "have gaps: 0, 1, 3"),
        ("x", ["x_1", "x1"], "the order of x_1, x1 is not clear"),
        ("p_*", ["p_cat", "p_dog"], "the order of p_cat, p_dog is not clear; name them with commas between"),
        ("*", ["a1", "b2"], "not clear"),
    ],
)
def test_what_is_not_there_or_not_clear_is_refused(wanted: str, columns: list[str], told: str) -> None:
    with pytest.raises(Misused) as error:
        chosen(wanted, columns, "f")
    assert told in str(error.value)
