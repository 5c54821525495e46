"""The page of `ivl explain`: all of the question is on it, once, with the right numbers, and nothing that runs."""

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from engine_driver import one_thread
from exact_pipeline import exact_pipeline
from ivl.errors import SettingsError
from ivl.explain.attention import Gaze, gaze, gazes
from ivl.explain.costs import connector_flop, tile_flop
from ivl.explain.page import PageNames, render_page
from ivl.explain.page_parts import count_parts
from ivl.explain.page_run import MOST_MAPS, Explained, explain_prompt
from ivl.explain.page_style import STYLE, choosing_style
from ivl.explain.page_words import PAGE_WORDINGS, guess_language, page_wording
from ivl.explain.timing import Stage, Timing
from ivl.explain.walk import take_walk
from ivl.model.family import FAMILY
from ivl.model.weights import load_model
from ivl.processing import choose_grid, load_processor
from ivl.processing.messages import to_messages
from ivl.session import Pipeline

HOSTILE = "<script>alert(1)</script> \" onload=x ' {curly} </dd></main> 左"
VOID = {"img", "br", "meta", "input", "path", "rect", "circle", "image"}
TIMING = Timing(stages=(Stage(name="decode", seconds=0.1, count=3),), first_token_s=0.2)


class Reader(HTMLParser):
    """What a page holds; asserts that every tag is closed in order and that nothing runs or is fetched."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[int] = []
        self.titles: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert tag not in {"script", "iframe", "object", "link", "form", "base"}, tag
        assert not [name for name in given if name.startswith("on")], given
        for name in ("src", "href"):
            assert (given.get(name) or "#").startswith(("data:image/", "#")), given
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "span" and "title" in given:
            self.titles.append(given["title"] or "")
        self.found.append((tag, given))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, f"{tag} is closed out of order"

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    def ids(self) -> list[str]:
        return [given["id"] or "" for _, given in self.found if "id" in given]


def token_ids(titles: list[str]) -> list[int]:
    """The ids that the boxes of prompt and answer name, in order."""
    ids: list[int] = []
    for title in titles:
        repeated = re.fullmatch(r"(\d+) x (\d+)", title)
        names = title.partition(": ")[2]
        ids += [int(repeated[1])] * int(repeated[2]) if repeated else [int(each) for each in names.split()]
    return ids


@pytest.fixture(scope="module")
def pipe(tiny_folder) -> Iterator[Pipeline]:
    with one_thread(), exact_pipeline(tiny_folder("tiny-internlm2"), session_len=4096, blocks=256) as made:
        yield made


@pytest.fixture(scope="module")
def explained(pipe) -> Explained:
    """A hostile question about a picture of 3 x 2 tiles and one of a single tile."""
    pictures = [Image.linear_gradient("L").resize(size).convert("RGB") for size in ((168, 112), (56, 56))]
    return explain_prompt(pipe, HOSTILE, pictures, max_new_tokens=12)


@pytest.fixture(scope="module")
def page(explained) -> str:
    return render_page(explained, PageNames(model=HOSTILE, adapter=HOSTILE))


@pytest.fixture(scope="module")
def made(tiny_folder) -> Explained:
    """An answer of known words, which no model said."""
    processor = load_processor(tiny_folder("tiny-internlm2"))
    messages = to_messages(("What is it?", [Image.linear_gradient("L").resize((168, 112)).convert("RGB")]))
    walk = take_walk(processor, messages, processor.tokenizer.encode("top left <b>"))
    looked = []
    for word in walk.words:
        shares = torch.ones(2, walk.num_prompt + word.stop - 1)
        looked.append(
            (word, Gaze(shares=shares / shares.sum(1, keepdim=True), num_prompt=walk.num_prompt, deviation=0))
        )
    return Explained(prompt="What?", answer="<b>", is_cut=False, walk=walk, looked=tuple(looked), timing=TIMING)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_is_sound_and_complete(explained: Explained, page: str, language: str) -> None:
    if language != "en":
        page = render_page(explained, PageNames(model=HOSTILE, adapter=HOSTILE, language=language))
    reader = Reader(page)
    assert reader.headings[0] == 1
    assert reader.headings.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in zip(reader.headings, reader.headings[1:], strict=False))
    assert len(set(reader.ids())) == len(reader.ids())
    links = [(given["href"] or "")[1:] for tag, given in reader.found if tag == "a"]
    assert set(links) <= set(reader.ids())
    assert len(links) == 6, "two pictures, the way, the text, the cost, the words"
    for tag, given in reader.found:
        assert tag != "img" or "alt" in given
        assert tag != "svg" or given.get("aria-label") or given.get("aria-hidden") == "true"
    for part in ("grid", "tiles", "tokens", "prompt", "gaze", "parts", "time"):
        assert f"ivl-how-{part}" in page, part
    assert "{" not in reader.text.replace("{curly}", ""), "a place was not filled"
    assert HOSTILE in reader.text
    assert "default-src 'none'" in page
    assert not re.search(r"https?://|url\((?!data:)", page)


def test_every_token_stands_there_once_and_in_order(explained: Explained, page: str) -> None:
    reader = Reader(page)
    wanted = [*explained.walk.inputs.input_ids.tolist(), *explained.walk.answer_ids]
    assert token_ids(reader.titles) == wanted


def test_the_chosen_grid_is_the_processors(explained: Explained, page: str, pipe: Pipeline) -> None:
    text = Reader(page).text
    columns, rows = choose_grid(168, 112, 1, pipe.processor.max_tiles, pipe.config.image_size)
    assert (columns, rows) == (3, 2)
    assert f"Tiles: {columns} x {rows} = {columns * rows}" in text
    assert explained.walk.inputs.tile_counts == (7, 1)
    assert "Tiles: 8" in text, "the way through the model counts all of them"


def test_each_word_has_a_choice_and_a_drawing_for_each_picture(explained: Explained, page: str) -> None:
    count = len(explained.looked)
    assert 0 < count == len(explained.walk.words[: MOST_MAPS // 2])
    reader = Reader(page)
    fields = [given for tag, given in reader.found if tag == "input"]
    assert [field["id"] for field in fields] == [f"w{at}" for at in range(count)]
    assert ["checked" in field for field in fields] == [True, *[False] * (count - 1)]
    assert {f"g{at}" for at in range(count)} <= set(reader.ids())
    assert page.count("ivl-how-gaze") - STYLE.count("ivl-how-gaze") == 2 * count
    assert "#w0:checked) #g0" in choosing_style(count)
    assert choosing_style(0).count("{") == 1


def test_the_gazes_of_all_words_are_those_of_each(tiny_folder, explained: Explained) -> None:
    model, walk = load_model(tiny_folder("tiny-internlm2")).double(), explained.walk
    spans = [(0, 1), (1, 4), (5, 6)]
    for (start, stop), found in zip(spans, gazes(model, walk.inputs, walk.answer_ids, spans), strict=True):
        alone = gaze(model, walk.inputs, walk.answer_ids, start, stop)
        assert found.shares.shape == alone.shares.shape
        assert torch.allclose(found.shares, alone.shares, atol=1e-6)
        assert found.deviation < 1e-5
    first_word, first = explained.looked[0]
    alone = gaze(model, walk.inputs, walk.answer_ids, first_word.start, first_word.stop, bound=walk.num_prompt + 12)
    assert torch.allclose(first.shares, alone.shares, atol=1e-5), "the pipeline's own weights look elsewhere"


def test_the_work_is_shared_out_among_the_parts(explained: Explained) -> None:
    vision, connector, language = count_parts(explained.walk)
    config = explained.walk.config
    assert vision.flop + connector.flop == 8 * tile_flop(config)
    assert connector.flop == 8 * connector_flop(config)
    assert language.flop > 0
    shorter = replace(explained.walk, answer_ids=explained.walk.answer_ids[:1])
    assert count_parts(shorter)[2].flop < language.flop
    # 4096 -> 2048 -> 2048, 256 tokens a tile, 2 operations a weight.
    assert connector_flop(FAMILY["InternVL2-2B"]) == 2 * 256 * (4096 * 2048 + 2048 * 2048)


def test_an_answer_without_words_and_a_cut_one_are_told(made: Explained) -> None:
    silent = Reader(render_page(replace(made, answer=" ", looked=()), PageNames()))
    assert "(nothing)" in silent.text
    assert "no words to follow" in silent.text
    assert not [tag for tag, _ in silent.found if tag == "input"]
    assert "was cut" not in silent.text
    cut = render_page(replace(made, is_cut=True, looked=made.looked[:1]), PageNames())
    assert f"cut at the longest length that was asked for (tokens: {len(made.walk.answer_ids)})" in cut
    assert f"(of {len(made.walk.words)}: 1)" in cut


def test_tokens_that_are_no_places_are_refused(made: Explained) -> None:
    class Queries:
        """A model of 32 queries a tile."""

        image_size, tokens_per_tile, shuffle_factor, vision = 448, 32, 1, made.walk.config.vision

    asked = SimpleNamespace(config=Queries)
    with pytest.raises(SettingsError, match="makes 32 tokens of a tile's 1,024 patches"):
        explain_prompt(asked, "What?", ["a.png"])


def test_both_languages_have_the_same_places() -> None:
    def places(text: object) -> list[str]:
        return sorted(re.findall(r"{(\w+)}", str(text)))

    english, chinese = (vars(PAGE_WORDINGS[language]) for language in ("en", "zh"))
    for name, text in english.items():
        assert chinese[name], name
        assert places(text) == places(chinese[name]), name
        assert isinstance(text, str) or len(text) == len(chinese[name]), name
    assert page_wording("xx") is PAGE_WORDINGS["en"]


def test_the_language_is_that_of_the_question() -> None:
    assert [guess_language(text) for text in ("", "What is a 米?", "这是什么？", "¿Qué?")] == ["en", "zh", "zh", "en"]


def test_a_file_is_read_with_a_clock(pipe: Pipeline, tmp_path: Path) -> None:
    Image.new("RGB", (56, 56), "blue").save(tmp_path / "blue.png")
    heard: list[str] = []
    found = explain_prompt(pipe, "What?", [str(tmp_path / "blue.png")], max_new_tokens=4, tell=heard.append)
    assert heard == ["answer", "attention", "time"]
    assert found.timing.stages[0].name == "read"
    assert found.is_cut
    assert str(tmp_path) not in render_page(found, PageNames()), "where a picture lies is nobody's business"
