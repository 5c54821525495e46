"""The walk as HTML: sound markup that anybody can read, the right numbers, and nothing of a stranger's that runs."""

from html.parser import HTMLParser

import pytest
import torch
from PIL import Image

from ivl.explain.attention import Gaze
from ivl.explain.prompt_sections import gaze_figure, prompt_section, time_section
from ivl.explain.sections import grid_section, tiles_section, tokens_section
from ivl.explain.style import STYLE
from ivl.explain.timing import Stage, Timing
from ivl.explain.walk import Walk, seen_on_picture, share_by_kind, take_walk
from ivl.explain.wording import WORDINGS, wording
from ivl.processing import load_processor
from ivl.processing.messages import to_messages

HOSTILE = "<script>alert(1)</script> \" onload=x ' {curly} ${x} 左"
VOID = {"img", "br", "path", "rect", "circle", "image"}
TIMING = Timing(
    stages=(
        Stage(name="read", seconds=0.002, count=1),
        Stage(name="cut", seconds=0.05, count=1),
        Stage(name="vision", seconds=1.2, count=7),
        Stage(name="prefill", seconds=0.2, count=520),
        Stage(name="decode", seconds=0.09, count=15),
    ),
    first_token_s=1.4,
)


class Reader(HTMLParser):
    """Asserts while it reads: every tag is closed in order, every picture has an alternative, nothing runs."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert tag not in {"script", "iframe", "object", "link", "style"}, tag
        assert not [name for name in given if name.startswith("on")], given
        for name in ("src", "href"):
            assert (given.get(name) or "data:image/").startswith("data:image/"), given
        if tag == "img":
            assert "alt" in given
        if tag == "svg":
            assert given.get("aria-label") or given.get("aria-hidden") == "true"
        if tag == "th":
            assert given.get("scope") in {"row", "col"}
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, f"{tag} is closed out of order"

    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert not reader.open, f"{reader.open} are never closed"
    return reader


@pytest.fixture(scope="module")
def walk(tiny_folder) -> Walk:
    """Two pictures, of 1 tile and of 3 x 2 and a thumbnail."""
    processor = load_processor(tiny_folder("tiny-qwen2"))
    pictures = [Image.linear_gradient("L").resize(size).convert("RGB") for size in ((56, 56), (168, 112))]
    messages = to_messages((HOSTILE, pictures))
    return take_walk(processor, messages, processor.tokenizer.encode("top left <b>"))


def gaze_of(walk: Walk, layers: int = 4) -> Gaze:
    shares = torch.rand(layers, walk.num_prompt + 1, generator=torch.Generator().manual_seed(0))
    return Gaze(shares=shares / shares.sum(1, keepdim=True), num_prompt=walk.num_prompt, deviation=0.0)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_part_is_sound_markup(walk: Walk, language: str) -> None:
    words = wording(language)
    parts = [make(walk, picture, words) for make in (grid_section, tiles_section, tokens_section) for picture in (0, 1)]
    parts += [prompt_section(walk, words), time_section(TIMING, words)]
    parts += [gaze_figure(walk, gaze_of(walk), HOSTILE, layer, at, words) for layer in (None, 0, 3) for at in (0, 1)]
    for part in parts:
        reader = read(part)
        assert "{" not in reader.text.replace("{curly}", "").replace("${x}", ""), "a place was not filled"
        if "table" in reader.seen:
            assert reader.seen.count("caption") == reader.seen.count("table")


def test_the_grids_are_all_there_and_one_is_marked_by_a_word(walk: Walk) -> None:
    reader = read(grid_section(walk, 1, wording("en")))
    assert reader.seen.count("li") == len(walk.pictures[1].candidates)
    assert reader.text.count("chosen") == 1
    assert "Tiles: 3 x 2 = 6" in reader.text


def test_tiles_are_numbered_and_the_thumbnail_is_named(walk: Walk) -> None:
    html = tiles_section(walk, 1, wording("en"))
    assert html.count("<img") == 7
    assert "7: thumbnail" in html
    assert 'alt="Tile 4, row 2, column 1"' in html
    one = tiles_section(walk, 0, wording("en"))
    assert one.count("<img") == 1
    assert "no thumbnail" in one


def test_tokens_are_counted_as_the_configuration_says(walk: Walk) -> None:
    config = walk.config
    side = config.image_size // config.vision.patch_size
    text = read(tokens_section(walk, 1, wording("en"))).text
    assert f"{side} x {side} = {side**2} patches" in text
    assert f"{7 * config.tokens_per_tile} x {config.text.hidden_size}" in text
    assert f"{config.tokens_per_tile} x {4 * config.vision.hidden_size}" in text


def test_the_prompt_shows_every_token_by_kind(walk: Walk) -> None:
    html = prompt_section(walk, wording("en"))
    for kind in ("template", "text", "image", "answer"):
        shown = html.count(f"ivl-how-kind-{kind}")
        assert shown == 1 + sum(piece.kind == kind for piece in walk.pieces), kind
    assert "<script" not in html
    assert f"tile 8: {walk.config.tokens_per_tile} tokens" in html


def test_times_add_up_to_the_whole() -> None:
    text = read(time_section(TIMING, wording("en"))).text
    assert "1.54 s" in text
    assert "171 ms a tile, of 7" in text
    assert "2,600 tokens a second" in text


def test_the_map_of_a_picture_has_the_shares_of_its_own_tokens(walk: Walk) -> None:
    gaze = gaze_of(walk)
    shares = gaze.late.numpy()
    kinds = share_by_kind(walk, shares)
    assert sum(kinds.values()) == pytest.approx(1, abs=1e-5)
    maps = [seen_on_picture(walk, shares, at) for at in (0, 1)]
    assert sum(float(each.sum()) for each in maps) == pytest.approx(kinds["image"], abs=1e-5)
    one = torch.zeros(walk.num_prompt + 1).numpy()
    first = next(piece for piece in walk.pieces if piece.tile == 1)
    one[first.start] = 1
    assert seen_on_picture(walk, one, 0).sum() == 0
    assert seen_on_picture(walk, one, 1)[0, 0] == 1, "the first token of the second picture is its upper left corner"


def test_what_a_picture_shows_is_also_told_in_words(walk: Walk) -> None:
    one = torch.zeros(2, walk.num_prompt + 1)
    last = next(piece for piece in walk.pieces if piece.tile == 3)
    one[:, last.start : last.stop] = 1 / walk.config.tokens_per_tile
    gaze = Gaze(shares=one, num_prompt=walk.num_prompt, deviation=0.0)
    html = gaze_figure(walk, gaze, "left", None, 1, wording("en"))
    assert "most of it top right" in html
    assert "100% of the attention went to this picture" in html
    assert "右上最多" in gaze_figure(walk, gaze, "left", 1, 1, wording("zh"))


def test_the_style_fetches_nothing() -> None:
    assert "url(" not in STYLE
    assert "@import" not in STYLE


def test_both_languages_say_everything_with_the_same_figures() -> None:
    english, chinese = WORDINGS["en"], WORDINGS["zh"]
    for name, text in vars(english).items():
        other = getattr(chinese, name)
        assert other, name
        if isinstance(text, str):
            places = [
                sorted(part.split("}")[0].split(":")[0] for part in each.split("{")[1:]) for each in (text, other)
            ]
            assert set(places[1]) <= set(places[0]), name
            assert name == "language" or set(places[0]) == set(places[1]), name
    assert wording("xx") is english
