"""FoodieQA's folder becomes training and test data; whatever is missing is named."""

import json
import os

import pytest

from foodieqa_folder import DISHES, entry, write_foodieqa
from ivl.data.foodieqa import read_foodieqa
from ivl.data.foodieqa_answers import full_answer
from ivl.data.foodieqa_files import convert_foodieqa
from ivl.data.foodieqa_split import split_by_dish
from ivl.data.settings import DataSettings, DataSource
from ivl.data.sources import open_source
from ivl.errors import DataError, SettingsError


@pytest.fixture
def convert(tmp_path):
    """Converts a folder of these entries."""

    def made(entries=None, **options):
        folder = tmp_path / "FoodieQA"
        if not folder.exists():
            write_foodieqa(folder, entries)
        return convert_foodieqa(folder, tmp_path / "out", **options)

    return made


def records(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_tutorials_wording(convert):
    done = convert(test_share=0)
    assert done.test is None
    assert records(done.train)[0] == {
        "id": "q0",
        "image": "images/000.jpg",
        "conversations": [
            {"from": "human", "value": "图片中的食物通常属于哪个菜系?\n<image>"},
            {"from": "gpt", "value": "浙菜，图中的菜是龙井虾仁"},
        ],
    }


@pytest.mark.parametrize(
    ("language", "answers"),
    [
        ("zh", ["图中的菜是龙井虾仁，它通常属于浙菜。", "图中的菜是龙井虾仁，它的主要食材是豆腐。"]),
        (
            "en",
            [
                "The dish in the picture is 龙井虾仁. It belongs to Zhejiang cuisine.",
                "The dish in the picture is 龙井虾仁. The ingredient asked for is tofu.",
            ],
        ),
    ],
)
def test_full_answers_name_the_dish_in_a_sentence(convert, language, answers):
    done = convert(style="full", language=language, test_share=0)
    assert [each["conversations"][1]["value"] for each in records(done.train)[:2]] == answers


@pytest.mark.parametrize(
    ("question", "answer", "sentence"),
    [
        ("图片中的食物是哪个地区的特色美食？", "浙江", "图中的菜是面，它是浙江的特色美食。"),
        ("以下哪种食材是图片中食物的主要食材？", "虾仁", "图中的菜是面，虾仁是它的主要食材。"),
        ("图片里的菜是什么口味？", "咸鲜", "图中的菜是面，它是咸鲜口味。"),
        ("这道菜来自哪里", "杭州", "图中的菜是面，它来自杭州。"),
        ("图片中的食物是辣的吗？", "否", "图中的菜是面。这个问题的答案是：否。"),
        ("为什么这道菜是白的？", "没放酱油。", "图中的菜是面。这个问题的答案是：没放酱油。"),
        ("哪个菜用什么做？", "豆", "图中的菜是面。这个问题的答案是：豆。"),
    ],
)
def test_chinese_questions_become_statements(question, answer, sentence):
    assert full_answer(question, answer, "面", "", "zh") == sentence


@pytest.mark.parametrize(
    ("question", "answer", "sentence"),
    [
        ("Which region is it from?", "Zhejiang", "It is typical of Zhejiang."),
        ("What is its flavor?", "Salty", "It tastes salty."),
        ("Which is not an ingredient?", "Sugar", "The answer to the question is: Sugar."),
        ("How is it served?", "Hot.", "The answer to the question is: Hot."),
    ],
)
def test_english_sentences(question, answer, sentence):
    assert full_answer(question, answer, "Noodles", "", "en") == f"The dish in the picture is Noodles. {sentence}"


def test_no_dish_is_in_both_parts(convert):
    done = convert(test_share=0.3)
    train, test = records(done.train), records(done.test)
    assert (len(train), len(test)) == (14, 6)
    assert (done.num_train, done.num_test, done.num_train_dishes, done.num_test_dishes) == (14, 6, 7, 3)
    assert not {each["image"] for each in train} & {each["image"] for each in test}
    assert {each["id"] for each in train + test} == {f"q{number}" for number in range(20)}


def test_the_seed_chooses_the_dishes(convert):
    first = records(convert(seed=1).test)
    assert records(convert(seed=1, force=True).test) == first
    assert records(convert(seed=2, force=True).test) != first


def test_a_question_more_moves_no_dish(tmp_path):
    questions = read_foodieqa(write_foodieqa(tmp_path / "a")).questions
    _, test = split_by_dish(questions, 0.5, seed=3)
    _, again = split_by_dish(questions[::-1], 0.5, seed=3)
    assert {question.dish for question in again} == {question.dish for question in test}


def test_dishes_that_share_a_picture_stay_together(tmp_path):
    entries = [entry(number) for number in range(20)]
    for number in (5, 9):  # dishes 2 and 4 also appear on the picture of dish 0, dish 0 under a wider spelling
        entries[number]["food_meta"]["food_file"] = "images/000.jpg"
    entries[1]["food_meta"]["food_name"] = entries[1]["food_name"] = " 龙井 虾仁"
    questions = read_foodieqa(write_foodieqa(tmp_path / "a", entries)).questions
    linked = {f"q{number}" for number in (0, 1, 4, 5, 8, 9)}
    for seed in range(12):
        train, test = split_by_dish(questions, 0.5, seed)
        assert {question.id for question in train} >= linked or {question.id for question in test} >= linked


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"question": ...}, "entry 1: question is missing"),
        ({"choices": ...}, "entry 1: choices is None"),
        ({"choices": ["a"]}, "entry 1: choices is ['a']"),
        ({"choices": "a,b"}, "entry 1: choices is 'a,b'"),
        ({"answer": "4"}, "entry 1: answer is '4': a number from 0 to 3"),
        ({"answer": ...}, "entry 1: answer is None"),
        ({"answer": True}, "entry 1: answer is True"),
        ({"food_meta": ...}, "entry 1: food_meta.food_file is missing"),
        ({"food_meta": {"food_file": "images/000.jpg"}, "food_name": " "}, "entry 1: food_name is ' '"),
    ],
)
def test_what_is_missing_is_named_and_the_rest_read(convert, change, named):
    done = convert([entry(number, **(change if number == 1 else {})) for number in range(20)])
    assert done.num_train + done.num_test == 19
    assert [named in fault for fault in done.faults] == [True]
    assert done.faults[0].startswith("sivqa_tidy.json, entry 1: ")


def test_releases_differ(tmp_path):
    entries = [entry(number, question_id=..., question_type=..., answer=number % 4) for number in range(20)]
    for each in entries:
        each["food_meta"]["food_file"] = each["food_meta"]["food_file"].removeprefix("images/")
    write_foodieqa(tmp_path / "FoodieQA", entries, name="sivqa_filtered_bi.json")
    read = read_foodieqa(tmp_path)  # the folder that the hub's folder lies in
    assert len(read.questions) == 20
    assert (read.questions[3].images, read.questions[3].id, read.questions[3].answer) == (
        ("images/001.jpg",),
        "3",
        "面粉",
    )


def test_a_release_without_english_says_so(convert):
    entries = [entry(number, question_en=..., choices_en=...) for number in range(20)]
    with pytest.raises(DataError, match=r"the first: .* entry 0: choices_en is None.* try --language zh"):
        convert(entries, language="en")


def test_missing_pictures_are_left_out_and_named(convert, tmp_path):
    write_foodieqa(tmp_path / "FoodieQA")
    (tmp_path / "FoodieQA/images/000.jpg").unlink()
    os.mkfifo(tmp_path / "FoodieQA/images/000.jpg")
    (tmp_path / "FoodieQA/images/001.jpg").unlink()
    done = convert()
    assert len(done.missing) == 4
    assert "entry 0: picture 'images/000.jpg' is a device, pipe" in done.missing[0]
    assert "entry 2: picture 'images/001.jpg' does not exist" in done.missing[2]
    assert done.num_train + done.num_test == 16


def test_a_picture_out_of_the_folder_is_left_out(convert, tmp_path):
    (tmp_path / "secret.jpg").write_bytes(b"x")
    entries = [entry(number) for number in range(20)]
    entries[0]["food_meta"]["food_file"] = "../secret.jpg"
    assert "outside of the image folder" in convert(entries).missing[0]


def test_nothing_is_replaced_without_being_told(convert, tmp_path):
    first = convert().train.read_bytes()
    for name in ("train", "test"):
        with pytest.raises(DataError, match=r"is there already: give --force"):
            convert(style="full")
        assert (tmp_path / "out/train.json").read_bytes() == first
        (tmp_path / f"out/{'train' if name == 'test' else 'keep'}.json").write_bytes(first)
    assert convert(style="full", force=True).train.read_bytes() != first
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["keep.json", "test.json", "train.json"]


def test_a_stale_test_part_does_not_stay(convert, tmp_path):
    convert()
    convert(test_share=0, force=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["train.json"]


def test_a_full_disk_leaves_the_old_files(convert, tmp_path, monkeypatch):
    convert()
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ivl.data.foodieqa_files.os.fsync", full)
    with pytest.raises(DataError, match=r"cannot be written: No space left on device"):
        convert(style="full", force=True)
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"test_share": 0.95}, "test_share=0.95"),
        ({"test_share": float("nan")}, "test_share=nan"),
        ({"style": "terse"}, "style='terse'"),
        ({"language": "fr"}, "language='fr'"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_wrong_options_are_refused(convert, options, reason):
    with pytest.raises(SettingsError, match=reason):
        convert(**options)


def test_a_folder_that_is_something_else(tmp_path):
    with pytest.raises(DataError, match=r"has no sivqa_tidy.json: ask for access to lyan62/FoodieQA"):
        read_foodieqa(tmp_path)


def test_one_dish_cannot_be_split(convert):
    with pytest.raises(DataError, match=r"2 questions on 1 dishes cannot be split with a test share of 0.2"):
        convert([entry(0), entry(1)])


def test_what_is_written_can_be_trained_on(convert):
    done = convert()
    settings = DataSettings(image_folder=str(done.image_folder))
    for path, count in ((done.train, done.num_train), (done.test, done.num_test)):
        source = open_source(DataSource(path=str(path.absolute())), settings)
        assert len(source) == count
        answers = [source[index].messages[-1].parts[0].text for index in range(count)]
        assert all(any(dish in answer for dish in DISHES) for answer in answers)
