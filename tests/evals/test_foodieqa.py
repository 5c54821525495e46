"""A folder in FoodieQA's layout that was never seen: what is there is asked, what is missing is named."""

import json

import pytest

from foodieqa_folder import DISHES, entry, write_foodieqa
from ivl.data.foodieqa import LICENCE
from ivl.errors import DataError
from ivl.evals.foodieqa import is_foodieqa, open_foodieqa


def several(number: int, **changes) -> dict:
    made = {
        "question": "以下哪道菜更辣？",
        "choices": "",
        "answer": str(number % 4),
        "question_type": "flavor",
        "question_id": f"hash_{number}",
        "ann_group": "川",
        "images": [f"images/{(number + shift) % len(DISHES):03}.jpg" for shift in range(4)],
        "question_en": "Which dish is spicier?",
    }
    return {key: value for key, value in {**made, **changes}.items() if value is not ...}


def text(number: int, **changes) -> dict:
    made = {
        "question": f"{DISHES[number % 10]}属于哪个菜系?",
        "choices": ["川菜", "粤菜", "湘菜", "鲁菜"],
        "answer": number % 4,
        "question_type": "cuisine_type",
        "food_name": DISHES[number % 10],
        "cuisine_type": "川菜",
        "question_id": f"textqa-{number}",
    }
    return {key: value for key, value in {**made, **changes}.items() if value is not ...}


def add(folder, name: str, entries: list):
    (folder / name).write_text(json.dumps(entries, ensure_ascii=False, indent=2), encoding="utf-8")
    return folder


@pytest.fixture
def whole(tmp_path):
    folder = write_foodieqa(tmp_path / "set")
    add(folder, "mivqa_tidy.json", [several(number) for number in range(6)])
    return add(folder, "textqa_tidy.json", [text(number) for number in range(8)])


def single(tmp_path, *entries: dict):
    """A folder of one file, and its Chinese set."""
    folder = write_foodieqa(tmp_path / "set", [entry(0), *entries])
    return open_foodieqa(folder, tasks=["sivqa"], languages=["zh"])[0]


def test_a_published_folder_gives_its_sets(whole):
    sets = open_foodieqa(whole)
    assert [each.name for each in sets] == [
        "foodieqa-sivqa-zh",
        "foodieqa-sivqa-en",
        "foodieqa-mivqa-zh",
        "foodieqa-mivqa-en",
        "foodieqa-textqa-zh",  # the published text questions are in Chinese only
    ]
    assert [len(each.items) for each in sets] == [20, 20, 6, 6, 8]
    assert {(each.metric, each.num_prompts, each.licence) for each in sets} == {("choice", 4, LICENCE)}
    assert not any(each.faults for each in sets)
    for each in sets:
        for item in each.items:
            for prompt in range(4):
                assert each.ask(item, prompt).messages


def test_items_hold_what_the_entry_says(whole):
    by_name = {each.name: each for each in open_foodieqa(whole)}
    one = by_name["foodieqa-sivqa-zh"].items[3]
    assert (one.item_id, one.where, one.answers) == ("q3", "sivqa_tidy.json, entry 3", ("D",))
    assert one.choices == ("虾仁", "豆腐", "猪肉", "面粉")
    assert [str(path).rpartition("/images/")[2] for path in one.images] == ["001.jpg"]
    assert one.tags == (("question_type", "ingredient"), ("dish", DISHES[1]))
    assert by_name["foodieqa-sivqa-en"].items[3].choices == ("Shrimp", "Tofu", "A", "B")
    four = by_name["foodieqa-mivqa-en"].items[1]
    assert (four.letters, four.answers, four.question) == ("ABCD", ("B",), "Which dish is spicier?")
    assert [str(path).rpartition("/images/")[2] for path in four.images] == [f"00{each}.jpg" for each in (1, 2, 3, 4)]


@pytest.mark.parametrize("answer", [2, "2", " 2 ", 2.0, "C", "c"])
def test_forms_of_an_answer(tmp_path, answer):
    assert single(tmp_path, entry(1, answer=answer)).items[1].answers == ("C",)


def test_a_number_is_a_place_even_among_numbers(tmp_path):
    made = entry(1, choices=["1", "2", "3", "0"], answer="1")
    assert single(tmp_path, made).items[1].answers == ("B",)


@pytest.mark.parametrize("choices", ['["虾", "豆", "肉", "面"]', "['虾', '豆', '肉', '面']", ["虾 ", "豆", "肉", "面"]])
def test_forms_of_choices(tmp_path, choices):
    assert single(tmp_path, entry(1, choices=choices)).items[1].choices == ("虾", "豆", "肉", "面")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"question": ...}, "question is missing: a text is needed"),
        ({"question": "<image>\n这是什么?"}, "question holds <image>"),
        ({"choices": ...}, "choices is missing: a list is needed"),
        ({"choices": "虾/豆"}, "choices is '虾/豆': a list is needed"),
        ({"choices": ["虾"]}, "choices has 1 entries: 2 to 26"),
        ({"choices": ["虾", None]}, "choices[1] is None: a text is needed"),
        ({"choices": "[" * 1000}, "a list is needed"),
        ({"answer": ...}, "answer is missing: a letter from A to D"),
        ({"answer": "4"}, "answer is '4'"),
        ({"answer": True}, "answer is True"),
        ({"answer": -1}, "answer is -1"),
        ({"food_meta": ...}, "food_meta.food_file is missing"),
        ({"food_meta": {"food_file": "images/none.jpg"}}, "food_meta.food_file: picture 'images/none.jpg' does not"),
        ({"food_meta": {"food_file": "../../secret.jpg"}}, "lies outside of"),
        ({"food_meta": {"food_file": "/etc/passwd"}}, "lies outside of"),
        ({"food_meta": {"food_file": "https://a.b/c.jpg"}}, "is an address"),
        ({"tags": ["a"]}, "tags is ['a']: an object of texts is needed"),
    ],
)
def test_a_fault_names_entry_and_field(tmp_path, changes, reason):
    found = single(tmp_path, entry(1, **changes))
    assert len(found.items) == 1
    (line,) = found.faults
    assert line.startswith("sivqa_tidy.json, entry 1: ")
    assert reason in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"images": ...}, "images is missing"),
        ({"images": ["images/000.jpg"] * 3}, "images has 3 entries: 4 pictures are needed"),
        ({"images": [*["images/000.jpg"] * 3, "images/x.jpg"]}, "images[3]: picture 'images/x.jpg' does not exist"),
    ],
)
def test_a_fault_among_four_pictures(whole, changes, reason):
    add(whole, "mivqa_tidy.json", [several(0), several(1, **changes)])
    (found,) = open_foodieqa(whole, tasks=["mivqa"], languages=["zh"])
    assert len(found.items) == 1
    assert found.faults[0].startswith("mivqa_tidy.json, entry 1: ")
    assert reason in found.faults[0]


def test_other_releases_are_read(tmp_path):
    folder = write_foodieqa(tmp_path / "up/FoodieQA", name="sivqa_filtered_bi.json")
    made = [
        entry(0, food_meta={"food_file": "000.jpg"}, food_name=...),
        entry(1, food_meta=..., image="images/001.jpg", style="ink", tags={"hard": "yes", "n": 3}, question_id=...),
        entry(2, food_meta=..., images=["images/002.jpg"], question_en=..., question_bi="Which?", question_id="q0"),
    ]
    add(folder, "sivqa_filtered_bi.json", made)
    (folder / "mivqa_filtered.jsonl").write_text(json.dumps(several(0, images=json.dumps(several(0)["images"]))))
    zh, en, four, *_ = open_foodieqa(tmp_path / "up")
    assert [item.item_id for item in zh.items] == ["q0", "1", "q0#2"]
    assert dict(zh.items[1].tags) == {
        "question_type": "ingredient",
        "style": "ink",
        "dish": DISHES[0],
        "hard": "yes",
        "n": "3",
    }
    assert [item.question for item in en.items][2] == "Which?"
    assert len(four.items) == 1


def test_what_is_missing_as_a_whole_is_named(tmp_path):
    folder = write_foodieqa(tmp_path / "set")
    sets = open_foodieqa(folder)
    assert [each.name for each in sets] == ["foodieqa-sivqa-zh", "foodieqa-sivqa-en"]
    assert [line.partition(" ")[0] for line in sets[0].faults] == ["mivqa_tidy.json", "textqa_tidy.json"]
    with pytest.raises(DataError, match=r"nothing .* can be asked; mivqa_tidy.json is not in the folder"):
        open_foodieqa(folder, tasks=["mivqa"])


def test_a_language_that_is_wanted_and_missing_is_named(whole):
    (zh,) = open_foodieqa(whole, tasks=["textqa"], languages=["zh", "en"])
    assert (
        "foodieqa-textqa-en: no entry can be asked in English; the first: textqa_tidy.json, entry 0: " in zh.faults[0]
    )
    assert "question_en is missing" in zh.faults[0]
    with pytest.raises(DataError, match="question_en is missing"):
        open_foodieqa(whole, tasks=["textqa"], languages=["en"])


def test_entries_without_english_are_faults_where_others_have_it(whole):
    add(whole, "sivqa_tidy.json", [entry(0), entry(1, question_en=...), entry(2, choices_en=...)])
    _, en, *_ = open_foodieqa(whole)
    assert len(en.items) == 1
    assert [line.partition(": ")[2].partition(" is")[0] for line in en.faults] == ["question_en", "choices_en"]


def test_a_bad_record_spoils_no_other(tmp_path):
    folder = write_foodieqa(tmp_path / "set")
    good = json.dumps(entry(0), ensure_ascii=False)
    (folder / "sivqa_tidy.json").write_text(f"[{good},\n7,\n{good}]", encoding="utf-8")
    found, *_ = open_foodieqa(folder, tasks=["sivqa"])
    assert len(found.items) == 2
    assert found.faults[0].startswith("sivqa_tidy.json, entry 1: the record is 7")


def test_our_own_set_in_this_layout_says_its_own_terms(whole):
    card = {"name": "ivl foods, test_styles", "licence": "as in ATTRIBUTION.md", "version": 1}
    (whole / "dataset.json").write_text(json.dumps(card, indent=2))
    first = open_foodieqa(whole)[0]
    assert (first.name, first.title) == (
        "ivl-foods-test_styles-sivqa-zh",
        "ivl foods, test_styles: one picture, Chinese",
    )
    assert first.licence == "ivl foods, test_styles is licensed as in ATTRIBUTION.md"


@pytest.mark.parametrize("card", [{"licence": "x"}, {"name": "food"}, {"name": 3, "licence": "x"}])
def test_a_wrong_card_is_named(whole, card):
    (whole / "dataset.json").write_text(json.dumps(card))
    with pytest.raises(DataError, match=r"dataset\.json'?: (name|licence) is"):
        open_foodieqa(whole)


def test_no_folder_and_no_questions(tmp_path):
    with pytest.raises(DataError, match="is not there"):
        open_foodieqa(tmp_path / "none")
    with pytest.raises(DataError, match=r"holds no file of questions.*ask for access"):
        open_foodieqa(tmp_path)
    with pytest.raises(DataError, match="there is no task 'sivq': did you mean 'sivqa'"):
        open_foodieqa(write_foodieqa(tmp_path / "set"), tasks=["sivq"])
    assert is_foodieqa(tmp_path / "set")
    assert not is_foodieqa(tmp_path)
