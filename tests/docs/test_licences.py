"""What is installed may be passed on under Gradwire's own licence, Apache-2.0."""

from __future__ import annotations

import re
from email.message import Message
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import cast

import pytest

PINNED = Path(__file__).parents[2] / "constraints.txt"

ALLOWED = {
    *("0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0"),
    *("ISC", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Unlicense", "Zlib", "ZPL-2.1"),
}
"""Permissive ones, and MPL-2.0, whose terms stay with its own files."""

REPLACEABLE = {"psycopg": "LGPL-3.0-only", "psycopg-binary": "LGPL-3.0-only"}
"""The extra `postgresql`: packages of their own, unmodified, which whoever passes them on may replace (section 4)."""

CLASSIFIED = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""SPDX names for the trove classifiers of packages without a License-Expression."""

APPROVED = {"OSI Approved", "DFSG approved"}
"""Classifiers that name no licence."""

UNDECLARED = {"pysimdjson": "MIT"}
"""Packages whose metadata name none: what the licence file that comes with them says."""


def licence(found: Distribution) -> str:
    """An SPDX expression."""
    metadata = cast(Message, found.metadata)
    lines = metadata.get_all("Classifier") or []
    classified = [line.rpartition(" :: ")[2] for line in lines if line.startswith("License ::")]
    told = [metadata.get("License-Expression")]
    if told == [None]:
        told = [name for name in classified if name not in APPROVED]
    if not told:
        told = [UNDECLARED.get(metadata["Name"], metadata.get("License"))]
    return " AND ".join(CLASSIFIED.get(str(name), str(name)) for name in told)


def allowed(expression: str) -> bool:
    """Whether every part of it is, or one of two that may be chosen from."""
    names = re.sub(r"[()]", "", expression)
    return all(any(name.strip() in ALLOWED for name in part.split(" OR ")) for part in names.split(" AND "))


def names() -> list[str]:
    lines = PINNED.read_text(encoding="utf-8").splitlines()
    return [line.partition("==")[0] for line in lines if "==" in line]


@pytest.mark.parametrize("name", names())
def test_a_dependency_has_a_licence_that_is_allowed(name: str) -> None:
    try:
        found = distribution(name)
    except PackageNotFoundError:
        pytest.skip("not installed: it belongs to building, or to another platform")
    told = licence(found)
    assert allowed(told) or REPLACEABLE.get(name) == told, told


def test_a_licence_that_is_not_on_the_list_is_refused() -> None:
    assert not allowed("GPL-3.0-only")
    assert not allowed("MIT AND AGPL-3.0-or-later")
    assert allowed("GPL-2.0-only OR MIT")
