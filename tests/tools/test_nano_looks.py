"""Looks of foods: every food has one, none says a name, those of one kind differ; what is wrong in a table is named."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from tools.foods.facts import load_foods
from tools.nano.looks import LOOKS_FILE, Look, load_looks
from tools.nano.nouns import KINDS, MORE_FOODS

from ivl.errors import DataError

FOODS = load_foods().foods
KIND_OF = MORE_FOODS | {food.code: food.kind.value for food in FOODS}
MOST_WORDS = 220
"""English words in all: few, so that each is seen on several foods."""


def test_every_food_has_a_look() -> None:
    looks = load_looks()
    assert set(looks) == set(KIND_OF)
    banana = looks["1F34C"]
    assert (banana.word("en"), banana.word("zh")) == (banana.en, banana.zh)
    assert "curved" in banana.en
    assert "弯" in banana.zh


def test_looks_are_short() -> None:
    for look in load_looks().values():
        assert 2 <= len(look.en.split()) <= 7, look.en
        assert 2 <= len(look.zh) <= 10, look.zh


def test_no_look_says_a_foods_name() -> None:
    english = [name.lower() for food in FOODS for name in food.names("en")]
    chinese = [name for food in FOODS for name in food.names("zh") if len(name) > 1]
    for look in load_looks().values():
        assert not [name for name in english if re.search(rf"\b{re.escape(name)}\b", look.en)], look.en
        assert not [name for name in chinese if name in look.zh], look.zh


def test_no_look_says_a_kind_of_food() -> None:
    """The kind stands before the look: a second one there would be about a food that is not shown."""
    english = "|".join(re.sub("^(an?|some) ", "", kind) for kind, _ in KINDS.values())
    for look in load_looks().values():
        assert not re.search(rf"\b({english})s?\b", look.en), look.en
        assert not [kind for _, kind in KINDS.values() if kind in look.zh], look.zh


@pytest.mark.parametrize("language", ["en", "zh"])
def test_foods_of_one_kind_look_different(language: str) -> None:
    said = Counter((KIND_OF[code], look.word(language)) for code, look in load_looks().items())
    assert [each for each, count in said.items() if count > 1] == []


def test_words_are_few_and_come_back() -> None:
    words = Counter(word for look in load_looks().values() for word in re.findall(r"[a-z-]+", look.en))
    assert len(words) < MOST_WORDS
    assert sum(count for count in words.values() if count > 1) > 0.8 * words.total()


def test_reading_needs_no_numpy() -> None:
    code = "import sys; from tools.nano.looks import load_looks; load_looks(); sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], timeout=60)


GRAPES = 'grapes = { en = "many small balls close together", zh = "许多小圆球挤在一起" }'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "looks.toml: food 'grapes' has no look, add a line for it"),
        (GRAPES.replace("grapes", "grape"), "looks.toml: food 'grape' is not known, did you mean 'grapes'?"),
        (GRAPES + "\n" + GRAPES, "looks.toml: cannot be read"),
        ('grapes = { en = "many balls" }', "food grapes: {'en': 'many balls'} is not"),
        ('grapes = "many balls"', "food grapes: 'many balls' is not"),
        ('grapes = { en = 3, zh = "许多球" }', "food grapes.en: 3 is not of small words"),
        ('grapes = { en = "Many balls", zh = "许多球" }', "food grapes.en: 'Many balls' is not of small words"),
        ('grapes = { en = "many  balls", zh = "许多球" }', "food grapes.en: 'many balls' is not of small words"),
        ('grapes = { en = "many balls", zh = "balls" }', "food grapes.zh: 'balls' is not of Chinese characters"),
        ('grapes = { en = "many balls", zh = "许多球。" }', "food grapes.zh: '许多球。' is not of Chinese characters"),
        ('grapes = { en = "round", zh = "许多球" }', "food grapes.en: 'round' has 1 words, allowed are 2 to 7"),
        ('grapes = { en = "a b c d e f g h", zh = "许多球" }', "has 8 words, allowed are 2 to 7"),
        ('grapes = { en = "many balls", zh = "许多圆圆的小球挤在一起" }', "has 11 characters, allowed are 2 to 10"),
        ('grapes = { en = "purple grapes", zh = "许多球" }', "food grapes.en: 'purple grapes' says 'grapes'"),
        ('grapes = { en = "small as blueberries", zh = "许多球" }', "says 'blueberries', a food's name or kind"),
        ('grapes = { en = "between two onions", zh = "许多球" }', "says 'onion', a food's name or kind"),
        ('grapes = { en = "in a cup with a straw", zh = "许多球" }', "says 'cup with straw', a food's name or kind"),
        ('grapes = { en = "many balls", zh = "一串葡萄" }', "food grapes.zh: '一串葡萄' says '一串葡萄'"),
        ('grapes = { en = "many balls", zh = "像鸡蛋一样" }', "food grapes.zh: '像鸡蛋一样' says '鸡蛋'"),
        ('grapes = { en = "a small fruit", zh = "许多球" }', "says 'fruit', a food's name or kind"),
    ],
)
def test_what_is_wrong_is_named(line: str, message: str, tmp_path: Path) -> None:
    text = LOOKS_FILE.read_text(encoding="utf-8")
    assert GRAPES in text
    path = tmp_path / "looks.toml"
    path.write_text(text.replace(GRAPES, line), encoding="utf-8")
    with pytest.raises(DataError) as error:
        load_looks(path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_names_within_words_are_no_names(tmp_path: Path) -> None:
    """Whole words: "mate" is a drink's name, "material" is not."""
    path = tmp_path / "looks.toml"
    line = 'grapes = { en = "of hard material", zh = "许多球" }'
    path.write_text(LOOKS_FILE.read_text(encoding="utf-8").replace(GRAPES, line), encoding="utf-8")
    assert load_looks(path)["1F347"] == Look(en="of hard material", zh="许多球")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.toml: cannot be read"):
        load_looks(tmp_path / "nowhere.toml")
