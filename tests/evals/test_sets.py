"""Sets by the words of a command line."""

import json

import pytest

from foodieqa_folder import entry, write_foodieqa
from ivl import zoo
from ivl.errors import DataError
from ivl.evals.sets import open_sets


@pytest.fixture
def folder(tmp_path):
    return write_foodieqa(tmp_path / "set")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"question": "a?", "answer": "b"}))
    return path


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A food set and a general set in place of the package's."""
    meta = {"food_name": "米饭", "food_name_en": "rice", "food_file": "images/000.jpg"}
    write_foodieqa(tmp_path / "foods/test_styles", [entry(0, food_meta=meta)])
    (tmp_path / "general").mkdir()
    row = {"question": "How many?", "answer": "3", "tags": {"ability": "counting"}}
    (tmp_path / "general/test.jsonl").write_text(json.dumps(row))
    monkeypatch.setattr(zoo, "foods_folder", lambda: tmp_path / "foods", raising=False)
    monkeypatch.setattr(zoo, "general_folder", lambda: tmp_path / "general", raising=False)


@pytest.fixture
def both(own, tmp_path):
    """The food set has its other part too, and the general one another ability."""
    write_foodieqa(tmp_path / "foods/test_dishes")
    row = {"question": "Which colour?", "answer": "red", "tags": {"ability": "colour"}}
    with (tmp_path / "general/test.jsonl").open("a") as file:
        file.write("\n" + json.dumps(row))


def names(*words, **options) -> list[str]:
    return [each.name for each in open_sets([str(word) for word in words], **options)]


def test_words_and_paths_in_their_order(folder, file, own):
    assert names(file, "food", "foodieqa", folder, "general") == [
        "mine",
        "food-styles-sivqa-zh",
        "food-styles-sivqa-en",
        "food-styles-naming-zh",
        "food-styles-naming-en",
        "foodieqa-sivqa-zh",
        "foodieqa-sivqa-en",
        "general-counting",
    ]
    assert names(folder) == names("foodieqa", folder)
    assert names(folder / "sivqa_tidy.json") == names(folder)


def test_languages_and_tasks_are_chosen(folder, file, own):
    assert names(folder, file, "food", languages=["en"], tasks=["sivqa"]) == [
        "foodieqa-sivqa-en",
        "mine",
        "food-styles-sivqa-en",
    ]
    assert names(folder, "food", "general", tasks=["naming", "counting"], languages=("zh",)) == [
        "food-styles-naming-zh",
        "general-counting",
    ]


def test_a_part_of_the_food_set(both):
    styles = ["food-styles-sivqa-zh", "food-styles-sivqa-en", "food-styles-naming-zh", "food-styles-naming-en"]
    dishes = [name.replace("styles", "dishes") for name in styles]
    assert names("food", tasks=["sivqa"]) == [*styles[:2], *dishes[:2]]
    assert names("food:styles") == styles
    assert names("food:dishes", tasks=["sivqa"], languages=["en"]) == [dishes[1]]
    assert names("food:dishes", "food:styles", tasks=["sivqa"]) == [*dishes[:2], *styles[:2]]


def test_a_part_of_the_general_set(both):
    assert names("general") == ["general-counting", "general-colour"]
    assert names("general:colour") == ["general-colour"]
    assert names("general:colour", "general:counting") == ["general-colour", "general-counting"]
    assert names("general:colour", "food:styles", tasks=["colour"]) == ["general-colour"]
    with pytest.raises(DataError, match="no set to evaluate"):
        names("general:colour", tasks=["counting"])


def test_a_metric_is_for_files(folder, file):
    assert [each.metric for each in open_sets([str(folder), str(file)], metric="anls")] == ["choice", "choice", "anls"]


def test_a_name_stands_once(folder, file, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/mine.jsonl").write_text(file.read_text())
    assert names(file, tmp_path / "sub/mine.jsonl", file) == ["mine", "mine-2", "mine-3"]


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (
            ["foot"],
            {},
            "no set is called 'foot': did you mean 'food'\\? allowed: food \\(or food:styles, food:dishes\\), gen",
        ),
        (["zzzz"], {}, "no set is called 'zzzz': allowed: food \\(or food:styles"),
        (["none.tsv"], {}, "there is no file or folder 'none.tsv'"),
        (["no/such"], {}, "there is no file or folder 'no/such'"),
        (
            ["food:style"],
            {},
            "food has no part 'style': allowed are food:styles, food:dishes, and food for all of them",
        ),
        (["general:food"], {}, "general has no part 'food': allowed are general:kind, general:counting, general:colo"),
        (["food:"], {}, "food has no part ''"),
        (["easy-vqa:train"], {}, "no set is called 'easy-vqa:train'"),
        (["foodieqa"], {}, "foodieqa needs its folder behind it"),
        (["foodieqa", "/no/such"], {}, "the folder '/no/such' is not there"),
        ([], {}, "no set to evaluate: name food"),
        (["food"], {"tasks": ["sivqaa"]}, "there is no task 'sivqaa': did you mean 'sivqa'"),
        (["food"], {"languages": ["de"]}, "there is no language 'de': allowed: en, zh"),
        (["food"], {"metric": "bleu"}, "there is no metric 'bleu'"),
        (["food"], {"tasks": ["ocr"]}, "no set to evaluate"),
    ],
)
def test_mistakes_are_one_line(words, options, message):
    with pytest.raises(DataError, match=message) as caught:
        open_sets(words, **options)
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"x.parquet' is no file of questions: one of \.tsv, \.csv, \.jsonl, \.json"):
        open_sets([str(tmp_path / "x.parquet")])
