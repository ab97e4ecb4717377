"""Which addresses are reached from this machine only."""

from __future__ import annotations

import logging
import socket

import pytest

from service.serving.listening import is_loopback, warn_if_open


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"])
def test_loopback(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize("address", ["0.0.0.0", "10.0.0.1", "::", "fe80::1%2", "::ffff:10.0.0.1", "2001:db8::1"])  # noqa: S104 - not bound
def test_beyond_this_machine(address: str) -> None:
    assert not is_loopback(address)


@pytest.mark.parametrize(
    ("address", "guarded", "warnings"),
    [("0.0.0.0", False, 1), ("0.0.0.0", True, 0), ("127.0.0.1", False, 0)],  # noqa: S104 - to see it warn
)
def test_an_open_address_that_nothing_guards_is_warned_of(
    caplog: pytest.LogCaptureFixture, address: str, guarded: bool, warnings: int
) -> None:
    with socket.socket() as listening, caplog.at_level(logging.WARNING, "gradwire.serving"):
        listening.bind((address, 0))
        warn_if_open(listening, guarded=guarded)
    assert sum("asks callers for no key" in record.message for record in caplog.records) == warnings
