"""The page in a real Chromium: what people do with it, with a mouse, with a keyboard, on a phone."""

import json
import shutil
import subprocess
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from exact_pipeline import assert_baseline
from ivl.types import GenerationConfig, Message
from ivl.ui.models import Cancel, Counts, Models, Piece
from random_requests import eventually
from ui.conftest import Live, listening, picture_bytes
from videos import video

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
CHROMIUM = "/usr/bin/chromium"
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as started:
        made = started.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"],
        )
        yield made
        made.close()


class Visit:
    """One browser of one person, and what went wrong in it."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 860}, "locale": "en-US", **options})
        self.page: Page = self.context.new_page()
        self.problems: list[str] = []
        self.foreign: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda message: self.problems.append(message.text) if message.type == "error" else None)
        self.page.on("request", lambda request: self._note(request.url, url))
        self.page.goto(url)
        self.page.wait_for_selector(".ivl-welcome", timeout=30_000)

    def _note(self, address: str, url: str) -> None:
        if not address.startswith((url, "data:", "blob:")):
            self.foreign.append(address)

    def tokens(self, count: int) -> None:
        self.page.get_by_role("button", name="Settings").click()
        field = self.page.get_by_label("number input for Longest answer")
        field.fill(str(count))
        field.press("Tab")
        expect(self.page.get_by_label("range slider for Longest answer")).to_have_value(str(count))

    def ask(self, text: str) -> None:
        self.page.locator("#ivl-question").fill(text)
        self.page.locator("#ivl-question").press("Enter")

    def answered(self, count: int = 1) -> None:
        expect(self.page.locator(".ivl-notes")).to_have_count(count, timeout=20_000)
        expect(self.page.locator(".ivl-send:not(.ivl-stop)")).to_be_visible(timeout=20_000)

    def pictures(self, *data: bytes) -> None:
        files = [{"name": f"{at}.png", "mimeType": "image/png", "buffer": each} for at, each in enumerate(data)]
        self.page.locator(".ivl-composer input[type=file]").set_input_files(files)
        expect(self.page.locator(".ivl-waiting li")).to_have_count(len(data))

    def close(self) -> None:
        self.context.close()


@pytest.fixture
def visit(browser: Browser, live: Live) -> Iterator[Visit]:
    made = Visit(browser, live.url)
    yield made
    made.close()
    assert made.problems == []
    assert made.foreign == []


def test_a_question_with_a_dish_is_answered(visit):
    visit.tokens(20)
    visit.page.locator(".ivl-dish").first.click()
    visit.page.locator(".ivl-chip").first.click()
    expect(visit.page.locator("#ivl-question")).to_have_value("What dish is this?")
    visit.page.keyboard.press("Enter")
    visit.answered()
    expect(visit.page.locator(".ivl-question")).to_contain_text("What dish is this?")
    expect(visit.page.locator(".ivl-question img")).to_have_count(1)
    expect(visit.page.locator(".ivl-notes")).to_contain_text("20 tokens")
    expect(visit.page.locator("#ivl-question")).to_be_focused()


def test_two_pictures_then_a_question_about_the_second(visit):
    visit.tokens(5)
    visit.pictures(picture_bytes("red"), picture_bytes("blue"))
    visit.ask("<image> first, <image> second: what colour is the second?")
    visit.answered()
    assert visit.page.locator(".ivl-question").inner_html().count("<img") == 2
    visit.ask("and the first?")
    visit.answered(2)
    expect(visit.page.locator(".ivl-notes").last).to_contain_text("2 tiles")


def test_a_video_is_shown_as_the_frames_that_are_read(visit):
    visit.tokens(5)
    film = {"name": "film.mp4", "mimeType": "video/mp4", "buffer": video(12)}
    visit.page.locator(".ivl-composer input[type=file]").set_input_files([film])
    expect(visit.page.locator(".ivl-waiting li")).to_have_text("film.mp41")
    visit.ask("What moves?")
    visit.answered()
    expect(visit.page.get_by_role("img", name="Video 1, the frames that are read")).to_be_visible()
    expect(visit.page.locator(".ivl-notes")).to_contain_text("8 tiles")
    with visit.page.expect_download() as download:
        visit.page.get_by_role("button", name="Save as JSON").click()
    messages = json.loads(Path(download.value.path()).read_text("utf-8"))
    assert [part["type"] for part in messages[0]["content"]] == ["text", "text"]


def test_two_visitors_at_once(browser, live, visit):
    other = Visit(browser, live.url)
    for who, text in ((visit, "I am Ann"), (other, "I am Bob")):
        who.tokens(300)
        who.ask(text)
    for who, mine, not_mine in ((visit, "I am Ann", "I am Bob"), (other, "I am Bob", "I am Ann")):
        who.answered()
        expect(who.page.locator(".ivl-question")).to_have_text(mine)
        assert not_mine not in who.page.content()
    other.close()


def test_stop_keeps_what_was_said(visit, live, pipe):
    visit.tokens(3000)
    visit.ask("go on for long")
    expect(visit.page.locator(".ivl-answer p:not(.ivl-thinking)").first).to_be_visible(timeout=10_000)
    assert live.models.num_running == 1
    visit.page.get_by_role("button", name="Stop", exact=True).first.click()
    visit.answered()
    expect(visit.page.locator(".ivl-notes")).to_contain_text("stopped")
    assert_baseline(pipe)


def test_a_closed_tab_ends_the_work(browser, live, pipe):
    gone = Visit(browser, live.url)
    gone.tokens(3000)
    gone.ask("go on for long")
    eventually(lambda: live.models.num_running == 1, 10)
    gone.close()
    eventually(lambda: live.models.num_running == 0, 1)
    assert_baseline(pipe)


def test_retry_and_edit(visit):
    visit.tokens(5)
    visit.ask("one")
    visit.answered()
    visit.ask("two")
    visit.answered(2)
    visit.page.get_by_role("button", name="Edit").first.click()
    visit.page.get_by_label("Your question, to change").fill("three")
    visit.page.keyboard.press("Enter")
    visit.answered(1)
    expect(visit.page.locator(".ivl-question")).to_have_text("three")
    visit.page.get_by_role("button", name="Try again").click()
    visit.answered(1)
    visit.page.get_by_role("button", name="New chat").click()
    expect(visit.page.locator(".ivl-welcome")).to_be_visible()


def test_the_language_switches_at_once_and_is_remembered(visit):
    visit.tokens(5)
    visit.ask("hello")
    visit.answered()
    visit.page.get_by_text("中文").click()
    expect(visit.page.locator("#ivl-question")).to_have_attribute("placeholder", "就图片提问")
    expect(visit.page.locator(".ivl-notes")).to_contain_text("个词元")
    expect(visit.page.get_by_role("tab").first).to_have_text("对话")
    expect(visit.page.locator(".ivl-question")).to_have_text("hello")
    assert visit.page.evaluate("document.documentElement.lang") == "zh"
    visit.page.reload()
    expect(visit.page.locator("#ivl-question")).to_have_attribute("placeholder", "就图片提问", timeout=15_000)


def test_a_chinese_browser_gets_chinese(browser, live):
    chinese = Visit(browser, live.url, locale="zh-CN")
    expect(chinese.page.locator(".ivl-welcome h2")).to_have_text("盘子里是什么？")
    chinese.close()


def test_light_and_dark(visit):
    light = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    visit.page.get_by_role("button", name="Dark colours").click()
    dark = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert light != dark
    visit.page.reload()
    visit.page.wait_for_selector(".ivl-welcome", timeout=15_000)
    assert visit.page.evaluate("document.body.classList.contains('dark')")


def test_by_keyboard_alone(visit):
    visit.tokens(5)
    for _ in range(40):
        visit.page.keyboard.press("Shift+Tab")
        if visit.page.evaluate("document.activeElement.className") == "ivl-dish":
            break
    visit.page.keyboard.press("Enter")
    expect(visit.page.locator(".ivl-waiting li")).to_have_count(1)
    for _ in range(40):
        visit.page.keyboard.press("Shift+Tab")
        if visit.page.evaluate("document.activeElement.id") == "ivl-question":
            break
    visit.page.keyboard.type("one")
    visit.page.keyboard.press("Shift+Enter")
    visit.page.keyboard.type("two")
    visit.page.keyboard.press("Enter")
    visit.answered()
    expect(visit.page.locator(".ivl-question p")).to_have_text("one\ntwo")


def test_paste_drop_and_camera(visit):
    give = """([kind, bytes]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(bytes)], "a.png", { type: "image/png" }));
      const name = kind === "paste" ? { clipboardData: transfer } : { dataTransfer: transfer };
      const type = kind === "paste" ? ClipboardEvent : DragEvent;
      const event = new type(kind, { ...name, bubbles: true, cancelable: true });
      document.querySelector("#ivl-question").dispatchEvent(event);
    }"""
    for count, kind in enumerate(("paste", "drop"), 1):
        visit.page.evaluate(give, [kind, list(picture_bytes())])
        expect(visit.page.locator(".ivl-waiting li")).to_have_count(count)
    visit.context.grant_permissions(["camera"])
    visit.page.get_by_role("button", name="Use the camera").first.click()
    visit.page.wait_for_function("document.querySelector('dialog video')?.videoWidth > 0")
    visit.page.get_by_role("button", name="Take the picture").click()
    expect(visit.page.locator(".ivl-waiting li")).to_have_count(3)
    visit.tokens(5)
    visit.ask("what are these?")
    visit.answered()
    expect(visit.page.locator(".ivl-question img")).to_have_count(3)


def test_the_chat_is_saved(visit):
    visit.tokens(5)
    visit.pictures(picture_bytes())
    visit.ask("hello")
    visit.answered()
    with visit.page.expect_download() as download:
        visit.page.get_by_role("button", name="Save as JSON").click()
    messages = json.loads(Path(download.value.path()).read_text("utf-8"))
    assert [message["role"] for message in messages] == ["user", "assistant"]
    assert [part["type"] for part in messages[0]["content"]] == ["image_url", "text"]
    with visit.page.expect_download() as download:
        visit.page.get_by_role("button", name="Save as Markdown").click()
    text = Path(download.value.path()).read_text("utf-8")
    assert "hello" in text
    assert "5 tokens" in text


def test_an_error_is_told_and_the_question_comes_back(visit):
    visit.pictures(picture_bytes())
    visit.page.locator(".ivl-waiting button").click()
    visit.ask("one <image> too many")
    expect(visit.page.locator(".ivl-view .ivl-error")).to_be_visible(timeout=10_000)
    expect(visit.page.locator("#ivl-question")).to_have_value("one <image> too many")


def test_a_phone_needs_no_sideways_scrolling(browser, live):
    phone = Visit(browser, live.url, viewport=PHONE, has_touch=True, is_mobile=True)
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    title = phone.page.get_by_role("heading", level=1, name="Ask a vision-language model about pictures")
    expect(title).to_be_visible()
    phone.tokens(3000)  # so that there is something to stop, however slow the browser is
    phone.page.locator(".ivl-dish").first.tap()
    phone.ask("what is it?")
    expect(phone.page.locator(".ivl-question")).to_be_visible()
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    phone.page.get_by_role("button", name="Stop", exact=True).first.click()
    phone.close()


def test_two_answers_side_by_side(visit):
    visit.tokens(5)
    visit.pictures(picture_bytes("blue"))
    visit.ask("What colour is it?")
    visit.answered()
    visit.page.get_by_role("tab", name="Compare").click()
    visit.page.get_by_role("button", name="Take the chat's last question").click()
    expect(visit.page.get_by_label("Question for both")).to_have_value("What colour is it?")
    visit.page.get_by_label("number input for Longest answer, in tokens").fill("6")
    visit.page.get_by_role("button", name="Ask both").click()
    answers = visit.page.locator("#ivl-compare-answers")
    expect(answers).to_contain_text("Both say the same.", timeout=20_000)
    expect(answers.get_by_role("table", name="Tokens and time")).to_be_visible()


def test_both_are_asked_about_several_pictures_and_a_video(visit):
    visit.tokens(5)
    visit.pictures(picture_bytes("blue"), picture_bytes("green"))
    visit.ask("Which is <image>, which is <image>?")
    visit.answered()
    visit.page.get_by_role("tab", name="Compare").click()
    visit.page.get_by_role("button", name="Take the chat's last question").click()
    held = visit.page.locator(".ivl-field .ivl-waiting li")
    expect(held.locator("img")).to_have_count(2)
    files = [
        {"name": "red.png", "mimeType": "image/png", "buffer": picture_bytes("red")},
        {"name": "film.mp4", "mimeType": "video/mp4", "buffer": video(12)},
        {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"},
    ]
    visit.page.locator(".ivl-field input[type=file]").set_input_files(files)
    expect(held).to_have_count(4)
    expect(held.last).to_contain_text("film.mp4")
    expect(visit.page.locator(".ivl-field .ivl-error")).to_contain_text("notes.txt is neither a picture nor a video")
    visit.page.locator(".ivl-field").get_by_role("button", name="Remove number 3").click()
    expect(held).to_have_count(3)
    visit.page.get_by_label("number input for Longest answer, in tokens").fill("6")
    visit.page.get_by_role("button", name="Ask both").click()
    answers = visit.page.locator("#ivl-compare-answers")
    expect(answers).to_contain_text("Both say the same.", timeout=20_000)
    expect(answers.get_by_role("row", name="Tiles of the pictures")).to_have_text("Tiles of the pictures1010")
    visit.page.get_by_text("中文").click()
    expect(visit.page.get_by_role("button", name="移除第 3 个")).to_be_visible()


def test_the_last_answer_taken_apart(visit):
    visit.tokens(5)
    visit.pictures(picture_bytes("blue", (168, 112)))
    visit.ask("What colour is it?")
    visit.answered()
    visit.page.get_by_role("tab", name="How it works").click()
    visit.page.get_by_role("button", name="Take the last answer apart").click()
    expect(visit.page.get_by_text("Everything is shown.")).to_be_visible(timeout=30_000)
    for part in ("grid", "tiles", "tokens", "prompt", "gaze", "time"):
        expect(visit.page.locator(f".ivl-how-{part}").first).to_be_visible()
    visit.page.get_by_text("中文").click()
    expect(visit.page.get_by_text("一个回答是怎样来的")).to_be_visible()


class Scripted(Models):
    """Says what it is told to say."""

    text = ""

    async def stream(
        self, name: str, messages: Any, generation: GenerationConfig, cancel: Cancel, *, salt: str = ""
    ) -> AsyncGenerator[Piece, None]:
        assert all(isinstance(message, Message) for message in messages)
        yield Piece(text=self.text)
        counts = {"prompt_tokens": 9, "answer_tokens": 9, "first_s": 0.1, "total_s": 0.2, "tiles": 1}
        yield Piece(counts=Counts(finish_reason="stop", **counts))


@pytest.fixture
def scripted(browser, pipe, foods, monkeypatch) -> Iterator[Visit]:
    monkeypatch.setattr("ui.conftest.Models", Scripted)
    with listening(pipe, foods=foods) as page:
        visit = Visit(browser, page.url)
        yield visit
        visit.close()
        assert visit.problems == []


def test_markup_in_an_answer_does_nothing(scripted, monkeypatch):
    bad = "<script>window.hacked=1</script><img src=x onerror='window.hacked=2'><a href='javascript:hacked=3'>x</a>"
    monkeypatch.setattr(Scripted, "text", f"{bad}\n\n- {bad}\n\n```\n{bad}\n```\n\n**{bad}**")
    scripted.ask(bad)
    scripted.answered()
    assert scripted.page.evaluate("window.hacked") is None
    assert scripted.page.locator(".ivl-turn script, .ivl-turn a, .ivl-turn img").count() == 0
    expect(scripted.page.locator(".ivl-answer li")).to_contain_text("<script>window.hacked=1</script>")


def test_boxes_are_drawn_on_the_picture(scripted, monkeypatch):
    monkeypatch.setattr(
        Scripted, "text", "A <ref>cup</ref><box>[[100, 250, 600, 750]]</box> and <ref><b>tea</b></ref>."
    )
    scripted.pictures(picture_bytes(size=(200, 100)))
    scripted.ask("where?")
    scripted.answered()
    box = scripted.page.locator(".ivl-box")
    expect(box).to_have_count(1)
    picture, drawn = scripted.page.locator(".ivl-marked img").bounding_box(), box.bounding_box()
    assert picture is not None
    assert drawn is not None
    assert abs(drawn["x"] - picture["x"] - 0.1 * picture["width"]) < 1.5
    assert abs(drawn["height"] - 0.5 * picture["height"]) < 3
    expect(scripted.page.get_by_role("img", name="One place marked in the picture: cup")).to_be_visible()


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core's script, from the npm registry."""
    npm, folder = shutil.which("npm"), tmp_path_factory.mktemp("axe")
    assert npm, "axe-core comes through npm: install it"
    subprocess.run([npm, "pack", "axe-core@4", "--silent"], cwd=folder, check=True, capture_output=True, timeout=120)
    shutil.unpack_archive(next(folder.glob("*.tgz")), folder)
    return (folder / "package" / "axe.min.js").read_text("utf-8")


OURS = "[class^=ivl-], [class*=' ivl-'], [id^=ivl-]"
RUN = """async () => (await axe.run(document)).violations.flatMap((rule) => rule.nodes.map((node) => ({
  rule: rule.id, impact: node.impact, html: node.html.slice(0, 160), target: node.target.join(" ") })))"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 860), (390, 844)])
def test_axe_finds_no_serious_fault_in_our_markup(browser, live, axe, scheme, size):
    visit = Visit(browser, live.url, viewport={"width": size[0], "height": size[1]})
    if scheme == "dark":
        visit.page.get_by_role("button", name="Dark colours").click()
    visit.tokens(5)
    visit.pictures(picture_bytes())
    visit.ask("what is it?")
    visit.answered()
    visit.page.locator(".ivl-dish").first.click()
    visit.page.evaluate(axe)
    found = visit.page.evaluate(RUN)
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    ours = [each for each in serious if "ivl-" in each["html"] or "ivl-" in each["target"]]
    for each in serious:
        print(each)
    assert ours == []
    visit.close()
