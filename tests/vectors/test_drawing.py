"""What is drawn never changes: not with NumPy, not with the machine."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.vectors.drawing import Drawing

PINNED = [72, 35, 11, 59, 61, 49, 89, 76]


def test_a_name_stands_for_the_same_numbers_for_ever() -> None:
    # Pinned: other numbers are other vectors, and need another SEED.
    assert Drawing("test").whole((8,), 0, 100).tolist() == PINNED
    assert Drawing("test").whole((2, 4), 0, 100).reshape(-1).tolist() == PINNED
    assert Drawing("other").whole((8,), 0, 100).tolist() != PINNED


@pytest.mark.parametrize("scale", [1.0, 2.0, 80.0, 1e4])
def test_values_are_short_decimals_that_float32_holds(scale: float) -> None:
    drawing = Drawing("short")
    for array in (drawing.floats((500,), scale), drawing.positive((500,), scale)):
        assert (array.astype(np.float32) == array).all()
        assert (np.abs(array) < scale).all()
        assert (array != 0).all()
        assert all(len(repr(value).partition(".")[2]) <= 6 for value in array.tolist())
    assert (drawing.positive((500,), scale) > 0).all()


def test_shares_are_probabilities_in_every_row() -> None:
    shares = Drawing("shares").shares((20, 5, 3), 1)
    assert (shares > 0).all()
    assert (shares.sum(1) == 1).all()
    assert (shares.astype(np.float32) == shares).all()


def test_what_is_near_keeps_its_sign_and_its_zeros() -> None:
    array = np.array([0.0, 0.5, -3.0, 1e-3, 0.3])
    near = Drawing("near").near(array)
    assert (np.sign(near) == np.sign(array)).all()
    np.testing.assert_allclose(near, array, rtol=0.1)
    assert near.tolist() != array.tolist()
