"""The last answer taken apart: all parts, in both languages, for the visitor who asked and for nobody else."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from ivl.types import GenerationConfig, ImagePart, Message, TextPart, VideoPart
from ivl.ui.chat import Answered, ChatHandles
from ivl.ui.how import How, Shown, build
from ivl.ui.models import Counts, Models
from ivl.ui.words import Words
from ui.conftest import picture_bytes
from videos import moving_picture

COUNTS = Counts(prompt_tokens=3, answer_tokens=4, finish_reason="length", first_s=0.1, total_s=0.2, tiles=1)
PARTS = ("state", "status", "picture", "walk", "word", "layer", "gaze", "time")
ME: Any = SimpleNamespace(session_hash="me", cookies={})


def answered(answer: str = "top left", pictures: int = 1, name: str = "base") -> Answered:
    parts = [ImagePart(source=picture_bytes("blue", (168, 112 + 56 * at))) for at in range(pictures)]
    message = Message(role="user", parts=(*parts, TextPart(text="Where is <b>it</b>?")))
    settings = GenerationConfig(max_new_tokens=8)
    return Answered(name=name, messages=(message,), answer=answer, generation=settings, counts=COUNTS)


def how(models: Models, last: Answered | None) -> How:
    if last is not None:
        ids = models.offer("base").pipe.processor.tokenizer.encode(last.answer)
        last = replace(last, counts=replace(COUNTS, token_ids=tuple(ids)))
    return How(models, Words(), ChatHandles(last=lambda request: last if request is ME else None, answered=None))


def all_shown(tab: How, language: str = "en", request: Any = ME) -> dict[str, Any]:
    """The last value of every component."""
    values: dict[str, Any] = {}
    for given in tab.show(language, request):
        assert len(given) == len(PARTS)
        values |= {part: value for part, value in zip(PARTS, given, strict=True) if value != gr.skip()}
    return values


@pytest.fixture(scope="module")
def models(pipe) -> Models:
    return Models.of({"base": pipe})


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_part_of_an_answer_is_shown(models, language):
    values = all_shown(how(models, answered()), language)
    for name in ("grid", "tiles", "tokens", "prompt", "head"):
        assert f"ivl-how-{name}" in values["walk"], name
    assert "&lt;" in values["walk"]
    assert "<b>it" not in values["walk"]
    assert [name for name, _ in values["word"]["choices"]] == ["top", "left"]
    assert values["layer"]["value"] == "late"
    assert "ivl-how-gaze" in values["gaze"]
    assert "ivl-how-time" in values["time"]
    assert isinstance(values["state"], Shown)
    assert values["state"].gaze.deviation < 1e-5
    assert values["state"].timing.stages[0].name == "read"
    assert not values["picture"]["visible"]


def test_the_frames_of_a_video_are_its_pictures(models):
    video = VideoPart(source=moving_picture("GIF"), num_frames=3)
    last = replace(answered(), messages=(Message(role="user", parts=(video, TextPart(text="What moves?"))),))
    values = all_shown(how(models, last))
    assert len(values["picture"]["choices"]) == 3
    assert values["state"].gaze.deviation < 1e-5
    stages = {stage.name: stage.count for stage in values["state"].timing.stages}
    assert (stages["read"], stages["cut"], stages["vision"]) == (1, 3, 3)


def test_nothing_is_shown_to_whoever_has_no_answer(models):
    values = all_shown(how(models, answered()), request=SimpleNamespace(session_hash="other", cookies={}))
    assert values["state"] is None
    assert "no answer yet" in values["status"]
    assert "walk" not in values


def test_another_word_layer_and_picture(models):
    tab = how(models, answered(pictures=2))
    values = all_shown(tab)
    assert values["picture"]["visible"]
    shown, status, walk, html = tab.pick(values["state"], "0", "1", "late", "en")
    assert shown.word == 1
    assert walk == gr.skip()
    assert "\u201cleft\u201d" in html
    assert "Everything" in status
    gaze = shown.gaze
    shown, _, walk, html = tab.pick(shown, "1", "1", "0", "en")
    assert shown.gaze is gaze, "the word is the same"
    assert shown.picture == 1
    assert walk != values["walk"]
    assert "layer 1 of" in html
    drawn = tab.redraw(shown, "1", "1", "0", "zh")
    assert drawn[3]["value"] == "0"
    for text, at in (("词元", 2), ("注意力", 4), ("第 1 层", 4), ("各阶段", 5)):
        assert text in drawn[at]


def test_the_second_picture_is_the_second(models):
    tab = how(models, answered(pictures=2))
    shown = all_shown(tab)["state"]
    for at, size in ((0, "168 x 112"), (1, "168 x 168")):
        walk = tab.pick(replace(shown, picture=1 - at), str(at), "0", "late", "en")[2]
        assert size in walk


@pytest.mark.parametrize("hostile", [None, "-1", "99999999999", "1e1", {"a": 1}, ["0"], 7, "٣", "late; x", "2"])
def test_choices_that_are_none_are_the_first(models, hostile):
    tab = how(models, answered())
    shown, _, _, html = tab.pick(all_shown(tab)["state"], hostile, hostile, "9", "en")
    assert (shown.word, shown.picture) == (0, 0)
    assert "mean of the last" in html


def test_events_before_the_first_answer_are_nothing(models):
    tab = how(models, None)
    assert tab.pick(None, "0", "0", "0", "en") == [gr.skip()] * 4
    assert tab.redraw(None, "0", "0", "0", "zh")[1:] == [gr.skip()] * 5


def test_an_answer_without_a_picture_has_its_tokens_and_times(models):
    values = all_shown(how(models, answered(pictures=0)))
    assert "ivl-how-prompt" in values["walk"]
    assert "ivl-how-grid" not in values["walk"]
    assert not values["word"]["visible"]
    assert "ivl-how-time" in values["time"]


def test_a_model_that_is_gone_is_told_in_a_line(models):
    values = all_shown(how(models, answered(name="gone")))
    assert "no model" in values["status"]


def test_a_newer_answer_is_told(models):
    tab = how(models, answered("newer"))
    old = Shown(answered=answered("older"))
    assert "newer answer" in tab.told_new(old, "en", ME)
    assert tab.told_new(Shown(answered=answered("newer")), "en", ME) == gr.skip()
    assert tab.told_new(None, "en", ME) == gr.skip()


def test_the_tab_can_be_built(models):
    words = Words()
    with gr.Blocks() as page:
        words.language.render()
        button = gr.Button()
        chat = ChatHandles(last=lambda request: None, answered=button.click(lambda: None, api_visibility="private"))
        build(models, words, chat)
        words.connect()
    assert all(each["api_visibility"] == "private" for each in page.config["dependencies"])
    with gr.Blocks():
        build(models, Words(), None)
