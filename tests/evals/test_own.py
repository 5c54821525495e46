"""The package's own sets, read from made-up folders: food, the names of dishes, and abilities."""

import json

import pytest

from foodieqa_folder import entry, write_foodieqa
from ivl.errors import DataError
from ivl.evals.names import score_name
from ivl.evals.own import food_sets, general_sets, naming_sets
from ivl.types import TextPart

NAMES = [
    ("米饭", "rice"),
    ("饭团", "rice ball"),
    ("饺子", "dumpling"),
    ("面条", "noodles"),
    ("炒面条", "fried noodles"),
]


def food(number: int, **changes) -> dict:
    zh, en = NAMES[number // 2 % len(NAMES)]
    meta = {"food_name": zh, "food_name_en": en, "food_file": f"images/{number // 2:03}.jpg", "style": "ink"}
    return entry(number, food_name=zh, food_meta=meta, **changes)


@pytest.fixture
def foods(tmp_path):
    for part in ("test_styles", "test_dishes"):
        folder = write_foodieqa(tmp_path / "foods" / part, [food(number) for number in range(10)])
        (folder / "dataset.json").write_text(json.dumps({"name": "food", "licence": "as in ATTRIBUTION"}))
    return tmp_path / "foods"


def test_both_parts_with_questions_and_names(foods):
    assert [(each.name, len(each.items)) for each in food_sets(foods)] == [
        (f"food-{part}-{task}-{language}", number)
        for part in ("styles", "dishes")
        for task, number in (("sivqa", 10), ("naming", 5))
        for language in ("zh", "en")
    ]
    assert not any(each.faults for each in food_sets(foods))
    assert {each.licence for each in food_sets(foods)} == {"food is licensed as in ATTRIBUTION"}
    only = food_sets(foods, tasks=["naming"], languages=["en"])
    assert [each.name for each in only] == ["food-styles-naming-en", "food-dishes-naming-en"]


def test_a_food_set_without_what_is_wanted(foods, tmp_path):
    with pytest.raises(DataError, match="holds nothing that is wanted"):
        food_sets(foods, tasks=["mivqa"])
    with pytest.raises(DataError, match="holds nothing that is wanted"):
        food_sets(tmp_path)


def test_each_picture_is_named_once(foods):
    zh, en = naming_sets(foods / "test_styles", "food")
    assert (zh.metric, zh.num_prompts, zh.language) == ("contains", 1, "zh")
    assert [item.answers[0] for item in zh.items] == [name for name, _ in NAMES]
    assert len({item.question for item in en.items}) == 3
    assert en.items[0].tags == (("style", "ink"), ("dish", "米饭"))
    (message,) = en.ask(en.items[0], 0).messages
    assert [part.text for part in message.parts if isinstance(part, TextPart)] == ["What dish is this?"]
    assert en.items[0].answers == ("rice",)
    assert en.items[0].others == ("rice ball",)
    assert zh.items[3].others == ("炒面条",)
    assert zh.items[4].others == ()


@pytest.mark.parametrize(
    ("number", "text", "score"),
    [
        (0, "The dish in the picture is rice.", 1),
        (0, "Rice", 1),
        (0, "This is a rice ball.", 0),
        (0, "Rice balls", 0),
        (0, "It has a price.", 0),
        (1, "a rice ball made of rice", 1),
        (2, "These are Dumplings!", 1),
        (3, "Noodles", 1),
        (3, "Fried noodles", 0),
        (4, "fried  NOODLES", 1),
        (4, "noodles", 0),
        (2, "", 0),
    ],
)
def test_a_name_in_a_sentence(foods, number, text, score):
    _, en = naming_sets(foods / "test_styles", "food")
    parsed, found = score_name(en.items[number], text)
    assert found == score
    assert (parsed is None) == (text == "")


@pytest.mark.parametrize(
    ("number", "text", "score"),
    [(3, "图中的菜是面条。", 1), (3, "这是炒面条", 0), (4, "这是炒 面条。", 1), (0, "饭", 0), (0, "一碗米饭", 1)],
)
def test_a_chinese_name_anywhere(foods, number, text, score):
    zh, _ = naming_sets(foods / "test_styles", "food")
    assert score_name(zh.items[number], text)[1] == score


def test_names_without_english(tmp_path):
    made = [food(4), food(6), food(8)]
    made[2]["food_meta"].pop("food_name_en")
    zh, en = naming_sets(write_foodieqa(tmp_path / "x", made), "food")
    assert (len(zh.items), len(en.items)) == (3, 2)
    assert en.faults == ("sivqa_tidy.json, entry 2: food_name_en is missing: a text is needed",)


def test_all_names_of_a_dish_are_accepted(foods):
    rows = [
        {"id": "a", "name_zh": "饺子", "aliases_zh": ["水饺"], "name_en": "dumpling", "aliases_en": ["jiaozi"]},
        {"id": "b", "name_zh": "虾饺子", "name_en": "prawn dumpling", "aliases_en": []},
    ]
    (foods / "foods.json").write_text(json.dumps(rows))
    made = [food(4, tags={"dish": "a"}), food(6, tags={"dish": "none"})]
    zh, en = naming_sets(write_foodieqa(foods / "more", made), "food")
    assert [item.answers for item in zh.items] == [("饺子", "水饺"), ("面条",)]
    assert en.items[0].answers == ("dumpling", "jiaozi")
    assert zh.items[0].others == ("虾饺子",)  # a dish that the folder does not show
    assert en.items[0].others == ("prawn dumpling",)
    (foods / "foods.json").write_text(json.dumps([{"id": "a", "name_en": "x"}]))
    with pytest.raises(DataError, match=r"foods.json:1: name_zh is missing"):
        naming_sets(foods / "more", "food")


ROWS = [
    {"question": "How many?", "answer": "3", "tags": {"ability": "counting", "language": "en"}},
    {"question": "有几个？", "answer": "3", "tags": {"ability": "counting", "language": "zh"}},
    {"question": "Where?", "answer": [1, 2, 3, 4], "metric": "iou", "tags": {"ability": "grounding"}},
    {"question": "Is there a cat?", "answer": "no", "tags": {"ability": "refusal", "language": "en"}},
    {"question": "What?", "answer": "x"},
]


@pytest.fixture
def general(tmp_path):
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def test_a_set_for_each_ability(general):
    sets = general_sets(general)
    assert [(each.name, each.metric, len(each.items), each.language) for each in sets] == [
        ("general-counting", "exact", 2, ""),
        ("general-refusal", "exact", 1, "en"),
        ("general-grounding", "iou", 1, ""),
    ]
    assert sets[0].faults == (
        "test.jsonl:5: tags has no ability: kind, counting, colour, position, ocr, grounding, refusal or another is "
        "needed",
    )
    (message,) = sets[0].ask(sets[0].items[0], 0).messages
    assert [part.text for part in message.parts] == ["How many?"]


def test_abilities_and_languages_are_chosen(general):
    (found,) = general_sets(general, tasks=["counting"], languages=["zh"])
    assert [item.question for item in found.items] == ["有几个？"]
    assert found.language == "zh"
    with pytest.raises(DataError, match=r"no row of .* is wanted"):
        general_sets(general, tasks=["ocr"])
