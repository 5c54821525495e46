"""The fact table of foods: whole, in two languages, fair to ask about, and its reader refuses what is wrong."""

import json
import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from tools.foods import facts
from tools.foods.facts import FACT_NAMES, FactName, Foods, load_foods

from ivl.errors import DataError

FEWEST_QUADRUPLES = 20
"""That any food must be askable in, for any fact it has: pictures or words, without regard to their order."""


@pytest.fixture(scope="module")
def foods() -> Foods:
    return load_foods()


def counts(foods: Foods, name: FactName) -> Counter[str]:
    known = [food.fact(name) for food in foods.foods]
    return Counter(fact.value for fact in known if fact is not None)


def test_the_table_is_of_about_130_foods(foods: Foods) -> None:
    assert 115 <= len(foods.foods) <= 131
    assert {"ramen", "sushi", "moon-cake", "paella", "bubble-tea"} <= {food.food_id for food in foods.foods}


def test_a_food_is_read_as_it_is_written(foods: Foods) -> None:
    ramen = foods["ramen"]
    assert (ramen.code, ramen.name_en, ramen.name_zh) == ("1F35C", "ramen", "拉面")
    assert "汤面" in ramen.names("zh")
    assert foods.word("kind", ramen.kind.value).en == "a noodle dish"
    origin = ramen.fact("origin")
    assert origin is not None
    assert (origin.value, origin.also) == ("japan", frozenset({"china", "taiwan"}))
    assert foods.word("origin", "japan").text("zh") == "日本"


def test_disputed_origins_are_left_out(foods: Foods) -> None:
    for food_id in ("croissant", "hamburger", "french-fries", "ice-cream", "fortune-cookie", "hot-dog", "tomato"):
        assert foods[food_id].origin is None, food_id


@pytest.mark.parametrize("name", FACT_NAMES)
def test_every_value_of_a_vocabulary_is_some_foods_value(foods: Foods, name: FactName) -> None:
    assert set(counts(foods, name)) == set(foods.vocabularies[name].words)


@pytest.mark.parametrize("name", FACT_NAMES)
def test_four_values_at_least_are_of_five_foods(foods: Foods, name: FactName) -> None:
    assert sum(count >= 5 for count in counts(foods, name).values()) >= 4


@pytest.mark.parametrize("name", FACT_NAMES)
def test_any_food_can_be_asked_about_in_many_quadruples(foods: Foods, name: FactName) -> None:
    for food in foods.foods:
        if food.fact(name) is None:
            assert foods.num_quadruples(food, name) == (0, 0)
            continue
        of_values, of_foods = foods.num_quadruples(food, name)
        assert of_values >= 1, food.food_id
        assert of_foods >= FEWEST_QUADRUPLES, food.food_id


@pytest.mark.parametrize("name", FACT_NAMES)
def test_a_drawn_quadruple_has_one_right_answer(foods: Foods, name: FactName) -> None:
    rng = random.Random(name)
    for food in foods.foods:
        fact = food.fact(name)
        if fact is None:
            continue
        assert not fact.defensible & set(rng.sample(foods.wrong_values(food, name), 3))
        for other in rng.sample(foods.wrong_foods(food, name), 3):
            theirs = other.fact(name)
            assert theirs is not None
            assert fact.value not in theirs.defensible
            assert other.food_id not in food.near


def test_overlaps_and_likeness_hold_both_ways(foods: Foods) -> None:
    assert "mediterranean" in foods.vocabularies["origin"].overlaps["italy"]
    assert "spaghetti" in {food.food_id for food in foods.foods if food.origin and "mediterranean" in food.origin.also}
    for food in foods.foods:
        assert all(food.food_id in foods[other].near for other in food.near)
    assert "red-apple" in foods["green-apple"].near
    assert foods["red-apple"] not in foods.other_foods(foods["green-apple"])


def test_no_alias_is_a_value_of_a_vocabulary(foods: Foods) -> None:
    """ "Fruit" or "soup" would be an answer to what kind it is, not to what it is."""
    words = {word.en.lower() for name in FACT_NAMES for word in foods.vocabularies[name].words.values()}
    kinds = {word.zh for word in foods.vocabularies["kind"].words.values()}
    for food in foods.foods:
        assert not {f"a {name.lower()}" for name in food.names("en")} & words, food.food_id
        assert not set(food.names("zh")) & kinds, food.food_id


def test_the_summary_names_every_value(foods: Foods, capsys: pytest.CaptureFixture[str]) -> None:
    facts.main()
    said = capsys.readouterr().out
    assert f"{len(foods.foods)} foods" in said
    for name in FACT_NAMES:
        assert all(f" {key} " in said for key in foods.vocabularies[name].words)


def change(path: list[str | int], value: Any) -> Callable[[dict[str, Any]], None]:
    def do(table: dict[str, Any]) -> None:
        place: Any = table
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return do


def drop(path: list[str | int]) -> Callable[[dict[str, Any]], None]:
    def do(table: dict[str, Any]) -> None:
        place: Any = table
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]

    return do


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (change(["foods", 0, "origin"], {"value": "jappan"}), "did you mean 'japan'"),
        (change(["foods", 0, "taste"], {"value": "sweet", "also": ["swete"]}), "food grapes.taste: 'swete'"),
        (change(["foods", 0, "taste"], {"value": "sweet", "also": ["sweet"]}), "names something twice"),
        (change(["foods", 0, "taste"], "sweet"), "is no object"),
        (change(["foods", 0, "kind"], None), "every food has a kind"),
        (change(["foods", 0, "code"], "1f347"), "food grapes.code: '1f347'"),
        (change(["foods", 0, "code"], "1F348"), "code '1F348' is of grapes already"),
        (change(["foods", 0, "name_zh"], "grapes"), "is no text of its language"),
        (change(["foods", 0, "name_zh"], "甜瓜"), "Chinese name '甜瓜' is of grapes already"),
        (change(["foods", 0, "aliases_en"], ["Melon"]), "English name 'melon' is of grapes already"),
        (change(["foods", 0, "near"], ["nothing"]), "food grapes.near: 'nothing'"),
        (change(["foods", 0, "near"], ["grapes"]), "food grapes.near: 'grapes'"),
        (change(["foods", 0, "id"], "Grapes!"), "id 'Grapes!'"),
        (change(["foods", 0, "colour"], "blue"), "'colour' is not known"),
        (change(["foods", 0], 7), "a food has no id: 7"),
        (change(["foods"], []), "is no list of foods"),
        (drop(["foods", 0, "source"]), "food grapes: 'source' is missing"),
        (drop(["vocabularies", "taste"]), "vocabularies: 'taste' is missing"),
        (drop(["vocabularies", "taste", "sweet", "zh"]), "vocabularies.taste.sweet: 'zh' is missing"),
        (change(["vocabularies", "taste", "sweet", "overlaps"], ["bland"]), "taste.sweet.overlaps: 'bland'"),
        (change(["vocabularies", "taste", "bitter", "en"], "Sweet"), "is said for 2 values"),
    ],
)
def test_a_broken_table_is_refused(tmp_path: Path, break_it: Callable[[dict[str, Any]], None], said: str) -> None:
    table = json.loads(facts.FACTS_FILE.read_text(encoding="utf-8"))
    break_it(table)
    path = tmp_path / "facts.json"
    path.write_text(json.dumps(table, ensure_ascii=False), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        load_foods(path)
    message = str(caught.value)
    assert said in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["", "{", '{"foods": [], "foods": []}', "[1]"])
def test_what_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "facts.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"facts\.json"):
        load_foods(path)
