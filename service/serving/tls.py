"""TLS by settings: the certificate, and whose certificates callers must show."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from service.settings import Settings

log = logging.getLogger("gradwire.serving")


class BadTLS(Exception):
    """The files that the settings name cannot be used; the message says which and why."""


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """What the settings ask for, TLS 1.2 or later; `None` where they name no certificate. Raises `BadTLS`."""
    if not settings.tls_cert_file:
        for name in ("tls_key_file", "tls_ca_file"):
            if getattr(settings, name):
                raise BadTLS(f"{name} is set without tls_cert_file")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, settings)
    if settings.tls_ca_file:
        try:
            context.load_verify_locations(settings.tls_ca_file)
        except (OSError, ssl.SSLError) as error:
            raise BadTLS(f"tls_ca_file {settings.tls_ca_file}: {_reason(error)}") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def load_certificate(context: ssl.SSLContext, settings: Settings) -> None:
    """Read the certificate and its key, also again: connections from then on use them. Raises `BadTLS`."""
    # Without a password OpenSSL would ask for one on the terminal.
    password = settings.tls_key_password.get_secret_value()
    try:
        context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file or None, lambda: password)
    except (OSError, ssl.SSLError) as error:
        named = " and ".join(filter(None, (settings.tls_cert_file, settings.tls_key_file)))
        raise BadTLS(f"the certificate and key in {named}: {_reason(error)}") from None


class Renewal:
    """Takes a certificate up that was renewed in place: connections from then on use it."""

    def __init__(self, context: ssl.SSLContext, settings: Settings) -> None:
        self._context = context
        self._settings = settings
        self._seen = self._times()

    def look(self) -> None:
        """Called every now and then: read the files again where they have changed."""
        times = self._times()
        if times == self._seen:
            return
        self._seen = times
        try:
            # First beside: half a pair in a context that is in use would fail its next connections.
            tls_context(self._settings)
            load_certificate(self._context, self._settings)
        except BadTLS as error:
            log.error("the changed certificate cannot be used; the one before is", extra={"reason": str(error)})  # noqa: TRY400
        else:
            log.info("the certificate was read again")

    def _times(self) -> list[int]:
        return [_time(path) for path in (self._settings.tls_cert_file, self._settings.tls_key_file) if path]


def _time(path: str) -> int:
    """When a file was changed, in nanoseconds; 0 where it is away, as for a moment when it is renewed."""
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return 0


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        if not error.reason:  # OpenSSL tells these apart, Python does not
            return "no such thing in PEM, or the key's password (tls_key_password) is missing or wrong"
        return error.reason.lower().replace("_", " ")
    return (error.strerror or str(error)).lower()
