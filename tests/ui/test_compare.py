"""Two answers side by side: each its model's own, stopped together, and no visitor's but one's own."""

import asyncio
import base64
from contextlib import aclosing
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from exact_pipeline import assert_baseline
from ivl.types import GenerationConfig, ImagePart, Message, TextPart, VideoPart
from ivl.ui.chat import Answered, ChatHandles
from ivl.ui.compare import Compare, build
from ivl.ui.front import COOKIE
from ivl.ui.models import Counts, Models
from ivl.ui.words import Words
from random_adapter import make_adapter, tensors_of, write_adapter
from ui.conftest import picture_bytes
from videos import moving_picture

PICTURE = picture_bytes("blue", (168, 112))
URI = "data:image/png;base64," + base64.b64encode(PICTURE).decode()
COUNTS = Counts(prompt_tokens=3, answer_tokens=2, finish_reason="stop", first_s=0.1, total_s=0.2, tiles=1)


def visitor(name: str = "one") -> Any:
    return SimpleNamespace(session_hash=name, cookies={COOKIE: f"cookie of {name}"})


@dataclass
class Seen:
    """What a visitor was shown."""

    views: list[str] = field(default_factory=list)
    sides: Any = None
    buttons: list[tuple[bool, bool]] = field(default_factory=list)

    def take(self, values: list[Any]) -> None:
        sides, html, ask, stop = values
        self.sides = sides if isinstance(sides, list) else self.sides
        self.views.append(html)
        self.buttons.append((ask["interactive"], stop["interactive"]))


async def asked(tab: Compare, seen: Seen, *given: Any, who: str = "one", language: str = "en") -> Seen:
    async with aclosing(tab.ask(*given, language, visitor(who))) as values:
        async for each in values:
            seen.take(each)
    return seen


def compare(tab: Compare, *given: Any, **more: Any) -> Seen:
    return asyncio.run(asked(tab, Seen(), *given, **more))


@pytest.fixture(scope="module")
def models(pipe, tmp_path_factory):
    adapter = make_adapter(3, config=pipe.config, parts=("language_model",))
    pipe.load_adapter("tuned", write_adapter(tmp_path_factory.mktemp("tuned"), tensors_of(adapter)))
    yield Models.of({"base": pipe}, ["tuned"])
    pipe.unload_adapter("tuned")


@pytest.fixture
def tab(models) -> Compare:
    return Compare(models, Words(), None)


def test_each_side_is_its_models_own_answer(tab, pipe):
    seen = compare(tab, "base", "tuned", [URI], "What is it?", 40)
    settings = GenerationConfig(max_new_tokens=40, temperature=0)
    own = [pipe(("What is it?", PICTURE), settings, adapter=adapter).text for adapter in (None, "tuned")]
    assert [side.text for side in seen.sides] == own
    assert own[0] != own[1]
    assert [side.counts.answer_tokens for side in seen.sides] == [40, 40]
    assert [side.counts.tiles for side in seen.sides] == [7, 7]
    assert seen.views[-1].count("<tr>") == 7
    assert "Tokens and time" in seen.views[-1]
    assert seen.buttons[0] == (False, True)
    assert seen.buttons[-1] == (True, False)


def test_both_grow_together(tab):
    seen = compare(tab, "base", "tuned", [], "Tell me", 150)
    assert len(set(seen.views)) > 3
    assert not tab._running


def test_one_button_stops_both_and_keeps_what_was_said(tab, pipe):
    async def run() -> Seen:
        seen = Seen()
        task = asyncio.create_task(asked(tab, seen, "base", "tuned", [], "Go on", 3000))
        while len(seen.views) < 4:
            await asyncio.sleep(0.01)
        tab.stop(visitor("another"))
        assert not task.done()
        tab.stop(visitor())
        return await asyncio.wait_for(task, 5)

    seen = asyncio.run(run())
    assert [side.counts.finish_reason for side in seen.sides] == ["abort", "abort"]
    assert all(0 < side.counts.answer_tokens < 3000 for side in seen.sides)
    assert seen.views[-1].count(">stopped<") == 2
    assert_baseline(pipe)


def test_leaving_ends_both(tab, pipe):
    async def run() -> None:
        async with aclosing(tab.ask("base", "tuned", [], "Go on", 3000, "en", visitor())) as values:
            async for _ in values:
                if pipe.stats.running:
                    break

    asyncio.run(run())
    assert not tab._running
    assert_baseline(pipe)


def test_two_visitors_at_once_get_their_own(tab):
    async def run() -> list[Seen]:
        given = [("base", "tuned", [], text, 60) for text in ("first", "second")]
        return await asyncio.gather(*(asked(tab, Seen(), *each, who=each[3]) for each in given))

    together = asyncio.run(run())
    alone = [compare(tab, "base", "tuned", [], text, 60) for text in ("first", "second")]
    for both, own in zip(together, alone, strict=True):
        assert [side.text for side in both.sides] == [side.text for side in own.sides]


def test_a_second_question_waits_for_the_first(tab):
    async def run() -> list[Any]:
        first = asyncio.create_task(asked(tab, Seen(), "base", "tuned", [], "Go on", 3000))
        await asyncio.sleep(0.05)
        values = [each async for each in tab.ask("base", "tuned", [], "and I", 5, "en", visitor())]
        tab.stop(visitor())
        await first
        return values

    assert asyncio.run(run()) == [[gr.skip()] * 4]


def test_what_one_side_refuses_the_other_answers(tab):
    seen = compare(tab, "base", "<b>nobody</b>", [], "hello", 5)
    assert seen.sides[0].counts.answer_tokens == 5
    assert "no model" in seen.sides[1].error
    assert "<b>nobody" not in seen.views[-1]
    assert "&lt;b&gt;nobody" in seen.views[-1]


@pytest.mark.parametrize(
    ("picture", "question", "most", "told"),
    [
        (["/etc/passwd"], "hello", 5, "by its bytes"),
        (["http://127.0.0.1/a.png"], "hello", 5, "by its bytes"),
        (["file:///etc/passwd"], "hello", 5, "by its bytes"),
        ([URI, {"path": "/etc/passwd"}], "hello", 5, "by its bytes"),
        (["data:text/html;base64,PGI+"], "hello", 5, "the picture"),
        (["data:image/png;base64,AAAA"], "hello", 5, "the picture"),
        (["data:image/png;base64,????"], "hello", 5, "damaged"),
        ([URI] * 17, "hello", 5, "at most 16"),
        ({"path": "/etc/passwd"}, "hello", 5, "wrong shape"),
        (URI, "hello", 5, "wrong shape"),
        ([], " ", 5, "no question"),
        ([], ["hello"], 5, "wrong shape"),
        ([], "x" * 100_001, 5, "wrong shape"),
        ([], "hello", "many", "no number"),
        ([], "hello", float("nan"), "no number"),
        ([], "hello", 0, "no number"),
    ],
)
def test_what_cannot_be_asked_is_told_in_a_line(tab, picture, question, most, told):
    seen = compare(tab, "base", "tuned", picture, question, most)
    assert all(told in side.error for side in seen.sides), seen.sides[0].error
    assert "passwd" not in seen.views[-1]
    assert seen.buttons[-1] == (True, False)


FILM = moving_picture("GIF")
FILM_URI = "data:video/mp4;base64," + base64.b64encode(FILM).decode()


def test_pictures_and_videos_are_asked_about_as_in_the_chat(tab, pipe):
    question = "<image> or <image>?"
    seen = compare(tab, "base", "tuned", [URI, FILM_URI, URI], question, 12)
    parts = (VideoPart(source=FILM), ImagePart(source=PICTURE), ImagePart(source=PICTURE), TextPart(text=question))
    own = pipe([Message(role="user", parts=parts)], GenerationConfig(max_new_tokens=12, temperature=0))
    assert seen.sides[0].text == own.text
    assert [side.counts.tiles for side in seen.sides] == [8 + 7 + 7] * 2


@pytest.mark.parametrize(
    ("files", "text", "further", "taken"),
    [
        ((ImagePart(source=PICTURE),), "<image>\nWhat?", "", [[URI], "<image>\nWhat?"]),
        ((VideoPart(source=FILM), ImagePart(source=PICTURE)), "What?", "", [[FILM_URI, URI], "What?"]),
        ((ImagePart(source=PICTURE),), "<image>\nWhat?", "And then?", [[URI], "And then?"]),
        ((), "What?", "", [[], "What?"]),
    ],
)
def test_the_chats_last_question_is_taken(models, files, text, further, taken):
    messages = [Message(role="user", parts=(*files, TextPart(text=text)))]
    if further:
        messages += [Message(role="assistant", parts=(TextPart(text="This."),))]
        messages += [Message(role="user", parts=(TextPart(text=further),))]
    answered = Answered(
        name="base", messages=tuple(messages), answer="x", generation=GenerationConfig(), counts=COUNTS
    )  # fmt: skip
    chat = ChatHandles(last=lambda request: answered, answered=None)
    assert Compare(models, Words(), chat).take(visitor()) == taken
    nobody = ChatHandles(last=lambda request: None, answered=None)
    assert Compare(models, Words(), nobody).take(visitor()) == [gr.skip(), gr.skip()]


def test_what_is_shown_changes_its_language(tab):
    seen = compare(tab, "base", "tuned", [], "hello", 5)
    assert "词元与时间" in tab.redraw(seen.sides, "zh")
    assert tab.intro("zh") != tab.intro("en")


def test_a_page_of_one_model_says_how_to_have_two(pipe):
    tab = Compare(Models.of({"base": pipe}), Words(), None)
    assert "--adapter" in tab.intro("en")


def test_the_tab_can_be_built(models):
    words = Words()
    with gr.Blocks() as page:
        words.language.render()
        build(models, words, None)
        words.connect()
    assert all(each["api_visibility"] == "private" for each in page.config["dependencies"])
