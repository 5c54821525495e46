"""The quick bar's lists: the package's own and the tutorial's shape; nothing outside the folder."""

import json

import pytest

from ivl.errors import DataError
from ivl.ui.foods import read_foods
from ui.conftest import picture_bytes


def folder_with(path, content, *files):
    for name in files:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(picture_bytes())
    (path / "food_for_demo.json").write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def test_the_packages_own_set_is_grouped_in_both_languages():
    cuisines = read_foods()
    assert len(cuisines) > 5
    assert cuisines[0].names == {"en": "China", "zh": "中国"}
    for cuisine in cuisines:
        assert set(cuisine.names) == {"en", "zh"}
        for dish in cuisine.dishes:
            assert dish.picture.is_file()
            assert dish.names["en"]
            assert dish.names["zh"]


def test_the_tutorials_shape(tmp_path):
    folder = folder_with(
        tmp_path, {"浙菜": ["food/a.jpg"], "川菜": ["food/b.jpg", "food/c.jpg"]}, *[f"food/{x}.jpg" for x in "abc"]
    )
    for place in (folder, folder / "food_for_demo.json"):
        cuisines = read_foods(place)
        assert [(c.names["zh"], len(c.dishes)) for c in cuisines] == [("浙菜", 1), ("川菜", 2)]
        assert cuisines[0].dishes[0].names == {}


def test_the_tutorials_own_folder_its_root_and_its_demo(tmp_path):
    demo = tmp_path / "demo"
    demo.mkdir()
    folder_with(demo, {"浙菜": ["demo/food/a.jpg"]}, "food/a.jpg")
    for place in (tmp_path, demo, demo / "food_for_demo.json"):
        assert read_foods(place)[0].dishes[0].picture == (demo / "food/a.jpg").resolve()


def test_names_may_be_given(tmp_path):
    folder = folder_with(tmp_path, {"x": [{"image": "a.jpg", "name": "龙井虾仁"}]}, "a.jpg")
    assert read_foods(folder)[0].dishes[0].names["zh"] == "龙井虾仁"


BAD = {
    "[]": "is {",
    "{}": "is {",
    "{": "no JSON",
    '{"a": 3}': "list of paths",
    '{"a": []}': "list of paths",
    '{"a": [3]}': "picture's path",
    '{"a": [{"image": 3}]}': "picture's path",
    '{"a": ["../secret.txt"]}': "leaves the folder",
    '{"a": ["/etc/passwd"]}': "leaves the folder",
    '{"a": ["link/passwd"]}': "leaves the folder",
    '{"a": ["missing.jpg"]}': "is not there",
    '{"a": ["\\u0000"]}': "picture's path",
    "[" * 100_000: "cannot be read",
}


@pytest.mark.parametrize("content", BAD, ids=range(len(BAD)))
def test_a_bad_list_is_told_in_one_line(tmp_path, content):
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (inner / "link").symlink_to("/etc")
    folder_with(inner, content)
    with pytest.raises(DataError, match=BAD[content]) as caught:
        read_foods(inner)
    assert "food_for_demo.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_list(tmp_path):
    with pytest.raises(DataError, match="no list of dishes"):
        read_foods(tmp_path)


def test_too_many_dishes(tmp_path):
    with pytest.raises(DataError, match="at most 500"):
        read_foods(folder_with(tmp_path, {"a": ["a.jpg"] * 501}, "a.jpg"))
