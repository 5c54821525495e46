"""Takes the pictures of the web page in docs/images: `python tools/page_pictures.py [FOLDER] [--adapter NAME=FOLDER]`.

In: the model in the package, its sample pictures, an adapter to compare it with. Out: PNGs, to be looked at before they
are kept. Needs the extras `ui` and `dev`, and a Chromium.
"""

import argparse
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from ivl.server.settings import ServerSettings
from ivl.types import EngineConfig
from ivl.ui.run import PageServer, load_models, page_app
from ivl.zoo import sample_pictures

WIDE, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
HOT_DOG, FRUIT, LUNCH = sample_pictures()[:3]


@contextmanager
def listening(adapters: dict[str, str]) -> Iterator[str]:
    """The address of a page with the model in the package."""
    settings = ServerSettings(port=0)
    with load_models((None,), adapters, EngineConfig(), settings) as models, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = PageServer(page_app(models))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.05)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def opened(browser: Browser, address: str, language: str, size: dict[str, int] = WIDE, **options: object) -> Page:
    page = browser.new_page(viewport=size, locale=language, **options)
    page.goto(address)
    page.wait_for_selector(".ivl-welcome")
    return page


def ask(page: Page, text: str, *pictures: Path) -> None:
    asked = page.locator(".ivl-notes").count()
    if pictures:
        page.locator(".ivl-composer input[type=file]").set_input_files(list(pictures))
        page.locator(".ivl-waiting li").nth(len(pictures) - 1).wait_for()
    page.locator("#ivl-question").fill(text)
    page.locator("#ivl-question").press("Enter")
    page.locator(".ivl-notes").nth(asked).wait_for()
    page.wait_for_timeout(500)


def shoot(page: Page, path: Path, full_page: bool = False) -> None:
    """A PNG with a palette, which is a third as large."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)  # until all is laid out
    shot = Image.open(io.BytesIO(page.screenshot(full_page=full_page))).convert("RGB")
    shot.quantize(256, Image.Quantize.MEDIANCUT).save(path, optimize=True)


def take_pictures(browser: Browser, address: str, folder: Path) -> None:
    page = opened(browser, address, "en-US")
    ask(page, "How many bananas are in the picture?", FRUIT)
    ask(page, "Is there a banana in the picture?")
    page.locator(".ivl-dish").nth(4).click()
    page.locator(".ivl-chip").first.click()
    shoot(page, folder / "page-chat.png")

    page.get_by_role("tab", name="Compare").click()
    page.get_by_role("button", name="Take the chat's last question").click()
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Ask both").click()
    page.locator("#ivl-compare-answers table").wait_for()
    shoot(page, folder / "page-compare.png", full_page=True)

    page = opened(browser, address, "en-US", device_scale_factor=0.75)
    ask(page, "Where is the pizza?", LUNCH)
    page.get_by_role("tab", name="How it works").click()
    page.get_by_role("button", name="Take the last answer apart").click()
    page.get_by_text("Everything is shown.").wait_for()
    shoot(page, folder / "page-how.png", full_page=True)

    page = opened(browser, address, "zh-CN", color_scheme="dark")
    ask(page, "图一是<image>，图二是<image>。图二是什么？", HOT_DOG, LUNCH)
    page.get_by_role("button", name="设置").click()
    shoot(page, folder / "page-chat-zh-dark.png")

    page = opened(browser, address, "en-US", size=PHONE)
    ask(page, "What food is this?", HOT_DOG)
    shoot(page, folder / "page-phone.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs/images"))
    parser.add_argument("--adapter", metavar="NAME=FOLDER", help="what the model is compared with")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    name, _, folder = (given.adapter or "").partition("=")
    with listening({name: folder} if name else {}) as address, sync_playwright() as started:
        browser = started.chromium.launch(executable_path=given.chromium, args=["--no-sandbox"])
        take_pictures(browser, address, given.folder)
        browser.close()


if __name__ == "__main__":
    main()
