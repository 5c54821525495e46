"""What ships in `ivl.zoo`: whole, small, readable by the package's own code, right about its own pictures, credited."""

import json
import re
from functools import cache

import pytest
from PIL import Image

import ivl
from ivl.evals.boxes import box_score, read_boxes
from ivl.zoo import SampleQuestion, nano_folder, sample_pictures, sample_questions

MIB = 2**20
LICENCES = {
    "@iconify-json/noto": "Apache-2.0",
    "@iconify-json/noto-v1": "Apache-2.0",
    "@iconify-json/twemoji": "CC BY 4.0",
    "@iconify-json/fluent-emoji": "MIT",
    "@iconify-json/fluent-emoji-flat": "MIT",
    "@iconify-json/fluent-emoji-high-contrast": "MIT",
    "@iconify-json/emojione": "CC BY 4.0",
    "@iconify-json/emojione-v1": "CC BY-SA 4.0",
    "@iconify-json/emojione-monotone": "CC BY 4.0",
    "@iconify-json/streamline-emojis": "CC BY 4.0",
    "@iconify-json/openmoji": "CC BY-SA 4.0",
    "@iconify-json/fxemoji": "Apache-2.0",
    "emojibase-data": "MIT",
}


@cache
def the_pipeline() -> ivl.Pipeline:
    return ivl.pipeline()


def test_the_model_is_whole_and_small() -> None:
    folder = nano_folder()
    index = json.loads((folder / "model.safetensors.index.json").read_text(encoding="utf-8"))
    shards = {folder / name for name in index["weight_map"].values()}
    others = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "README.md")
    for path in (*shards, *(folder / name for name in (*others, "ATTRIBUTION.md"))):
        assert path.is_file(), f"{path.name} is missing"
    sizes = {path.name: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    assert sum(sizes.values()) < 24 * MIB, sizes
    assert max(sizes.values()) < 16 * MIB, sizes


def test_the_model_holds_data_only() -> None:
    allowed = {".json", ".safetensors", ".md"}
    assert {path.suffix for path in nano_folder().iterdir()} == allowed


def test_the_model_loads() -> None:
    model = ivl.load_model(nano_folder())
    processor = ivl.load_processor(nano_folder())
    vocab = model.config.text.vocab_size
    ids = processor.tokenizer.encode("What food is this? 这是什么食物？")
    assert ids
    assert max(ids) < vocab
    assert processor.tokenizer.decode(ids).strip() == "What food is this? 这是什么食物？"


def test_pictures_are_small_and_one_is_cut_into_tiles() -> None:
    config = ivl.load_config(nano_folder())
    tiles = set()
    for path in sample_pictures():
        assert path.stat().st_size < 60_000, path.name
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            columns, rows = ivl.choose_grid(*picture.size, max_tiles=config.max_tiles, tile_size=config.image_size)
            tiles.add(columns * rows)
    assert 4 <= len(sample_pictures()) <= 8
    assert min(tiles) == 1
    assert max(tiles) >= 6


def test_every_picture_is_asked_about_in_both_languages() -> None:
    asked = {(question.picture, question.language) for question in sample_questions()}
    assert asked == {(path, language) for path in sample_pictures() for language in ("en", "zh")}
    for question in sample_questions():
        assert question.question
        assert question.answer
        if question.language == "zh":
            assert re.search(r"[\u4e00-\u9fff]", question.question), question.question


@pytest.mark.parametrize("sample", sample_questions(), ids=lambda s: f"{s.picture.stem}-{s.question}")
def test_the_model_answers_its_samples(sample: SampleQuestion) -> None:
    settings = ivl.GenerationConfig(max_new_tokens=48)
    answer = the_pipeline()((sample.question, str(sample.picture)), gen_config=settings)
    assert answer.finish_reason == "stop"
    if right := read_boxes(sample.answer):
        assert box_score(read_boxes(answer.text) or (), right) == 1, f"{answer.text}, not {sample.answer}"
    else:
        assert answer.text == sample.answer


def cards() -> list[str]:
    """The model's card, in each language that it has one in."""
    return [path.read_text(encoding="utf-8") for path in sorted(nano_folder().glob("README*.md"))]


def test_the_card_says_what_it_must() -> None:
    """What was held out, the machine, the commit; and no place for a figure is left empty."""
    assert cards()
    for card in cards():
        for words in ("openmoji", "fxemoji", "H100"):
            assert words in card, f"the card does not say {words!r}"
        assert re.search(r"`[0-9a-f]{40}`", card), "the card names no commit"
        assert not re.search(r"FIGURE-\d", card), "the card has figures to fill in"
    assert "cannot" in cards()[0]


def test_every_package_is_credited_with_its_licence() -> None:
    text = (nano_folder() / "ATTRIBUTION.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    for package, licence in LICENCES.items():
        found = [row for row in rows if f"`{package}`" in row]
        assert len(found) == 1, f"{package} is credited {len(found)} times"
        assert f"[{licence}](" in found[0], found[0]
