"""Dims: forms, the sizes that their names stand for, and what a misfit is told."""

from __future__ import annotations

import pytest

from schemas.dims import Bound, Mismatch, bind, broadcasts, expected, fits, forms


def test_a_text_holds_its_forms() -> None:
    assert forms("() | C | N C *D") == ((), ("C",), ("N", "C", "*D"))


@pytest.mark.parametrize(
    ("form", "ndim", "fit"),
    [((), 0, True), ((), 1, False), (("*D",), 0, True), (("*D",), 5, True), (("N", "C", "*D"), 1, False)],
)
def test_a_star_stands_for_any_number_of_dims(form: tuple[str, ...], ndim: int, fit: bool) -> None:
    assert fits(form, ndim) is fit


def test_binding_gives_names_their_sizes() -> None:
    bound: Bound = {}
    assert bind(("N", "C", "*D"), (2, 3, 4, 5), bound, "input", {}) is None
    assert bound == {"N": (2,), "C": (3,), "*D": (4, 5)}
    assert expected(("N", "*D"), bound) == (2, 4, 5)
    assert expected(("K",), bound) is None


def test_a_star_in_front_takes_what_is_left() -> None:
    bound: Bound = {}
    assert bind(("*B", "C"), (2, 3, 4), bound, "input", {}) is None
    assert bound == {"*B": (2, 3), "C": (4,)}


def test_a_misfit_names_what_it_should_be_and_by_whom() -> None:
    bound: Bound = {}
    owners: dict[str, str] = {}
    assert bind(("N", "C"), (2, 3), bound, "input", owners) is None
    assert bind(("N",), (5,), bound, "target", owners) == Mismatch("shape [5] does not fit [N], which is [2] by input")


@pytest.mark.parametrize(
    ("shape", "to", "does"),
    [
        ((), (2, 3), True),
        ((3,), (2, 3), True),
        ((2, 1), (2, 3), True),
        ((2,), (2, 3), False),
        ((1, 2, 3), (2, 3), False),
    ],
)
def test_broadcasting_never_enlarges_the_loss(shape: tuple[int, ...], to: tuple[int, ...], does: bool) -> None:
    assert broadcasts(shape, to) is does
