"""The socket that callers connect to."""

from __future__ import annotations

import ipaddress
import logging
import socket

from service.settings import Settings

log = logging.getLogger("gradwire.serving")

BACKLOG = 2048
"""Connections that may wait to be accepted; the kernel's own bound (net.core.somaxconn) may be lower."""


def listen(settings: Settings) -> socket.socket:
    """A socket that takes connections already: whoever comes early is answered when the engine is up.

    Raises `OSError`.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.host, settings.port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def url(listening: socket.socket, scheme: str) -> str:
    """Where callers find it."""
    address, port = listening.getsockname()[:2]
    return f"{scheme}://[{address}]:{port}" if ":" in address else f"{scheme}://{address}:{port}"


def is_loopback(address: str) -> bool:
    """Whether only this machine can connect to that IP address."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return found.is_loopback


def warn_if_open(listening: socket.socket, *, guarded: bool) -> None:
    """Tell, once, that whoever reaches the address may use the service."""
    address = listening.getsockname()[0]
    if not guarded and not is_loopback(address):
        log.warning(
            "it listens beyond this machine and asks callers for no key or certificate: whoever reaches it may use it",
            extra={"address": address},
        )
