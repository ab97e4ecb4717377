"""/docs in a real browser: whole, quiet, usable, and without any other host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.serving import RunningServer

pytestmark = pytest.mark.browser


@dataclass
class Visit:
    """The page, and what went on behind it."""

    page: Page
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture
def visit(browser: Browser, server: RunningServer) -> Iterator[Visit]:
    """/docs, rendered."""
    page = browser.new_page(viewport={"width": 1280, "height": 1600})
    made = Visit(page)
    page.on("request", lambda request: made.asked.append(request.url))
    page.on("requestfailed", lambda request: made.complaints.append(f"failed: {request.url}"))
    page.on("pageerror", lambda error: made.complaints.append(str(error)))
    page.on("console", lambda said: made.complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.goto(f"{server.url}/docs")
    page.wait_for_selector(".opblock")
    try:
        yield made
    finally:
        page.close()


def test_every_operation_is_shown(visit: Visit, server: RunningServer) -> None:
    document = httpx.get(f"{server.url}/openapi.json").json()
    paths = [path for path, item in document["paths"].items() for _ in item]
    expect(visit.page.locator(".opblock")).to_have_count(len(paths))
    shown = visit.page.locator(".opblock-summary-path").evaluate_all("found => found.map(one => one.dataset.path)")
    assert sorted(shown) == sorted(paths)
    assert visit.page.title() == "Gradwire API"


def test_the_page_asks_no_other_host_and_complains_of_nothing(visit: Visit, server: RunningServer) -> None:
    visit.page.wait_for_load_state("networkidle")
    assert visit.complaints == []
    assert {f"{server.url}/docs", f"{server.url}/openapi.json"} <= set(visit.asked)
    assert [url for url in visit.asked if not url.startswith((f"{server.url}/", "data:", "blob:"))] == []


def test_an_operation_can_be_tried_out(visit: Visit, server: RunningServer) -> None:
    block = visit.page.locator(".opblock").filter(has=visit.page.locator('[data-path="/v1/losses/mse_loss"]'))
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    with visit.page.expect_response("**/v1/losses/mse_loss") as answered:
        block.get_by_role("button", name="Execute").click()
    assert answered.value.status == 200
    answer = json.loads(answered.value.body())
    assert answer["loss"] == 1.5  # (0.5**2 + 0.5**2 + 2**2) / 3
    live = block.locator(".live-responses-table .response")
    expect(live.locator(".response-col_status")).to_contain_text("200")
    expect(live.locator(".response-col_description")).to_contain_text('"loss": 1.5')
    assert visit.complaints == []
    assert all(url.startswith((f"{server.url}/", "data:", "blob:")) for url in visit.asked)


def test_an_operation_shows_its_example_and_its_schema(visit: Visit) -> None:
    block = visit.page.locator(".opblock").filter(has=visit.page.locator('[data-path="/v1/losses/cross_entropy"]'))
    block.locator(".opblock-summary-control").click()
    expect(block.locator(".body-param__example")).to_contain_text('"label_smoothing"')
    expect(block.locator(".opblock-description")).to_contain_text("mean divides by")
    block.locator(".opblock-section-request-body").get_by_role("tab", name="Schema").click()
    expect(block.locator(".opblock-section-request-body .model-box").first).to_contain_text("label_smoothing")
