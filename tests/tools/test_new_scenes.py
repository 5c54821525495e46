"""New scenes of foods: names to be asked, what training asks already, and pictures that show nothing."""

import io
import json

from PIL import Image
from tools.foods.facts import load_foods
from tools.foods.new_scenes import asked_in_training, grey_copy, naming_rows
from tools.foods.questions import Shown
from tools.foods.wording import NO_PICTURE, noun_of

from ivl.evals.table_files import open_table
from ivl.zoo import foods_folder


def test_every_picture_is_named_once_in_a_row_that_the_evaluation_reads(tmp_path):
    table = load_foods()
    (tmp_path / "images").mkdir()
    files = {("noto", "sushi"): ["images/0.jpg", "images/1.jpg"], ("twemoji", "pizza"): ["images/2.jpg"]}
    for number in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / f"images/{number}.jpg")
    for language in ("zh", "en"):
        rows = list(naming_rows(Shown(files=files), table, language))
        path = tmp_path / f"naming_{language}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        (found,) = open_table(path)
        assert (found.metric, found.faults, len(found.items)) == ("contains", (), 3)
        names = [table[food_id].names(language) for food_id in ("sushi", "sushi", "pizza")]
        assert [item.answers for item in found.items] == names
        assert dict(found.items[2].tags) == {"style": "twemoji", "dish": "pizza", "language": language}


def test_what_training_asks_without_a_picture_is_what_ships():
    table = load_foods()
    shipped = json.loads((foods_folder() / "train" / "textqa_tidy.json").read_text("utf-8"))
    asked = asked_in_training(table)
    assert len(shipped) == len(asked)
    said = set()
    for food_id, topic, number in asked:
        food = table[food_id]
        filled = NO_PICTURE[topic][number].filled(noun_of([food]), {"zh": food.name_zh, "en": food.name_en})
        said.add(filled["question"])
    assert {entry["question"] for entry in shipped} <= said


def test_a_grey_copy_asks_the_same_and_shows_nothing(tmp_path):
    source = foods_folder() / "test_styles"
    grey_copy(source, tmp_path / "grey")
    for name in ("sivqa_tidy.json", "dataset.json"):
        assert (tmp_path / "grey" / name).read_bytes() == (source / name).read_bytes()
    pictures = sorted((tmp_path / "grey").rglob("*.webp"))
    assert len(pictures) == len(list(source.rglob("*.webp")))
    assert len({path.read_bytes() for path in pictures}) == 1
    with Image.open(io.BytesIO(pictures[0].read_bytes())) as picture:
        assert all(low == high for low, high in picture.convert("RGB").getextrema())
