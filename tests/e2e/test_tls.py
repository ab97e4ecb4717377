"""HTTPS by settings, with certificates that OpenSSL's command makes."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import load, save
from typer.testing import CliRunner

from service.cli import app
from service.serving.tls import Renewal, tls_context
from service.settings import Settings
from tests.e2e.edge import closed, refused
from tests.e2e.test_wire import BODY, Caller
from tests.needs import needs
from tests.serving import RunningServer, serving

NAMED = ("-subj", "/CN=gradwire test", "-addext", "subjectAltName=IP:127.0.0.1")
PASSWORD = "a password of a test"


def certificate(folder: Path, name: str, *options: str) -> tuple[str, str]:
    """A self-signed certificate and its key, as PEM files."""
    cert, key = str(folder / f"{name}.pem"), str(folder / f"{name}.key")
    new = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2")
    subprocess.run(
        [*new, *NAMED, "-out", cert, "-keyout", key, *(options or ("-nodes",))], check=True, capture_output=True
    )
    return cert, key


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of a server, of a caller, and of another server; `server.key` is encrypted."""
    needs("openssl")
    made = tmp_path_factory.mktemp("tls")
    certificate(made, "server", "-passout", f"pass:{PASSWORD}")
    certificate(made, "caller")
    certificate(made, "other")
    return made


def trusting(folder: Path, *, known: bool = True, server: str = "server") -> ssl.SSLContext:
    """What a caller knows: the server's certificate, and its own where it has one."""
    context = ssl.create_default_context(cafile=str(folder / f"{server}.pem"))
    if known:
        context.load_cert_chain(folder / "caller.pem", folder / "caller.key")
    return context


def test_losses_are_served_over_tls_to_callers_with_a_certificate(folder: Path) -> None:
    context = trusting(folder)
    count = 1 << 20
    body = save({"input": np.full(count, 3, np.float64), "target": np.ones(count, np.float32).astype(np.float64)})
    with serving(
        *("--host", "0.0.0.0"),  # noqa: S104 - to see that it does not warn: callers have a certificate
        verify=context,
        GRADWIRE_TLS_CERT_FILE=str(folder / "server.pem"),
        GRADWIRE_TLS_KEY_FILE=str(folder / "server.key"),
        GRADWIRE_TLS_KEY_PASSWORD=PASSWORD,
        GRADWIRE_TLS_CA_FILE=str(folder / "caller.pem"),
        GRADWIRE_HSTS_SECONDS="3600",
    ) as running:
        assert running.greeting.split(" on ")[1].startswith("https://0.0.0.0:")
        assert sum("asks callers for no key" in line for line in running.lines) == 0
        with httpx.Client(base_url=running.url, verify=context, timeout=60) as client:
            answer = client.post("/v1/loss", content=BODY, headers={"content-type": "application/json"})
            assert answer.json()["loss"] == 4.0
            sent = {"content-type": "application/vnd.safetensors"}
            large = client.post("/v1/losses/mse_loss", content=body, headers=sent)
            assert large.status_code == 200, large.text
            found = load(large.content)
            assert found["loss"] == 4.0
            np.testing.assert_array_equal(found["gradients.input"], np.full(count, 4 / count))
            for told in (answer, large, client.get("/livez"), client.get("/nothing"), client.post("/v1/loss")):
                assert told.headers.get_list("strict-transport-security") == ["max-age=3600"]
        with pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError)):
            httpx.get(f"{running.url}/livez", verify=trusting(folder, known=False), timeout=60)
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            httpx.get(f"http://{running.host}:{running.port}/livez", timeout=60)
    assert not any("Traceback" in line for line in running.lines), running.lines


def test_a_renewed_certificate_is_taken_up_and_a_broken_one_left(folder: Path, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "renewed")
    first = ssl.create_default_context(cafile=cert)
    with serving(verify=first, GRADWIRE_TLS_CERT_FILE=cert, GRADWIRE_TLS_KEY_FILE=key) as running:
        Path(cert).write_text("no certificate")
        running.logged("cannot be used")
        answer = httpx.get(f"{running.url}/livez", verify=first, timeout=60)
        assert answer.status_code == 200
        assert "strict-transport-security" not in answer.headers
        shutil.copy(folder / "other.key", key)
        shutil.copy(folder / "other.pem", cert)
        running.logged("the certificate was read again")
        second = trusting(folder, known=False, server="other")
        assert httpx.get(f"{running.url}/livez", verify=second, timeout=60).status_code == 200


def test_a_certificate_that_is_away_for_a_moment_ends_nothing(tmp_path: Path) -> None:
    needs("openssl")
    cert, key = certificate(tmp_path, "brief")
    settings = Settings(device="cpu", tls_cert_file=cert, tls_key_file=key)
    context = tls_context(settings)
    assert context is not None
    renewal = Renewal(context, settings)
    Path(cert).unlink()
    renewal.look()  # the one before is used on
    certificate(tmp_path, "brief")
    renewal.look()


def test_who_says_nothing_or_too_much_is_sent_away_over_tls_too(folder: Path) -> None:
    context = trusting(folder, known=False, server="other")
    files: dict[str, Any] = {
        "GRADWIRE_TLS_CERT_FILE": str(folder / "other.pem"),
        "GRADWIRE_TLS_KEY_FILE": str(folder / "other.key"),
    }
    with serving(verify=context, GRADWIRE_HEAD_TIMEOUT_SECONDS="2", **files) as running:
        with Caller(running) as silent:
            closed(silent)  # within the socket's 60 s, amid the handshake
        with secure(running, context) as caller:
            closed(caller)  # behind it
        with secure(running, context) as caller:
            caller.send(b"GET /livez HTTP/1.1\r\nHo")
            refused(caller, 408)
        with secure(running, context) as caller:
            caller.send(b"POST /v1/loss HTTP/1.1\r\nHost: x\r\nContent-Length: 90000000\r\n\r\n", b"x" * 3_000_000)
            assert caller.answer()[0] == 413
            closed(caller)
        assert not any("Traceback" in line for line in running.lines)


def secure(server: RunningServer, context: ssl.SSLContext) -> Caller:
    """A raw connection over TLS."""
    caller = Caller(server)
    caller.stream.close()
    caller.socket = context.wrap_socket(caller.socket, server_hostname=server.host)
    caller.stream = caller.socket.makefile("rb")
    return caller


def test_nothing_older_than_tls_1_2_is_spoken(folder: Path) -> None:
    context = tls_context(Settings(tls_cert_file=str(folder / "other.pem"), tls_key_file=str(folder / "other.key")))
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("cert", "key", "ca", "told"),
    [
        ("missing.pem", "server.key", "", "no such file"),
        ("server.key", "", "", "server.key"),
        ("server.pem", "other.key", "", "mismatch"),
        ("server.pem", "server.key", "", "tls_key_password"),
        ("other.pem", "other.key", "other.key", "tls_ca_file"),
        ("other.pem", "other.key", "missing.pem", "no such file"),
        ("", "other.key", "", "tls_key_file is set without tls_cert_file"),
        ("", "", "other.pem", "tls_ca_file is set without tls_cert_file"),
    ],
)
def test_files_that_cannot_be_used_are_told_and_end_it(folder: Path, cert: str, key: str, ca: str, told: str) -> None:
    given = {"cert": cert, "key": key, "ca": ca}
    variables = {f"GRADWIRE_TLS_{name.upper()}_FILE": str(folder / file) for name, file in given.items() if file}
    result = CliRunner(env=variables | {"GRADWIRE_LOG_LEVEL": "error"}).invoke(app, ["serve", "--port", "0"])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_without_tls_of_its_own_it_promises_none() -> None:
    with serving(GRADWIRE_HSTS_SECONDS="3600") as running:
        assert "strict-transport-security" not in httpx.get(f"{running.url}/livez", timeout=60).headers
