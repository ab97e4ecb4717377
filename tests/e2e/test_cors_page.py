"""A page of another origin in a real browser: it reads losses and problems where it may, and nothing elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.keys import key
from tests.serving import RunningServer, serving

pytestmark = pytest.mark.browser

TEAM = key("team", requests_per_second=0.001, requests_burst=2)
ASK = """
async ([url, token]) => {
  const headers = { "Content-Type": "application/json", "X-Request-ID": "from-the-page" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const body = JSON.stringify({ loss: "mse_loss", input: [3.0], target: [1.0] });
  try {
    const response = await fetch(`${url}/v1/loss`, { method: "POST", headers, body });
    return { status: response.status, body: await response.json(), headers: Object.fromEntries(response.headers) };
  } catch (error) {
    return { failed: error.name };
  }
}
"""


class Empty(BaseHTTPRequestHandler):
    """A page with nothing on it."""

    def do_GET(self) -> None:
        """Serve it."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!DOCTYPE html><title>empty</title>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """Another origin than any Gradwire's: the same host, another port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Empty) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()
        thread.join()


@pytest.fixture
def page(browser: Browser, origin: str) -> Iterator[Page]:
    """A page of that origin."""
    made = browser.new_page()
    made.goto(origin)
    yield made
    made.close()


def ask(page: Page, server: RunningServer, token: str = "") -> Any:
    """What the page gets for a loss."""
    return page.evaluate(ASK, [server.url, token])


def test_a_page_of_a_listed_origin_reads_losses_problems_and_fields(page: Page, origin: str) -> None:
    with serving(GRADWIRE_CORS_ORIGINS=origin, GRADWIRE_API_KEYS=TEAM.record) as server:
        got = ask(page, server, TEAM.token)
        assert got["status"] == 200
        assert got["body"]["loss"] == 4.0
        assert got["headers"]["x-request-id"] == "from-the-page"
        assert got["headers"]["ratelimit"].startswith('"requests";r=1;')
        assert got["headers"]["server-timing"]
        refused = ask(page, server)
        assert refused["status"] == 401
        assert refused["body"]["detail"].startswith("an API key is needed")
        assert refused["headers"]["www-authenticate"] == 'Bearer realm="gradwire"'
        assert ask(page, server, TEAM.token)["status"] == 200
        over = ask(page, server, TEAM.token)
        assert over["status"] == 429
        assert int(over["headers"]["retry-after"]) > 900


@pytest.mark.parametrize("origins", ["", "https://lab.example"])
def test_a_page_of_another_origin_reads_nothing(page: Page, origins: str) -> None:
    with serving(GRADWIRE_CORS_ORIGINS=origins) as server:
        assert ask(page, server) == {"failed": "TypeError"}


def test_a_page_of_any_origin_reads_where_all_may(page: Page) -> None:
    with serving(GRADWIRE_CORS_ORIGINS="*") as server:
        assert ask(page, server)["body"]["loss"] == 4.0
