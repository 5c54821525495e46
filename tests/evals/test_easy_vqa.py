"""easy-VQA from a folder of its package's shape, as a set and as training data."""

import json
import sys

import PIL.Image
import pytest

from ivl.data.settings import DataSettings, DataSource
from ivl.data.sources import open_source
from ivl.errors import DataError, MissingExtraError
from ivl.evals.easy_vqa import open_easy_vqa, write_easy_vqa
from ivl.types import TextPart

QUESTIONS = [
    ["what is the red shape?", "triangle", 0],
    ["what color is the shape?", "red", 0],
    ["does the image contain a circle?", "no", 1],
]


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "easy_vqa"
    for split in ("train", "test"):
        (folder / "data" / split / "images").mkdir(parents=True)
        for number in range(2):
            PIL.Image.new("RGB", (64, 64), (90 * number, 0, 0)).save(folder / f"data/{split}/images/{number}.png")
        (folder / "data" / split / "questions.json").write_text(json.dumps(QUESTIONS))
    (folder / "__init__.py").write_text("raise RuntimeError('the code of the package is not run')")
    return folder


def test_the_test_split_is_a_set(package):
    for folder in (package, package / "data"):
        found = open_easy_vqa(folder)
        assert (found.name, found.metric, found.language, found.num_prompts) == ("easy-vqa", "exact", "en", 1)
        assert [(item.item_id, item.answers) for item in found.items] == [
            ("0", ("triangle",)),
            ("1", ("red",)),
            ("2", ("no",)),
        ]
        assert [dict(item.tags)["answer_type"] for item in found.items] == ["shape", "colour", "yes or no"]
        assert str(found.items[2].images[0]).endswith("test/images/1.png")


def test_the_installed_package_is_found_and_not_run(package, monkeypatch):
    monkeypatch.syspath_prepend(str(package.parent))
    assert len(open_easy_vqa().items) == 3
    assert "easy_vqa" not in sys.modules


def test_a_package_that_is_not_there_is_a_line(monkeypatch, tmp_path):
    monkeypatch.setattr("ivl.evals.easy_vqa.importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pip install easy-vqa"):
        open_easy_vqa()
    with pytest.raises(DataError, match=r"no test/questions\.json"):
        open_easy_vqa(tmp_path)


def test_faults_are_named(package):
    entries = [*QUESTIONS, ["q", "a"], ["q", "", 0], ["q", "a", "../0"], ["q", "a", 7]]
    (package / "data/test/questions.json").write_text(json.dumps(entries))
    found = open_easy_vqa(package)
    assert len(found.items) == 3
    assert [line.partition(",")[2][:8] for line in found.faults] == [f" entry {number}" for number in (3, 4, 5, 6)]
    assert "does not exist" in found.faults[3]
    (package / "data/test/questions.json").write_text("{}")
    with pytest.raises(DataError, match="a list of at most"):
        open_easy_vqa(package)


def test_a_split_is_written_in_the_words_it_is_asked_in(package, tmp_path):
    path = write_easy_vqa("train", tmp_path / "out", source=package)
    assert path.name == "easy_vqa_train.jsonl"
    source = open_source(DataSource(path=str(path)), DataSettings())
    asked, answer = source[2].messages
    part = open_easy_vqa(package)
    (message,) = part.ask(part.items[2], 0).messages
    text = next(each.text for each in message.parts if isinstance(each, TextPart))
    assert [each.text for each in asked.parts if isinstance(each, TextPart)] == [f"<image>\n{text}"]
    assert [each.text for each in answer.parts] == ["no"]
    assert len(source) == 3
    assert sorted(each.name for each in (tmp_path / "out/images/train").iterdir()) == ["0.png", "1.png"]


def test_nothing_is_replaced_unasked(package, tmp_path):
    write_easy_vqa("test", tmp_path / "out", source=package)
    with pytest.raises(DataError, match="is there already"):
        write_easy_vqa("test", tmp_path / "out", source=package)
    write_easy_vqa("test", tmp_path / "out", source=package, force=True)
    with pytest.raises(DataError, match="no split 'tests': did you mean 'test'"):
        write_easy_vqa("tests", tmp_path / "out", source=package)
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == ["easy_vqa_test.jsonl", "images"]
