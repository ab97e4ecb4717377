"""Which addresses are reached from this machine only."""

from __future__ import annotations

import pytest

from service.serving.listening import is_loopback


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"])
def test_loopback(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize("address", ["0.0.0.0", "10.0.0.1", "::", "fe80::1%2", "::ffff:10.0.0.1", "2001:db8::1"])  # noqa: S104 - not bound
def test_beyond_this_machine(address: str) -> None:
    assert not is_loopback(address)
