"""The page of `ivl explain` in a real Chromium: words are chosen, nothing scrolls sideways, axe finds no fault."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from engine_driver import one_thread
from exact_pipeline import exact_pipeline, picture
from ivl.explain.page import PageNames, render_page
from ivl.explain.page_run import explain_prompt

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
CHROMIUM = "/usr/bin/chromium"
RUN = """async () => (await axe.run(document)).violations.flatMap((rule) => rule.nodes.map((node) => (
  [rule.id, node.impact, node.html.slice(0, 160)])))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as started:
        made = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture(scope="module")
def pages(tiny_folder, tmp_path_factory) -> Path:
    """A folder with en.html and zh.html."""
    folder = tmp_path_factory.mktemp("pages")
    with one_thread(), exact_pipeline(tiny_folder("tiny-internlm2"), session_len=4096, blocks=256) as pipe:
        found = explain_prompt(pipe, "<img src=x onerror=alert(1)>?", [picture(1, (168, 112))], max_new_tokens=12)
    for language in ("en", "zh"):
        (folder / f"{language}.html").write_text(render_page(found, PageNames(language=language)), "utf-8")
    return folder


@pytest.fixture(scope="module")
def axe(tmp_path_factory) -> str:
    """axe-core's script, from the npm registry."""
    npm, folder = shutil.which("npm"), tmp_path_factory.mktemp("axe")
    assert npm, "axe-core comes through npm: install it"
    subprocess.run([npm, "pack", "axe-core@4", "--silent"], cwd=folder, check=True, capture_output=True, timeout=120)
    shutil.unpack_archive(next(folder.glob("*.tgz")), folder)
    return (folder / "package" / "axe.min.js").read_text("utf-8")


def opened(browser: Browser, path: Path, problems: list[str], **options: object) -> Page:
    page = browser.new_page(**options)
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: problems.append(request.url) if request.url.startswith("http") else None)
    page.goto(path.as_uri())
    return page


def test_a_word_is_chosen_by_keyboard_and_by_click(browser, pages):
    problems: list[str] = []
    page = opened(browser, pages / "en.html", problems)
    drawings = page.locator(".ivl-page-gaze:visible")
    expect(drawings).to_have_count(1)
    expect(drawings).to_have_attribute("id", "g0")
    page.locator("#w0").focus()
    page.keyboard.press("ArrowRight")
    expect(drawings).to_have_attribute("id", "g1")
    page.locator("label[for=w2]").click()
    expect(drawings).to_have_attribute("id", "g2")
    page.get_by_role("link", name="What it takes").click()
    expect(page.get_by_role("heading", name="What it takes")).to_be_in_viewport()
    assert problems == []
    page.close()


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 860), (390, 844)])
def test_it_fits_and_axe_finds_no_fault(browser, pages, axe, language, scheme, size):
    view = {"width": size[0], "height": size[1]}
    page = opened(browser, pages / f"{language}.html", [], viewport=view, color_scheme=scheme, bypass_csp=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    page.evaluate(axe)
    assert page.evaluate(RUN) == []
    page.close()
