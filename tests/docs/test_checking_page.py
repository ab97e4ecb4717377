"""The page on checks tells every hint, the tolerances, and the losses without second derivatives are told too."""

from __future__ import annotations

import re

from schemas.losses import LOSSES
from service.compute.checking import hints
from service.compute.checking.causes import CAUSES
from service.compute.checking.comparison import ERRORS, ROUNDINGS, RTOL
from service.compute.checking.finite_differences import MAX_COORDINATES
from tests.docs import readme


def test_the_page_lists_every_hint() -> None:
    listed = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", readme.CHECKING.read_text(), re.MULTILINE))
    assert listed == {cause.code: cause.sentence for cause in CAUSES}


def test_the_page_tells_the_tolerances_and_bounds() -> None:
    page = readme.CHECKING.read_text()
    for dtype, rtol in RTOL.items():
        assert f"| {dtype} | {rtol:.0e} |".replace("e-0", "e-") in page
    assert f"{ERRORS} rounding errors" in page
    assert f"{ROUNDINGS} epsilons" in page
    assert f"{MAX_COORDINATES:,} coordinates" in page
    assert hints.MAX_HINTS == 5
    assert "At most five" in page


def test_the_page_on_gradients_names_the_losses_without_second_derivatives() -> None:
    page = readme.GRADIENTS.read_text()
    for name, cls in LOSSES.items():
        assert cls.twice_differentiable or f"`{name}`" in page
