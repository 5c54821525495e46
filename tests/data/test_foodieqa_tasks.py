"""All of FoodieQA's tasks as training data: with letters, openly, by name, in both languages."""

import json
import re

import pytest

from foodieqa_folder import CUISINES, DISHES, four_pictures_entry, no_picture_entry, write_all_tasks, write_foodieqa
from ivl.data.foodieqa import TASKS, licence_of, read_foodieqa
from ivl.data.foodieqa_answers import full_answer, named_answer, text_answer
from ivl.data.foodieqa_files import convert_foodieqa
from ivl.data.foodieqa_split import split_by_dish
from ivl.data.settings import DataSettings, DataSource
from ivl.data.sources import open_source
from ivl.errors import DataError, SettingsError
from ivl.types import ImagePart


@pytest.fixture
def folder(tmp_path):
    return write_all_tasks(tmp_path / "FoodieQA")


@pytest.fixture
def convert(folder, tmp_path):
    """Converts the folder of all tasks; records by id."""

    def made(**options):
        options = {"test_share": 0, "force": True, **options}
        done = convert_foodieqa(folder, tmp_path / "out", **options)
        records = json.loads(done.train.read_text(encoding="utf-8"))
        by_id = {record["id"]: record for record in records}
        assert len(by_id) == len(records) == done.num_train
        return by_id

    return made


def turns(record):
    return [turn["value"] for turn in record["conversations"]]


def test_letters_are_asked_as_the_evaluation_asks(convert):
    records = convert(form="letters", style="full")
    for number in range(20):
        asked, answer = turns(records[f"q{number}"])
        assert asked.count("<image>") == 1
        assert "（A) " in asked
        assert "\n（D) " in asked
        dish = DISHES[number // 2]
        assert answer.startswith(f"{'ABCD'[number % 4]}。图中的菜是{dish}，它")
    assert len({re.sub("[（].*", "", turns(record)[0], flags=re.DOTALL) for record in records.values()}) > 5


def test_the_tutorials_answers_with_a_letter(convert):
    assert turns(convert(form="letters")["q0"])[1] == "A。浙菜，图中的菜是龙井虾仁"


def test_both_forms(convert):
    records = convert(form="both")
    assert set(records) == {f"q{number}{suffix}" for number in range(20) for suffix in ("", "-letters")}
    assert turns(records["q0"]) == ["图片中的食物通常属于哪个菜系?\n<image>", "浙菜，图中的菜是龙井虾仁"]


def test_four_pictures(convert):
    records = convert(tasks=["mivqa"], style="full")
    assert len(records) == 10
    for number, record in enumerate(records.values()):
        assert record["image"] == four_pictures_entry(number)["images"]
        asked, answer = turns(record)
        assert asked.count("<image>图") == asked.count("<image>") == 4
        assert answer == "{0}。答案是图{0}。".format("ABCD"[number % 4])
    assert [turns(record)[1] for record in convert(tasks=["mivqa"]).values()][:4] == ["A", "B", "C", "D"]


def test_four_pictures_whose_foods_are_told(folder, convert):
    names = {"food_names": ["寿司", "面包", "茶", "酒"], "food_names_en": ["sushi", "bread", "tea", "wine"]}
    (folder / "mivqa_tidy.json").write_text(json.dumps([four_pictures_entry(1, **names)]), encoding="utf-8")
    answers = [turns(record)[1] for record in convert(tasks=["mivqa"], style="full", language="both").values()]
    assert answers == ["B。图B是面包。", "B. Option (B) shows bread."]


def test_no_picture(convert):
    records = convert(tasks=["textqa"], style="full", form="both")
    assert "image" not in records["t2"]
    assert turns(records["t2"]) == [
        "肉夹馍属于哪个菜系？".replace("肉夹馍", DISHES[2]),
        f"{DISHES[2]}属于{CUISINES[2]}。",
    ]
    asked, answer = turns(records["t2-letters"])
    assert "<image>" not in asked
    assert answer == f"C。{DISHES[2]}属于{CUISINES[2]}。"
    assert turns(convert(tasks=["textqa"])["t2"])[1] == CUISINES[2]


def test_naming_asks_once_for_each_picture(convert):
    records = convert(naming=True, style="full", language="both")
    named = {key: record for key, record in records.items() if key.endswith("-name")}
    assert len(named) == 20
    assert len({record["image"] for record in named.values()}) == 10
    answers = {turns(record)[1] for record in named.values()}
    assert "图中的菜是龙井虾仁。" in answers
    assert "The dish in the picture is 龙井虾仁." in answers
    assert {turns(record)[1] for key, record in convert(naming=True).items() if key.endswith("-name")} == set(DISHES)


def test_english_names_and_other_words(tmp_path):
    folder = write_foodieqa(tmp_path / "F")
    entries = json.loads((folder / "sivqa_tidy.json").read_text(encoding="utf-8"))
    meta = {"food_name_en": "grapes", "food_word": "水果", "food_word_en": "fruit", "food_name": "葡萄"}
    entries[0]["food_meta"] |= meta
    (folder / "sivqa_tidy.json").write_text(json.dumps(entries[:1]), encoding="utf-8")
    for language, style, expected in (
        ("zh", "tutorial", "浙菜，图中的水果是葡萄"),
        ("en", "tutorial", "Zhejiang cuisine, the fruit in the picture is grapes"),
        ("zh", "full", "图中的水果是葡萄，它通常属于浙菜。"),
        ("en", "full", "The fruit in the picture is grapes. It belongs to Zhejiang cuisine."),
    ):
        done = convert_foodieqa(folder, tmp_path / "o", style=style, language=language, test_share=0, force=True)
        assert turns(json.loads(done.train.read_text(encoding="utf-8"))[0])[1] == expected


def test_all_tasks_in_both_languages_have_ids_of_their_own(folder, tmp_path, convert):
    records = convert(tasks=TASKS, language="both", form="both", naming=True, style="full")
    assert len(records) == 2 * (20 * 2 + 10 + 10) + 10 * 2
    done = convert_foodieqa(folder, tmp_path / "out", tasks=TASKS, language="both", test_share=0, force=True)
    assert [fault[:60] for fault in done.faults] == ["in English no entry of textqa_tidy.json can be used; the fir"]


def test_parts_share_no_picture(folder):
    questions = read_foodieqa(folder, "zh", TASKS).questions
    for seed in range(10):
        train, test = split_by_dish(questions, 0.4, seed)
        assert not {image for each in train for image in each.images} & {
            image for each in test for image in each.images
        }
        assert not {each.dish for each in train if each.dish} & {each.dish for each in test if each.dish}
        left_out = [each for each in questions if each not in train and each not in test]
        assert {each.task for each in left_out} <= {"mivqa"}
        assert len(train) + len(test) + len(left_out) == 40
    train, test = split_by_dish(questions, 0, 1)
    assert (len(train), test) == (40, [])


def test_pictures_of_both_parts_are_counted(folder, tmp_path):
    done = convert_foodieqa(folder, tmp_path / "out", tasks=TASKS, test_share=0.5)
    assert done.num_straddling > 0
    assert done.num_train + done.num_test + done.num_straddling == 40


def test_four_pictures_alone_are_split_by_picture(tmp_path):
    folder = tmp_path / "F"
    write_foodieqa(folder)
    entries = [four_pictures_entry(0), four_pictures_entry(4)]
    (folder / "mivqa_tidy.json").write_text(json.dumps(entries), encoding="utf-8")
    (folder / "sivqa_tidy.json").unlink()
    questions = read_foodieqa(folder, "zh", ["mivqa"]).questions
    sides = set()
    for seed in range(200):
        try:
            train, test = split_by_dish(questions, 0.5, seed)
        except DataError:
            continue
        sides.add((train[0].id, test[0].id))
    assert sides == {("m0", "m4"), ("m4", "m0")}


@pytest.mark.parametrize(
    ("name", "entry", "named"),
    [
        ("mivqa_tidy.json", four_pictures_entry(1, images=...), "entry 1: images is None: a list of 4 paths"),
        ("mivqa_tidy.json", four_pictures_entry(1, images=["a"]), "entry 1: images is ['a']: a list of 4 paths"),
        ("mivqa_tidy.json", four_pictures_entry(1, answer="4"), "entry 1: answer is '4': a number from 0 to 3"),
        ("textqa_tidy.json", no_picture_entry(1, choices=[]), "entry 1: choices is []: a list of texts"),
        ("textqa_tidy.json", no_picture_entry(1, food_name=...), "entry 1: food_name is missing"),
    ],
)
def test_what_is_missing_is_named(folder, name, entry, named):
    entries = json.loads((folder / name).read_text(encoding="utf-8"))
    (folder / name).write_text(json.dumps([entries[0], entry]), encoding="utf-8")
    read = read_foodieqa(folder, "zh", [name.partition("_")[0]])
    assert len(read.questions) == 1
    assert [named in fault for fault in read.faults] == [True]


def test_one_of_four_pictures_is_missing(folder):
    (folder / "images/003.jpg").unlink()
    read = read_foodieqa(folder, "zh", ["mivqa"])
    assert len(read.questions) == 6
    assert read.missing[0].startswith("mivqa_tidy.json, entry 0: picture 'images/003.jpg' does not exist")


def test_a_task_without_its_file(folder):
    (folder / "textqa_tidy.json").unlink()
    with pytest.raises(DataError, match=r"has no textqa_tidy.json"):
        read_foodieqa(folder, "zh", TASKS)


@pytest.mark.parametrize("tasks", [[], ["sivqa", "sivqa"], ["sivqa", "viqa"]])
def test_wrong_tasks_are_refused(folder, tmp_path, tasks):
    with pytest.raises(SettingsError, match="tasks="):
        convert_foodieqa(folder, tmp_path / "out", tasks=tasks)


def test_a_wrong_form_is_refused(folder, tmp_path):
    with pytest.raises(SettingsError, match="form='closed'"):
        convert_foodieqa(folder, tmp_path / "out", form="closed")


def test_the_licence_of_another_set(folder):
    assert licence_of(folder).startswith("FoodieQA is licensed CC BY-NC-ND 4.0")
    card = folder / "dataset.json"
    card.write_text('{"name": "Soups", "licence": "CC0", "version": "1"}', encoding="utf-8")
    assert licence_of(folder) == "Soups is licensed CC0"
    for text in ("[]", "{", '{"name": "Soups"}', '{"name": 1, "licence": "x"}'):
        card.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=r"dataset.json': "):
            licence_of(folder)


@pytest.mark.parametrize(
    ("question", "answer", "kind", "zh"),
    [
        ("图片中的食物或饮料通常怎么享用？", "倒在玻璃杯里喝", "serving", "它通常倒在玻璃杯里喝"),
        ("图片中的饮料通常是什么味道？", "苦味", "taste", "它通常是苦味"),
        ("图片中的食物最适合什么时候享用？", "早餐时", "occasion", "它最适合早餐时享用"),
        ("图片中的食物主要用什么原料制作？", "大米", "main_ingredient", "它主要用大米制作"),
    ],
)
def test_sentences_of_other_questions(question, answer, kind, zh):
    assert full_answer(question, answer, "面", kind, "zh", "食物") == f"图中的食物是面，{zh}。"


@pytest.mark.parametrize(
    ("kind", "answer", "sentence"),
    [
        ("kind", "a fruit", "It is a fruit."),
        ("origin", "Japan", "It comes from Japan."),
        ("taste", "sweet", "It tastes sweet."),
        ("main_ingredient", "grapes", "It is mainly made of grapes."),
        ("serving", "with a fork", "It is usually enjoyed with a fork."),
        ("occasion", "at breakfast", "It is most often enjoyed at breakfast."),
    ],
)
def test_english_sentences_by_kind(kind, answer, sentence):
    assert text_answer("What about it?", answer, kind, "en") == sentence
    assert full_answer("What about it?", answer, "figs", kind, "en").endswith(sentence)


def test_a_name_is_said_once():
    for language in ("zh", "en"):
        assert full_answer("这是什么？", "面", "面", "name", language) == named_answer("面", language)


def test_what_is_written_can_be_trained_on(folder, tmp_path):
    done = convert_foodieqa(
        folder, tmp_path / "out", tasks=TASKS, language="both", form="both", naming=True, test_share=0
    )
    source = open_source(DataSource(path=str(done.train.absolute())), DataSettings(image_folder=str(done.image_folder)))
    counts = {
        sum(isinstance(part, ImagePart) for message in source[index].messages for part in message.parts)
        for index in range(len(source))
    }
    assert counts == {0, 1, 4}
