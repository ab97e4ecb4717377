"""Reports in a real browser: whole, legible, and without any network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page

from service.evaluations.report.write import write
from tests.evaluations.report import drawn

pytestmark = pytest.mark.browser

OVERLAPPING = """
() => [...document.querySelectorAll("svg")].flatMap((svg) => {
  const boxes = [...svg.querySelectorAll("text")]
    .filter((text) => text.textContent.trim())
    .filter((text) => !/rotate\\(-?(45|90)/.test(text.getAttribute("transform") || ""))
    .map((text) => [text.textContent, text.getBoundingClientRect()]);
  return boxes.flatMap(([name, a], at) => boxes.slice(at + 1)
    .filter(([_, b]) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3)
    .map(([other]) => `${name} / ${other}`));
})
"""
OUTSIDE = """
() => [...document.querySelectorAll("svg")].flatMap((svg) => {
  const around = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text")].filter((text) => {
    const box = text.getBoundingClientRect();
    return box.left < around.left - 2 || box.right > around.right + 2 || box.bottom > around.bottom + 2;
  }).map((text) => text.textContent);
})
"""
CONTRASTS = """
() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((part) => {
    const value = part / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  const luminance = (colour) => { const [r, g, b] = channels(colour); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const paper = luminance(getComputedStyle(document.body).backgroundColor);
  const ratio = (colour) => {
    const [low, high] = [luminance(colour), paper].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  return [...document.querySelectorAll("p, td, th, dt, dd, svg:not([aria-labelledby^=confusion]) text")]
    .map((element) => ratio(getComputedStyle(element)[element.tagName === "text" ? "fill" : "color"]));
}
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports as files; made before the browser starts, whose event loop bars others."""
    reports: dict[str, dict[str, Any]] = {
        "ten": drawn.report(samples=3000),
        "thirty": drawn.report(30, 3000),
        "comparison": drawn.comparison(),
    }
    folder = tmp_path_factory.mktemp("reports")
    for name, report in reports.items():
        (folder / f"{name}.html").write_bytes(write(report, "html"))
    return {name: folder / f"{name}.html" for name in reports}


Scheme = Literal["light", "dark"]


def opened(
    browser: Browser, file: Path, width: int = 1180, scheme: Scheme = "light"
) -> tuple[Page, list[str], list[str]]:
    """The page without a network, what it asked for, and what it complained of."""
    context = browser.new_context(
        offline=True, viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=True
    )
    page = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(file.as_uri())
    return page, asked, complaints


@pytest.mark.parametrize(("name", "sections", "plots"), [("ten", 9, 6), ("comparison", 6, 2)])
def test_a_report_shows_every_section_and_asks_for_nothing(
    pages: dict[str, Path], browser: Browser, name: str, sections: int, plots: int
) -> None:
    page, asked, complaints = opened(browser, pages[name])
    assert asked == [pages[name].as_uri()]
    assert complaints == []
    shown = page.locator("section.part")
    assert shown.count() == sections
    for at in range(sections):
        box = shown.nth(at).bounding_box()
        assert box is not None
        assert box["height"] > 80
    drawings = page.locator("figure svg")
    assert drawings.count() == plots
    for at in range(plots):
        box = drawings.nth(at).bounding_box()
        assert box is not None
        assert box["width"] > 400
        assert box["height"] > 90
    page.context.close()


@pytest.mark.parametrize("width", [390, 820, 1180])
@pytest.mark.parametrize("name", ["ten", "thirty", "comparison"])
def test_nothing_sticks_out_or_overlaps_at_any_width(
    pages: dict[str, Path], browser: Browser, name: str, width: int
) -> None:
    page, _, _ = opened(browser, pages[name], width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OVERLAPPING) == []
    assert page.evaluate(OUTSIDE) == []
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_contrast_enough_in_both_schemes(pages: dict[str, Path], browser: Browser, scheme: Scheme) -> None:
    page, _, _ = opened(browser, pages["ten"], scheme=scheme)
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 300
    assert min(contrasts) > 4.5  # what WCAG 2.2 asks of text, AA
    page.context.close()


def test_a_report_is_light_on_paper(pages: dict[str, Path], browser: Browser) -> None:
    page, _, _ = opened(browser, pages["ten"], scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('svg text')).fill") in {
        "rgb(0, 0, 0)",
        "rgb(68, 76, 88)",
    }
    assert not page.locator("nav").is_visible()
    page.context.close()
